//! make.conf and what it sources.

#![no_main]

use std::io;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use racefetch::portage::make_conf::ConfigProblem;
use racefetch::portage::{ConfigEntry, MakeConf};
use racefetch_fuzz::{halves, with_text};

fuzz_target!(|data: &[u8]| with_text(data, |text| {
    // Behind the first NUL is what every other file says.
    let (first, others) = halves(text);
    let read = |path: &Path| match path.to_str() {
        Some("/etc/portage/make.conf") => Ok(ConfigEntry::File(first.to_owned())),
        Some("/etc/make.conf") => Err(io::ErrorKind::NotFound.into()),
        _ => Ok(ConfigEntry::File(others.to_owned())),
    };
    let conf = MakeConf::of_system(Path::new("/"), Path::new("/"), &read);
    let mirrors = conf.gentoo_mirrors(None);
    for (at, mirror) in mirrors.iter().enumerate() {
        assert!(!mirror.is_empty() && !mirror.ends_with('/') && !mirror.contains(char::is_whitespace));
        assert!(!mirrors[..at].contains(mirror), "a mirror is there twice");
    }
    let lines = first.lines().count().max(others.lines().count()) + 1;
    for problem in conf.problems() {
        if let ConfigProblem::Syntax { line, .. } = problem {
            assert!((1..=lines).contains(line), "line {line} of {lines}");
        }
    }
}));
