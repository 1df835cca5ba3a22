//! How long the program waits: every limit, with what it bounds, why it has that value, and which longer one it
//! nests in.
//!
//! A limit of a peer is absolute. It begins with what it bounds and ends when its time is over, whatever came
//! meanwhile: a byte now and then renews nothing. The one exception is [`STALL`], which bytes of *content* renew, and
//! nothing else; who sends content too slowly is a matter of the speed limit (`-Y`, `-y`) and of the scheduler, which
//! knows faster sources.
//!
//! Limits nest: a call takes in its files, a file its requests, a request its phases. The user's own limits replace
//! those here: `-m` bounds a file (in the order of curl: each attempt at it), `--connect-timeout` is [`CONNECT`],
//! `-y` stands in for [`HEAD`] and [`STALL`], and bounds making a connection too.

use std::time::Duration;

// ---- A call

/// How often it is looked whether Portage, which waits for its fetch command, is still there. Nothing tells when a
/// parent ends; people who have ended emerge notice nothing of a quarter of a second.
pub const PARENT_CHECK: Duration = Duration::from_millis(250);

/// What tidying up may take after a signal that asks for the end: then the process ends, whatever it is at. Portage kills
/// a quarter of a second after it has asked, and people who have pressed Ctrl-C do not wait.
pub const LAST_WORDS: Duration = Duration::from_millis(200);

/// The wait for the lock of the state file, which others hold for milliseconds. Without it the call goes on as
/// if there were no state: figures are a help, not a condition.
pub const STATE_LOCK: Duration = Duration::from_secs(2);

/// The wait for a mirror's `layout.conf`, from the name look-up to its last byte, redirects included. Portage asks
/// for it before the first file of each mirror, so it holds up the whole call; it has some hundred bytes, and what has
/// not come after ten seconds is better taken from another mirror.
pub const LAYOUT: Duration = Duration::from_secs(10);

/// The part of [`LAYOUT`] that making the connection may take: half, so that the other half is left for the answer.
pub const LAYOUT_CONNECT: Duration = Duration::from_secs(5);

/// How long a mirror is asked for its `layout.conf` alone. Then another mirror is asked for its own, which will be wanted
/// soon: a witness that the link works. Once the witness has answered, a mirror without a connection is given up. Long
/// enough for a first packet that was lost, which TCP sends again after a second.
pub const LAYOUT_ALONE: Duration = Duration::from_millis(1500);

/// How long a mirror that has accepted the connection may be silent when its witness has answered.
pub const LAYOUT_SILENT: Duration = Duration::from_secs(3);

/// A question of `doctor` or `setup` to a mirror, for a file of some bytes, from the name look-up to its last byte. All
/// mirrors are asked at once, and somebody waits.
pub const INQUIRY: Duration = Duration::from_secs(5);

/// The part of [`INQUIRY`] that making the connection may take.
pub const INQUIRY_CONNECT: Duration = Duration::from_secs(3);

// ---- A file

/// The wait for another process that is at FILE, after it last made FILE longer. One that goes on is waited for; one that
/// got nothing for so long keeps nobody from fetching any longer. Longer than [`CONNECT`], [`HEAD`] and [`STALL`]
/// together, after which a process of ours would have given up its source.
pub const OUTPUT_LOCK: Duration = Duration::from_secs(120);

/// The same for a process that can be seen to run: it may be in the longest pause between two attempts.
pub const RUNNING_HOLDER: Duration = LONGEST_PAUSE.saturating_add(OUTPUT_LOCK);

/// How long another process that is at FILE is waited for before that is said.
pub const WAIT_UNSAID: Duration = Duration::from_secs(2);

/// The wait for a reader of a pipe that is the output. Who makes a pipe for it starts the reader too.
pub const PIPE_READER: Duration = Duration::from_secs(5);

/// The pause before the second attempt (`--retry`); it doubles with each further one, up to [`LONGEST_PAUSE`]. Both are
/// curl's. Attempts that are made without `--retry` have the same pauses; only after a broken connection, the first one
/// is left out.
pub const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause between two attempts. A server that asks for a longer one (`Retry-After`) is not waited for.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// How often a pause, or a wait for another process, looks whether what it waits for has come or the call shall end.
/// Portage kills a quarter of a second after it has asked for the end.
pub const PULSE: Duration = Duration::from_millis(50);

