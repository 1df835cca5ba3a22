//! Failures as exit statuses, and as advice: one exhaustive `match` each.

use crate::cli::ExitStatus;
use crate::http::failure::Elsewhere;
use crate::http::{CertificateFault, Failure, HandshakeFault};

/// curl's status in the same situation.
pub(super) fn of(failure: &Failure) -> ExitStatus {
    match failure {
        Failure::Elsewhere { failure, .. } => of(failure),
        Failure::Resolve { .. } => ExitStatus::CouldntResolveHost,
        Failure::ResolveProxy { .. } => ExitStatus::CouldntResolveProxy,
        Failure::Connect { .. } | Failure::Local(_) | Failure::ProxyRefused(_) => ExitStatus::CouldntConnect,
        Failure::SocksRefused(_) => ExitStatus::Proxy,
        Failure::Interface(_) => ExitStatus::InterfaceFailed,
        Failure::CaFile(_) => ExitStatus::SslCacertBadfile,
        Failure::ClientCertificate(_) => ExitStatus::SslCertproblem,
        Failure::Certificate(_) => ExitStatus::PeerFailedVerification,
        Failure::TlsHandshake(_) => ExitStatus::SslConnectError,
        Failure::Request(_) | Failure::Send(_) => ExitStatus::SendError,
        Failure::EmptyReply => ExitStatus::GotNothing,
        Failure::NotHttp | Failure::TlsForHttp | Failure::RedirectRefused(_) => {
            ExitStatus::UnsupportedProtocol
        }
        Failure::BadLocation(_) => ExitStatus::UrlMalformat,
        Failure::BadHead(_) => ExitStatus::WeirdServerReply,
        Failure::TransferCoding(_) | Failure::ContentEncoding(_) => ExitStatus::BadContentEncoding,
        Failure::Status { .. } => ExitStatus::HttpReturnedError,
        Failure::TooManyRedirects(_) => ExitStatus::TooManyRedirects,
        Failure::RangeMismatch | Failure::RangeIgnored | Failure::RangeNotSatisfiable { .. } => {
            ExitStatus::RangeError
        }
        Failure::WrongSize { .. } | Failure::HtmlPage | Failure::OnlyAPart | Failure::Truncated => {
            ExitStatus::PartialFile
        }
        Failure::WrongContent | Failure::OtherFile(_) => ExitStatus::ChecksumMismatch,
        Failure::TooLarge { .. } => ExitStatus::FilesizeExceeded,
        Failure::HeadTooLarge
        | Failure::BadChunks(_)
        | Failure::Reset
        | Failure::Receive(_)
        | Failure::Cancelled => ExitStatus::RecvError,
        Failure::ConnectTimeout(_) | Failure::Stalled(_) | Failure::TooSlow { .. } | Failure::TimeUp(_) => {
            ExitStatus::OperationTimedout
        }
    }
}

/// What a user can do about it. None: waiting for Portage to ask elsewhere is all there is. `kept` tells whether a
/// beginning of the file is there.
pub(super) fn advice(failure: &Failure, kept: bool) -> Option<&'static str> {
    Some(match failure {
        Failure::Elsewhere { failure, .. }
            if matches!(**failure, Failure::ProxyRefused(_) | Failure::SocksRefused(_)) =>
        {
            return advice(failure, kept);
        }
        Failure::Elsewhere { place: Elsewhere::Proxy(_), .. } | Failure::ResolveProxy { .. } => {
            "check the proxy variables (http_proxy, https_proxy, ALL_PROXY) and -x"
        }
        Failure::Elsewhere { place: Elsewhere::Redirect(_), failure } if !failure.is_an_answer() => {
            "see whether you must log in to the network, or use another mirror"
        }
        Failure::Elsewhere { failure, .. } => return advice(failure, kept),
        Failure::Resolve { .. } => "check the name and the DNS server (/etc/resolv.conf)",
        Failure::ProxyRefused(_) | Failure::SocksRefused(_) => "check the proxy's address, user and password",
        Failure::Interface(_) => "check --interface",
        Failure::CaFile(_) => "check --cacert, --capath",
        Failure::ClientCertificate(_) => "check --cert, --key",
        Failure::Certificate(CertificateFault::Expired(_)) => {
            "if the clock is right, the server is not looked after: use another one"
        }
        Failure::Certificate(CertificateFault::NotYetValid(_)) => "check the clock (date, ntpdate)",
        Failure::Certificate(CertificateFault::WrongName(_)) => {
            "check the host's name, or use another server"
        }
        Failure::Certificate(CertificateFault::UnknownIssuer | CertificateFault::OfACa) => {
            "update app-misc/ca-certificates, or name a CA that you trust with --cacert"
        }
        Failure::Certificate(_) => "do not switch verification off: use another server",
        Failure::TlsHandshake(HandshakeFault::NotTls) => "use http://, or check the port",
        Failure::TlsHandshake(HandshakeFault::NothingInCommon) => {
            "it may be too old (TLS 1.2 is needed), or want a client certificate (--cert); use another one"
        }
        Failure::TlsHandshake(HandshakeFault::Broken(_)) => {
            "try again; something on the way may not let TLS pass"
        }
        Failure::Status { code: 401 | 403, .. } => {
            "the server wants other credentials, or blocks this address"
        }
        Failure::Status { code: 407, .. } => "the proxy wants a user and a password (-U)",
        Failure::Status { code: 404 | 410, .. } => {
            "the file is not there: another mirror or upstream may have it"
        }
        Failure::Status { code: 429, .. } => "too many requests: try later",
        Failure::Status { code: 500..=599, .. } => "the server is out of order: try later",
        Failure::HtmlPage => "log in to the network, or see whether the URL is right",
        Failure::WrongSize { .. } | Failure::WrongContent | Failure::OtherFile(_) => {
            "the file there is another one: sync the repository, or use another mirror"
        }
        Failure::TooLarge { .. } => "see --max-filesize",
        Failure::RangeNotSatisfiable { .. } | Failure::RangeMismatch => {
            "remove the partial file to begin anew"
        }
        Failure::Local(_) => "this is no mirror's fault: see `ulimit -a`, and what else runs here",
        Failure::Connect { .. } | Failure::ConnectTimeout(_) => "check the network connection and the port",
        Failure::Truncated
        | Failure::OnlyAPart
        | Failure::Reset
        | Failure::Stalled(_)
        | Failure::Receive(_)
        | Failure::BadChunks(_) => again(kept),
        Failure::TlsForHttp => "use https:// with this port",
        Failure::RedirectRefused(_) => "only http and https are followed",
        Failure::TimeUp(_) if kept => "see --max-time; what came is kept: run it again with -C -",
        Failure::TimeUp(_) => "see --max-time",
        Failure::TooSlow { .. } if kept => "see --speed-limit; what came is kept: run it again with -C -",
        Failure::TooSlow { .. } => "see --speed-limit",
        Failure::TlsHandshake(_)
        | Failure::Request(_)
        | Failure::Send(_)
        | Failure::EmptyReply
        | Failure::NotHttp
        | Failure::BadHead(_)
        | Failure::BadLocation(_)
        | Failure::HeadTooLarge
        | Failure::TransferCoding(_)
        | Failure::ContentEncoding(_)
        | Failure::Status { .. }
        | Failure::TooManyRedirects(_)
        | Failure::RangeIgnored
        | Failure::Cancelled => return None,
    })
}

/// What to do after a transfer that broke off.
pub(super) fn again(kept: bool) -> &'static str {
    if kept { "what came is kept: run it again with -C -" } else { "nothing came: run it again" }
}
