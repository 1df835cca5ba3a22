//! The words of the case files: quoting, contents, rules, servers.

use std::str::FromStr;
use std::time::Duration;

use crate::support::content;
use crate::support::mirror::Rule;
use crate::support::proxy::Manners;
use crate::support::tls::Certificate;

/// What a `server` line asks for.
#[derive(Clone, Debug)]
pub enum ServerKind {
    Http,
    HttpIpv6,
    Https(Certificate),
    Proxy(Manners),
    Socks(Manners),
    Refusing,
    Unanswering,
    Mute,
    Babbling,
    Saying(Vec<u8>),
    Resetting,
}

impl ServerKind {
    pub fn parse(words: &[String]) -> Result<Self, String> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Ok(match words[..] {
            ["http"] => Self::Http,
            ["http", "ipv6"] => Self::HttpIpv6,
            ["https"] => Self::Https(Certificate::Valid),
            ["https", "wrong-name"] => Self::Https(Certificate::WrongName),
            ["https", "expired"] => Self::Https(Certificate::Expired),
            ["https", "not-yet-valid"] => Self::Https(Certificate::NotYetValid),
            ["https", "self-signed-ca"] => Self::Https(Certificate::SelfSignedCa),
            ["https", "self-signed"] => Self::Https(Certificate::SelfSigned),
            ["https", "asking-for-clients"] => Self::Https(Certificate::ValidAskingForClients),
            ["proxy"] => Self::Proxy(Manners::Open),
            ["proxy", "asking", credentials] => Self::Proxy(Manners::Asking(credentials.to_owned())),
            ["proxy", "refusing", status] => Self::Proxy(Manners::Refusing(parsed(status)?)),
            ["socks"] => Self::Socks(Manners::Open),
            ["socks", "asking", credentials] => Self::Socks(Manners::Asking(credentials.to_owned())),
            ["socks", "refusing"] => Self::Socks(Manners::Refusing(0)),
            ["refusing"] => Self::Refusing,
            ["unanswering"] => Self::Unanswering,
            ["mute"] => Self::Mute,
            ["babbling"] => Self::Babbling,
            ["saying", text] => Self::Saying(bytes(text)),
            ["resetting"] => Self::Resetting,
            _ => return Err(format!("`{}` is no kind of server", words.join(" "))),
        })
    }
}

/// Words as a shell has them: blanks between, `'…'` verbatim, `"…"` with `\n \r \t \\ \" \xNN`.
pub fn split_words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            ' ' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match rest.next().ok_or("an open '")? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match rest.next().ok_or("an open \"")? {
                        '"' => break,
                        '\\' => word.push(match rest.next().ok_or("an open \"")? {
                            'n' => '\n',
                            'r' => '\r',
                            't' => '\t',
                            'x' => byte(&mut rest)?,
                            c => c,
                        }),
                        c => word.push(c),
                    }
                }
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

/// Stands for a byte in a word: those of `\xNN` need not be UTF-8.
const FIRST_BYTE: u32 = 0xe000;

fn byte(rest: &mut std::str::Chars) -> Result<char, String> {
    let digits: String = rest.take(2).collect();
    let byte = u8::from_str_radix(&digits, 16).map_err(|_| format!("`\\x{digits}` is no byte"))?;
    Ok(char::from_u32(FIRST_BYTE + u32::from(byte)).expect("U+E000 to U+E0FF are characters"))
}