// ---- A file from many sources: the engine and its scheduler

/// The longest time without a sign of life from any source, while several are at work. It is the link then, and nobody
/// is blamed. `-y` stands in for it. As long as [`STALL`]: who is alone is given up, and asked again, after that.
pub const SILENCE: Duration = Duration::from_secs(15);

/// A source that is at work loses its part when nothing comes for so long, and is given up when others deliver. Longer
/// than the pauses of a link that works: a lost packet is sent again after some 200 ms.
pub const LOST: Duration = Duration::from_secs(1);

/// The wait for the answer of a source of which nothing is known, before another one is asked as well. Nobody is given
/// up for it.
pub const OVERDUE: Duration = Duration::from_millis(300);

/// The wait for the answer of a source of a lower tier that has taken the connection, before those of a higher one are
/// asked as well: a cache may itself wait. nginx looks twice a second whether a slice of 1 MiB has come that another
/// client is fetching, so this is enough for a line of 0.7 MB/s. Without a connection it is [`LOST`].
pub const NEAR_ANSWER: Duration = Duration::from_secs(2);

/// The longest pause that a source may ask for (`Retry-After`); who wants more is left out, and others are asked. The
/// only source of a file without digests is not waited for longer either, unless `--retry` says so.
pub const LONGEST_REST: Duration = Duration::from_secs(10);

/// A wait that takes so much longer than it was to take shows that the process was stopped meanwhile: a suspended
/// machine, Ctrl-Z. That time counts for nobody.
pub const STOPPED: Duration = Duration::from_secs(2);

/// Connections that break within this time after a stop broke because of it.
pub const AFTER_A_STOP: Duration = Duration::from_secs(5);

// ---- Whose bytes are wrong: the audit. Within [`SILENCE`], and within `-m`

/// The comparison of samples: a few round trips. What has not come by then says nothing.
pub const AUDIT: Duration = Duration::from_secs(3);

/// The wait for something of a sample while others deliver; then somebody else is asked for it. About [`LOST`].
pub const SAMPLE: Duration = Duration::from_millis(700);

/// The same while nothing comes from anybody.
pub const SAMPLE_OF_ALL: Duration = Duration::from_secs(2);

// ---- Many files over few connections: the batch and its queue. A connection that brings nothing for [`LOST`] gives its
// file to a host that has nothing to do

/// How long [`LOST`] becomes at most for a line so slow that bytes come in bursts.
pub const LONGEST_BURST: Duration = Duration::from_secs(8);

/// For how long a connection may be much slower than the average one before its file goes to a host that has nothing to
/// do. Shorter would take slow start for slowness.
pub const LAGGING: Duration = Duration::from_secs(3);

/// The time in which a file must show that it moves at all: with less than a thousand bytes per second, all connections
/// together, it is given up, whatever the others do. A byte now and then does not renew it. Longer than [`STALL`].
pub const CRAWLING: Duration = Duration::from_secs(20);

/// How long a host that says 429 without Retry-After is left alone; and one that is busy, when nobody else is left.
pub const USUAL_REST: Duration = Duration::from_secs(1);

// ---- A survey of mirrors (`rank`)

/// Asking one of many mirrors who it is: connecting, TLS, its timestamp and its layout. Who takes longer is of no use
/// while others take a tenth of that.
pub const PROBE: Duration = Duration::from_secs(3);

/// The same with `--fast`.
pub const FAST_PROBE: Duration = Duration::from_millis(1200);

/// All probes together with `--fast`: then those are compared that have answered. Longer than two probes, since not all
/// mirrors are asked at once.
pub const FAST_PROBES: Duration = Duration::from_millis(2800);

/// The look at those that are to be taken: whether they have the newest files, and the right bytes. All of them side by side.
pub const LOOK: Duration = Duration::from_secs(6);

/// The same with `--fast`.
pub const FAST_LOOK: Duration = Duration::from_millis(700);

/// What one mirror is measured for, from its first byte on. Slow start is over by then at most distances.
pub const MEASUREMENT: Duration = Duration::from_millis(1500);

