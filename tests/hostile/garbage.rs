//! Random bytes, the same at every run, wherever a mirror or a file says something.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use racefetch::cli::headers::field_edit;
use racefetch::cli::netrc::NetrcFile;
use racefetch::http::{Ask, Client, ContentRange, Question, Settings, Url};
use racefetch::mirror::{MirrorKey, format};
use racefetch::portage::mirror_uri::split;
use racefetch::portage::{
    ConfigEntry, Digests, Distfile, DownloadName, LayoutConf, MakeConf, MirrorBase, MirrorGroups, manifest,
    read_mirror_cache,
};

use super::run::{Peer, Place};

const ROUNDS: usize = 10_000;

/// Pseudo-random choices (`xorshift64*`), the same for the same seed.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Less than `end`.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len())]
    }

    /// Bytes out of which accidents are made: words of the format, and any others.
    fn bytes(&mut self, words: &[&str], most: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..self.below(most + 1) {
            match self.below(4) {
                0 => bytes.push(self.next().to_le_bytes()[7]),
                1 => bytes.extend_from_slice(self.next().to_string().as_bytes()),
                _ => bytes.extend_from_slice(self.pick(words).as_bytes()),
            }
        }
        bytes
    }

    fn text(&mut self, words: &[&str], most: usize) -> String {
        String::from_utf8_lossy(&self.bytes(words, most)).into_owned()
    }
}

const FIELDS: [&str; 16] = [
    "Content-Length",
    "Content-Range",
    "Content-Type",
    "Content-Encoding",
    "Content-Disposition",
    "Transfer-Encoding",
    "Connection",
    "Location",
    "Retry-After",
    "Age",
    "ETag",
    "Last-Modified",
    "Accept-Ranges",
    "Set-Cookie",
    "WWW-Authenticate",
    "X\u{e9}",
];
const VALUES: [&str; 22] = [
    "bytes", " ", "-", "/", "*", "0", "5", ",", ";", "=", "\"", "chunked", "gzip", "close", "http://", "//",
    "..", "\u{9b}", "\t", "GMT", "W/\"", ":",
];

/// An answer that is HTTP to a degree.
fn answer(dice: &mut Dice) -> Vec<u8> {
    let mut answer = Vec::new();
    if dice.below(8) == 0 {
        answer.extend(dice.bytes(&["HTTP/1.1", "200", " ", "\r\n"], 6));
    } else {
        let status =
            dice.pick(&["100", "200", "204", "206", "206", "302", "304", "404", "416", "503", "999"]);
        let version = dice.pick(&["HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0"]);
        answer.extend(format!("{version} {status} S\r\n").into_bytes());
    }
    for _ in 0..dice.below(6) {
        answer.extend(dice.pick(&FIELDS).as_bytes());
        answer.extend(dice.pick(&[": ", ": ", ": ", ":", " : ", ""]).as_bytes());
        answer.extend(dice.bytes(&VALUES, 5));
        answer.extend(dice.pick(&["\r\n", "\r\n", "\r\n", "\n", "\r", "\r\n "]).as_bytes());
    }
    answer.extend(dice.pick(&["\r\n", "\r\n", "\r\n", "\n", ""]).as_bytes());
    answer.extend(dice.bytes(&["5\r\nhello\r\n", "0\r\n\r\n", "\r\n", "hello", ";x"], 5));
    answer
}

/// The answer under way, to be shown when something goes wrong.
type Last = Arc<Mutex<(Dice, Vec<u8>)>>;

/// Serves one garbled answer after another.
fn garbling_peer(seed: u64) -> (Peer, Last) {
    let state = Arc::new(Mutex::new((Dice(seed), Vec::new())));
    let shared = Arc::clone(&state);
    let peer = Peer::start(move |client, _| {
        let bytes = {
            let (dice, last) = &mut *shared.lock().unwrap();
            *last = answer(dice);
            last.clone()
        };
        client.write_all(&bytes)?;
        Ok(false)
    });
    (peer, state)
}

/// The parser of answers, in this process: it may refuse all of them, and panic at none.
#[test]
fn garbled_answers() {
    let (peer, last) = garbling_peer(0x5eed);
    let mut agent = Client::new(Settings::default()).agent();
    let mut read = 0;
    for round in 0..ROUNDS {
        let url = Url::parse(&peer.url("/x")).unwrap();
        let first = if round % 2 == 0 { 0 } else { 5 };
        let question = Question {
            first,
            end: None,
            size: Some(10),
            refuse_html: round % 3 == 0,
            lenient: round % 5 == 0,
        };
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let Ok((_, mut answer)) = agent.open(&url, &question, &Ask::bytes(&question)) else { return 0 };
            let mut buffer = [0; 4096];
            while let Ok(1..) = answer.content.read(&mut buffer) {}
            1
        }));
        read += done.unwrap_or_else(|_| {
            panic!("round {round}: {:?}", last.lock().unwrap().1.escape_ascii().to_string())
        });
    }
    assert!(read > ROUNDS / 100, "only {read} answers were good enough to have a content: too wild a garden");
}

