//! Downloads a part of a distfile from one mirror, and notes when the bytes came.

use std::time::{Duration, Instant};

use blake2::{Blake2b512, Digest};

use super::arrivals::Arrivals;
use super::decide::Fault;
use super::probe::words;
use super::rounds::{LARGEST_SAMPLE, Measured};
use super::samples::{BLOCK, BlockDigest};
use crate::http::{Ask, Client, Failure, Question, Url};
use crate::patience::{MEASUREMENT, PROBE};

/// What is read at once, in bytes.
const BUFFER: usize = 64 * 1024;

/// A distfile that mirrors have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TestFile {
    pub(crate) url: Url,
    /// In bytes.
    pub(crate) size: u64,
}

/// Downloads from the beginning of the file until `enough` says so.
pub(crate) fn measure(
    client: &Client,
    file: &TestFile,
    enough: &dyn Fn(&Arrivals) -> bool,
) -> Result<Measured, Failure> {
    let mut measured = Measured::default();
    let end = LARGEST_SAMPLE.min(file.size);
    let first_byte = receive(client, file, end, PROBE + MEASUREMENT, &mut |at, bytes, hasher| {
        measured.arrivals.add(at, bytes.len() as u64);
        hasher.add(bytes);
        enough(&measured.arrivals)
    });
    let (first_byte, blocks) = match first_byte {
        Ok(got) => got,
        // A rate is known of what came in time.
        Err((_, got)) if measured.arrivals.elapsed() >= MEASUREMENT / 2 => got,
        Err((failure, _)) => return Err(failure),
    };
    measured.first_byte = first_byte;
    measured.blocks = blocks;
    Ok(measured)
}

/// The digest of the first block of the file.
pub(crate) fn first_block(
    client: &Client,
    file: &TestFile,
    time: Duration,
) -> Result<Vec<BlockDigest>, Failure> {
    let end = (BLOCK as u64).min(file.size);
    let received = receive(client, file, end, time, &mut |_, bytes, hasher| {
        hasher.add(bytes);
        !hasher.whole.is_empty()
    });
    received.map(|(_, blocks)| blocks).map_err(|(failure, _)| failure)
}

/// Whether a file is there: an error says why not.
pub(crate) fn has(client: &Client, file: &TestFile, time: Duration) -> Result<(), Failure> {
    let question = Question { end: Some(1), size: Some(file.size), refuse_html: true, ..Question::default() };
    let ask = Ask { time_left: Some(time), ..Ask::bytes(&question) };
    let mut agent = client.agent();
    let answered = agent.open(&file.url, &question, &ask).map(drop);
    agent.canceller().cancel();
    answered
}

type Got = (Duration, Vec<BlockDigest>);

/// Hands on what comes, with the time since the beginning, until it is told that that is enough, or all has come.
#[expect(clippy::disallowed_methods, reason = "it measures")]
fn receive(
    client: &Client,
    file: &TestFile,
    end: u64,
    time: Duration,
    take: &mut dyn FnMut(Duration, &[u8], &mut Blocks) -> bool,
) -> Result<Got, (Failure, Got)> {
    let mut hasher = Blocks::default();
    let mut first_byte = None;
    let mut agent = client.agent();
    let start = Instant::now();
    let question =
        Question { end: Some(end), size: Some(file.size), refuse_html: true, ..Question::default() };
    let ask = Ask { time_left: Some(time), ..Ask::bytes(&question) };
    let mut attempt = || {
        let (_, mut answer) = agent.open(&file.url, &question, &ask)?;
        if let Some(coding) = answer.head.content_encoding.take().filter(|coding| coding != "identity") {
            return Err(Failure::ContentEncoding(coding));
        }
        first_byte = Some(answer.head_time);
        let mut buffer = vec![0; BUFFER];
        let mut left = end;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
            let read = answer.content.read(&mut buffer[..most])?;
            if read == 0 {
                return Err(Failure::Truncated);
            }
            left -= read as u64;
            if take(start.elapsed(), &buffer[..read], &mut hasher) {
                break;
            }
        }
        Ok(())
    };
    let ended = attempt();
    // What else is under way is not wanted.
    agent.canceller().cancel();
    let got = (first_byte.unwrap_or(time), hasher.whole);
    match ended {
        Ok(()) => Ok(got),
        Err(failure) => Err((failure, got)),
    }
}

/// The digests of the blocks that came whole.
#[derive(Default)]
struct Blocks {
    whole: Vec<BlockDigest>,
    hasher: Blake2b512,
    filled: usize,
}

impl Blocks {
    fn add(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (part, rest) = bytes.split_at(bytes.len().min(BLOCK - self.filled));
            self.hasher.update(part);
            self.filled += part.len();
            bytes = rest;
            if self.filled == BLOCK {
                self.filled = 0;
                let digest = std::mem::take(&mut self.hasher).finalize();
                let mut block = BlockDigest::default();
                block.copy_from_slice(&digest[..16]);
                self.whole.push(block);
            }
        }
    }
}

/// What a failed download says of a mirror.
pub(crate) fn fault(failure: &Failure) -> Fault {
    match failure.cause() {
        Failure::HtmlPage => Fault::WebPage,
        // Another file under the same name.
        Failure::WrongSize { .. } => Fault::WrongBytes,
        _ if failure.is_not_found() => Fault::LacksFiles,
        _ => Fault::Dead(words(failure)),
    }
}
