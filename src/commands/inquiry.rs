//! A short question to a mirror: one small file, within a short time.

use super::{CommandError, Environment, settings};
use crate::cli::options::{FetchOptions, NetworkOptions};
use crate::http::settings::{AddressFamily, Redirects};
use crate::http::{Ask, Client, Failure, Url};
use crate::patience::{INQUIRY, INQUIRY_CONNECT};

/// What came back.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) status: u16,
    pub(super) content: Vec<u8>,
    /// The server's clock, in UNIX seconds.
    pub(super) date: Option<i64>,
}

/// Asks like a fetch would: with the proxies, the authorities and the resolver of this system.
pub(super) struct Inquirer {
    client: Client,
}

impl Inquirer {
    /// `family` restricts the addresses that are used.
    pub(super) fn new(environment: &Environment, family: AddressFamily) -> Result<Self, CommandError> {
        let options = FetchOptions {
            redirects: Redirects { follow: true, ..Redirects::default() },
            network: NetworkOptions {
                family,
                connect_timeout: Some(INQUIRY_CONNECT),
                ..NetworkOptions::default()
            },
            ..FetchOptions::default()
        };
        Ok(Self { client: Client::new(settings::build(&options, environment)?) })
    }

    /// Gets at most `largest` bytes of a file. Any status is an answer.
    pub(super) fn get(&self, url: &Url, largest: u64) -> Result<Told, Failure> {
        let mut agent = self.client.agent();
        let ask = Ask { anew: true, time_left: Some(INQUIRY), ..Ask::default() };
        let mut answer = agent.ask(url, &ask)?;
        let date = answer.exchanges.last().and_then(|exchange| exchange.field("date"));
        let date = date.and_then(crate::http::date::parse);
        let (mut content, mut buffer) = (Vec::new(), [0; 4096]);
        while (content.len() as u64) < largest {
            match answer.content.read(&mut buffer)? {
                0 => break,
                read => content.extend_from_slice(&buffer[..read]),
            }
        }
        content.truncate(usize::try_from(largest).unwrap_or(usize::MAX));
        Ok(Told { status: answer.head.status, content, date })
    }
}

/// UNIX seconds, signed as dates are.
pub(super) fn now() -> i64 {
    i64::try_from(super::environment::unix_now()).unwrap_or(i64::MAX)
}
