//! Mirrors' layouts: what is known of them, and how they are asked for.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::commands::environment::unix_now;
use crate::commands::mirrors::key;
use crate::http::{Agent, Ask, Failure, Question, Url, read_text};
use crate::mirror::{MirrorKey, State};
use crate::patience;
use crate::portage::{Digests, Distfile, LayoutConf, MirrorBase};
use crate::transfer::batch::{Locate, Located};

/// A layout older than this is not relied on, in seconds.
pub(crate) const LAYOUT_KEPT: u64 = 7 * 24 * 3600;
/// The largest `layout.conf` that is read, in bytes.
pub(crate) const LAYOUT_LARGEST: usize = 64 * 1024;

/// `layout.conf` of the official mirrors, since 2023.
const USUAL_LAYOUT: &str = "[structure]\n0=filename-hash BLAKE2B 8\n";

/// The layout of one mirror, as far as one call knows it. What the mirror was asked once, also in vain, is known
/// until the call ends.
#[derive(Debug)]
pub(super) struct KnownLayout {
    mirror: MirrorBase,
    known: Mutex<Known>,
}

/// The layout; none when the mirror has answered that it has none. An error when it is out of order.
type Answer = Result<Option<LayoutConf>, Failure>;

#[derive(Debug, Default)]
struct Known {
    /// None while nobody knows.
    answer: Option<Answer>,
    /// What the mirror has told in this call.
    told: Option<String>,
}

impl KnownLayout {
    /// Begins with what an earlier call has stored.
    pub(super) fn new(mirror: MirrorBase, state: &State) -> Self {
        let stored = stored_layout(state, &key(&mirror));
        let known = Known { answer: stored.map(|layout| Ok(Some(layout))), told: None };
        Self { mirror, known: Mutex::new(known) }
    }

    pub(super) fn mirror(&self) -> &MirrorBase {
        &self.mirror
    }

    /// What is known without asking.
    pub(super) fn get(&self) -> Option<Answer> {
        // Whoever asks the mirror has the lock meanwhile.
        self.known.try_lock().ok()?.answer.clone()
    }

    /// What the mirror has told in this call.
    pub(super) fn told(&self) -> Option<String> {
        self.known.try_lock().ok()?.told.clone()
    }

    /// Asks the mirror unless it is known.
    pub(super) fn find(&self, agent: &mut Agent) -> Answer {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = &known.answer {
            return answer.clone();
        }
        let (text, _) = match Url::parse(&self.mirror.uri("layout.conf")) {
            Ok(url) => ask_layout(&url, agent, patience::LAYOUT),
            Err(_) => (Err(Failure::HtmlPage), None),
        };
        let answer = match text {
            Ok(text) => {
                let layout = LayoutConf::parse(&text).ok();
                known.told = Some(text);
                Ok(layout)
            }
            Err(failure) if has_none(&failure) => Ok(None),
            Err(failure) => Err(failure.of_layout()),
        };
        let may_change = |failure: &Failure| *failure == Failure::Cancelled || failure.rest().is_some();
        if !answer.as_ref().is_err_and(may_change) {
            known.answer = Some(answer.clone());
        }
        answer
    }

    /// Where the mirror has a file by that layout.
    pub(super) fn url(
        &self,
        layout: &LayoutConf,
        name: &Distfile,
        digests: &Digests,
    ) -> Result<Url, Failure> {
        let url = Url::parse(&self.mirror.uri(&layout.path(name.as_str(), digests)));
        url.map_err(|_| Failure::Status { code: 404, retry_after: None })
    }
}

impl Locate for KnownLayout {
    fn known(&self, name: &Distfile, digests: &Digests) -> Result<Located, Failure> {
        Ok(match self.get() {
            Some(answer) => Located::There(self.url(&answer?.unwrap_or_else(usual_layout), name, digests)?),
            None => Located::Perhaps(self.url(&usual_layout(), name, digests)?),
        })
    }

    fn find(&self, name: &Distfile, digests: &Digests, agent: &mut Agent) -> Result<Url, Failure> {
        let layout = self.find(agent)?.unwrap_or_else(usual_layout);
        self.url(&layout, name, digests)
    }
}

/// The layout that a mirror is taken to have which has told none.
pub(crate) fn usual_layout() -> LayoutConf {
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

/// Asks for the `layout.conf` at `url` and makes sure that it is one. Also says how long the answer took to begin, if one
/// did.
pub(crate) fn ask_layout(
    url: &Url,
    agent: &mut Agent,
    time: Duration,
) -> (Result<String, Failure>, Option<Duration>) {
    let question = Question { refuse_html: true, ..Question::default() };
    let ask = Ask { time_left: Some(time), ..Ask::default() };
    let answer = match agent.open(url, &question, &ask) {
        Ok((_, answer)) => answer,
        Err(failure) => return (Err(failure), None),
    };
    let first_byte = answer.head_time;
    // Portage takes any page for an empty layout, and then looks for every file in the wrong place.
    let is_layout = |text: String| LayoutConf::parse(&text).map(|_| text).map_err(|_| Failure::HtmlPage);
    (read_text(answer.content, LAYOUT_LARGEST).and_then(is_layout), Some(first_byte))
}

/// A mirror's layout as we have read it ourselves, not too long ago.
fn stored_layout(state: &State, mirror: &MirrorKey) -> Option<LayoutConf> {
    let layout = state.mirror(mirror)?.layout.as_ref().filter(|layout| is_fresh(layout.at, LAYOUT_KEPT))?;
    LayoutConf::parse(&layout.value).ok()
}

/// Whether what was learned `at` (UNIX seconds) is younger than so many seconds. What is from the future was written by a
/// clock that was wrong.
pub(crate) fn is_fresh(at: u64, kept: u64) -> bool {
    unix_now().checked_sub(at).is_some_and(|age| age < kept)
}
