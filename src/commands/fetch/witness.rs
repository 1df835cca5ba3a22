//! A mirror's `layout.conf`, and another mirror's as a witness: when that one answers and this one is silent, it is the
//! mirror and not the link, and nobody waits for it any longer.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, Scope};
use std::time::{Duration, Instant};

use super::Context;
use crate::commands::Interrupt;
use crate::commands::places::ask_layout;
use crate::http::{Agent, Canceller, Client, Failure, Settings, Url};
use crate::mirror::MirrorKey;
use crate::patience::{self, LAYOUT_ALONE, LAYOUT_SILENT};

/// What a mirror was asked, and what its witness has told beside it.
pub(super) struct Told {
    pub(super) layout: Result<String, Failure>,
    /// How long the answer took to begin, if one did.
    pub(super) first_byte: Option<Duration>,
    pub(super) witness: Option<(MirrorKey, String)>,
}

/// One who is asked.
#[derive(Clone, Copy)]
enum Who {
    Mirror,
    Witness,
}

type Answer = (Result<String, Failure>, Option<Duration>);

struct Questions<'c> {
    interrupt: &'c Interrupt,
    client: Client,
    time: Duration,
    /// For everybody who has been asked.
    cancellers: Arc<Mutex<Vec<Canceller>>>,
    answers: Sender<(Who, Answer)>,
}

/// Asks the mirror for the layout at `url`. `witness` names another mirror, and where it has its own, when one is needed.
pub(super) fn ask(context: &Context, url: &Url, witness: impl FnOnce() -> Option<(MirrorKey, Url)>) -> Told {
    let time = context.options.limits.max_time.map_or(patience::LAYOUT, |limit| limit.min(patience::LAYOUT));
    let settings = context.client.settings();
    let connect_timeout = settings.connect_timeout.min(patience::LAYOUT_CONNECT);
    let client = Client::new(Settings { connect_timeout, ..settings.clone() });
    let (answers, heard) = mpsc::channel();
    let questions =
        Questions { interrupt: context.interrupt, client, time, cancellers: Arc::default(), answers };
    std::thread::scope(|scope| {
        let Some(mirror) = questions.ask(scope, Who::Mirror, url) else {
            let mut agent = questions.agent();
            let (layout, first_byte) = ask_layout(url, &mut agent, time);
            return Told { layout, first_byte, witness: None };
        };
        let began = now();
        let mut silence = LAYOUT_ALONE;
        let (mut witness, mut key, mut told) = (Some(witness), None, None);
        let (layout, first_byte) = loop {
            match heard.recv_timeout(silence.saturating_sub(began.elapsed())) {
                Ok((Who::Mirror, answer)) => break answer,
                Ok((Who::Witness, (Ok(text), _))) => {
                    told = key.take().map(|key| (key, text));
                    silence = LAYOUT_ALONE;
                }
                Ok((Who::Witness, (Err(_), _))) => {} // it proves nothing
                Err(RecvTimeoutError::Timeout) if told.is_some() => {
                    let waited = began.elapsed();
                    let is_silent = match mirror.connected_at() {
                        None => Some(Failure::ConnectTimeout(waited)),
                        Some(_) => (waited >= LAYOUT_SILENT).then_some(Failure::Stalled(waited)),
                    };
                    match is_silent {
                        Some(failure) => break (Err(failure), None),
                        None => silence = LAYOUT_SILENT,
                    }
                }
                Err(RecvTimeoutError::Timeout) if began.elapsed() > time + patience::STOPPED => {
                    break (Err(Failure::TimeUp(time)), None); // its thread has ended without a word
                }
                Err(RecvTimeoutError::Timeout) => {
                    silence = time.max(began.elapsed()) + patience::PULSE; // its own limit ends it
                    if let Some((of, url)) = witness.take().and_then(|witness| witness()) {
                        key = Some(of);
                        questions.ask(scope, Who::Witness, &url);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => break (Err(Failure::TimeUp(time)), None),
            }
        };
        questions.cancel();
        Told { layout, first_byte, witness: told }
    })
}

impl Questions<'_> {
    /// Asks on a thread; none when there is no thread to be had.
    fn ask<'scope>(&self, scope: &'scope Scope<'scope, '_>, who: Who, url: &Url) -> Option<Canceller> {
        let mut agent = self.agent();
        let canceller = agent.canceller();
        let (url, time, answers) = (url.clone(), self.time, self.answers.clone());
        let run = move || {
            let _ = answers.send((who, ask_layout(&url, &mut agent, time))); // nobody may be waiting any longer
        };
        Builder::new().spawn_scoped(scope, run).ok().map(|_| canceller)
    }

    /// One that a signal ends.
    fn agent(&self) -> Agent {
        let agent = self.client.agent();
        self.cancellers.lock().unwrap_or_else(PoisonError::into_inner).push(agent.canceller());
        let all = self.cancellers.clone();
        self.interrupt.set_hook(move |_| cancel(&all));
        agent
    }

    fn cancel(&self) {
        cancel(&self.cancellers);
    }
}

fn cancel(cancellers: &Mutex<Vec<Canceller>>) {
    for canceller in cancellers.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        canceller.cancel();
    }
}

#[expect(clippy::disallowed_methods, reason = "whoever waits has a clock")]
fn now() -> Instant {
    Instant::now()
}
