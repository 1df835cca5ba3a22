//! Which addresses are connected to, and from where.

use super::Effect::Sets;
#[cfg(test)]
use super::Example;
use super::Help::{Common, Full};
use super::{Entry, flag, set, set_some, value};
use crate::cli::UsageError;
use crate::cli::argument::Argument;
use crate::cli::builder::Builder;
use crate::cli::exit::ExitStatus;
use crate::cli::values::{Complaint, is_digits};
use crate::http::settings::{AddressFamily, Interface, ResolveEntry};
use std::net::IpAddr;

pub(super) static ENTRIES: &[Entry] = &[
    Entry {
        spelling: value("interface", "name"),
        help: Full("connect from this device or address"),
        effect: Sets(|b, a| set_some(&mut b.options.network.interface, a.read(interface))),
        #[cfg(test)]
        example: Example::Sets("--interface eth0", |o| {
            o.network.interface == Some(Interface::Device("eth0".to_owned()))
        }),
    },
    Entry {
        spelling: flag("ipv4").short('4'),
        help: Common("use IPv4 addresses only"),
        effect: Sets(|b, _| set(&mut b.options.network.family, Ok(AddressFamily::Ipv4))),
        #[cfg(test)]
        example: Example::Sets("-4", |o| o.network.family == AddressFamily::Ipv4),
    },
    Entry {
        spelling: flag("ipv6").short('6'),
        help: Common("use IPv6 addresses only"),
        effect: Sets(|b, _| set(&mut b.options.network.family, Ok(AddressFamily::Ipv6))),
        #[cfg(test)]
        example: Example::Sets("-6", |o| o.network.family == AddressFamily::Ipv6),
    },
    Entry {
        spelling: value("resolve", "host:port:addr[,addr]"),
        help: Full("addresses to use for this host and port"),
        effect: Sets(add_or_remove),
        #[cfg(test)]
        example: Example::Sets("--resolve a:80:::1", |o| o.network.resolve.len() == 1),
    },
];

/// `--resolve`: of a host and port the last entry counts.
fn add_or_remove(builder: &mut Builder<'_>, argument: Argument<'_>) -> Result<(), UsageError> {
    let malformed = |what: Complaint| {
        let word = argument.word;
        UsageError::with_status(ExitStatus::SetoptOptionSyntax, format_args!("option {word}: {what}"))
    };
    let entries = &mut builder.options.network.resolve;
    match resolve(argument.text()?).map_err(malformed)? {
        Resolve::Remove { host, port } => entries.retain(|e| (&e.host, e.port) != (&host, port)),
        Resolve::Add(entry) => {
            entries.retain(|e| (&e.host, e.port) != (&entry.host, entry.port));
            entries.push(entry);
        }
    }
    Ok(())
}

/// What `--resolve` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Resolve {
    Add(ResolveEntry),
    /// `-HOST:PORT` takes back what stood before.
    Remove {
        host: Option<String>,
        port: u16,
    },
}

/// `--resolve [+]HOST:PORT:ADDRESS[,ADDRESS]...` or `-HOST:PORT`. A `+` makes an entry expire, which
/// does not matter within one call.
fn resolve(text: &str) -> Result<Resolve, Complaint> {
    let wrong = || format!("{text:?} is not HOST:PORT:ADDRESS[,ADDRESS]");
    let (removes, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (host, rest) = match rest.strip_prefix('[') {
        Some(inner) => inner.split_once("]:"),
        None => rest.split_once(':'),
    }
    .ok_or_else(wrong)?;
    let (port, addresses) = rest.split_once(':').unwrap_or((rest, ""));
    let port: u16 = port.parse().ok().filter(|_| is_digits(port)).ok_or_else(wrong)?;
    if host.is_empty() {
        return Err(wrong());
    }
    let host = (host != "*").then(|| host.to_ascii_lowercase());
    if removes {
        return Ok(Resolve::Remove { host, port });
    }
    let addresses = addresses.split(',').map(|a| address(a).ok_or_else(wrong)).collect::<Result<_, _>>()?;
    Ok(Resolve::Add(ResolveEntry { host, port, addresses }))
}

/// `--interface`: a device, an address, `if!DEVICE`, `host!ADDRESS` or `ifhost!DEVICE!ADDRESS`.
fn interface(text: &str) -> Result<Interface, Complaint> {
    let host =
        |text: &str| address(text).ok_or_else(|| format!("{text:?} is not an IP address of this machine"));
    let device = |text: &str| {
        let plain = !text.is_empty() && text.len() < 16 && !text.contains(['/', '!']);
        plain.then(|| text.to_owned()).ok_or_else(|| format!("{text:?} is not the name of a network device"))
    };
    if let Some(both) = text.strip_prefix("ifhost!") {
        let (name, address) = both.split_once('!').ok_or("write ifhost!DEVICE!ADDRESS")?;
        return Ok(Interface::DeviceAndAddress(device(name)?, host(address)?));
    }
    if let Some(name) = text.strip_prefix("if!") {
        return device(name).map(Interface::Device);
    }
    if let Some(address) = text.strip_prefix("host!") {
        return host(address).map(Interface::Address);
    }
    address(text)
        .map_or_else(|| device(text).map(Interface::Device), |address| Ok(Interface::Address(address)))
}

/// An IP address, with or without the brackets of URLs.
fn address(text: &str) -> Option<IpAddr> {
    text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolve_entries() {
        let add = |host: Option<&str>, port, addresses: &[&str]| {
            let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
            Ok(Resolve::Add(ResolveEntry { host: host.map(str::to_owned), port, addresses }))
        };
        assert_eq!(resolve("A.example:80:127.0.0.1"), add(Some("a.example"), 80, &["127.0.0.1"]));
        assert_eq!(resolve("+*:443:[::1],10.0.0.1"), add(None, 443, &["::1", "10.0.0.1"]));
        assert_eq!(resolve("[::1]:80:127.0.0.1"), add(Some("::1"), 80, &["127.0.0.1"]));
        assert_eq!(resolve("-a:80"), Ok(Resolve::Remove { host: Some("a".into()), port: 80 }));
        for text in [
            "",
            "a",
            "a:80",
            "a:80:",
            "a:x:1.1.1.1",
            "a:+80:1.1.1.1",
            ":80:1.1.1.1",
            "a:80:b",
            "a:99999:1.1.1.1",
        ] {
            assert!(resolve(text).is_err(), "{text}");
        }
    }

    #[test]
    fn interfaces() {
        assert_eq!(interface("eth0"), Ok(Interface::Device("eth0".into())));
        assert_eq!(interface("if!eth0"), Ok(Interface::Device("eth0".into())));
        assert_eq!(interface("127.0.0.2"), Ok(Interface::Address("127.0.0.2".parse().unwrap())));
        assert_eq!(interface("host!::1"), Ok(Interface::Address("::1".parse().unwrap())));
        assert!(matches!(interface("ifhost!eth0!10.0.0.1"), Ok(Interface::DeviceAndAddress(..))));
        for text in ["", "host!eth0", "ifhost!eth0", "a-name-that-is-too-long"] {
            assert!(interface(text).is_err(), "{text}");
        }
    }
}
