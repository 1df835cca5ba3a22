//! Which proxy is used.

use super::Effect::{Sets, Turns};
#[cfg(test)]
use super::Example;
use super::Help::{Common, Full};
use super::{Entry, set_some, switch, value};
use crate::cli::UsageError;
use crate::cli::argument::Argument;
use crate::cli::builder::Builder;
use crate::cli::proxy::ProxyArgument;
use crate::cli::values;
use crate::http::settings::ProxyKind;

pub(super) static ENTRIES: &[Entry] = &[
    Entry {
        spelling: value("noproxy", "hosts"),
        help: Full("hosts to reach without a proxy"),
        effect: Sets(|b, a| set_some(&mut b.options.proxy.noproxy, a.text().map(str::to_owned))),
        #[cfg(test)]
        example: Example::Sets("--noproxy a,b", |o| o.proxy.noproxy.as_deref() == Some("a,b")),
    },
    Entry {
        spelling: value("proxy", "proxy").short('x'),
        help: Common("[scheme://][user:password@]host[:port]; http, https or socks4, 4a, 5, 5h"),
        // An empty one is no proxy at all.
        effect: Sets(|b, a| set_some(&mut b.options.proxy.proxy, argument(a.text(), ProxyKind::Http))),
        #[cfg(test)]
        example: Example::Sets("-x p:1", |o| o.proxy.proxy == argument(Ok("p:1"), ProxyKind::Http).ok()),
    },
    Entry {
        spelling: value("proxy1.0", "host:port"),
        help: Full("HTTP proxy; it is spoken to with HTTP/1.1"),
        effect: Sets(|b, a| through(b, a, ProxyKind::Http)),
        #[cfg(test)]
        example: Example::Sets("--proxy1.0 p", |o| o.proxy.proxy == argument(Ok("p"), ProxyKind::Http).ok()),
    },
    Entry {
        spelling: switch("proxytunnel").short('p'),
        help: Full("tunnel through the HTTP proxy (CONNECT) for http too"),
        effect: Turns(|o| &mut o.proxy.tunnel),
        #[cfg(test)]
        example: Example::Sets("-p", |o| o.proxy.tunnel),
    },
    Entry {
        spelling: value("proxy-user", "user:password").short('U'),
        help: Full("credentials for the proxy"),
        effect: Sets(|b, a| {
            b.options.secrets.push(a.value.to_owned());
            set_some(&mut b.options.proxy.credentials, a.read(values::credentials))
        }),
        #[cfg(test)]
        example: Example::Sets("-U u:p", |o| o.proxy.credentials.as_ref().is_some_and(|c| c.user == "u")),
    },
    Entry {
        spelling: value("socks4", "host[:port]"),
        help: Full("SOCKS4 proxy"),
        effect: Sets(|b, a| through(b, a, ProxyKind::Socks4)),
        #[cfg(test)]
        example: Example::Sets("--socks4 p", |o| o.proxy.proxy == argument(Ok("p"), ProxyKind::Socks4).ok()),
    },
    Entry {
        spelling: value("socks4a", "host[:port]"),
        help: Full("SOCKS4a proxy: it resolves the name"),
        effect: Sets(|b, a| through(b, a, ProxyKind::Socks4a)),
        #[cfg(test)]
        example: Example::Sets("--socks4a p", |o| {
            o.proxy.proxy == argument(Ok("p"), ProxyKind::Socks4a).ok()
        }),
    },
    Entry {
        spelling: value("socks5", "host[:port]"),
        help: Full("SOCKS5 proxy"),
        effect: Sets(|b, a| through(b, a, ProxyKind::Socks5)),
        #[cfg(test)]
        example: Example::Sets("--socks5 p", |o| o.proxy.proxy == argument(Ok("p"), ProxyKind::Socks5).ok()),
    },
    Entry {
        spelling: value("socks5-hostname", "host[:port]"),
        help: Full("SOCKS5 proxy: it resolves the name"),
        effect: Sets(|b, a| through(b, a, ProxyKind::Socks5h)),
        #[cfg(test)]
        example: Example::Sets("--socks5-hostname p", |o| {
            o.proxy.proxy == argument(Ok("p"), ProxyKind::Socks5h).ok()
        }),
    },
];

fn through(builder: &mut Builder<'_>, given: Argument<'_>, kind: ProxyKind) -> Result<(), UsageError> {
    set_some(&mut builder.options.proxy.proxy, argument(given.filled_text(), kind))
}

fn argument(text: Result<&str, UsageError>, kind: ProxyKind) -> Result<ProxyArgument, UsageError> {
    Ok(ProxyArgument { value: text?.to_owned(), kind })
}
