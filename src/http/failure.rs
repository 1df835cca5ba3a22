//! Why a request did not bring what was asked for, named by what can be done about it.

use super::{CertificateFault, HandshakeFault};
use std::borrow::Cow;
use std::io;
use std::time::Duration;

use crate::patience::USUAL_REST;

/// The most that is shown of a text from outside, in characters.
const LONGEST_QUOTE: usize = 200;

/// What went wrong with one request to one source. Names and what the other side said
/// are quoted short, and without control characters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    // Before a connection.
    #[error("cannot resolve {host}")]
    Resolve { host: String },
    #[error("cannot resolve the proxy {host}")]
    ResolveProxy { host: String },
    #[error("cannot connect: {reason}")]
    Connect { reason: String },
    #[error("this system lets no connection be opened: {0}")]
    Local(String),
    #[error("no connection within {} s", .0.as_secs_f32())]
    ConnectTimeout(Duration),
    #[error("no way to the server ({})", quote(.0))]
    ProxyRefused(String),
    #[error("no way to the server ({})", quote(.0))]
    SocksRefused(String),
    #[error("the network interface cannot be used: {}", quote(.0))]
    Interface(String),

    // TLS.
    #[error("the CA certificates cannot be used: {}", quote(.0))]
    CaFile(String),
    #[error("the client certificate cannot be used: {}", quote(.0))]
    ClientCertificate(String),
    #[error("the server's certificate is not accepted: {}", quote(&.0.to_string()))]
    Certificate(CertificateFault),
    #[error("TLS handshake failed: {}", quote(&.0.to_string()))]
    TlsHandshake(HandshakeFault),

    // The request and the head of the answer.
    #[error("the request cannot be made: {0}")]
    Request(String),
    #[error("sending the request failed: {0}")]
    Send(String),
    #[error("connection closed without an answer")]
    EmptyReply,
    #[error("the answer is not HTTP")]
    NotHttp,
    #[error("asked over plain HTTP, and the answer is TLS")]
    TlsForHttp,
    #[error("the answer's header section makes no sense: {}", quote(.0))]
    BadHead(String),
    #[error("the answer's header section is too large")]
    HeadTooLarge,
    #[error("unknown transfer coding {}", quote(.0))]
    TransferCoding(String),
    #[error("the content is encoded ({}), which was not asked for", quote(.0))]
    ContentEncoding(String),
    #[error("HTTP status {code}")]
    Status { code: u16, retry_after: Option<Duration> },
    #[error("more than {0} redirects")]
    TooManyRedirects(u32),
    #[error("redirected to {}, which is not allowed", quote(.0))]
    RedirectRefused(String),
    #[error("redirected to an address that cannot be used: {0}")]
    BadLocation(&'static str),

    // The judgement of the answer.
    #[error("answered with other bytes than those asked for")]
    RangeMismatch,
    #[error("the server does not send ranges")]
    RangeIgnored,
    #[error("the server sends only a part of the file")]
    OnlyAPart,
    #[error("HTTP status 416: the file there is shorter")]
    RangeNotSatisfiable { complete_length: Option<u64> },
    #[error("the file there has {got} bytes, not {expected}")]
    WrongSize { expected: u64, got: u64 },
    #[error("answered with an HTML page (a captive portal?)")]
    HtmlPage,
    #[error("larger than the {limit} bytes allowed")]
    TooLarge { limit: u64 },

    // The content.
    #[error("sent wrong bytes")]
    WrongContent,
    /// The right bytes of another file that is wanted.
    #[error("the file there is {}", quote(.0))]
    OtherFile(String),
    #[error("connection closed before the end")]
    Truncated,
    #[error("chunked content is damaged: {}", quote(.0))]
    BadChunks(String),
    #[error("connection reset")]
    Reset,
    #[error("receiving failed: {0}")]
    Receive(String),
    #[error("no content came for {} s", .0.as_secs_f32())]
    Stalled(Duration),
    #[error("slower than {speed} bytes/s for {} s", .time.as_secs())]
    TooSlow { speed: u64, time: Duration },
    #[error("time is up ({} s)", .0.as_secs_f32())]
    TimeUp(Duration),

    /// Somebody else than the server asked failed, or another request than the one for the file.
    #[error("{place}: {failure}")]
    Elsewhere { place: Elsewhere, failure: Box<Self> },

    /// We closed the connection ourselves: nobody is to blame.
    #[error("given up here")]
    Cancelled,
}

