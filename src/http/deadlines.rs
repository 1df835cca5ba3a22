//! The limits of one request: how long the next wait may last, and which limit it is that ends it.

use std::time::{Duration, Instant};

use super::Failure;
use super::settings::Settings;
use crate::patience;

/// A limit that has come to its end, or will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// All of it, content included.
    Whole(Duration),
    Connect(Duration),
    /// The head of an answer, or that of the final one.
    Head(Duration),
    /// The next byte of content.
    Stall(Duration),
    /// Content at so many bytes per second.
    Speed {
        speed: u64,
        time: Duration,
    },
    /// The rest of an answer that nobody wants.
    Drain,
}

impl Limit {
    pub(super) fn failure(self) -> Failure {
        match self {
            Self::Whole(time) => Failure::TimeUp(time),
            Self::Connect(time) => Failure::ConnectTimeout(time),
            Self::Head(time) | Self::Stall(time) => Failure::Stalled(time),
            Self::Speed { speed, time } => Failure::TooSlow { speed, time },
            Self::Drain => Failure::Stalled(patience::DRAIN),
        }
    }
}

/// When a limit ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    at: Instant,
    pub(super) limit: Limit,
}

impl End {
    /// None when it lies beyond what a clock can show.
    fn after(now: Instant, time: Duration, limit: Limit) -> Option<Self> {
        Some(Self { at: now.checked_add(time)?, limit })
    }

    /// Zero once it has come.
    pub(super) fn left(&self, now: Instant) -> Duration {
        self.at.saturating_duration_since(now)
    }
}

/// What a request is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Reads the rest of the answer before.
    Drain,
    /// From the name look-up to the end of the TLS handshake.
    Connect,
    /// The request is sent, and the head of its answer received.
    Head,
    /// Content is awaited. It has come more slowly than the speed limit allows for so long already.
    Content { slow_for: Duration },
}

/// How long each phase may last.
#[derive(Clone, Copy, Debug)]
struct Phases {
    connect: Duration,
    head: Duration,
    stall: Duration,
    /// Bytes per second, and for how long it may be less.
    speed: Option<(u64, Duration)>,
}

/// The deadlines of one request with its redirects. All are absolute; entering a phase sets that phase's own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadlines {
    phases: Phases,
    whole: Option<End>,
    /// For the head of the final answer.
    answer: Option<End>,
    phase: Option<End>,
}

impl Deadlines {
    /// For a request that begins now, and has `whole` for all of it.
    pub(super) fn new(settings: &Settings, whole: Option<Duration>, now: Instant) -> Self {
        let phases = Phases {
            connect: settings.connect_timeout,
            head: settings.head_timeout,
            stall: settings.stall_timeout,
            speed: settings.speed,
        };
        let head = phases.speed.map_or(phases.head, |(_, time)| time);
        let answer = patience::ANSWER.max(phases.connect.saturating_add(head));
        Self {
            phases,
            whole: whole.and_then(|time| End::after(now, time, Limit::Whole(time))),
            answer: End::after(now, answer, Limit::Head(answer)),
            phase: None,
        }
    }

    pub(super) fn enter(&mut self, phase: Phase, now: Instant) {
        let Phases { connect, head, stall, speed } = self.phases;
        let speed = speed.map(|(speed, time)| (time, Limit::Speed { speed, time }));
        let (time, limit) = match phase {
            Phase::Drain => (patience::DRAIN, Limit::Drain),
            Phase::Connect => {
                let connect = (connect, Limit::Connect(connect));
                speed.filter(|(time, _)| *time < connect.0).unwrap_or(connect)
            }
            Phase::Head => speed.unwrap_or((head, Limit::Head(head))),
            Phase::Content { slow_for } => match speed {
                Some((time, limit)) => (time.saturating_sub(slow_for), limit),
                None => (stall, Limit::Stall(stall)),
            },
        };
        if matches!(phase, Phase::Content { .. }) {
            self.answer = None;
        }
        self.phase = End::after(now, time, limit);
    }

