//! A signal that asks the process to end, and whoever has to hear of it.
//!
//! The process tidies up and then ends by that very signal, not with an exit status that stands for it: a shell that
//! runs a script goes on with the next command after any status, also 130, and ends only when its command was killed.
//! Whatever takes longer than [`LAST_WORDS`] is not waited for.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::patience::{LAST_WORDS, PARENT_CHECK};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag::register_conditional_default;
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use super::Environment;
use super::caller::Caller;

type Hook = Box<dyn Fn(i32) + Send>;

#[derive(Default)]
pub struct Interrupt {
    number: AtomicI32,
    hook: Mutex<Option<Hook>>,
}

impl Interrupt {
    /// Signals that end the process are heard by whatever is going on, so that figures are recorded. What the caller
    /// ignores (`nohup`, `trap '' INT`) stays ignored.
    pub fn of_signals() -> Arc<Self> {
        let interrupt = Arc::new(Self::default());
        let ignored = ignored(&fs::read_to_string("/proc/self/status").unwrap_or_default());
        let heeded: Vec<i32> =
            [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|n| !ignored.contains(n)).collect();
        let Ok(mut signals) = Signals::new(&heeded) else { return interrupt };
        let heard = interrupt.clone();
        let hear = move || {
            for number in signals.forever() {
                heard.raise(number);
                end_later(number);
            }
        };
        if thread::Builder::new().name("signals".to_owned()).spawn(hear).is_err() {
            // Nobody would hear them: they end the process at once.
            let always = Arc::new(AtomicBool::new(true));
            for number in heeded {
                let _ = register_conditional_default(number, always.clone()); // it has a handler by now
            }
        }
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
            end_later(SIGTERM);
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

/// Ends the process by that signal. Returns only where the system refuses it.
pub fn end_by(number: i32) {
    let _ = emulate_default_handler(number);
}

/// Ends the process by that signal, unless it has ended by itself before.
#[expect(clippy::disallowed_methods, reason = "the rest of the process is tidying up meanwhile")]
fn end_later(number: i32) {
    thread::sleep(LAST_WORDS);
    end_by(number);
}

/// The numbers of the signals that a process ignores, by its `/proc/PID/status` (proc(5)).
fn ignored(status: &str) -> Vec<i32> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    (1..=64).filter(|number| mask >> (number - 1) & 1 == 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored() {
        let status = "Name:\tracefetch\nSigBlk:\t0000000000004000\nSigIgn:\t8000000000001003\nSigCgt:\t0\n";
        assert_eq!(ignored(status), [SIGHUP, SIGINT, 13, 64]);
        for text in ["", "SigIgn:\tno number\n", "SigIgn:"] {
            assert!(ignored(text).is_empty(), "{text}");
        }
    }
}
