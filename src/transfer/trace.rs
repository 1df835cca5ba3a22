//! What happened in a transfer, as data: who was asked for what, when it came, and what went wrong.
//!
//! A [`Recorder`] is told by the engine; the [`Trace`] that it leaves is what `--trace` writes, and what
//! `timeline` draws.
//!
//! # The JSON
//!
//! One object: `version` (1; it changes when a field changes its meaning or goes, not when one is added), `file`,
//! `size` (bytes, null when it was never learned), `resumed` (bytes that were there at the beginning),
//! `elapsed_us`, `error` (one line, null when all went well), `omitted` (events left out because there were too
//! many), `sources` (names, the best first) and `events`, in order of time. All times are microseconds since the
//! transfer began; positions are bytes of the file, and an `end` is the position behind the last byte.
//!
//! Each event has `at_us`, mostly `source` (an index of `sources`; absent when it concerns the file or what lay
//! there before) and `what`, which is one of:
//!
//! | `what` | further fields |
//! |---|---|
//! | `asked` | `first`, `end` (null: all there is), `taken_from`: the source whose share it was before |
//! | `opened` | `waited_us`, `reused`: the connection stood already; `peer`: its address and port, when known |
//! | `received` | `first`, `end`, `since_us`: it came between that and `at_us`. Neighbours are put together |
//! | `wasted` | `bytes` that came and were not wanted |
//! | `stalled` | `since_us`: nothing came between that and `at_us` |
//! | `shortened` | `end`: another source sends what lies behind it |
//! | `closed` | by us: the rest is not wanted from this source any longer |
//! | `failed` | `words` |
//! | `mismatch` | the file is complete and its digests are wrong |
//! | `sampled` | `bytes`: the source sent samples for comparison |
//! | `convicted` | it sent wrong bytes, as the right ones show |
//! | `given_up` | `first`, `end`: these bytes, sent by this source, are fetched again; the file ends before them |
//! | `prefix` | `end`: the file is there from its beginning to here; `moved`: bytes of it that came ahead of time |
//! | `verified` | the digests match |

use std::net::SocketAddr;

use serde::Serialize;

use super::scheduler::{Action, SourceId, Time};
use super::segments::Segments;
use crate::http::{ByteRange, Failure};

pub const VERSION: u32 = 1;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Trace {
    pub version: u32,
    pub file: String,
    pub size: Option<u64>,
    pub resumed: u64,
    pub elapsed_us: u64,
    pub error: Option<String>,
    pub omitted: u64,
    pub sources: Vec<String>,
    pub events: Vec<Event>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    pub at_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceId>,
    #[serde(flatten)]
    pub what: What,
}

/// The module's documentation says what each means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum What {
    Asked {
        first: u64,
        end: Option<u64>,
        taken_from: Option<SourceId>,
    },
    Opened {
        waited_us: u64,
        reused: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        peer: Option<SocketAddr>,
    },
    Received {
        first: u64,
        end: u64,
        since_us: u64,
    },
    Wasted {
        bytes: u64,
    },
    Stalled {
        since_us: u64,
    },
    Shortened {
        end: u64,
    },
    Closed,
    Failed {
        words: String,
    },
    Mismatch,
    Sampled {
        bytes: u64,
    },
    Convicted,
    GivenUp {
        first: u64,
        end: u64,
    },
    Prefix {
        end: u64,
        moved: u64,
    },
    Verified,
}

/// Content that comes within so many microseconds is one event.
const GRAIN_US: u64 = 50_000;
/// The grain grows to this, when a transfer is long.
const GRAIN_MOST_US: u64 = 3_600_000_000;
/// Events that are kept, about half a megabyte.
const MOST_EVENTS: usize = 8192;
/// Silence of so many microseconds is worth an event.
const STALL_US: u64 = 250_000;
/// Characters of a failure's words that are kept: they may hold what a server said.
const MOST_WORDS: usize = 200;

/// Writes a [`Trace`]. Switched off it does nothing, at the price of one branch a call.
#[derive(Debug, Default)]
pub struct Recorder(Option<Box<Recording>>);

impl Recorder {
    /// `aloud`: what happens is to be had from [`Self::news`], too.
    pub fn new(on: bool, aloud: bool, sources: &[String]) -> Self {
        let recording = || Recording { news: aloud.then(Vec::new), ..Recording::new(sources) };
        Self((on || aloud).then(|| Box::new(recording())))
    }

