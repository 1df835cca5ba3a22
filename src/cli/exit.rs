//! The exit statuses, in one place. Numbers and meanings are curl's (curl(1), EXIT CODES), so that a
//! script which looks at curl's status can look at ours.

use std::fmt;
use std::process::ExitCode;

/// How the program ended. The discriminant is the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ExitStatus {
    /// Everything that was asked for is there and, where digests were known, verified.
    Ok = 0,
    /// The URL's scheme is not http or https, or `--proto` forbids it. Also garbage instead of HTTP.
    UnsupportedProtocol = 1,
    /// The command line is wrong.
    FailedInit = 2,
    /// The URL is not a URL.
    UrlMalformat = 3,
    /// The proxy's name has no address: check `-x` and the proxy variables.
    CouldntResolveProxy = 5,
    /// The host's name has no address: check the name and the DNS.
    CouldntResolveHost = 6,
    /// Nobody listens there, a firewall refused, or the proxy refused the tunnel.
    CouldntConnect = 7,
    /// The answer's header is not one that a server may send.
    WeirdServerReply = 8,
    /// The content ended early; what came is kept.
    PartialFile = 18,
    /// `-f` was given and the server answered 400 or above.
    HttpReturnedError = 22,
    /// The file could not be written: disk full, missing folder, permissions.
    WriteError = 23,
    /// A file named on the command line could not be read.
    ReadError = 26,
    /// A time limit passed: `-m`, `--connect-timeout`, `-y`, or a stall.
    OperationTimedout = 28,
    /// The server sent another range than the one asked for.
    RangeError = 33,
    /// The TLS handshake failed.
    SslConnectError = 35,
    /// The network interface of `--interface` cannot be used.
    InterfaceFailed = 45,
    /// More redirects than `--max-redirs`.
    TooManyRedirects = 47,
    /// The value of `--resolve` is malformed.
    SetoptOptionSyntax = 49,
    /// The server closed the connection without an answer.
    GotNothing = 52,
    /// The request could not be sent.
    SendError = 55,
    /// The connection broke while the answer was arriving; what came is kept.
    RecvError = 56,
    /// The client certificate or its key cannot be used.
    SslCertproblem = 58,
    /// The server's certificate is not to be trusted: unknown CA, other name, expired (look at the clock).
    PeerFailedVerification = 60,
    /// The content came in an encoding that was not asked for.
    BadContentEncoding = 61,
    /// The file is larger than `--max-filesize` or than its known size.
    FilesizeExceeded = 63,
    /// The CA certificates (`--cacert`, `--capath`) cannot be read.
    SslCacertBadfile = 77,
    /// The proxy did not keep to its protocol.
    Proxy = 97,
    /// The content is complete, and has other digests than it should. curl has no such status.
    ChecksumMismatch = 120,
    /// The terminal has gone (SIGHUP).
    HungUp = 129,
    /// Interrupted by SIGINT.
    Interrupted = 130,
    /// Terminated by SIGTERM.
    Terminated = 143,
}

impl ExitStatus {
    /// `doctor`: something is to be looked at. Like those of diff(1), these two have nothing to do with curl's.
    pub const WARNINGS: Self = Self::UnsupportedProtocol;
    /// `doctor`: something is wrong.
    pub const FAILURES: Self = Self::FailedInit;

    /// Of a sub-command that did its work: something is missing or corrupt. It has the number of curl's status 1.
    pub const NOT_ALL_IS_WELL: Self = Self::UnsupportedProtocol;

    /// The status as the parent process sees it.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The signal that this status stands for: the process ends by it.
    pub fn signal(self) -> Option<i32> {
        match self {
            Self::HungUp | Self::Interrupted | Self::Terminated => Some(i32::from(self.code()) - 128),
            _ => None,
        }
    }

    pub fn is_success(self) -> bool {
        self == Self::Ok
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.code().fmt(f)
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carries_curls_numbers() {
        assert_eq!(ExitStatus::Ok.code(), 0);
        assert_eq!(ExitStatus::HttpReturnedError.to_string(), "22");
        assert_eq!(ExitStatus::Terminated.code(), 143);
        assert!(!ExitStatus::PartialFile.is_success());
        assert_eq!(ExitStatus::Terminated.signal(), Some(15));
        assert_eq!(ExitStatus::ChecksumMismatch.signal(), None);
    }
}
