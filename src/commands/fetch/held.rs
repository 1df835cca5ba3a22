//! One process at a file at a time: waiting for one's turn.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use super::Context;
use crate::cli::ExitStatus;
use crate::commands::ended::{Ended, signal_status};
use crate::commands::show::Show;
use crate::patience::WAIT_UNSAID;
use crate::progress::duration;
use crate::transfer::sink::{Hold, Other};

/// Waits until no other process writes to the file, and says how long that took. Within `-m`.
pub(super) fn held(context: &Context, path: &Path, show: &mut Show) -> Result<(Hold, Duration), Ended> {
    let time = context.options.limits.max_time;
    let mut is_said = false;
    let mut look = |waited: Duration, other: &Other| {
        if waited >= WAIT_UNSAID && !std::mem::replace(&mut is_said, true) {
            show.warn(&format!("{}: {other} is at it: waiting", path.display()));
        }
        match context.interrupt.number() {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        }
    };
    if let Some((hold, waited)) = Hold::wait_for(path, time, &mut look) {
        if let Some(note) = hold.note() {
            show.warn(note);
        }
        return Ok((hold, waited));
    }
    let path = path.display();
    Err(match (context.interrupt.number(), time) {
        (None, Some(time)) => {
            let time = duration(time);
            let error = format!("{path}: time is up ({time}): another process was at it; see --max-time");
            Ended::failed(ExitStatus::OperationTimedout, error)
        }
        (number, _) => {
            Ended::failed(signal_status(number.unwrap_or_default()), format!("{path}: interrupted"))
        }
    })
}
