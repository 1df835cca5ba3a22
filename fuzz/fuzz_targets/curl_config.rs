//! The files of `-K`, with every option that they may hold.

#![no_main]

use std::io;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use racefetch::cli;
use racefetch::progress::printable;
use racefetch_fuzz::{halves, with_text};

fuzz_target!(|data: &[u8]| with_text(data, |text| {
    // Behind the first NUL is what every other file says.
    let (config, others) = halves(text);
    let read = |path: &Path| match path.to_str() {
        Some("curlrc") => Ok(config.to_owned()),
        Some("-") => Err(io::ErrorKind::NotFound.into()),
        _ => Ok(others.to_owned()),
    };
    let args = ["-K", "curlrc", "http://mirror.example/x"].map(Into::into);
    if let Err(error) = cli::parse(&args, &read) {
        let line = printable(&error.to_string());
        assert!(!line.contains(char::is_control), "not one line: {line:?}");
    }
}));
