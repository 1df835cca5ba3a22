//! What a failed TLS handshake means, in words.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error};

/// Why a server's certificate is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateFault {
    /// With the day of its end and today, where the TLS library tells them.
    Expired(Option<Days>),
    NotYetValid(Option<Days>),
    /// The names that it is for, if it says any.
    WrongName(Vec<String>),
    /// Self-signed, or by an unknown CA: the TLS library does not tell these two apart.
    UnknownIssuer,
    /// A CA's own certificate: what most self-signed ones are.
    OfACa,
    Revoked,
    Other(String),
}

/// The day that the certificate names, and the day on this machine's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Days {
    named: String,
    today: String,
}

/// Why no TLS connection came about, the certificate apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandshakeFault {
    /// What came is not TLS.
    NotTls,
    /// No version of TLS or no cipher that both sides know.
    NothingInCommon,
    /// The connection ended in the middle, for this reason.
    Broken(String),
    Other(String),
}

/// Names shown of a certificate for another host.
const MOST_NAMES: usize = 3;

impl fmt::Display for CertificateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired(None) => f.write_str("it has expired"),
            Self::Expired(Some(Days { named, today })) => {
                write!(f, "it expired on {named}, and the clock here says {today}")
            }
            Self::NotYetValid(None) => f.write_str("it is not valid yet"),
            Self::NotYetValid(Some(Days { named, today })) => {
                write!(f, "it is valid from {named} on, and the clock here says {today}")
            }
            Self::WrongName(names) if names.is_empty() => f.write_str("it is for another name"),
            Self::WrongName(names) => {
                let more = if names.len() > MOST_NAMES { ", …" } else { "" };
                write!(f, "it is for {}{more}", names[..names.len().min(MOST_NAMES)].join(", "))
            }
            Self::UnknownIssuer => f.write_str("it is self-signed, or its CA is unknown here"),
            Self::OfACa => f.write_str("it is self-signed: a CA's own, and not a server's"),
            Self::Revoked => f.write_str("it has been revoked"),
            Self::Other(why) => f.write_str(why),
        }
    }
}

impl fmt::Display for HandshakeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTls => f.write_str("what the server sent is not TLS"),
            Self::NothingInCommon => {
                f.write_str("no version of TLS or no cipher that both the server and this program allow")
            }
            Self::Broken(why) | Self::Other(why) => f.write_str(why),
        }
    }
}

/// A fault of the certificate, or of something else.
pub(super) fn fault(error: &Error) -> Result<CertificateFault, HandshakeFault> {
    match error {
        Error::InvalidCertificate(reason) => Ok(certificate_fault(reason)),
        Error::NoCertificatesPresented => Ok(CertificateFault::Other("the server has none".to_owned())),
        Error::InvalidMessage(_) => Err(HandshakeFault::NotTls),
        Error::PeerIncompatible(_)
        | Error::AlertReceived(
            AlertDescription::ProtocolVersion
            | AlertDescription::HandshakeFailure
            | AlertDescription::InsufficientSecurity,
        ) => Err(HandshakeFault::NothingInCommon),
        Error::AlertReceived(AlertDescription::UnrecognisedName) => {
            Err(HandshakeFault::Other("the server knows no host of this name".to_owned()))
        }
        Error::AlertReceived(alert) => {
            Err(HandshakeFault::Other(format!("the server breaks it off ({alert:?})")))
        }
        other => Err(HandshakeFault::Other(other.to_string())),
    }
}

fn certificate_fault(reason: &CertificateError) -> CertificateFault {
    use CertificateError as C;
    use CertificateFault::{Expired, NotYetValid, OfACa, Other, Revoked, UnknownIssuer, WrongName};
    let other = |why: &str| Other(why.to_owned());
    match reason {
        C::Expired => Expired(None),
        C::ExpiredContext { time, not_after } => Expired(days(*not_after, *time)),
        C::NotValidYet => NotYetValid(None),
        C::NotValidYetContext { time, not_before } => NotYetValid(days(*not_before, *time)),
        C::UnknownIssuer => UnknownIssuer,
        C::NotValidForName => WrongName(Vec::new()),
        C::NotValidForNameContext { presented, .. } => {
            WrongName(presented.iter().map(|name| plain_name(name)).collect())
        }
        C::Revoked => Revoked,
        C::BadEncoding => other("it makes no sense"),
        C::BadSignature => other("its signature is wrong"),
        C::InvalidPurpose | C::InvalidPurposeContext { .. } => other("it is not for servers"),
        C::UnhandledCriticalExtension => other("it asks for something that is not known here"),
        // The TLS library keeps this one under a type that it does not show.
        C::Other(inner) if format!("{inner:?}").contains("CaUsedAsEndEntity") => OfACa,
        C::Other(inner) => Other(format!("it cannot be checked ({:?})", inner.0)),
        unknown => Other(format!("it cannot be checked ({unknown})")),
    }
}

