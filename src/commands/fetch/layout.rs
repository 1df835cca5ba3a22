//! A mirror's `layout.conf`: asked of that mirror alone, within a short time, and remembered.

use std::path::Path;

use super::candidates::{LAYOUT_KEPT, LAYOUT_LARGEST, is_fresh, read_text};
use super::settings::LAYOUT_BUDGET;
use super::show::Show;
use super::{Context, Ended, folder_of, status};
use crate::cli::ExitStatus;
use crate::commands::environment::unix_now;
use crate::http::{Ask, Client, Failure, Question, Settings, Url};
use crate::mirror::{Attempt, Delta, MirrorKey, Outcome, Store};
use crate::portage::LayoutConf;
use crate::transfer::sink::open_output;

/// Younger than this, a layout is given out without asking, in seconds. Portage itself asks once a day.
const FRESH: u64 = 24 * 3600;

/// Writes the layout of the mirror at `url` to `path`.
pub(super) fn run(context: &Context, url: &Url, path: &Path, show: &mut Show) -> Ended {
    let text = url.to_string();
    let base = text.strip_suffix("/distfiles/layout.conf").unwrap_or(&text);
    let key = MirrorKey::new(base);
    let folder = folder_of(path);
    let given = context.options.distfile.state.as_deref();
    let store = context.environment.store(&context.call, given, Some(folder));
    let state = store.as_ref().map(Store::load).map(|(state, _)| state).unwrap_or_default();
    let known = state.mirror(&key).and_then(|mirror| mirror.layout.clone());
    if let Some(layout) = known.as_ref().filter(|layout| is_fresh(layout.at, FRESH)) {
        return write(path, &layout.value);
    }
    let now = unix_now();
    let (fetched, first_byte) = fetch(context, url);
    let outcome = match &fetched {
        Ok(_) => Outcome::Success,
        Err(failure) => Outcome::Failure { kind: super::record::kind(failure), retry_after: None },
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
    if let Ok(text) = &fetched {
        deltas.push(Delta::Layout { mirror: key, at: now, text: text.clone() });
    }
    if let Some(Err(error)) = store.map(|store| store.apply(&deltas, now)) {
        show.warn(&error.to_string());
    }
    match (fetched, known.filter(|layout| is_fresh(layout.at, LAYOUT_KEPT))) {
        (Ok(text), _) => write(path, &text),
        (Err(failure), Some(layout)) if !failure.is_not_found() => {
            let days = now.saturating_sub(layout.at) / (24 * 3600);
            show.warn(&format!("{url}: {failure}; its layout of {days} days ago is used"));
            write(path, &layout.value)
        }
        (Err(failure), _) => {
            let advice = status::advice(&failure).map(|advice| format!("; {advice}")).unwrap_or_default();
            Ended::failed(status::of(&failure), format!("{url}: {failure}{advice}"))
        }
    }
}

fn fetch(context: &Context, url: &Url) -> (Result<String, Failure>, Option<std::time::Duration>) {
    let (connect, all) = LAYOUT_BUDGET;
    let settings = context.client.settings();
    let settings = Settings {
        connect_timeout: settings.connect_timeout.min(connect),
        head_timeout: all,
        ..settings.clone()
    };
    let mut agent = Client::new(settings).agent();
    let canceller = agent.canceller();
    context.interrupt.set_hook(move |_| canceller.cancel());
    let question = Question { refuse_html: true, ..Question::default() };
    let ask = Ask { time_left: Some(all), ..Ask::default() };
    let (_, answer) = match agent.open(url, &question, &ask) {
        Ok(answer) => answer,
        Err(failure) => return (Err(failure), None),
    };
    let first_byte = answer.head_time;
    let text = read_text(answer.content, LAYOUT_LARGEST).ok_or(Failure::Truncated);
    // Portage takes any page for an empty layout, and then looks for every file in the wrong place.
    let checked = text.and_then(|text| LayoutConf::parse(&text).map(|_| text).map_err(|_| Failure::HtmlPage));
    (checked, Some(first_byte))
}

fn write(path: &Path, text: &str) -> Ended {
    let written = open_output(path, false).map_err(|error| error.to_string()).and_then(|mut file| {
        use std::io::Write;
        file.write_all(text.as_bytes()).map_err(|error| format!("{}: {error}", path.display()))
    });
    match written {
        Ok(()) => Ended::ok(),
        Err(error) => Ended::failed(ExitStatus::WriteError, error),
    }
}
