//! Asks many mirrors at once who they are: how far away, how old their copy is, and how it is laid out.

use std::collections::VecDeque;
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::decide::Fault;
use crate::http::response::judge;
use crate::http::settings::AddressFamily;
use crate::http::{Agent, Ask, Client, Exchange, Failure, Question, Url, date, reach, read_text};
use crate::mirror::timestamp;
use crate::patience;
use crate::portage::{LayoutConf, MirrorBase};

/// Mirrors that are asked at once. More would measure the queue at the user's own line.
const IN_FLIGHT: usize = 32;
/// The largest timestamp, and the largest `layout.conf`, in bytes.
const LARGEST: usize = 64 * 1024;

/// How mirrors are asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probing<'a> {
    pub(crate) client: &'a Client,
    /// For one mirror.
    pub(crate) time: Duration,
    /// When all have to be done, if they have.
    pub(crate) deadline: Option<Instant>,
    /// Whether to try each family of addresses for itself.
    pub(crate) families: bool,
}

/// What a mirror has answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Probed {
    /// TCP alone, over the family that answered first. None through a proxy.
    pub(crate) connect: Option<Duration>,
    /// From nothing to the first answer.
    pub(crate) first_byte: Duration,
    /// From a request to its answer over a connection that stood.
    pub(crate) round_trip: Duration,
    /// When its copy was made, in UNIX seconds, as far as it says.
    pub(crate) timestamp: Option<i64>,
    /// By how many seconds this machine's clock is ahead of the mirror's.
    pub(crate) clock_ahead: Option<i64>,
    /// The text of its `layout.conf`.
    pub(crate) layout: Option<String>,
    pub(crate) ipv4: Option<bool>,
    pub(crate) ipv6: Option<bool>,
}

/// Asks all, and tells `seen` of each one that is done. The answers are in the order of the mirrors; none for those that
/// nobody asked any more, since `goes_on` said no or the time was over.
pub(crate) fn probe_all(
    mirrors: &[MirrorBase],
    probing: Probing<'_>,
    goes_on: &(dyn Fn() -> bool + Sync),
    seen: &mut dyn FnMut(usize),
) -> Vec<Option<Result<Probed, Fault>>> {
    let queue: Mutex<VecDeque<usize>> = Mutex::new((0..mirrors.len()).collect());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let families = probing.families && has_ipv6();
    let work = |sender: mpsc::Sender<_>| {
        while let Some(index) = next().filter(|_| goes_on()) {
            let Some(time) = time_left(probing) else { break };
            let one = Probing { time, families, ..probing };
            if sender.send((index, probe(&mirrors[index], one))).is_err() {
                break;
            }
        }
    };
    let mut answers: Vec<Option<Result<Probed, Fault>>> = vec![None; mirrors.len()];
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        let work = &work;
        for _ in 0..IN_FLIGHT.min(mirrors.len()) {
            let sender = sender.clone();
            if thread::Builder::new().spawn_scoped(scope, move || work(sender)).is_err() {
                break; // those that run do it all
            }
        }
        drop(sender);
        for (done, (index, answer)) in receiver.iter().enumerate() {
            answers[index] = Some(answer);
            seen(done + 1);
        }
    });
    answers
}

#[expect(clippy::disallowed_methods, reason = "the probes together have a time limit")]
fn time_left(probing: Probing<'_>) -> Option<Duration> {
    let Some(deadline) = probing.deadline else { return Some(probing.time) };
    let left = deadline.saturating_duration_since(Instant::now());
    (!left.is_zero()).then_some(left.min(probing.time))
}

#[expect(clippy::disallowed_methods, reason = "all requests of a probe have one time limit")]
fn probe(mirror: &MirrorBase, probing: Probing<'_>) -> Result<Probed, Fault> {
    let start = Instant::now();
    let left = || probing.time.saturating_sub(start.elapsed());
    let agent = &mut probing.client.agent();
    let mut probed = Probed::default();
    let first = ask(agent, mirror, timestamp::DISTFILES.trim_start_matches("distfiles/"), left())?;
    probed.first_byte = first.head_time;
    probed.connect = first.connect_time;
    probed.clock_ahead = first.exchange.field("date").and_then(clock_ahead);
    probed.timestamp = first.text.as_deref().ok().and_then(parse);
    let peer = first.peer;
    let layout = ask(agent, mirror, "layout.conf", left())?;
    let is_page = |asked: &Asked| matches!(asked.text, Err(Failure::HtmlPage));
    probed.layout = layout.text.as_ref().ok().filter(|text| LayoutConf::parse(text).is_ok()).cloned();
    if probed.layout.is_none() {
        return Err(match (&layout.text, &first.text) {
            (Err(failure), _) if !is_page(&layout) && !is_page(&first) => {
                Fault::Dead(format!("layout.conf: {}", words(failure)))
            }
            _ => Fault::WebPage,
        });
    }
    // The first answer may have been a redirect's; a connection that had to be made anew says nothing of a round trip.
    probed.round_trip = match layout.connect_time {
        None => layout.head_time,
        Some(connect) => layout.head_time.saturating_sub(connect),
    };
    if probed.timestamp.is_none() {
        let other = ask(agent, mirror, "timestamp.chk", left());
        probed.timestamp = other.ok().and_then(|asked| parse(asked.text.as_deref().ok()?));
    }
    try_families(mirror, probing, left(), peer, &mut probed);
    Ok(probed)
}