/// The same through the binary, with all that it makes of an answer.
#[test]
fn garbled_answers_through_the_binary() {
    let (peer, last) = garbling_peer(0x0dd);
    let place = Place::new();
    for round in 0..200 {
        place.write("x", "hello");
        let run = place.racefetch().args(["-f", "-L", "-m", "5", "--max-redirs", "3", "-J", "-R", "-v"]);
        let run = if round % 2 == 0 { run.args(["-o", "x"]) } else { run.args(["-C", "-", "-o", "x"]) };
        let ran = run.arg(peer.url("/x")).run();
        let sent = last.lock().unwrap().1.escape_ascii().to_string();
        assert!((0..=100).contains(&ran.code), "round {round}, {sent}: {ran:?}");
        ran.assert_harmless();
    }
}

/// Files of the system and of mirrors, read by parsers without I/O.
#[test]
fn garbled_files() {
    let mut dice = Dice(0xf11e5);
    let name = Distfile::new("x-1.tar").unwrap();
    let known = ["http://a.test/gentoo", "https://b.test"].map(|uri| uri.parse::<MirrorBase>().unwrap());
    for _ in 0..ROUNDS {
        let text = dice.text(&["DIST ", "x-1.tar ", "BLAKE2B ", "SHA512 ", "00", "ff", " ", "\n", "1 "], 12);
        let _ = manifest::find(&text, &name);
        manifest::entries(&text).for_each(drop);

        let words = [
            "[structure]\n",
            "0=",
            "1=",
            "filename-hash",
            "content-hash",
            " BLAKE2B ",
            "8",
            ":",
            "flat",
            "\n",
            " ",
        ];
        let text = dice.text(&words, 12);
        if let Ok(layout) = LayoutConf::parse(&text) {
            let path = layout.path(name.as_str(), &Digests::default());
            assert!(!path.split('/').any(|segment| segment == ".."), "{path}");
        }

        let words =
            ["{", "}", "[", "]", "\"http://a.test\"", ":", ",", "1", "\"flat\"", "null", "1e999", "\\ud800"];
        let text = dice.text(&words, 12);
        let _ = read_mirror_cache(&text);
        let _ = format::read(text.as_bytes());

        let text = dice
            .text(&["A=", "\"", "'", "${A}", "$", "{", "}", "\\", "\n", "source ", "export ", "#", "/x"], 14);
        let read = |path: &Path| match path.file_name().and_then(|name| name.to_str()) {
            Some("make.conf" | "x") => Ok(ConfigEntry::File(text.clone())),
            _ => Err(io::ErrorKind::NotFound.into()),
        };
        let _ = MakeConf::of_system(Path::new("/"), Path::new("/"), &read).gentoo_mirrors(None);
        MirrorGroups::default().read(&dice.text(&["local", "\t", " ", "http://", "\n", "#"], 9));

        let _ = NetrcFile::parse(
            &dice.text(&["machine ", "default ", "login ", "password ", "\"", "\\", "\n", "macdef "], 9),
        );
        let _ = field_edit(&dice.text(&["X", ":", ";", " ", "\r", "\n"], 6));
        let _ = Digests::parse(&dice.text(&["blake2b", "sha512", ":", " ", "00", "ff"], 9));
        let _ = DownloadName::parse(
            &dice.text(&["x-1.tar", ".__download__", ".layout.conf.", "/", "..", "h"], 5),
        );
        let _ =
            dice.text(&["bytes", " ", "-", "/", "*", "0", "18446744073709551615"], 8).parse::<ContentRange>();

        let words = [
            "http://", "https://", "ftp://", "me:pw@", "[::1]", "h", ":80", "/", "?", "#", "%", "..",
            "\u{9b}",
        ];
        let text = dice.text(&words, 8);
        let _ = split(&text, &known);
        let key = MirrorKey::new(&text).to_string();
        assert!(!key.chars().any(char::is_control), "{text:?} became {key:?}");
        if let Ok(url) = Url::parse(&text) {
            let _ = url.join(&dice.text(&words, 8));
            assert!(!url.to_string().chars().any(char::is_control), "{text:?} became {url}");
        }
    }
}

/// Every beginning of good files is a file that somebody may find after a crash.
#[test]
fn every_beginning_of_a_good_file() {
    let hex = "a1".repeat(64);
    let line = format!("DIST x-1.tar 10 BLAKE2B {hex} SHA512 {hex}\n");
    let name = Distfile::new("x-1.tar").unwrap();
    for end in 0..=line.len() {
        let Ok(Some(entry)) = manifest::find(&line[..end], &name) else { continue };
        // A digest that is cut off is no digest: it would make a right file wrong.
        assert!(entry.digests.iter().all(|digest| digest.hex() == hex), "{end}");
    }
    let cache = r#"{"http://a.test": [1700000000.0, [["filename-hash", "BLAKE2B", "8"], ["flat"]]]}"#;
    for end in 0..cache.len() {
        assert!(read_mirror_cache(&cache[..end]).unwrap_or_default() == BTreeMap::new(), "{end}");
    }
    let layout = "[structure]\n0=filename-hash BLAKE2B 8\n1=flat\n";
    for end in 0..layout.len() {
        let _ = LayoutConf::parse(&layout[..end]).map(|layout| layout.path("x", &Digests::default()));
    }
}
