//! What emerge prints of the files to fetch.

#![no_main]

use libfuzzer_sys::fuzz_target;
use racefetch::portage::MirrorBase;
use racefetch::portage::fetch_list;
use racefetch_fuzz::with_text;

fuzz_target!(|data: &[u8]| with_text(data, |text| {
    let mirrors: [MirrorBase; 2] =
        ["http://a/gentoo", "https://b.example:81"].map(|mirror| mirror.parse().unwrap());
    let files = fetch_list::parse(text);
    let mut printed = String::new();
    for file in &files {
        assert!(!file.uris.is_empty());
        for (at, uri) in file.uris.iter().enumerate().take(50) {
            assert!(text.contains(uri.as_str()) && !file.uris[..at].contains(uri));
        }
        let places = file.places(&mirrors);
        let elsewhere = places.before_mirrors.len() + places.after_mirrors.len();
        assert!(elsewhere <= file.uris.len() && places.mirrors == file.is_at(&mirrors));
        assert!(!file.names(&mirrors).iter().any(String::is_empty));
        printed += &file.uris.join(" ");
        printed += "\n\n";
    }
    assert_eq!(fetch_list::parse(&printed), files);
}));