/// Who, or which request, failed in place of what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Elsewhere {
    /// A proxy, by its host and port.
    #[error("the proxy {}", quote(.0))]
    Proxy(String),
    /// Who the server asked has redirected to, by host and port.
    #[error("redirected to {}", quote(.0))]
    Redirect(String),
    /// The mirror's layout, without which it is not known where the file lies there.
    #[error("layout.conf")]
    Layout,
}

/// What to do after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// The same source may answer better at once: the connection broke.
    RetryHere,
    /// The source is busy, and says for how long: see [`Failure::rest`].
    RetryAfter(Duration),
    /// The source does not have the file, or has another one: ask the next.
    NextSource,
    /// The source is out of order: ask the next one, and this one later if nothing else helps.
    NextSourceForNow,
}

/// How something that failed may go well when it is asked for again, at the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passing {
    /// The connection broke, in whatever phase: before the answer, in its head or in its content.
    Broken,
    /// Something took longer than it may.
    Late,
    /// The server says that it cannot for the moment; some say for how long: see [`Failure::rest`].
    Busy,
    /// A name was not resolved.
    Nameless,
}

impl Failure {
    /// `ftp.example: cannot resolve, skipped`: that the host is not asked any longer because of it.
    pub fn skipped(&self, host: &str) -> String {
        let text = match self {
            Self::Elsewhere { place: Elsewhere::Layout, failure } if !failure.is_an_answer() => failure,
            failure => failure,
        };
        let text = text.to_string();
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let text = text.strip_suffix(name).map_or(text.as_str(), str::trim_end);
        format!("{host}: {text}, skipped")
    }

    /// The same failure, of that proxy. Failures of this system, and limits of the user, stay as they are.
    #[must_use]
    pub(crate) fn of_proxy_at(self, proxy: &str) -> Self {
        self.at(|| Elsewhere::Proxy(proxy.to_owned()))
    }

    /// The same, of the one that a redirect led to.
    #[must_use]
    pub(crate) fn after_redirect_to(self, authority: &str) -> Self {
        self.at(|| Elsewhere::Redirect(authority.to_owned()))
    }

    /// The same, of the request for a mirror's `layout.conf`.
    #[must_use]
    pub(crate) fn of_layout(self) -> Self {
        match self {
            // Its time is the layout's own, not the user's.
            Self::TimeUp(_) => Self::Elsewhere { place: Elsewhere::Layout, failure: Box::new(self) },
            failure => failure.at(|| Elsewhere::Layout),
        }
    }

    fn at(self, place: impl FnOnce() -> Elsewhere) -> Self {
        match self {
            Self::Cancelled
            | Self::Local(_)
            | Self::TimeUp(_)
            | Self::Interface(_)
            | Self::CaFile(_)
            | Self::ClientCertificate(_)
            | Self::ResolveProxy { .. }
            | Self::Elsewhere { place: Elsewhere::Proxy(_), .. } => self,
            failure => Self::Elsewhere { place: place(), failure: Box::new(failure) },
        }
    }

    /// What happened, whoever it happened to.
    pub fn cause(&self) -> &Self {
        match self {
            Self::Elsewhere { failure, .. } => failure.cause(),
            failure => failure,
        }
    }

    /// Whether a proxy has failed, and the server asked never had its turn.
    pub fn is_of_proxy(&self) -> bool {
        matches!(
            self,
            Self::Elsewhere { place: Elsewhere::Proxy(_), .. }
                | Self::ResolveProxy { .. }
                | Self::Status { code: 407, .. }
        )
    }

    /// Whether it was a mirror's layout that could not be had.
    pub fn is_of_layout(&self) -> bool {
        matches!(self, Self::Elsewhere { place: Elsewhere::Layout, .. })
    }

    /// The one list of what passes, for every kind of transfer. None: asking again brings the same.
    pub fn passing(&self) -> Option<Passing> {
        Some(match self.cause() {
            Self::ConnectTimeout(_) | Self::Stalled(_) | Self::TooSlow { .. } | Self::TimeUp(_) => {
                Passing::Late
            }
            Self::Status { code: 408 | 429 | 500 | 502 | 503 | 504, .. } => Passing::Busy,
            Self::Resolve { .. } | Self::ResolveProxy { .. } => Passing::Nameless,
            cause if cause.advice() == Advice::RetryHere => Passing::Broken,
            _ => return None,
        })
    }

    /// For how long a busy server wants to be left alone. Only 429 (RFC 6585) and 503 with `Retry-After` (RFC 9110) ask
    /// for that; with 429 alone it is the usual time.
    pub fn rest(&self) -> Option<Duration> {
        match self.cause() {
            Self::Status { code: 429 | 503, retry_after: Some(rest) } => Some(*rest),
            Self::Status { code: 429, retry_after: None } => Some(USUAL_REST),
            _ => None,
        }
    }

