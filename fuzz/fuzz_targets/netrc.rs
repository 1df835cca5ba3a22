//! netrc files.

#![no_main]

use libfuzzer_sys::fuzz_target;
use racefetch::cli::netrc::NetrcFile;
use racefetch_fuzz::with_text;

fuzz_target!(|data: &[u8]| with_text(data, |text| match NetrcFile::parse(text) {
    Err(error) => assert!((1..=text.lines().count()).contains(&error.line)),
    Ok(file) => {
        for word in text.split_whitespace().take(20) {
            let of_host = file.credentials(word, None);
            assert_eq!(of_host, file.credentials(&word.to_ascii_uppercase(), None));
            if let Some(of_user) = file.credentials(word, Some("a")) {
                assert_eq!(of_user.user, "a");
            }
        }
        // Comments and blank lines say nothing, but for the ends of macros.
        if !text.contains("macdef") {
            let commented: String = text.lines().map(|line| format!("\n# x\n{line}\n")).collect();
            assert_eq!(NetrcFile::parse(&commented).as_ref(), Ok(&file));
        }
    }
}));
