//! A signal that asks the process to end, and whoever has to hear of it.

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::patience::PARENT_CHECK;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::Environment;
use super::caller::Caller;

type Hook = Box<dyn Fn(i32) + Send>;

#[derive(Default)]
pub struct Interrupt {
    number: AtomicI32,
    hook: Mutex<Option<Hook>>,
}

impl Interrupt {
    /// Signals that end the process are heard by whatever is going on, so that figures are recorded and the
    /// exit status is the usual one.
    pub fn of_signals() -> Arc<Self> {
        let interrupt = Arc::new(Self::default());
        let Ok(mut signals) = Signals::new([SIGINT, SIGTERM, SIGHUP]) else { return interrupt };
        let heard = interrupt.clone();
        // Without a thread signals end the process in the usual way.
        let _ = thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for number in signals.forever() {
                heard.raise(number);
            }
        });
        interrupt
    }

    /// The same, and the end of Portage counts as a signal: it waits for its fetch command, and when it has
    /// gone, nobody wants the files any longer.
    #[expect(clippy::disallowed_methods, reason = "nothing tells when a parent ends")]
    pub fn of_fetch(environment: &Environment) -> Arc<Self> {
        let interrupt = Self::of_signals();
        if !environment.portage_call().is_fetch_phase() {
            return interrupt;
        }
        let caller = Caller::find();
        let heard = interrupt.clone();
        // Without a thread the transfer ends by itself.
        let _ = thread::Builder::new().name("parent".to_owned()).spawn(move || {
            while !caller.has_gone() {
                thread::sleep(PARENT_CHECK);
            }
            heard.raise(SIGTERM);
        });
        interrupt
    }

    /// The signal came.
    pub fn raise(&self, number: i32) {
        self.number.store(number, Ordering::SeqCst);
        if let Some(hook) = &*self.hook.lock().unwrap_or_else(PoisonError::into_inner) {
            hook(number);
        }
    }

    /// The number of the signal that came, if one did.
    pub fn number(&self) -> Option<i32> {
        Some(self.number.load(Ordering::SeqCst)).filter(|number| *number != 0)
    }

    /// What to do when a signal comes, in place of what was to be done before.
    pub fn set_hook(&self, hook: impl Fn(i32) + Send + 'static) {
        *self.hook.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(hook));
        if let Some(number) = self.number() {
            self.raise(number);
        }
    }
}