    /// What happened since this was called last, but for how content came.
    pub fn news(&mut self) -> Vec<Event> {
        self.0.as_mut().and_then(|recording| recording.news.as_mut()).map(std::mem::take).unwrap_or_default()
    }

    /// What is there before anybody is asked.
    pub fn begin(&mut self, prefix: u64, present: u64) {
        let Some(recording) = &mut self.0 else { return };
        recording.trace.resumed = present;
        recording.prefix_is(prefix, 0, Time::ZERO);
    }

    /// What the scheduler wanted is being done.
    pub fn performed(&mut self, action: &Action, at: Time) {
        match *action {
            Action::Open { source, range, .. } => self.asked(source, range, at),
            Action::Shorten { source, end } => self.shortened(source, end, at),
            Action::Close { source } => self.closed(source, at),
        }
    }

    pub fn opened(&mut self, source: SourceId, peer: Option<SocketAddr>, reused: bool, at: Time) {
        let Some(recording) = &mut self.0 else { return };
        let Some(request) = &mut recording.requests[source] else { return };
        request.last = Some(micros(at));
        let waited_us = micros(at).saturating_sub(request.asked);
        recording.push(Some(source), at, What::Opened { waited_us, reused, peer });
    }

    /// `kept` is what came and was wanted, `wasted` what came besides; `prefix` is the file's length after it.
    pub fn received(&mut self, source: SourceId, kept: ByteRange, wasted: u64, prefix: u64, at: Time) {
        let Some(recording) = &mut self.0 else { return };
        recording.stalled(source, at);
        if let Some(request) = recording.requests[source].as_mut().filter(|_| !kept.is_empty()) {
            let since_us = request.last.replace(micros(at)).unwrap_or(request.asked);
            request.left = ByteRange { first: kept.end, end: request.left.end.max(kept.end) };
            let what = What::Received { first: kept.first, end: kept.end, since_us };
            recording.push(Some(source), at, what);
        }
        if kept.first == recording.prefix {
            recording.prefix_is(prefix, prefix.saturating_sub(kept.end), at);
        }
        self.wasted(source, wasted, at);
    }

    pub fn wasted(&mut self, source: SourceId, bytes: u64, at: Time) {
        let Some(recording) = self.0.as_mut().filter(|_| bytes > 0) else { return };
        recording.push(Some(source), at, What::Wasted { bytes });
    }

    /// The content came to its end.
    pub fn ended(&mut self, source: SourceId, at: Time) {
        let Some(recording) = &mut self.0 else { return };
        recording.is_over(source, at);
    }

    pub fn failed(&mut self, source: SourceId, failure: &Failure, at: Time) {
        let Some(recording) = self.0.as_mut().filter(|_| *failure != Failure::Cancelled) else { return };
        recording.is_over(source, at);
        let words = failure.to_string().chars().take(MOST_WORDS).collect();
        recording.push(Some(source), at, What::Failed { words });
    }

    /// Something about the file (without a source) or about all that a source sent.
    pub fn note(&mut self, source: Option<SourceId>, what: What, at: Time) {
        let Some(recording) = &mut self.0 else { return };
        recording.push(source, at, what);
    }

    /// `share` of what a source had sent is to be fetched again. The file ends before it.
    pub fn given_up(&mut self, source: Option<SourceId>, share: &Segments, at: Time) {
        let Some(recording) = &mut self.0 else { return };
        for range in share.iter() {
            recording.prefix = recording.prefix.min(range.first);
            recording.push(source, at, What::GivenUp { first: range.first, end: range.end });
        }
    }

    /// The transfer is over.
    pub fn finish(self, size: Option<u64>, elapsed: Time) -> Option<Trace> {
        let mut recording = self.0?;
        for source in 0..recording.requests.len() {
            recording.is_over(source, elapsed);
        }
        let mut trace = recording.trace;
        // An event that took some time was begun before others that it now stands behind.
        trace.events.sort_by_key(|event| event.at_us);
        trace.size = size;
        trace.elapsed_us = micros(elapsed);
        Some(trace)
    }

    fn asked(&mut self, source: SourceId, range: ByteRange, at: Time) {
        let Some(recording) = &mut self.0 else { return };
        let taken_from = recording.take(source, range);
        recording.requests[source] = Some(Request { left: range, asked: micros(at), last: None });
        let end = Some(range.end).filter(|end| *end != u64::MAX);
        recording.push(Some(source), at, What::Asked { first: range.first, end, taken_from });
    }

