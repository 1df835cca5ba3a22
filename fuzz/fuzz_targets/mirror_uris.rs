//! Mirrors, the URIs of files on them, and tiers.

#![no_main]

use libfuzzer_sys::fuzz_target;
use racefetch::portage::uri::{HttpUri, quote, redact, unquote};
use racefetch::portage::{MirrorBase, Tiers, mirror_uri};
use racefetch_fuzz::{halves, with_text};

fuzz_target!(|data: &[u8]| with_text(data, |text| {
    // Behind the first NUL is the path of a file.
    let (text, path) = halves(text);
    assert_eq!(unquote(&quote(path)), path.as_bytes());
    if let Ok(HttpUri { userinfo: Some(userinfo), .. }) = HttpUri::parse(text) {
        let shown = redact(text);
        let hidden = HttpUri::parse(&shown).unwrap();
        assert!(hidden.userinfo == Some("***"), "{userinfo} in {shown}");
        assert_eq!(redact(&shown), shown);
    }
    if let Ok(mirror) = text.parse::<MirrorBase>() {
        let shown = mirror.to_string();
        assert_eq!(shown.parse::<MirrorBase>().unwrap().to_string(), shown);
        let uri = mirror.uri(path);
        if !path.is_empty() && !path.starts_with('/') {
            let mirrors = [mirror.clone()];
            let (found, rest) = mirror_uri::split(&uri, &mirrors).expect("a file of a mirror lies on it");
            assert_eq!((found, unquote(rest)), (&mirror, path.as_bytes().to_vec()));
            assert_eq!(mirror_uri::base_of(&uri, path).as_ref(), Some(&mirror));
        }
        let _ = Tiers::default().of(text, mirror.is_local());
    }
    let mut tiers = Tiers::default();
    for error in tiers.add_list(text) {
        assert!(!error.to_string().contains(char::is_control));
    }
    let _ = tiers.of(path, false);
}));