/// Finds out which families of addresses work: the one that was used does.
fn try_families(
    mirror: &MirrorBase,
    probing: Probing<'_>,
    left: Duration,
    seen: Option<SocketAddr>,
    probed: &mut Probed,
) {
    let settings = probing.client.settings();
    match seen {
        Some(SocketAddr::V4(_)) => probed.ipv4 = Some(true),
        Some(SocketAddr::V6(_)) => probed.ipv6 = Some(true),
        None => {}
    }
    let Ok(url) = Url::parse(&mirror.uri("")) else { return };
    let is_proxied = (settings.proxy)(&url).is_some();
    if !probing.families || is_proxied || settings.family != AddressFamily::Any {
        return;
    }
    let other = match seen {
        Some(SocketAddr::V4(_)) => (AddressFamily::Ipv6, &mut probed.ipv6),
        Some(SocketAddr::V6(_)) => (AddressFamily::Ipv4, &mut probed.ipv4),
        None => return,
    };
    let (family, works) = other;
    // A name without such an address has none to be broken.
    *works = match reach(settings, &url, family, left.min(patience::FAST_PROBE)) {
        Ok(_) => Some(true),
        Err(Failure::Resolve { .. }) => None,
        Err(_) => Some(false),
    };
}

/// An answer to a question for a short text.
struct Asked {
    text: Result<String, Failure>,
    exchange: Exchange,
    connect_time: Option<Duration>,
    head_time: Duration,
    peer: Option<SocketAddr>,
}

/// Asks for a short text. An answer of any status is one; a mirror that gives none is dead.
fn ask(agent: &mut Agent, mirror: &MirrorBase, path: &str, left: Duration) -> Result<Asked, Fault> {
    let dead = |failure: Failure| Fault::Dead(words(&failure));
    let url = Url::parse(&mirror.uri(path)).map_err(|error| Fault::Dead(error.to_string()))?;
    let ask = Ask { time_left: Some(left), ..Ask::default() };
    let answer = agent.ask(&url, &ask).map_err(dead)?;
    let Some(exchange) = answer.exchanges.last().cloned() else {
        return Err(dead(Failure::EmptyReply));
    };
    let question = Question { refuse_html: true, ..Question::default() };
    let (connect_time, head_time, peer) = (answer.connect_time, answer.head_time, answer.peer);
    let text = match judge(&question, &answer.head) {
        Ok(_) => read_text(answer.content, LARGEST),
        Err(failure) => {
            answer.content.drain();
            Err(failure)
        }
    };
    match text {
        Err(failure) if !failure.is_an_answer() => Err(dead(failure)),
        text => Ok(Asked { text, exchange, connect_time, head_time, peer }),
    }
}

/// What became of a request, in few words. How much of a probe's time was left for it is of no interest.
pub(crate) fn words(failure: &Failure) -> String {
    match failure.cause() {
        Failure::TimeUp(_) => "no answer in time".to_owned(),
        _ => failure.to_string(),
    }
}

/// A timestamp; a longer text is none.
fn parse(text: &str) -> Option<i64> {
    let is_short = u64::try_from(text.len()).is_ok_and(|length| length <= timestamp::LARGEST);
    is_short.then(|| timestamp::parse(text.as_bytes())).flatten()
}

/// By how many seconds this machine's clock is ahead of a `Date` that was received just now.
#[expect(clippy::disallowed_methods, reason = "the clock itself is in question")]
fn clock_ahead(date: &str) -> Option<i64> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    Some(i64::try_from(now).ok()?.saturating_sub(date::parse(date)?))
}

/// Whether this machine has a way into the IPv6 Internet. Nothing is sent: the kernel looks for a route to an address
/// that is for documentation only (RFC 3849).
pub(crate) fn has_ipv6() -> bool {
    let socket = UdpSocket::bind("[::]:0");
    socket.is_ok_and(|socket| socket.connect("[2001:db8::1]:9").is_ok())
}
