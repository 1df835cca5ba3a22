//! Limits of time, rate and size, and what is tried again.

use super::Effect::{Sets, Turns};
#[cfg(test)]
use super::Example;
use super::Help::{Common, Full};
use super::{Entry, set, set_some, switch, value};
use crate::cli::values::{self, Complaint};
use std::time::Duration;

pub(super) static ENTRIES: &[Entry] = &[
    Entry {
        spelling: value("connect-timeout", "seconds"),
        help: Common("time limit for connecting"),
        effect: Sets(|b, a| set(&mut b.options.network.connect_timeout, a.read(values::seconds))),
        #[cfg(test)]
        example: Example::Sets("--connect-timeout 2.5", |o| {
            o.network.connect_timeout == Some(Duration::from_millis(2500))
        }),
    },
    Entry {
        spelling: value("limit-rate", "speed"),
        help: Common("receive at most this many bytes a second (k, M, G)"),
        effect: Sets(|b, a| set(&mut b.options.limits.rate, a.read(some_size))),
        #[cfg(test)]
        example: Example::Sets("--limit-rate 2k", |o| o.limits.rate == Some(2048)),
    },
    Entry {
        spelling: value("max-filesize", "bytes"),
        help: Full("refuse larger files (k, M, G)"),
        effect: Sets(|b, a| set(&mut b.options.limits.max_filesize, a.read(some_size))),
        #[cfg(test)]
        example: Example::Sets("--max-filesize 1M", |o| o.limits.max_filesize == Some(1 << 20)),
    },
    Entry {
        spelling: value("max-time", "seconds").short('m'),
        help: Common("time limit for each transfer"),
        effect: Sets(|b, a| set(&mut b.options.limits.max_time, a.read(values::seconds))),
        #[cfg(test)]
        example: Example::Sets("-m 2", |o| o.limits.max_time == Some(Duration::from_secs(2))),
    },
    Entry {
        spelling: value("retry", "num"),
        help: Common("repeat a transfer that failed for the moment"),
        effect: Sets(|b, a| set_some(&mut b.options.retry.count, a.read(values::count))),
        #[cfg(test)]
        example: Example::Sets("--retry 3", |o| o.retry.count == Some(3)),
    },
    Entry {
        spelling: switch("retry-all-errors"),
        help: Full("with --retry: repeat after every error"),
        effect: Turns(|o| &mut o.retry.all_errors),
        #[cfg(test)]
        example: Example::Sets("--retry-all-errors", |o| o.retry.all_errors),
    },
    Entry {
        spelling: switch("retry-connrefused"),
        help: Full("with --retry: also when the connection is refused"),
        effect: Turns(|o| &mut o.retry.connrefused),
        #[cfg(test)]
        example: Example::Sets("--retry-connrefused", |o| o.retry.connrefused),
    },
    Entry {
        spelling: value("retry-delay", "seconds"),
        help: Full("wait this long between attempts"),
        effect: Sets(|b, a| set(&mut b.options.retry.delay, a.read(values::seconds))),
        #[cfg(test)]
        example: Example::Sets("--retry-delay 1", |o| o.retry.delay == Some(Duration::from_secs(1))),
    },
    Entry {
        spelling: value("retry-max-time", "seconds"),
        help: Full("do not repeat later than this"),
        effect: Sets(|b, a| set(&mut b.options.retry.max_time, a.read(values::seconds))),
        #[cfg(test)]
        example: Example::Sets("--retry-max-time 9", |o| o.retry.max_time == Some(Duration::from_secs(9))),
    },
    Entry {
        spelling: value("speed-limit", "speed").short('Y'),
        help: Full("give up below this many bytes a second"),
        effect: Sets(|b, a| set_some(&mut b.speed_limit, a.read(values::number))),
        #[cfg(test)]
        example: Example::Sets("-Y 9", |o| o.limits.speed.is_some_and(|s| s.bytes_per_second == 9)),
    },
    Entry {
        spelling: value("speed-time", "seconds").short('y'),
        help: Full("give up after this long below --speed-limit"),
        effect: Sets(|b, a| {
            let seconds = a.read(values::count);
            set_some(&mut b.speed_time, seconds.map(|seconds| Duration::from_secs(seconds.into())))
        }),
        #[cfg(test)]
        example: Example::Sets("-y 9", |o| o.limits.speed.is_some_and(|s| s.time == Duration::from_secs(9))),
    },
];

/// A size, where 0 is no limit.
fn some_size(text: &str) -> Result<Option<u64>, Complaint> {
    values::size(text).map(|size| Some(size).filter(|size| *size > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bytes_are_no_limit() {
        assert_eq!((some_size("0"), some_size("0k"), some_size("1")), (Ok(None), Ok(None), Ok(Some(1))));
    }
}