/// `DnsName("h")` and the like without what is around it.
fn plain_name(name: &str) -> String {
    name.split('"').nth(1).unwrap_or(name).to_owned()
}

fn days(named: UnixTime, today: UnixTime) -> Option<Days> {
    Some(Days { named: day(named)?, today: day(today)? })
}

/// `04 Mar 2026`
fn day(time: UnixTime) -> Option<String> {
    // What HTTP has no date for is beyond the year 9999.
    let time =
        UNIX_EPOCH + Duration::from_secs(Some(time.as_secs()).filter(|seconds| *seconds < 253_402_300_800)?);
    httpdate::fmt_http_date(time).get(5..16).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::{InvalidMessage, OtherError, PeerIncompatible};
    use std::sync::Arc;

    fn shown(error: &Error) -> String {
        match fault(error) {
            Ok(certificate) => certificate.to_string(),
            Err(handshake) => handshake.to_string(),
        }
    }

    #[derive(Debug)]
    struct CaUsedAsEndEntity;

    impl fmt::Display for CaUsedAsEndEntity {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{self:?}")
        }
    }

    impl std::error::Error for CaUsedAsEndEntity {}

    #[test]
    fn every_usual_fault_has_plain_words() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let name = || rustls::pki_types::ServerName::try_from("h").unwrap();
        let names = |names: &[&str]| CertificateError::NotValidForNameContext {
            expected: name(),
            presented: names.iter().map(|name| format!("DnsName(\"{name}\")")).collect(),
        };
        for (error, expected) in [
            (
                CertificateError::ExpiredContext { time: at(1_772_600_767), not_after: at(1_577_836_800) },
                "it expired on 01 Jan 2020, and the clock here says 04 Mar 2026",
            ),
            (
                CertificateError::NotValidYetContext { time: at(0), not_before: at(1_577_836_800) },
                "it is valid from 01 Jan 2020 on, and the clock here says 01 Jan 1970",
            ),
            (CertificateError::ExpiredContext { time: at(0), not_after: at(u64::MAX) }, "it has expired"),
            (CertificateError::NotValidYet, "it is not valid yet"),
            (CertificateError::UnknownIssuer, "it is self-signed, or its CA is unknown here"),
            (CertificateError::NotValidForName, "it is for another name"),
            (names(&[]), "it is for another name"),
            (names(&["a", "b"]), "it is for a, b"),
            (names(&["a", "b", "c", "d"]), "it is for a, b, c, …"),
            (
                CertificateError::Other(OtherError(Arc::new(CaUsedAsEndEntity))),
                "it is self-signed: a CA's own, and not a server's",
            ),
            (CertificateError::Revoked, "it has been revoked"),
        ] {
            assert_eq!(shown(&Error::InvalidCertificate(error)), expected);
        }
        let common = "no version of TLS or no cipher that both the server and this program allow";
        for (error, expected) in [
            (Error::InvalidMessage(InvalidMessage::InvalidContentType), "what the server sent is not TLS"),
            (Error::AlertReceived(AlertDescription::ProtocolVersion), common),
            (Error::AlertReceived(AlertDescription::HandshakeFailure), common),
            (Error::PeerIncompatible(PeerIncompatible::Tls12NotOffered), common),
            (
                Error::AlertReceived(AlertDescription::UnrecognisedName),
                "the server knows no host of this name",
            ),
            (
                Error::AlertReceived(AlertDescription::InternalError),
                "the server breaks it off (InternalError)",
            ),
        ] {
            assert_eq!(shown(&error), expected);
        }
    }
}
