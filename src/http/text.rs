//! Short texts, as `layout.conf` is one.

use super::{Content, Failure};

/// A short content as text. What is no UTF-8 is no answer to a question for a text, but somebody's page.
pub(crate) fn read_text(mut content: Content, largest: usize) -> Result<String, Failure> {
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
