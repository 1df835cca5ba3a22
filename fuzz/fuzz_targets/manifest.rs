//! Manifests.

#![no_main]

use std::collections::BTreeMap;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use racefetch::portage::{ManifestIndex, manifest};
use racefetch_fuzz::with_text;

fuzz_target!(|data: &[u8]| with_text(data, |text| {
    let lines = text.lines().count();
    let mut last = BTreeMap::new();
    for entry in manifest::entries(text) {
        match entry {
            Ok(entry) => {
                let mut line = format!("DIST {} {}", entry.name, entry.size);
                for digest in entry.digests.iter() {
                    line += &format!(" {} {}", digest.algorithm.name(), digest.hex());
                }
                if entry.digests.unknown_algorithms().next().is_none() {
                    assert_eq!(manifest::find(&line, &entry.name), Ok(Some(entry.clone())));
                }
                last.insert(entry.name.clone(), entry);
            }
            Err(error) => assert!((1..=lines).contains(&error.line)),
        }
    }
    let mut index = ManifestIndex::default();
    index.add(Path::new("/Manifest"), text, |_| true);
    for (name, entry) in last.iter().take(20) {
        // A later line of that name may be one that cannot be read.
        if let Ok(found) = manifest::find(text, name) {
            assert_eq!(found.as_ref(), Some(entry));
        }
        assert!(!index.find(name).is_empty());
    }
}));
