//! Files of cookies, and `Set-Cookie` fields.

#![no_main]

use libfuzzer_sys::fuzz_target;
use racefetch::http::{Jar, Url};
use racefetch_fuzz::with_text;

const NOW: u64 = 1_800_000_000;

fuzz_target!(|data: &[u8]| with_text(data, |text| {
    let urls =
        ["http://a.b.example.org/x/y", "https://b.example.org:8443/", "http://127.0.0.1/", "http://org/"];
    let urls = urls.map(|url| Url::parse(url).unwrap());
    let mut of_file = Jar::default();
    of_file.read(text, NOW);
    let mut of_answers = Jar::default();
    for (line, url) in text.lines().zip(urls.iter().cycle()) {
        of_answers.take(url, line, NOW);
    }
    // Those of answers are for one port, which a file cannot say.
    let mut again = Jar::default();
    again.read(&of_file.text(NOW), NOW);
    assert_eq!(again.text(NOW), of_file.text(NOW));
    for jar in [of_file, of_answers] {
        for url in &urls {
            if let Some(field) = jar.field(url, NOW) {
                assert!(!field.is_empty() && !field.contains(|c: char| c.is_control() && c != '\t'));
            }
        }
    }
}));