/// A word as bytes.
fn bytes(word: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for c in word.chars() {
        match u32::from(c).checked_sub(FIRST_BYTE).and_then(|byte| u8::try_from(byte).ok()) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

/// The bytes of a content: `nothing`, `text:…`, `SEED:LENGTH`, `SEED:LENGTH[FIRST..END]`, joined with `+`.
pub fn content(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(text) = rest.strip_prefix("text:") {
            bytes.extend_from_slice(text.as_bytes());
            break;
        }
        let (piece, further) = rest.split_once('+').unwrap_or((rest, ""));
        bytes.extend(content_piece(piece)?);
        rest = further;
    }
    Ok(bytes)
}

/// A mirror's rule. The words are the names of [`Rule`]'s methods; times are in milliseconds.
pub fn rule(words: &[String]) -> Result<Rule, String> {
    let mut words = Words(words.iter());
    let mut rule = match words.text()? {
        "serve" => Rule::serve(words.content()?),
        "status" => Rule::status(words.number()?),
        "redirect" => Rule::redirect(words.number()?, words.text()?),
        "portal" => Rule::portal(),
        "raw" => Rule::raw(bytes(words.text()?)),
        "empty-reply" => Rule::empty_reply(),
        "reset" => Rule::reset(),
        "silence" => Rule::silence(),
        other => return Err(format!("`{other}` begins no rule")),
    };
    while let Some(word) = words.0.next() {
        rule = match word.as_str() {
            "then-reset" => rule.then_reset(),
            "times" => rule.times(words.number()?),
            "at-most" => rule.at_most(words.number()?),
            "always" => rule.always(),
            "field" => {
                let (name, value) = words.text()?.split_once(": ").ok_or("field wants 'Name: value'")?;
                rule.field(name, value)
            }
            "retry-after" => rule.retry_after(words.number()?),
            "body" => rule.body(words.content()?),
            "corrupted-at" => rule.corrupted_at(words.number()?),
            "etag" => rule.etag(words.text()?),
            "last-modified" => rule.last_modified(words.text()?),
            "no-validators" => rule.no_validators(),
            "no-ranges" => rule.no_ranges(),
            "content-range" => rule.content_range(words.text()?),
            "length" => rule.length(words.text()?),
            "chunked" => rule.chunked(),
            "chunked-unfinished" => rule.chunked_unfinished(),
            "chunked-garbled" => rule.chunked_garbled(),
            "until-close" => rule.until_close(),
            "http10" => rule.http10(),
            "close" => rule.close(),
            "interim" => rule.interim(words.text()?),
            "delay" => rule.delay(words.milliseconds()?),
            "head-pace" => rule.head_pace(words.milliseconds()?),
            "many-fields" => rule.many_fields(words.number()?),
            "header-bomb" => rule.header_bomb(words.number()?),
            "rate" => rule.rate(words.number()?),
            "endless" => rule.endless(),
            "close-after" => rule.close_after(words.number()?),
            "reset-after" => rule.reset_after(words.number()?),
            "stall-after" => rule.stall_after(words.number()?),
            other => return Err(format!("`{other}` is no property of a rule")),
        };
    }
    Ok(rule)
}

struct Words<'a>(std::slice::Iter<'a, String>);

impl<'a> Words<'a> {
    fn text(&mut self) -> Result<&'a str, String> {
        self.0.next().map(String::as_str).ok_or_else(|| "a word is missing".to_owned())
    }

    fn number<T: FromStr>(&mut self) -> Result<T, String> {
        parsed(self.text()?)
    }

    fn content(&mut self) -> Result<Vec<u8>, String> {
        content(self.text()?)
    }

    fn milliseconds(&mut self) -> Result<Duration, String> {
        self.number().map(Duration::from_millis)
    }
}

fn content_piece(piece: &str) -> Result<Vec<u8>, String> {
    if piece == "nothing" {
        return Ok(Vec::new());
    }
    let (source, slice) = piece.split_once('[').unwrap_or((piece, ".."));
    let (seed, len) = source.split_once(':').ok_or_else(|| format!("`{piece}` is no content"))?;
    let bytes = content::content(parsed(seed)?, parsed(len)?);
    let (first, end) =
        slice.trim_end_matches(']').split_once("..").ok_or_else(|| format!("`{piece}` has no `..`"))?;
    let first = if first.is_empty() { 0 } else { parsed(first)? };
    let end = if end.is_empty() { bytes.len() } else { parsed(end)? };
    bytes.get(first..end).map(<[u8]>::to_vec).ok_or_else(|| format!("`{piece}` ends before its slice"))
}

fn parsed<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is no number"))
}

#[test]
fn words_are_split_as_a_shell_does() {
    let words = split_words(r#"-H 'X-A: b c'  -w "a\r\n" '' x{y}\n"#).unwrap();
    assert_eq!(words, ["-H", "X-A: b c", "-w", "a\r\n", "", r"x{y}\n"]);
    assert!(split_words("'x").is_err());
    assert_eq!(bytes(&split_words(r#""\xff\x00é""#).unwrap()[0]), b"\xff\0\xc3\xa9");
}

#[test]
fn contents_are_sliced_and_joined() {
    let whole = content::content(1, 100);
    assert_eq!(content("1:100[..40]+1:100[40..]"), Ok(whole));
    assert_eq!(content("nothing+text:a+b"), Ok(b"a+b".to_vec()));
    assert!(content("1:10[5..11]").is_err());
    assert!(content("one").is_err());
}
