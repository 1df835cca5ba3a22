//! A mirror's `layout.conf`: asked of that mirror, within a short time, and remembered.

use std::io::Write;
use std::path::Path;

use super::witness::{self, Told};
use super::{Context, status};
use crate::cli::ExitStatus;
use crate::commands::ended::{Ended, signal_status};
use crate::commands::environment::unix_now;
use crate::commands::figures;
use crate::commands::mirrors::{key as mirror_key, mirrors_for};
use crate::commands::places::{LAYOUT_KEPT, is_fresh};
use crate::commands::show::Show;
use crate::files::{self, Existing, folder_of};
use crate::http::Url;
use crate::mirror::stats::Dated;
use crate::mirror::{Attempt, Delta, FileKey, MirrorKey, Outcome, State};
use crate::portage::MirrorBase;
use crate::transfer::sink::SinkError;

/// A layout younger than this is given out without asking the mirror, in seconds. Portage itself asks once a
/// day.
const FRESH: u64 = 24 * 3600;

/// How long a mirror that has no layout is not asked for it again, in seconds.
const LACKS_FOR: u64 = 600;

/// Writes the layout of the mirror at `url` to `path`.
pub(super) fn run(context: &Context, url: &Url, path: &Path, show: &mut Show) -> Ended {
    let text = url.to_string();
    let base = text.strip_suffix("/distfiles/layout.conf").unwrap_or(&text);
    let key = MirrorKey::new(base);
    let folder = folder_of(path);
    let given = context.options.distfile.state.as_deref();
    let store = context.environment.store(&context.call, given, Some(folder));
    let now = unix_now();
    let state = figures::load(store.as_ref(), folder, now, show);
    let known = state.mirror(&key).and_then(|mirror| mirror.layout.clone());
    if let Some(layout) = known.as_ref().filter(|layout| is_fresh(layout.at, FRESH)) {
        return write(path, &layout.value);
    }
    let file = FileKey::new("layout.conf", None);
    if state.lacks(&key, &file, now) {
        return Ended::failed(
            ExitStatus::HttpReturnedError,
            format!("{url}: {} (asked a moment ago)", state.answer(&key, &file, now).unwrap_or("not there")),
        );
    }
    let cool_down = state.cool_down_left(&key, now);
    if cool_down > 0 {
        // It failed a moment ago. Portage asks again for every single file.
        let why = format!(
            "{url}: not asked, the mirror has failed a moment ago and is left alone for {cool_down} s"
        );
        return stale(path, known.as_ref(), now, &why, show)
            .unwrap_or_else(|| Ended::failed(ExitStatus::CouldntConnect, why));
    }
    let witness = || witness(context, url, &key, &state, now);
    let Told { layout: fetched, first_byte, witness } = witness::ask(context, url, witness);
    if let Some(number) = context.interrupt.number() {
        return Ended::failed(signal_status(number), format!("{url}: interrupted"));
    }
    let outcome = match &fetched {
        Ok(_) => Outcome::Success,
        Err(failure) if failure.is_of_proxy() => Outcome::Interrupted,
        Err(failure) => Outcome::Failure { kind: crate::commands::record::kind(failure), retry_after: None },
    };
    let mut deltas = vec![Delta::Attempt(Attempt {
        mirror: key.clone(),
        at: now,
        outcome,
        bytes_kept: fetched.as_ref().map_or(0, |text| text.len() as u64),
        bytes_wasted: 0,
        first_byte,
        rate: None,
    })];
    match &fetched {
        Ok(text) => deltas.push(Delta::Layout { mirror: key, at: now, text: text.clone() }),
        Err(failure) if failure.is_not_found() => {
            let answer = failure.to_string();
            deltas.push(Delta::Lacks { mirror: key, file, at: now, lasts: LACKS_FOR, answer });
        }
        Err(_) => {}
    }
    deltas.extend(witness.map(|(mirror, text)| Delta::Layout { mirror, at: now, text }));
    figures::keep(store.as_ref(), &deltas, folder, now, show);
    let failure = match fetched {
        Ok(text) => return write(path, &text),
        Err(failure) => failure,
    };
    let known = known.as_ref().filter(|_| !failure.is_not_found());
    stale(path, known, now, &format!("{url}: {failure}"), show).unwrap_or_else(|| {
        let advice = status::advice(&failure, false).map(|advice| format!("; {advice}")).unwrap_or_default();
        Ended::failed(status::of(&failure), format!("{url}: {failure}{advice}"))
    })
}

/// Uses the layout of some days ago, if there is one, and warns.
fn stale(path: &Path, known: Option<&Dated<String>>, now: u64, why: &str, show: &mut Show) -> Option<Ended> {
    let layout = known.filter(|layout| is_fresh(layout.at, LAYOUT_KEPT))?;
    let days = now.saturating_sub(layout.at) / (24 * 3600);
    show.warn(&format!("{why}; its layout of {days} days ago is used"));
    Some(write(path, &layout.value))
}

/// Another mirror of the call, if possible one whose layout is not known, and where it has it.
fn witness(
    context: &Context,
    url: &Url,
    key: &MirrorKey,
    state: &State,
    now: u64,
) -> Option<(MirrorKey, Url)> {
    let given = context.options.distfile.mirrors.as_deref();
    let mirrors = mirrors_for(&url.to_string(), given, &context.call, || context.configuration());
    let of = |base: &MirrorBase| Some((mirror_key(base), Url::parse(&base.uri("layout.conf")).ok()?));
    let others = mirrors.iter().filter_map(of).filter(|(other, place)| {
        other != key && place.authority() != url.authority() && state.cool_down_left(other, now) == 0
    });
    // One whose answer is not wanted serves as well.
    let is_known = |other: &MirrorKey| {
        let layout = state.mirror(other).and_then(|known| known.layout.as_ref());
        layout.is_some_and(|layout| is_fresh(layout.at, FRESH))
    };
    others.min_by_key(|(other, _)| is_known(other))
}

fn write(path: &Path, text: &str) -> Ended {
    let written = files::open_output(path, Existing::Empty);
    match written.and_then(|mut file| file.write_all(text.as_bytes())) {
        Ok(()) => Ended::ok(),
        Err(error) => Ended::failed(ExitStatus::WriteError, SinkError::new(path, &error).to_string()),
    }
}
