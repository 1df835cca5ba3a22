//! What `racefetch rank --write` and `racefetch setup` do to a make.conf that others wrote.

#![no_main]

use std::io;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use racefetch::portage::make_conf_editor::{Edit, Files, NewValue};
use racefetch::portage::repos_conf::System;
use racefetch::portage::{ConfigEntry, unix_newlines};
use racefetch_fuzz::{halves, with_text};

const TOP: &str = "/etc/portage/make.conf";
const NAME: &str = "GENTOO_MIRRORS";

/// Hands `check` what would change a make.conf that holds these bytes.
fn with_files<T>(content: &[u8], check: impl FnOnce(Files<'_>) -> T) -> T {
    let bytes = |path: &Path| match path.to_str() {
        Some(TOP) => Ok(content.to_vec()),
        _ => Err(io::ErrorKind::NotFound.into()),
    };
    let read = |path: &Path| {
        let text = String::from_utf8_lossy(&bytes(path)?).into_owned();
        Ok(ConfigEntry::File(unix_newlines(text)))
    };
    let root = Path::new("/");
    check(Files { system: System { eprefix: root, configroot: root }, read: &read, bytes: &bytes })
}

fuzz_target!(|data: &[u8]| with_text(data, |text| {
    // Behind the first NUL is the value.
    let (conf, value) = halves(text);
    let words: Vec<String> = value.split_whitespace().map(str::to_owned).collect();
    for value in [NewValue::Text(value), NewValue::Words(&words)] {
        let edit = with_files(conf.as_bytes(), |files| files.set(NAME, value, "fuzz"));
        let Ok(Some(Edit { path, content })) = edit else { continue };
        assert_eq!(path, Path::new(TOP));
        let blocks = |bytes: &[u8]| String::from_utf8_lossy(bytes).matches("# racefetch begin").count();
        if blocks(&content) > blocks(conf.as_bytes()) {
            // Added, and nothing that was there is gone.
            let before = content.iter().zip(conf.as_bytes()).take_while(|(new, old)| new == old).count();
            assert!(content.ends_with(&conf.as_bytes()[before..]));
        }
        with_files(&content, |files| {
            // Either Portage reads the new value, and another go finds nothing to do, or the commands say before they
            // write that it would not be so.
            let Ok(now) = files.conf() else { return };
            if now.get(NAME).is_some_and(|now| value.is(now)) {
                assert!(matches!(files.set(NAME, value, "fuzz"), Ok(None)));
            }
            // What was added by a command goes away without a trace.
            if let Ok(Some(Edit { content: without, .. })) = files.without_block(Path::new(TOP), "fuzz") {
                let is_ours = without.starts_with(conf.as_bytes()) && without.len() <= conf.len() + 2;
                assert!(is_ours || text.contains("# racefetch "));
            }
        });
    }
}));
