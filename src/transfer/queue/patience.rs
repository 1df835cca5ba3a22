//! How long is waited, and how often is tried, for the many files of a batch. Deadlines are absolute and nest:
//! a call > a file > a request.

use std::time::Duration;

/// From which silence on a connection gives its file to another host that has nothing to do. A file.
pub(crate) const OVERDUE: Duration = Duration::from_secs(1);
/// For how long a connection may be slower than [`SLOW`] of the average before its file goes to another host. A file.
pub(super) const LONGEST: Duration = Duration::from_secs(3);
/// See [`LONGEST`]. What came is kept.
pub(super) const SLOW: f64 = 0.33;
/// How many bytes may come at once on a slow line, with nothing between them: [`OVERDUE`] is at least as long as the
/// average connection needs for them.
pub(super) const BURST: f64 = 128.0 * 1024.0;
/// How long [`OVERDUE`] becomes at most.
pub(super) const LONGEST_BURST: Duration = Duration::from_secs(8);
/// How many bytes per second the average connection is thought to bring while nobody has shown it.
pub(super) const ASSUMED: f64 = 100_000.0;

/// How many bytes per second all connections together bring at least. One that brings less than its share of them for
/// [`CRAWL_TIME`] is given up, whatever the others do. A file at one host.
pub(super) const CRAWL: u64 = 1000;
/// The time over which [`CRAWL`] is measured; a byte now and then does not renew it.
pub(super) const CRAWL_TIME: Duration = Duration::from_secs(20);

/// How often in a row a host may fail, with different files, before it is not asked any longer in this call.
pub(crate) const MOST_FAILURES: u32 = 3;
/// How long a host that says 429 without Retry-After is left alone.
pub(crate) const USUAL_REST: Duration = Duration::from_secs(1);
/// How often in a row a host may ask to be left alone. With the longest rest that is granted, 10 s, that bounds how long a file waits for it.
pub(crate) const MOST_RESTS: u32 = 5;

/// How many answers of mirrors that they lack a file of a repository, while they had none, put them last for the rest.
pub(super) const IN_VAIN: usize = 20;
/// How many files are fetched at once, at most: each takes a thread.
pub(crate) const MOST_AT_ONCE: usize = 32;
/// How often the queue is told the time.
pub(crate) const PULSE: Duration = Duration::from_millis(100);
