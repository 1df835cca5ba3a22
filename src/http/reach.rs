//! Whether a server can be reached at all, and how far away it is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connector::Dial;
use super::deadlines::{Deadlines, Phase};
use super::settings::{AddressFamily, Settings};
use super::wire::WireLog;
use super::{Failure, Url};

/// Makes a TCP connection over addresses of that family, and closes it. Says how long that took, the name look-up
/// included, and which address it was.
#[expect(clippy::disallowed_methods, reason = "it measures a time")]
pub(crate) fn reach(
    settings: &Settings,
    url: &Url,
    family: AddressFamily,
    time: Duration,
) -> Result<(Duration, SocketAddr), Failure> {
    let settings = Settings { family, connect_timeout: time, ..settings.clone() };
    let log = Arc::new(WireLog::default());
    let start = Instant::now();
    log.begin(Deadlines::new(&settings, Some(time), start));
    log.enter(Phase::Connect);
    Dial { settings: Arc::new(settings), log: log.clone() }.dial(url)?;
    let (at, peer) = log.connection().ok_or(Failure::ConnectTimeout(time))?;
    Ok((at.saturating_duration_since(start), peer))
}
