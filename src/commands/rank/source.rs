//! Where the list of mirrors comes from: a file, a URL, a copy kept beside the state, or what is configured and known.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::commands::environment::read_argument_file;
use crate::http::{Ask, Client, Failure, Question, Url, read_text};
use crate::mirror::Store;
use crate::patience::MIRROR_LIST;
use crate::survey::list::{self, Listed};

/// Gentoo's lists.
const DISTFILES: &str = "https://api.gentoo.org/mirrors/distfiles.xml";
const RSYNC: &str = "https://api.gentoo.org/mirrors/rsync.xml";

/// A copy of a list is not asked for anew for so long, in seconds: it changes a few times a month.
const KEPT: u64 = 7 * 24 * 3600;
/// The largest list that is read, in bytes. Gentoo's has 63,060.
const LARGEST: usize = 4 << 20;

/// A list, and where it is from.
pub(super) struct Source {
    pub(super) mirrors: Vec<Listed>,
    /// For people.
    pub(super) origin: String,
    /// What went wrong on the way, one line each.
    pub(super) warnings: Vec<String>,
}

/// A copy of a list as it is kept.
#[derive(Debug, Deserialize, Serialize)]
struct Kept {
    url: String,
    /// When the server last said that this is the list, in UNIX seconds.
    at: u64,
    etag: Option<String>,
    text: String,
}

/// Reads the list that `--from` names, else Gentoo's own. There is no mirror in it when Gentoo's cannot be had, and no copy
/// is kept; a list that was named and cannot be used is an error, in one line.
pub(super) fn read(
    from: Option<&str>,
    sync: bool,
    client: &Client,
    store: Option<&Store>,
    now: u64,
) -> Result<Source, String> {
    let Some(from) = from else { return Ok(gentoos(sync, client, store, now)) };
    if Url::has_scheme(from) {
        let cache = Cache::beside(store, sync);
        let (text, warning) = fetch(from, client, cache.as_ref(), now).map_err(|e| format!("{from}: {e}"))?;
        let mirrors = list::read(&text).map_err(|error| format!("{from}: {error}"))?;
        let warnings = warning.into_iter().collect();
        return Ok(Source { mirrors, origin: from.to_owned(), warnings });
    }
    let text = read_argument_file(Path::new(from)).map_err(|error| format!("cannot read {from}: {error}"))?;
    let mirrors = list::read(&text).map_err(|error| format!("{from}: {error}"))?;
    let origin = if from == "-" { "standard input".to_owned() } else { from.to_owned() };
    Ok(Source { mirrors, origin, warnings: Vec::new() })
}

fn gentoos(sync: bool, client: &Client, store: Option<&Store>, now: u64) -> Source {
    let url = if sync { RSYNC } else { DISTFILES };
    let cache = Cache::beside(store, sync);
    let kept = cache.as_ref().and_then(Cache::load).filter(|kept| kept.url == url);
    let is_new = |kept: &Kept| now.checked_sub(kept.at).is_some_and(|age| age < KEPT);
    if let Some(kept) = kept.as_ref().filter(|kept| is_new(kept))
        && let Ok(mirrors) = list::read(&kept.text)
    {
        return Source { mirrors, origin: format!("{url} (kept copy)"), warnings: Vec::new() };
    }
    let problem = match fetch(url, client, cache.as_ref(), now) {
        Ok((text, warning)) => match list::read(&text) {
            Ok(mirrors) => {
                let warnings = warning.into_iter().collect();
                return Source { mirrors, origin: url.to_owned(), warnings };
            }
            Err(error) => error.to_string(),
        },
        Err(error) => error,
    };
    let mirrors = kept.and_then(|kept| list::read(&kept.text).ok());
    let what =
        if mirrors.is_some() { "the copy of an earlier ranking is used" } else { "it is done without" };
    let warnings = vec![format!("the list of mirrors cannot be had ({url}: {problem}): {what}")];
    match mirrors {
        Some(mirrors) => Source { mirrors, origin: format!("{url} (old copy)"), warnings },
        None => Source { mirrors: Vec::new(), origin: "what is configured and known".to_owned(), warnings },
    }
}

/// Asks for the list, unless the copy is still the same. The second text is a warning.
fn fetch(
    url: &str,
    client: &Client,
    cache: Option<&Cache<'_>>,
    now: u64,
) -> Result<(String, Option<String>), String> {
    let kept = cache.and_then(Cache::load).filter(|kept| kept.url == url);
    let tag = kept.as_ref().and_then(|kept| kept.etag.clone());
    let parsed = Url::parse(url).map_err(|error| error.to_string())?;
    let question = Question { refuse_html: true, ..Question::default() };
    let condition = tag.map(|tag| ("if-none-match", tag));
    let ask = Ask { time_left: Some(MIRROR_LIST), condition, ..Ask::default() };
    let mut agent = client.agent();
    let new = match agent.open(&parsed, &question, &ask) {
        Err(Failure::Status { code: 304, .. }) if kept.is_some() => {
            let kept = kept.ok_or_else(String::new)?;
            Kept { at: now, ..kept }
        }
        Err(failure) => return Err(failure.to_string()),
        Ok((_, answer)) => {
            let etag = answer.exchanges.last().and_then(|e| e.field("etag")).map(str::to_owned);
            let text = read_text(answer.content, LARGEST).map_err(|failure| failure.to_string())?;
            Kept { url: url.to_owned(), at: now, etag, text }
        }
    };
    // Only what is a list is kept in the place of one.
    let warning = match cache.filter(|_| list::read(&new.text).is_ok()).map(|cache| cache.keep(&new)) {
        Some(Err(error)) => Some(format!("the list of mirrors cannot be kept: {error}")),
        Some(Ok(())) | None => None,
    };
    Ok((new.text, warning))
}

/// Where the copy is kept: beside the state.
struct Cache<'s> {
    store: &'s Store,
    name: &'static str,
}

impl<'s> Cache<'s> {
    fn beside(store: Option<&'s Store>, sync: bool) -> Option<Self> {
        let name = if sync { "rsync-mirrors.json" } else { "distfiles-mirrors.json" };
        store.map(|store| Self { store, name })
    }

    fn load(&self) -> Option<Kept> {
        serde_json::from_slice(&self.store.read_beside(self.name, 2 * LARGEST as u64)?).ok()
    }

    /// Replaces the copy as a whole.
    fn keep(&self, kept: &Kept) -> io::Result<()> {
        self.store.write_beside(self.name, &serde_json::to_vec(kept)?)
    }
}
