//! SRC_URI.

#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use racefetch::portage::src_uri::Groups;
use racefetch::portage::{Distfile, Eapi, MirrorGroups, Restrict, SrcUri};
use racefetch_fuzz::{halves, with_text};

fuzz_target!(|data: &[u8]| with_text(data, |text| {
    // Behind the first NUL are the groups.
    let (text, groups) = halves(text);
    let mut custom = MirrorGroups::default();
    custom.read(groups);
    for eapi in ["0", "2", "8"] {
        let eapi = Eapi::new(eapi);
        let parsed = SrcUri::parse(text, eapi);
        let words: Vec<_> = text.split_whitespace().collect();
        assert_eq!(parsed, SrcUri::parse(&words.join("\n"), eapi), "white space is white space");
        let Ok(parsed) = parsed else { continue };
        let names = words.iter().flat_map(|word| [*word, word.rsplit('/').next().unwrap_or_default()]);
        let names: BTreeSet<_> = names.filter_map(|name| Distfile::new(name).ok()).collect();
        for name in names.iter().take(50) {
            let groups = Groups { custom: &custom, third_party: &custom };
            let Some(places) = parsed.places(name, Restrict::default(), groups) else { continue };
            let mut seen = BTreeSet::new();
            for place in places.before_mirrors.iter().chain(&places.after_mirrors) {
                assert!(!place.uri.contains(char::is_whitespace));
                assert!(seen.insert(&place.uri), "{} is there twice", place.uri);
            }
        }
    }
}));