    fn shortened(&mut self, source: SourceId, end: u64, at: Time) {
        let Some(recording) = &mut self.0 else { return };
        if let Some(request) = &mut recording.requests[source] {
            let rest = ByteRange { first: end.max(request.left.first), end: request.left.end };
            request.left.end = end.max(request.left.first);
            recording.left_over[source] = Some(rest).filter(|rest| rest.first < rest.end);
        }
        recording.push(Some(source), at, What::Shortened { end });
    }

    fn closed(&mut self, source: SourceId, at: Time) {
        let Some(recording) = &mut self.0 else { return };
        if recording.is_over(source, at) {
            recording.push(Some(source), at, What::Closed);
        }
    }
}

#[derive(Debug)]
struct Recording {
    trace: Trace,
    /// One for each source, as the next two are.
    requests: Vec<Option<Request>>,
    /// What was to come from there and is now to be had from anybody.
    left_over: Vec<Option<ByteRange>>,
    /// The last event, and when it began. The one more is for those without a source.
    latest: Vec<Option<(usize, u64)>>,
    /// Length of the file.
    prefix: u64,
    grain_us: u64,
    /// See [`Recorder::news`]; none when nobody wants them.
    news: Option<Vec<Event>>,
}

/// A request under way.
#[derive(Clone, Copy, Debug)]
struct Request {
    /// What is still to come.
    left: ByteRange,
    asked: u64,
    /// When something came last; none before the answer.
    last: Option<u64>,
}

impl Recording {
    fn new(sources: &[String]) -> Self {
        let count = sources.len();
        Self {
            trace: Trace { version: VERSION, sources: sources.to_vec(), ..Trace::default() },
            requests: vec![None; count],
            left_over: vec![None; count],
            latest: vec![None; count + 1],
            prefix: 0,
            grain_us: GRAIN_US,
            news: None,
        }
    }

    /// Takes what `source` is asked for now from whomever it was to come from before.
    fn take(&mut self, source: SourceId, range: ByteRange) -> Option<SourceId> {
        let mut taken_from = None;
        for (other, left_over) in self.left_over.iter_mut().enumerate() {
            if let Some(left) = left_over.filter(|left| left.contains(range.first)) {
                taken_from = Some(other);
                let rest = ByteRange { first: range.end.min(left.end), end: left.end };
                *left_over = Some(rest).filter(|rest| !rest.is_empty());
            }
        }
        for (other, request) in self.requests.iter_mut().enumerate().filter(|(other, _)| *other != source) {
            if let Some(request) = request.as_mut().filter(|request| request.left.contains(range.first)) {
                taken_from = Some(other);
                request.left.end = range.first;
            }
        }
        taken_from.filter(|other| *other != source)
    }

    /// The request under way at a source, if there is one, is over; what is missing of it may come from anybody.
    fn is_over(&mut self, source: SourceId, at: Time) -> bool {
        self.stalled(source, at);
        let Some(request) = self.requests[source].take() else { return false };
        if !request.left.is_empty() {
            self.left_over[source] = Some(request.left);
        }
        true
    }

    /// Notes the silence that ends now, when it was one.
    fn stalled(&mut self, source: SourceId, at: Time) {
        let Some(request) = self.requests[source].as_mut().filter(|request| !request.left.is_empty()) else {
            return;
        };
        let Some(last) = request.last else { return };
        if micros(at).saturating_sub(last) >= STALL_US {
            request.last = Some(micros(at));
            self.push(Some(source), at, What::Stalled { since_us: last });
        }
    }

    fn prefix_is(&mut self, end: u64, moved: u64, at: Time) {
        self.prefix = end;
        self.push(None, at, What::Prefix { end, moved });
    }

    fn push(&mut self, source: Option<SourceId>, at: Time, what: What) {
        let event = Event { at_us: micros(at), source, what };
        let is_content =
            matches!(event.what, What::Received { .. } | What::Wasted { .. } | What::Prefix { .. });
        if let Some(news) = self.news.as_mut().filter(|_| !is_content) {
            news.push(event.clone());
        }
        self.add(event);
        while self.trace.events.len() >= MOST_EVENTS && self.grain_us < GRAIN_MOST_US {
            self.thin();
        }
    }

