//! Mirrors' layouts: what is known of them, and how they are asked for.

use std::sync::mpsc::Sender;

use super::mirrors::key;
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

/// Asks a mirror for its layout.
pub(super) fn ask_layout(
    mirror: &MirrorBase,
    agent: &mut Agent,
    learned: &Sender<LearnedLayout>,
) -> Option<LayoutConf> {
    let url = Url::parse(&mirror.uri("layout.conf")).ok()?;
    let question = Question { refuse_html: true, ..Question::default() };
    let ask = Ask { time_left: Some(patience::LAYOUT), ..Ask::default() };
    let (_, answer) = agent.open(&url, &question, &ask).ok()?;
    let text = read_text(answer.content, LAYOUT_LARGEST).ok()?;
    let layout = LayoutConf::parse(&text).ok()?;
    let _ = learned.send((key(mirror), text)); // the transfer may be over
    Some(layout)
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

pub(super) fn is_fresh(at: u64, kept: u64) -> bool {
    super::environment::unix_now().saturating_sub(at) < kept
}
