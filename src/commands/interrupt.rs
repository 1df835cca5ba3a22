//! A signal that asks the process to end, and whoever has to hear of it.

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, PoisonError};

type Hook = Box<dyn Fn(i32) + Send>;

#[derive(Default)]
pub struct Interrupt {
    number: AtomicI32,
    hook: Mutex<Option<Hook>>,
}

impl Interrupt {
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