    /// What a transfer with several sources does next. Each failure has its advice, so that a new one needs a decision.
    pub fn advice(&self) -> Advice {
        match self {
            Self::Elsewhere { failure, .. } => failure.advice(),
            Self::TlsHandshake(HandshakeFault::Broken(_))
            | Self::Send(_)
            | Self::EmptyReply
            | Self::Truncated
            | Self::BadChunks(_)
            | Self::Reset
            | Self::Receive(_) => Advice::RetryHere,
            Self::Status { code: 429 | 503, retry_after: Some(rest) } => Advice::RetryAfter(*rest),
            Self::Resolve { .. }
            | Self::ResolveProxy { .. }
            | Self::Connect { .. }
            | Self::Local(_)
            | Self::ConnectTimeout(_)
            | Self::Stalled(_)
            | Self::TooSlow { .. }
            | Self::Status { code: 408 | 429 | 500..=599, .. }
            | Self::Cancelled => Advice::NextSourceForNow,
            Self::ProxyRefused(_)
            | Self::SocksRefused(_)
            | Self::Interface(_)
            | Self::CaFile(_)
            | Self::ClientCertificate(_)
            | Self::Certificate(_)
            | Self::TlsHandshake(_)
            | Self::Request(_)
            | Self::NotHttp
            | Self::TlsForHttp
            | Self::BadHead(_)
            | Self::HeadTooLarge
            | Self::TransferCoding(_)
            | Self::ContentEncoding(_)
            | Self::Status { .. }
            | Self::TooManyRedirects(_)
            | Self::RedirectRefused(_)
            | Self::BadLocation(_)
            | Self::RangeMismatch
            | Self::RangeIgnored
            | Self::OnlyAPart
            | Self::RangeNotSatisfiable { .. }
            | Self::WrongSize { .. }
            | Self::HtmlPage
            | Self::TooLarge { .. }
            | Self::WrongContent
            | Self::OtherFile(_)
            | Self::TimeUp(_) => Advice::NextSource,
        }
    }

    /// Whether it is worth asking for the same without `Range`: the server has seen the request, and what it did may have
    /// to do with that field. A guess before the second request; [`Self::refuses_ranges`] judges after it.
    pub fn may_be_due_to_range(&self) -> bool {
        !matches!(
            self.cause(),
            Self::Resolve { .. }
                | Self::ResolveProxy { .. }
                | Self::Connect { .. }
                | Self::ConnectTimeout(_)
                | Self::Local(_)
                | Self::ProxyRefused(_)
                | Self::SocksRefused(_)
                | Self::Interface(_)
                | Self::CaFile(_)
                | Self::ClientCertificate(_)
                | Self::Certificate(_)
                | Self::TlsHandshake(_)
                | Self::Request(_)
                | Self::TooLarge { .. }
                | Self::TimeUp(_)
                | Self::Cancelled
                | Self::Status { code: 407 | 429, .. }
        )
    }

    /// Whether it says that the file has another size: who is right about that is not known while nobody has given it.
    pub fn is_about_size(&self) -> bool {
        matches!(self.cause(), Self::WrongSize { .. } | Self::RangeNotSatisfiable { .. })
    }

    /// Whether the server has said no to a request for a range. With a whole answer to the same without `Range` it is
    /// evidence that it sends none; a connection that broke is no evidence.
    pub fn refuses_ranges(&self) -> bool {
        let is_no = matches!(
            self.cause(),
            Self::Status { .. } | Self::RangeMismatch | Self::RangeNotSatisfiable { .. }
        );
        is_no && self.may_be_due_to_range()
    }

    /// Whether the answer was refused for what it says of itself; its content may be right all the same.
    pub fn is_odd(&self) -> bool {
        match self.cause() {
            Self::WrongSize { expected, got } => got > expected,
            Self::HtmlPage | Self::RangeMismatch | Self::Truncated => true,
            _ => false,
        }
    }

    /// Whether no connection to the host could be made.
    pub fn is_unreachable(&self) -> bool {
        matches!(self.cause(), Self::Resolve { .. } | Self::Connect { .. } | Self::ConnectTimeout(_))
    }

