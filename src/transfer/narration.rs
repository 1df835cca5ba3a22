//! What happens in a transfer in plain words, a line for each step (`-v`).

use super::trace::{Event, What};

/// `0.126 s, ftp.example: asked for the bytes 0 to 33333333`; none of what is not worth a line.
pub(super) fn line(event: &Event, names: &[String]) -> Option<String> {
    let name = |source: usize| names.get(source).map_or("?", String::as_str);
    let words = match &event.what {
        What::Asked { first, end, taken_from } => {
            let until = end.map_or("the end".to_owned(), |end| end.saturating_sub(1).to_string());
            let from = taken_from.map(|other| format!(", which {} was to send", name(other)));
            format!("asked for the bytes {first} to {until}{}", from.unwrap_or_default())
        }
        What::Opened { waited_us, reused, peer } => {
            let peer = peer.map(|peer| format!(" to {peer}")).unwrap_or_default();
            let connection = if *reused { "the open connection" } else { "a new connection" };
            format!("answers after {} over {connection}{peer}", seconds(*waited_us))
        }
        What::Stalled { since_us } => {
            format!("nothing came for {}", seconds(event.at_us.saturating_sub(*since_us)))
        }
        What::Shortened { end } => format!("is to stop before byte {end}: another one sends what follows"),
        What::Closed => "is not waited for any longer".to_owned(),
        What::Failed { words } => words.clone(),
        What::Mismatch => "the file is complete, and its digests are wrong".to_owned(),
        What::Sampled { bytes } => format!("sent {bytes} bytes for comparison"),
        What::Convicted => "sent wrong bytes".to_owned(),
        What::GivenUp { first, end } => {
            format!("the bytes {first} to {} are fetched again", end.saturating_sub(1))
        }
        What::Verified => "the digests match".to_owned(),
        What::Received { .. } | What::Wasted { .. } | What::Prefix { .. } => return None,
    };
    let of = event.source.map(|source| format!("{}: ", name(source))).unwrap_or_default();
    Some(format!("{}, {of}{words}", seconds(event.at_us)))
}

fn seconds(micros: u64) -> String {
    format!("{}.{:03} s", micros / 1_000_000, micros / 1000 % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_is_a_sentence() {
        let names = ["a.example".to_owned(), "b.example".to_owned()];
        let line = |source, what| line(&Event { at_us: 1_234_567, source, what }, &names);
        let peer = "192.0.2.1:443".parse().ok();
        for (what, words) in [
            (
                What::Asked { first: 10, end: Some(20), taken_from: Some(1) },
                "asked for the bytes 10 to 19, which b.example was to send",
            ),
            (What::Asked { first: 0, end: None, taken_from: None }, "asked for the bytes 0 to the end"),
            (
                What::Opened { waited_us: 180_000, reused: false, peer },
                "answers after 0.180 s over a new connection to 192.0.2.1:443",
            ),
            (
                What::Opened { waited_us: 9000, reused: true, peer: None },
                "answers after 0.009 s over the open connection",
            ),
            (What::Stalled { since_us: 234_567 }, "nothing came for 1.000 s"),
            (What::Failed { words: "HTTP status 404".to_owned() }, "HTTP status 404"),
        ] {
            assert_eq!(line(Some(0), what), Some(format!("1.234 s, a.example: {words}")));
        }
        assert_eq!(line(None, What::Verified), Some("1.234 s, the digests match".to_owned()));
        assert_eq!(line(Some(1), What::Wasted { bytes: 1 }), None);
    }
}
