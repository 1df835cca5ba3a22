//! What the network says: all mirrors are asked at once, each for a short time.

use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;
use std::thread;

use super::facts::{Health, Network};
use crate::commands::inquiry::{Inquirer, Told, now};
use crate::commands::{CommandError, Environment};
use crate::http::settings::AddressFamily;
use crate::http::{Failure, Url};
use crate::mirror::{Freshness, timestamp};
use crate::portage::MirrorBase;

/// Mirrors that are asked at once.
const AT_ONCE: usize = 32;

/// Mirrors with addresses of both families that IPv6 is judged by.
const WITNESSES: usize = 3;

/// A mirror, and what came of asking it.
struct Asked {
    word: String,
    url: Url,
    answer: Result<Told, Failure>,
}

pub(super) fn ask(words: &[String], environment: &Environment) -> Result<Network, CommandError> {
    let inquirer = Inquirer::new(environment, AddressFamily::Any)?;
    let url = |word: &String| {
        let mirror = MirrorBase::from_str(word).ok()?;
        let path = timestamp::DISTFILES.strip_prefix("distfiles/").unwrap_or(timestamp::DISTFILES);
        Some((word.clone(), Url::parse(&mirror.uri(path)).ok()?))
    };
    let places: Vec<(String, Url)> = words.iter().filter_map(url).collect();
    let asked = at_once(places, |(word, url)| {
        let answer = inquirer.get(&url, timestamp::LARGEST);
        Asked { word, url, answer }
    });
    let mut offsets: Vec<i64> =
        asked.iter().filter_map(|asked| Some(asked.answer.as_ref().ok()?.date? - now())).collect();
    offsets.sort_unstable();
    let clock_behind = offsets.get(offsets.len() / 2).copied();
    // Ages are judged by the servers' clocks when this one is wrong.
    let time = now() + clock_behind.unwrap_or(0);
    let broken_ipv6 = broken_ipv6(&asked, environment)?;
    let mirrors = asked.into_iter().map(|asked| (asked.word, health(asked.answer, time))).collect();
    Ok(Network { mirrors, broken_ipv6, clock_behind })
}

fn health(answer: Result<Told, Failure>, time: i64) -> Health {
    match answer {
        Err(failure) => Health::Dead(failure.to_string()),
        Ok(told) if matches!(told.status, 404 | 410) => Health::Answers,
        Ok(told) if told.status != 200 => Health::Odd(format!("answers with status {}", told.status)),
        Ok(told) => match timestamp::parse(&told.content) {
            Some(written) => Health::Aged(Freshness::at(written, time), timestamp::age(written, time)),
            None => Health::Odd("sends something else in place of its timestamp: a page, perhaps".to_owned()),
        },
    }
}

/// Hosts that IPv6 does not reach, unless it reaches one of those that were tried.
fn broken_ipv6(asked: &[Asked], environment: &Environment) -> Result<Vec<String>, CommandError> {
    // Who is refused has a way there.
    let is_silent = |failure: &Failure| !failure.to_string().contains("refused");
    let both: Vec<&Asked> = asked
        .iter()
        .filter(|asked| asked.answer.is_ok() && !asked.url.host().starts_with('['))
        .filter(|asked| {
            let found: Vec<SocketAddr> =
                (asked.url.host(), 80).to_socket_addrs().map(Iterator::collect).unwrap_or_default();
            found.iter().any(SocketAddr::is_ipv4) && found.iter().any(SocketAddr::is_ipv6)
        })
        .take(WITNESSES)
        .collect();
    let inquirer = Inquirer::new(environment, AddressFamily::Ipv6)?;
    let answers = at_once(both, |asked| (asked, inquirer.get(&asked.url, timestamp::LARGEST)));
    if answers.iter().any(|(_, answer)| answer.as_ref().map_or_else(|failure| !is_silent(failure), |_| true))
    {
        return Ok(Vec::new());
    }
    Ok(answers.into_iter().map(|(asked, _)| asked.url.host().to_owned()).collect())
}

/// Does the same with all, some at a time, in their order.
fn at_once<T: Send, R: Send>(all: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let mut all = all.into_iter();
    let mut done = Vec::new();
    loop {
        let some: Vec<T> = all.by_ref().take(AT_ONCE).collect();
        if some.is_empty() {
            return done;
        }
        thread::scope(|scope| {
            let work = &work;
            let threads: Vec<_> = some.into_iter().map(|one| scope.spawn(move || work(one))).collect();
            let join = |thread: thread::ScopedJoinHandle<'_, R>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            done.extend(threads.into_iter().map(join));
        });
    }
}