    /// Whether it shows that the other side can be reached.
    pub fn is_an_answer(&self) -> bool {
        if let Self::Elsewhere { place: Elsewhere::Redirect(_), .. } = self {
            return true; // the redirect was one
        }
        !matches!(
            self.cause(),
            Self::Resolve { .. }
                | Self::ResolveProxy { .. }
                | Self::Connect { .. }
                | Self::ConnectTimeout(_)
                | Self::Send(_)
                | Self::TlsHandshake(HandshakeFault::Broken(_))
                | Self::Reset
                | Self::Receive(_)
                | Self::Stalled(_)
                | Self::TooSlow { .. }
                | Self::TimeUp(_)
                | Self::Cancelled
                | Self::Local(_)
        )
    }

    /// The status codes that say: the file is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self.cause(), Self::Status { code: 404 | 410, .. })
    }

    pub(crate) fn connect(error: &io::Error) -> Self {
        Self::Connect { reason: plain(error) }
    }

    pub(crate) fn receive(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
                Self::Reset
            }
            _ => Self::Receive(plain(error)),
        }
    }
}

/// A text from outside, fit for a line on a terminal: not too long, and without characters that give orders
/// (control characters, and those that change the direction of writing).
fn quote(text: &str) -> Cow<'_, str> {
    let is_order = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let end = text.char_indices().nth(LONGEST_QUOTE).map(|(end, _)| end);
    if end.is_none() && !text.contains(is_order) {
        return text.into();
    }
    let shown = text[..end.unwrap_or(text.len())].replace(is_order, "\u{fffd}");
    if end.is_some() { format!("{shown}…").into() } else { shown.into() }
}

/// An I/O error without Rust's `(os error N)`.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn who_failed_is_named() {
        let refused = || Failure::Connect { reason: "connection refused".to_owned() };
        for (failure, said, of_proxy) in [
            (refused(), "cannot connect: connection refused", false),
            (refused().of_proxy_at("p:3128"), "the proxy p:3128: cannot connect: connection refused", true),
            (
                refused().after_redirect_to("h:80"),
                "redirected to h:80: cannot connect: connection refused",
                false,
            ),
            (
                refused().of_proxy_at("p:3128").after_redirect_to("h:80"),
                "the proxy p:3128: cannot connect: connection refused",
                true,
            ),
            (
                Failure::ResolveProxy { host: "p".to_owned() }.after_redirect_to("h:80"),
                "cannot resolve the proxy p",
                true,
            ),
            (Failure::Cancelled.of_proxy_at("p:3128"), "given up here", false),
            (Failure::Status { code: 407, retry_after: None }, "HTTP status 407", true),
        ] {
            assert_eq!((failure.to_string().as_str(), failure.is_of_proxy()), (said, of_proxy));
            let alike = failure.cause().clone();
            assert_eq!(failure.advice(), alike.advice());
        }
        let timeout = Failure::ConnectTimeout(Duration::from_secs(1));
        assert!(timeout.of_proxy_at("p:1").passing() == Some(Passing::Late));
        assert!(
            refused().after_redirect_to("h:80").is_an_answer()
                && !refused().of_proxy_at("p:1").is_an_answer()
        );
    }

    #[test]
    fn quotes_are_short_and_give_no_orders() {
        for (text, shown) in [
            ("gzip", "gzip"),
            ("caf\u{e9}", "caf\u{e9}"),
            ("\u{1b}[2Jx\r\n", "\u{fffd}[2Jx\u{fffd}\u{fffd}"),
            ("a\u{9b}5n\u{202e}b", "a\u{fffd}5n\u{fffd}b"),
        ] {
            assert_eq!(quote(text), shown);
        }
        let long = "\u{e9}".repeat(LONGEST_QUOTE);
        assert_eq!(quote(&long), long);
        assert_eq!(quote(&format!("{long}x")), format!("{long}…"));
    }

    proptest! {
        #[test]
        fn no_text_of_a_server_makes_a_long_line_or_gives_orders(text in "(?s).{0,300}") {
            for failure in [
                Failure::ProxyRefused(text.clone()),
                Failure::SocksRefused(text.clone()),
                Failure::Interface(text.clone()),
                Failure::CaFile(text.clone()),
                Failure::ClientCertificate(text.clone()),
                Failure::Certificate(CertificateFault::Other(text.clone())),
                Failure::Certificate(CertificateFault::WrongName(vec![text.clone()])),
                Failure::TlsHandshake(HandshakeFault::Other(text.clone())),
                Failure::BadHead(text.clone()),
                Failure::TransferCoding(text.clone()),
                Failure::ContentEncoding(text.clone()),
                Failure::RedirectRefused(text.clone()),
                Failure::BadChunks(text.clone()),
            ] {
                let shown = failure.to_string();
                prop_assert!(shown.chars().count() < 300 && !shown.contains(char::is_control), "{}", shown);
            }
        }
    }
}