    fn add(&mut self, event: Event) {
        let place = event.source.unwrap_or(self.requests.len());
        if let Some((index, began)) = self.latest[place]
            && event.at_us.saturating_sub(began) < self.grain_us
            && merge(&mut self.trace.events[index], &event)
        {
            return;
        }
        if self.trace.events.len() >= MOST_EVENTS {
            self.trace.omitted += 1;
            return;
        }
        let began = match event.what {
            What::Received { since_us, .. } => since_us,
            _ => event.at_us,
        };
        self.latest[place] = Some((self.trace.events.len(), began));
        self.trace.events.push(event);
    }

    /// Puts together what a coarser grain allows.
    fn thin(&mut self) {
        self.grain_us = self.grain_us.saturating_mul(2);
        self.latest.fill(None);
        for event in std::mem::take(&mut self.trace.events) {
            self.add(event);
        }
    }
}

/// Makes one event of two, when the second only continues the first.
fn merge(event: &mut Event, next: &Event) -> bool {
    match (&mut event.what, &next.what) {
        (What::Received { end, .. }, What::Received { first, end: further, .. }) if *end == *first => {
            *end = *further;
        }
        (What::Prefix { end, moved }, What::Prefix { end: further, moved: more }) if *end <= *further => {
            *end = *further;
            *moved += more;
        }
        (What::Wasted { bytes }, What::Wasted { bytes: more })
        | (What::Sampled { bytes }, What::Sampled { bytes: more }) => *bytes += more,
        _ => return false,
    }
    event.at_us = next.at_us;
    true
}

