//! Mirrors' layouts: what is known of them, and how they are asked for.

use std::sync::mpsc::Sender;
use std::sync::{Mutex, PoisonError};

use super::mirrors::key;
use crate::http::failure::Advice;
use crate::http::{Agent, Ask, Failure, Question, Url};
use crate::mirror::{MirrorKey, State};
use crate::patience;
use crate::portage::{LayoutConf, MirrorBase};

/// A layout older than this is not relied on, in seconds.
pub(super) const LAYOUT_KEPT: u64 = 7 * 24 * 3600;
/// The largest `layout.conf` that is read, in bytes.
pub(super) const LAYOUT_LARGEST: usize = 64 * 1024;

/// `layout.conf` of the official mirrors, since 2023.
pub(super) const USUAL_LAYOUT: &str = "[structure]\n0=filename-hash BLAKE2B 8\n";

/// A mirror's layout that was read on the way.
pub(super) type LearnedLayout = (MirrorKey, String);

/// The layout of one mirror, as far as one call knows it. What the mirror was asked once, also in vain, is known
/// until the call ends.
pub(super) struct KnownLayout {
    mirror: MirrorBase,
    known: Mutex<Option<Result<LayoutConf, Failure>>>,
}

impl KnownLayout {
    /// Begins with what an earlier call has stored.
    pub(super) fn new(mirror: MirrorBase, state: &State) -> Self {
        let known = Mutex::new(stored_layout(state, &key(&mirror)).map(Ok));
        Self { mirror, known }
    }

    pub(super) fn mirror(&self) -> &MirrorBase {
        &self.mirror
    }

    /// The layout, or why the mirror is out of order; none while nobody knows.
    pub(super) fn get(&self) -> Option<Result<LayoutConf, Failure>> {
        // Whoever asks the mirror has the lock meanwhile.
        self.known.try_lock().ok()?.clone()
    }

    /// The layout. The mirror is asked for it unless it is known; one that has none is taken to have the usual one.
    pub(super) fn find(
        &self,
        agent: &mut Agent,
        learned: &Sender<LearnedLayout>,
    ) -> Result<LayoutConf, Failure> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*known {
            return known.clone();
        }
        let found = match ask_layout(&self.mirror, agent, learned) {
            Err(failure) if has_none(&failure) => Ok(usual_layout()),
            found => found,
        };
        let is_final = |failure: &Failure| {
            let later = matches!(failure, Failure::Status { code: 429, .. });
            *failure != Failure::Cancelled && !later && !matches!(failure.advice(), Advice::RetryAfter(_))
        };
        if found.as_ref().map_or_else(is_final, |_| true) {
            *known = Some(found.clone());
        }
        found
    }
}

/// The layout that a mirror without one is taken to have.
pub(super) fn usual_layout() -> LayoutConf {
    LayoutConf::parse(USUAL_LAYOUT).unwrap_or_default()
}

/// Whether a mirror that was asked for its layout has answered, and has none. Any other failure says that the mirror
/// is out of order.
fn has_none(failure: &Failure) -> bool {
    match failure {
        Failure::Status { code, .. } => *code < 500 && !matches!(code, 408 | 429),
        Failure::HtmlPage
        | Failure::TooLarge { .. }
        | Failure::TooManyRedirects(_)
        | Failure::RedirectRefused(_)
        | Failure::BadLocation(_) => true,
        _ => false,
    }
}

/// Asks a mirror for its layout.
pub(super) fn ask_layout(
    mirror: &MirrorBase,
    agent: &mut Agent,
    learned: &Sender<LearnedLayout>,
) -> Result<LayoutConf, Failure> {
    let none = Failure::Status { code: 404, retry_after: None };
    let url = Url::parse(&mirror.uri("layout.conf")).map_err(|_| none)?;
    let question = Question { refuse_html: true, ..Question::default() };
    let ask = Ask { time_left: Some(patience::LAYOUT), ..Ask::default() };
    let (_, answer) = agent.open(&url, &question, &ask)?;
    let text = read_text(answer.content, LAYOUT_LARGEST)?;
    let layout = LayoutConf::parse(&text).map_err(|_| Failure::HtmlPage)?;
    let _ = learned.send((key(mirror), text)); // the transfer may be over
    Ok(layout)
}

/// A mirror's layout as we have read it ourselves, not too long ago.
pub(super) fn stored_layout(state: &State, mirror: &MirrorKey) -> Option<LayoutConf> {
    let layout = state.mirror(mirror)?.layout.as_ref().filter(|layout| is_fresh(layout.at, LAYOUT_KEPT))?;
    LayoutConf::parse(&layout.value).ok()
}

/// A short content as text.
pub(super) fn read_text(mut content: crate::http::Content, largest: usize) -> Result<String, Failure> {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match content.read(&mut buffer)? {
            0 => return String::from_utf8(text).map_err(|_| Failure::HtmlPage),
            n => text.extend_from_slice(&buffer[..n]),
        }
        if text.len() > largest {
            return Err(Failure::TooLarge { limit: largest as u64 });
        }
    }
}

/// Whether what was learned `at` (UNIX seconds) is younger than so many seconds. What is from the future was written by a
/// clock that was wrong.
pub(super) fn is_fresh(at: u64, kept: u64) -> bool {
    super::environment::unix_now().checked_sub(at).is_some_and(|age| age < kept)
}
