//! URLs, and references to others in redirects.

#![no_main]

use libfuzzer_sys::fuzz_target;
use racefetch::http::Url;
use racefetch::http::url::LONGEST;
use racefetch_fuzz::{halves, with_text};

fuzz_target!(|data: &[u8]| with_text(data, |text| {
    // Behind the first NUL is the reference.
    let (text, reference) = halves(text);
    for url in [Url::parse(text), Url::parse_as_is(text)].into_iter().flatten() {
        check(&url);
        if let Ok(joined) = url.join(reference) {
            check(&joined);
            assert_eq!(joined.credentials, None);
        }
        let own = url.join(&url.to_string()).unwrap();
        assert!(own.same_origin(&url));
    }
}));

fn check(url: &Url) {
    assert!(url.target().starts_with('/') && url.target().len() <= LONGEST);
    assert!(url.target().bytes().all(|byte| byte.is_ascii_graphic()), "{:?}", url.target());
    assert!(!url.host().is_empty() && !url.host().contains(|c: char| c.is_control() || c.is_whitespace()));
    let shown = url.to_string();
    let again = Url::parse_as_is(&shown).unwrap();
    assert!(again.same_origin(url) && again.target() == url.target() && again.credentials.is_none());
    assert_eq!(again.to_string(), shown);
}