fn micros(time: Time) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn ms(ms: u64) -> Time {
        Duration::from_millis(ms)
    }

    fn recorder(sources: usize) -> Recorder {
        let names: Vec<String> = (0..sources).map(|number| format!("m{number}")).collect();
        Recorder::new(true, false, &names)
    }

    fn told(recorder: Recorder) -> Vec<(u64, Option<SourceId>, What)> {
        let trace = recorder.finish(Some(1000), ms(60_000)).unwrap();
        trace.events.into_iter().map(|e| (e.at_us / 1000, e.source, e.what)).collect()
    }

    fn received(recorder: &mut Recorder, source: SourceId, first: u64, end: u64, prefix: u64, at: Time) {
        recorder.received(source, ByteRange::new(first, end), 0, prefix, at);
    }

    #[test]
    fn what_comes_soon_after_is_one_event_and_silence_is_another() {
        let mut recorder = recorder(1);
        recorder.begin(0, 0);
        recorder.asked(0, ByteRange::new(0, u64::MAX), ms(0));
        recorder.opened(0, None, false, ms(10));
        for (first, at) in [(0, 20), (10, 30), (20, 55), (30, 70), (40, 900)] {
            received(&mut recorder, 0, first, first + 10, first + 10, ms(at));
        }
        recorder.ended(0, ms(901));
        let source: Vec<_> = told(recorder).into_iter().filter(|(_, source, _)| source.is_some()).collect();
        assert_eq!(
            source,
            [
                (0, Some(0), What::Asked { first: 0, end: None, taken_from: None }),
                (10, Some(0), What::Opened { waited_us: 10_000, reused: false, peer: None }),
                (55, Some(0), What::Received { first: 0, end: 30, since_us: 10_000 }),
                (70, Some(0), What::Received { first: 30, end: 40, since_us: 55_000 }),
                (900, Some(0), What::Stalled { since_us: 70_000 }),
                (900, Some(0), What::Received { first: 40, end: 50, since_us: 900_000 }),
            ]
        );
    }

    #[test]
    fn a_range_that_changes_hands_names_who_had_it() {
        let mut recorder = recorder(4);
        let asked = |recorder: &mut Recorder, source, first, end, at| {
            recorder.asked(source, ByteRange::new(first, end), ms(at));
        };
        asked(&mut recorder, 0, 0, 400, 0);
        asked(&mut recorder, 1, 400, 700, 0);
        asked(&mut recorder, 2, 700, 1000, 0);
        recorder.opened(0, None, false, ms(1));
        received(&mut recorder, 0, 0, 100, 100, ms(2));
        // A tail is taken, a request that has no answer loses all, a failure leaves its rest to two others.
        recorder.shortened(0, 300, ms(3));
        asked(&mut recorder, 3, 300, 400, 3);
        asked(&mut recorder, 0, 400, 700, 4);
        recorder.failed(2, &Failure::Reset, ms(5));
        asked(&mut recorder, 1, 700, 800, 6);
        asked(&mut recorder, 3, 800, 1000, 7);
        // What comes back to its own source was taken from nobody, and what was never asked for neither.
        recorder.closed(3, ms(8));
        asked(&mut recorder, 3, 800, 1000, 9);
        asked(&mut recorder, 2, 5000, 6000, 10);
        let takes: Vec<_> = told(recorder)
            .into_iter()
            .filter_map(|(at, source, what)| match what {
                What::Asked { taken_from, .. } if at > 0 => Some((source?, taken_from)),
                _ => None,
            })
            .collect();
        let expected = [(3, Some(0)), (0, Some(1)), (1, Some(2)), (3, Some(2)), (3, None), (2, None)];
        assert_eq!(takes, expected);
    }

    #[test]
    fn what_came_ahead_is_counted_when_the_file_reaches_it() {
        let mut recorder = recorder(2);
        recorder.begin(100, 100);
        recorder.asked(0, ByteRange::new(100, 200), ms(0));
        recorder.asked(1, ByteRange::new(200, 300), ms(0));
        received(&mut recorder, 1, 200, 300, 100, ms(100));
        received(&mut recorder, 0, 100, 200, 300, ms(200));
        recorder.given_up(Some(1), &Segments::of(ByteRange::new(200, 300)), ms(300));
        recorder.asked(0, ByteRange::new(200, 300), ms(300));
        received(&mut recorder, 0, 200, 300, 300, ms(400));
        let told: Vec<_> = told(recorder).into_iter().filter(|(_, source, _)| source.is_none()).collect();
        let prefix = |at, end, moved| (at, None, What::Prefix { end, moved });
        assert_eq!(told, [prefix(0, 100, 0), prefix(200, 300, 100), prefix(400, 300, 0)]);
    }

    #[test]
    fn switched_off_nothing_is_kept() {
        let mut recorder = Recorder::new(false, false, &["a".to_owned()]);
        recorder.asked(0, ByteRange::new(0, 10), ms(0));
        received(&mut recorder, 0, 0, 10, 10, ms(1));
        assert_eq!(recorder.finish(None, ms(2)), None);
    }

    #[test]
    fn a_transfer_of_hours_keeps_every_byte_in_few_events() {
        let mut recorder = recorder(3);
        for (source, step) in [(0, 1000), (1, 1010), (2, 1020)] {
            recorder.asked(source, ByteRange::new(source as u64 * 1_000_000, u64::MAX), ms(step));
        }
        let chunks = 30_000;
        for n in 0..chunks {
            for source in 0..3 {
                let first = source as u64 * 1_000_000 + n * 10;
                received(&mut recorder, source, first, first + 10, 0, ms(2000 + n * 100 + source as u64));
            }
        }
        for n in 0..20_000 {
            recorder.failed(n % 3, &Failure::Connect { reason: "no ".repeat(1000) }, ms(4_000_000));
        }
        let trace = recorder.finish(None, ms(5_000_000)).unwrap();
        assert!(trace.events.len() <= MOST_EVENTS && trace.omitted > 0, "{}", trace.events.len());
        assert!(trace.events.is_sorted_by_key(|event| event.at_us));
        let bytes: u64 = trace
            .events
            .iter()
            .map(|event| match &event.what {
                What::Received { first, end, .. } => end - first,
                What::Failed { words } => u64::from(words.chars().count() > MOST_WORDS),
                _ => 0,
            })
            .sum();
        assert_eq!(bytes, 3 * chunks * 10);
    }

    #[test]
    fn the_json_is_as_documented() {
        let mut recorder = recorder(1);
        recorder.asked(0, ByteRange::new(0, 1000), ms(0));
        recorder.failed(0, &Failure::Reset, ms(3));
        recorder.note(None, What::Verified, ms(4));
        let trace = Trace { file: "x".to_owned(), ..recorder.finish(Some(1000), ms(5)).unwrap() };
        assert_eq!(
            serde_json::to_string(&trace).unwrap(),
            "{\"version\":1,\"file\":\"x\",\"size\":1000,\"resumed\":0,\"elapsed_us\":5000,\"error\":null,\"omitted\":0,\
             \"sources\":[\"m0\"],\"events\":[\
             {\"at_us\":0,\"source\":0,\"what\":\"asked\",\"first\":0,\"end\":1000,\"taken_from\":null},\
             {\"at_us\":3000,\"source\":0,\"what\":\"failed\",\"words\":\"connection reset\"},\
             {\"at_us\":4000,\"what\":\"verified\"}]}"
        );
    }
}