    /// The limit that ends first.
    pub(super) fn end(&self) -> Option<End> {
        [self.whole, self.answer, self.phase].into_iter().flatten().min_by_key(|end| end.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);
    const CONTENT: Phase = Phase::Content { slow_for: Duration::ZERO };

    #[expect(clippy::disallowed_methods, reason = "any instant will do as the origin")]
    fn origin() -> Instant {
        Instant::now()
    }

    fn settings(speed: Option<(u64, u64)>) -> Settings {
        Settings {
            connect_timeout: 30 * SECOND,
            head_timeout: 60 * SECOND,
            stall_timeout: 15 * SECOND,
            speed: speed.map(|(speed, time)| (speed, Duration::from_secs(time))),
            ..Settings::default()
        }
    }

    /// What ends first, and when, in a phase that is entered `at` seconds after the beginning.
    fn ends(speed: Option<(u64, u64)>, whole: Option<u64>, phase: Phase, at: u64) -> (u64, Failure) {
        let now = origin();
        let mut deadlines = Deadlines::new(&settings(speed), whole.map(Duration::from_secs), now);
        deadlines.enter(phase, now + Duration::from_secs(at));
        let end = deadlines.end().unwrap();
        (end.left(now).as_secs(), end.limit.failure())
    }

    #[test]
    fn the_limit_that_ends_first_is_the_one_that_is_told() {
        let slow = |speed, time: u64| Failure::TooSlow { speed, time: Duration::from_secs(time) };
        let (up, stalled, connect) = (
            |s: u64| Failure::TimeUp(Duration::from_secs(s)),
            |s: u64| Failure::Stalled(Duration::from_secs(s)),
            |s: u64| Failure::ConnectTimeout(Duration::from_secs(s)),
        );
        for (speed, whole, phase, at, expected) in [
            (None, None, Phase::Connect, 0, (30, connect(30))),
            (None, None, Phase::Connect, 5, (35, connect(30))),
            (None, None, Phase::Head, 2, (62, stalled(60))),
            (None, None, CONTENT, 1000, (1015, stalled(15))),
            // -m bounds every phase.
            (None, Some(20), Phase::Connect, 0, (20, up(20))),
            (None, Some(20), Phase::Head, 3, (20, up(20))),
            (None, Some(20), CONTENT, 3, (18, stalled(15))),
            (None, Some(20), CONTENT, 6, (20, up(20))),
            // -y bounds every phase, and replaces what is longer or shorter by default.
            (Some((7, 5)), None, Phase::Connect, 0, (5, slow(7, 5))),
            (Some((7, 5)), None, Phase::Head, 1, (6, slow(7, 5))),
            (Some((7, 100)), None, Phase::Head, 1, (101, slow(7, 100))),
            (Some((7, 100)), None, Phase::Connect, 1, (31, connect(30))),
            (Some((7, 100)), None, CONTENT, 1, (101, slow(7, 100))),
            (Some((7, 5)), Some(4), CONTENT, 1, (4, up(4))),
            // Slow content and silence count together.
            (Some((7, 5)), None, Phase::Content { slow_for: 3 * SECOND }, 10, (12, slow(7, 5))),
            (Some((7, 5)), None, Phase::Content { slow_for: 9 * SECOND }, 10, (10, slow(7, 5))),
            // Redirects do not add up for ever.
            (None, None, Phase::Head, 100, (120, stalled(120))),
            (None, None, Phase::Connect, 100, (120, stalled(120))),
            (Some((7, 100)), None, Phase::Head, 100, (130, stalled(130))),
        ] {
            assert_eq!(ends(speed, whole, phase, at), expected, "{speed:?} {whole:?} {phase:?} {at}");
        }
    }

    #[test]
    fn a_time_that_no_clock_can_show_is_no_limit() {
        let now = origin();
        let mut deadlines = Deadlines::new(&settings(None), Some(Duration::MAX), now);
        deadlines.enter(CONTENT, now);
        assert_eq!(deadlines.end().unwrap().limit, Limit::Stall(15 * SECOND));
    }

    proptest! {
        /// However a peer goes on: until there is content, it all ends in time.
        #[test]
        fn nothing_but_content_renews_a_limit(
            whole in proptest::option::of(0_u64..300),
            steps in proptest::collection::vec((0_u8..3, 0_u64..70), 1..50),
        ) {
            let now = origin();
            let mut deadlines = Deadlines::new(&settings(None), whole.map(Duration::from_secs), now);
            let mut at = now;
            for (phase, wait) in steps {
                let phase = [Phase::Drain, Phase::Connect, Phase::Head][usize::from(phase)];
                deadlines.enter(phase, at);
                let end = deadlines.end().unwrap();
                at += Duration::from_secs(wait);
                prop_assert!(end.at <= now + patience::ANSWER);
                prop_assert!(whole.is_none_or(|whole| end.at <= now + Duration::from_secs(whole)));
                if end.left(at).is_zero() {
                    break;
                }
            }
        }
    }
}