/// All measurements together. What is not measured by then is not measured.
pub const MEASUREMENTS: Duration = Duration::from_secs(15);

/// The list of mirrors: some 60 KiB.
pub const MIRROR_LIST: Duration = Duration::from_secs(20);

// ---- A request

/// The wait for the head of the final answer, with all redirects on the way there. Each redirect has [`CONNECT`] and
/// [`HEAD`] to itself; this keeps a chain of slow ones from adding them up. Longer than both together, so that it never
/// ends a request without redirects; never shorter than what the user allows for one.
pub const ANSWER: Duration = Duration::from_secs(120);

// ---- A phase of a request

/// Making a connection: look-up of the name, TCP, what is said to a proxy, and TLS together. It covers four packets
/// lost in a row (1 + 2 + 4 + 8 s of TCP's own pauses) and a slow name server before them. Nests in [`ANSWER`].
pub const CONNECT: Duration = Duration::from_secs(30);

/// Sending the request and receiving the whole head of the answer. A mirror behind a cache may fetch the file first
/// before it says anything. Nests in [`ANSWER`].
pub const HEAD: Duration = Duration::from_secs(60);

/// The wait for the next byte of content. What frames it (chunk sizes, trailers, TLS records that are not complete)
/// renews nothing. Long enough for a link that is being re-established, short enough that nobody thinks that the
/// program hangs.
pub const STALL: Duration = Duration::from_secs(15);

/// The wait for the rest of an answer that nobody wants, for the sake of its connection: about what a new connection
/// would cost. Nests in the request that comes next.
pub const DRAIN: Duration = Duration::from_millis(200);

// ---- Steps within a phase: nothing fails when one of them is over

/// The pause before the next address of a host is tried beside those that have not answered (RFC 8305, section 5).
/// Within [`CONNECT`].
pub const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// How often making a connection looks whether it is still wanted; later phases are ended by closing the socket.
pub const CANCEL_CHECK: Duration = Duration::from_millis(50);

/// How long bytes may gather in the kernel while much content is under way: every packet for itself would wake two
/// threads thousands of times a second.
pub const GATHER: Duration = Duration::from_millis(3);

/// A socket without traffic for so long is probed by the kernel, so that a peer that is gone is noticed. curl's value.
pub const KEEPALIVE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    /// What a limit nests in is longer than all that happens one after another within it.
    #[test]
    fn limits_nest() {
        for (outer, inner) in [
            (FAST_PROBES, 2 * FAST_PROBE),
            (PROBE, FAST_PROBE),
            (LOOK, PROBE),
            (Duration::from_secs(4), FAST_PROBES + FAST_LOOK),
            (MEASUREMENTS, 3 * (PROBE + MEASUREMENT)),
            (LAYOUT, LAYOUT_CONNECT),
            (INQUIRY, INQUIRY_CONNECT),
            (LAYOUT_CONNECT, LAYOUT_SILENT),
            (LAYOUT_SILENT, LAYOUT_ALONE),
            (ANSWER, CONNECT + HEAD + DRAIN),
            (CONNECT, 100 * ATTEMPT_DELAY),
            (OUTPUT_LOCK, CONNECT + HEAD + STALL),
            (RUNNING_HOLDER, OUTPUT_LOCK),
            (OUTPUT_LOCK, WAIT_UNSAID),
            (SILENCE, LOST),
            (SILENCE, AUDIT),
            (SILENCE, LONGEST_REST),
            (AUDIT, SAMPLE_OF_ALL),
            (SAMPLE_OF_ALL, SAMPLE),
            (LOST, OVERDUE),
            (AFTER_A_STOP, STOPPED),
            (LONGEST_BURST, LOST),
            (LAGGING, LOST),
            (CRAWLING, STALL),
            (LONGEST_REST, USUAL_REST),
            (LONGEST_PAUSE, FIRST_PAUSE),
            (PARENT_CHECK, PULSE),
            (LAST_WORDS, 2 * PULSE),
            (CONNECT, CANCEL_CHECK),
            (STALL, GATHER),
        ] {
            assert!(outer > inner, "{outer:?} takes in {inner:?}");
        }
    }
}
