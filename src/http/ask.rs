//! One question to a server, beyond what holds for every request.

use std::time::Duration;

use super::response::Question;

/// What is asked of one URL, beyond the settings.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// The value of `Range`, for instance `bytes=0-99`.
    pub range: Option<String>,
    /// The value of `If-Range`.
    pub if_range: Option<String>,
    /// The value of `If-Modified-Since` or `If-Unmodified-Since`, with the field's name.
    pub condition: Option<(&'static str, String)>,
    /// Caches on the way shall not answer with what they hold (`Cache-Control: no-cache`).
    pub anew: bool,
    /// Time left for all of it, content included.
    pub time_left: Option<Duration>,
}

impl Ask {
    /// Asks for the bytes of a question.
    pub fn bytes(question: &Question) -> Self {
        let range = match (question.first, question.end) {
            (0, None) => None,
            (first, None) => Some(format!("bytes={first}-")),
            (first, Some(end)) => Some(format!("bytes={first}-{}", end.saturating_sub(1))),
        };
        Self { range, ..Self::default() }
    }
}
