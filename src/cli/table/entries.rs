//! The entries of the option table, by class.

use super::{Group, Implemented, Opt, Spelling, Takes};

pub static IMPLEMENTED: &[Implemented] = &[
    does(with(' ', "cacert", "file"), Opt::Cacert, "trust the CA certificates in this PEM file"),
    does(with(' ', "capath", "dir"), Opt::Capath, "trust the CA certificates in this folder"),
    does(with('E', "cert", "file"), Opt::Cert, "client certificate, PEM, without a passphrase"),
    does(with(' ', "cert-type", "type"), Opt::CertType, "type of the client certificate: only PEM"),
    does(switch(' ', "compressed"), Opt::Compressed, "refuse content that comes encoded all the same"),
    does(with('K', "config", "file"), Opt::Config, "read options from a file; - is stdin"),
    common(with(' ', "connect-timeout", "seconds"), Opt::ConnectTimeout, "time limit for connecting"),
    common(with('C', "continue-at", "offset"), Opt::ContinueAt, "resume at an offset; - is the file's end"),
    does(with('b', "cookie", "name=value"), Opt::Cookie, "send a cookie"),
    does(switch(' ', "create-dirs"), Opt::CreateDirs, "create the missing folders of the output, mode 0750"),
    does(with('D', "dump-header", "file"), Opt::DumpHeader, "write the received header fields to a file"),
    common(switch('f', "fail"), Opt::Fail, "no output and exit status 22 when the server answers an error"),
    does(switch(' ', "fail-early"), Opt::FailEarly, "stop at the first URL that fails"),
    does(
        switch(' ', "fail-with-body"),
        Opt::FailWithBody,
        "exit status 22 on an error, and save its content",
    ),
    does(switch(' ', "follow"), Opt::Follow, "follow redirects, as -L"),
    common(
        with('H', "header", "field"),
        Opt::Header,
        "'Name: value', 'Name:' to remove, 'Name;' to send empty, @file",
    ),
    common(with('h', "help", "all"), Opt::Help, "this text; all of it; or what one option does"),
    does(switch('k', "insecure"), Opt::Insecure, "do not verify the server's certificate"),
    does(with(' ', "interface", "name"), Opt::Interface, "connect from this device or address"),
    common(flag('4', "ipv4"), Opt::Ipv4, "use IPv4 addresses only"),
    common(flag('6', "ipv6"), Opt::Ipv6, "use IPv6 addresses only"),
    does(with(' ', "key", "file"), Opt::Key, "private key of the client certificate, PEM"),
    does(with(' ', "key-type", "type"), Opt::KeyType, "type of the private key: only PEM"),
    common(
        with(' ', "limit-rate", "speed"),
        Opt::LimitRate,
        "receive at most this many bytes a second (k, M, G)",
    ),
    common(switch('L', "location"), Opt::Location, "follow redirects"),
    does(
        switch(' ', "location-trusted"),
        Opt::LocationTrusted,
        "as -L, and send credentials to other hosts too",
    ),
    does(switch('M', "manual"), Opt::Manual, "every option, as --help all"),
    does(with(' ', "max-filesize", "bytes"), Opt::MaxFilesize, "refuse larger files (k, M, G)"),
    does(with(' ', "max-redirs", "num"), Opt::MaxRedirs, "redirects to follow at most; -1 is no limit"),
    common(with('m', "max-time", "seconds"), Opt::MaxTime, "time limit for each transfer"),
    does(switch('n', "netrc"), Opt::Netrc, "take credentials from ~/.netrc, which must exist"),
    does(with(' ', "netrc-file", "file"), Opt::NetrcFile, "take credentials from this file"),
    does(switch(' ', "netrc-optional"), Opt::NetrcOptional, "take credentials from ~/.netrc when it exists"),
    does(with(' ', "noproxy", "hosts"), Opt::Noproxy, "hosts to reach without a proxy"),
    does(with(' ', "oauth2-bearer", "token"), Opt::Oauth2Bearer, "send a bearer token"),
    common(with('o', "output", "file"), Opt::Output, "write to this file instead of stdout"),
    does(with(' ', "output-dir", "dir"), Opt::OutputDir, "folder of -o and -O"),
    does(switch(' ', "path-as-is"), Opt::PathAsIs, "send /./ and /../ as they are"),
    does(switch('#', "progress-bar"), Opt::ProgressBar, "draw a bar even when PORTAGE_QUIET is set"),
    does(switch(' ', "progress-meter"), Opt::ProgressMeter, "show progress (on by default)"),
    does(with(' ', "proto", "list"), Opt::Proto, "schemes that may be used: =https"),
    does(with(' ', "proto-default", "scheme"), Opt::ProtoDefault, "scheme of URLs without one"),
    does(with(' ', "proto-redir", "list"), Opt::ProtoRedir, "schemes that a redirect may lead to"),
    common(
        with('x', "proxy", "proxy"),
        Opt::Proxy,
        "[http|https|socks4|socks4a|socks5|socks5h://][user:password@]host[:port]",
    ),
    does(with(' ', "proxy1.0", "host:port"), Opt::ProxyHttp10, "HTTP proxy; it is spoken to with HTTP/1.1"),
    does(
        switch('p', "proxytunnel"),
        Opt::ProxyTunnel,
        "tunnel through the HTTP proxy (CONNECT) for http too",
    ),
    does(with('U', "proxy-user", "user:password"), Opt::ProxyUser, "credentials for the proxy"),
    does(with('r', "range", "first-last"), Opt::Range, "one range of bytes: 0-99, 100-, -500"),
    does(with('e', "referer", "URL"), Opt::Referer, "send a Referer; with ;auto also on redirects"),
    does(
        switch('J', "remote-header-name"),
        Opt::RemoteHeaderName,
        "with -O: take the name from Content-Disposition",
    ),
    common(switch('O', "remote-name"), Opt::RemoteName, "write to a file named as in the URL"),
    does(switch(' ', "remote-name-all"), Opt::RemoteNameAll, "-O for every URL without -o"),
    does(switch('R', "remote-time"), Opt::RemoteTime, "give the file the server's modification time"),
    does(switch(' ', "remove-on-error"), Opt::RemoveOnError, "remove the file when the transfer fails"),
    does(with('X', "request", "method"), Opt::Request, "method: only GET"),
    does(
        with(' ', "resolve", "host:port:addr[,addr]"),
        Opt::Resolve,
        "addresses to use for this host and port",
    ),
    common(with(' ', "retry", "num"), Opt::Retry, "repeat a transfer that failed for the moment"),
    does(switch(' ', "retry-all-errors"), Opt::RetryAllErrors, "with --retry: repeat after every error"),
    does(
        switch(' ', "retry-connrefused"),
        Opt::RetryConnrefused,
        "with --retry: also when the connection is refused",
    ),
    does(with(' ', "retry-delay", "seconds"), Opt::RetryDelay, "wait this long between attempts"),
    does(with(' ', "retry-max-time", "seconds"), Opt::RetryMaxTime, "do not repeat later than this"),
    common(switch('S', "show-error"), Opt::ShowError, "with -s: show errors all the same"),
    common(switch('s', "silent"), Opt::Silent, "no progress, no notes, no errors"),
    does(switch(' ', "skip-existing"), Opt::SkipExisting, "fetch nothing when the output file exists"),
    does(with(' ', "socks4", "host[:port]"), Opt::Socks4, "SOCKS4 proxy"),
    does(with(' ', "socks4a", "host[:port]"), Opt::Socks4a, "SOCKS4a proxy: it resolves the name"),
    does(with(' ', "socks5", "host[:port]"), Opt::Socks5, "SOCKS5 proxy"),
    does(
        with(' ', "socks5-hostname", "host[:port]"),
        Opt::Socks5Hostname,
        "SOCKS5 proxy: it resolves the name",
    ),
    does(with('Y', "speed-limit", "speed"), Opt::SpeedLimit, "give up below this many bytes a second"),
    does(with('y', "speed-time", "seconds"), Opt::SpeedTime, "give up after this long below --speed-limit"),
    does(with(' ', "stderr", "file"), Opt::Stderr, "write progress and errors to this file; - is stdout"),
    does(
        with('z', "time-cond", "time"),
        Opt::TimeCond,
        "fetch only what is newer than a date or a file; -date: older",
    ),
    does(with(' ', "tls-max", "version"), Opt::TlsMax, "newest TLS version to use: 1.2 or 1.3"),
    does(flag(' ', "tlsv1.2"), Opt::Tlsv12, "TLS 1.2 or newer (the default)"),
    does(flag(' ', "tlsv1.3"), Opt::Tlsv13, "TLS 1.3 or newer"),
    common(
        with(' ', "trace", "file.json"),
        Opt::Trace,
        "write down which mirror sent what when, not as curl does; - is stdout",
    ),
    does(with(' ', "url", "URL"), Opt::Url, "a URL, as without --url; @file: a list, each with -O"),
    does(with('u', "user", "user:password"), Opt::User, "credentials for the server"),
    common(with('A', "user-agent", "name"), Opt::UserAgent, "send this User-Agent; '' sends none"),
    common(switch('v', "verbose"), Opt::Verbose, "show requests and answers"),
    common(switch('V', "version"), Opt::Version, "the version"),
    does(with('w', "write-out", "format"), Opt::WriteOut, "print %{variables} after each transfer; @file"),
    own("digests", "words", Opt::Digests, "what the file must be: 'blake2b:HEX sha512:HEX'"),
    own_switch(
        "look-ahead",
        Opt::LookAhead,
        "fetch the package's other files, too (on by default in Portage)",
    ),
    own("mirrors", "URLs", Opt::Mirrors, "other mirrors that may have the file"),
    own("parallel-mirrors", "num", Opt::ParallelMirrors, "mirrors to use at once at most"),
    own("size", "bytes", Opt::Size, "the file's size"),
    own("state", "file", Opt::State, "where the mirrors' figures are kept"),
    own("tier", "PATTERN=N", Opt::Tier, "ask mirrors of this host or URL in tier N: 0 first, else 1"),
    own("timeline", "file.svg", Opt::Timeline, "draw which mirror sent what when; - is stdout"),
];

pub static ACCEPTED: &[Group] = &[
    Group {
        reason: "HTTP/1.1 brings the same content",
        spellings: &[
            flag('0', "http1.0"),
            flag(' ', "http1.1"),
            flag(' ', "http2"),
            flag(' ', "http2-prior-knowledge"),
            flag(' ', "http3"),
            flag(' ', "http3-only"),
            switch(' ', "http0.9"),
            switch(' ', "alpn"),
            switch(' ', "npn"),
            valued(' ', "alt-svc"),
            switch(' ', "proxy-http2"),
        ],
    },
    Group {
        reason: "it concerns FTP, SSH, mail and other protocols, and only http and https are fetched",
        spellings: &[
            switch(' ', "disable-eprt"),
            switch(' ', "disable-epsv"),
            switch(' ', "eprt"),
            switch(' ', "epsv"),
            valued(' ', "ftp-account"),
            valued(' ', "ftp-alternative-to-user"),
            switch(' ', "ftp-create-dirs"),
            valued(' ', "ftp-method"),
            switch(' ', "ftp-pasv"),
            valued('P', "ftp-port"),
            switch(' ', "ftp-pret"),
            switch(' ', "ftp-skip-pasv-ip"),
            switch(' ', "ftp-ssl"),
            switch(' ', "ftp-ssl-ccc"),
            valued(' ', "ftp-ssl-ccc-mode"),
            switch(' ', "ftp-ssl-control"),
            switch(' ', "ftp-ssl-reqd"),
            switch(' ', "ssl"),
            switch(' ', "ssl-reqd"),
            valued(' ', "krb"),
            valued(' ', "krb4"),
            switch('l', "list-only"),
            switch('B', "use-ascii"),
            valued('Q', "quote"),
            switch(' ', "compressed-ssh"),
            valued(' ', "hostpubmd5"),
            valued(' ', "hostpubsha256"),
            valued(' ', "knownhosts"),
            valued(' ', "pubkey"),
            valued(' ', "mail-auth"),
            valued(' ', "mail-from"),
            valued(' ', "mail-rcpt"),
            switch(' ', "mail-rcpt-allowfails"),
            valued(' ', "login-options"),
            valued(' ', "sasl-authzid"),
            switch(' ', "sasl-ir"),
            valued('t', "telnet-option"),
            valued(' ', "tftp-blksize"),
            switch(' ', "tftp-no-options"),
            valued(' ', "ipfs-gateway"),
            switch(' ', "metalink"),
        ],
    },
    Group {
        reason: "content is never asked for in an encoding, so what arrives is the file itself",
        spellings: &[switch(' ', "tr-encoding")],
    },
    Group {
        reason: "it tunes the connection; the content stays the same",
        spellings: &[
            switch(' ', "tcp-fastopen"),
            switch(' ', "tcp-nodelay"),
            switch(' ', "keepalive"),
            valued(' ', "keepalive-time"),
            valued(' ', "keepalive-cnt"),
            switch('N', "buffer"),
            valued(' ', "happy-eyeballs-timeout-ms"),
            switch(' ', "mptcp"),
            valued(' ', "ip-tos"),
            valued(' ', "vlan-priority"),
            valued(' ', "local-port"),
            switch(' ', "haproxy-protocol"),
            valued(' ', "haproxy-clientip"),
            switch(' ', "sessionid"),
            valued(' ', "ssl-sessions"),
            switch(' ', "tls-earlydata"),
            switch(' ', "false-start"),
            valued(' ', "random-file"),
            valued(' ', "egd-file"),
        ],
    },
    Group {
        reason: "it is what happens anyway",
        spellings: &[
            switch(' ', "basic"),
            switch(' ', "proxy-basic"),
            switch(' ', "socks5-basic"),
            switch('g', "globoff"),
            switch('q', "disable"),
            switch(' ', "clobber"),
            switch(' ', "ca-native"),
            switch(' ', "proxy-ca-native"),
            flag('1', "tlsv1"),
            flag(' ', "tlsv1.0"),
            flag(' ', "tlsv1.1"),
            flag('2', "sslv2"),
            flag('3', "sslv3"),
        ],
    },
    Group {
        reason: "a Content-Length that is wrong ends with an error, and never with a wrong file",
        spellings: &[switch(' ', "ignore-content-length")],
    },
    Group {
        reason: "the file is fetched whether or not it has changed; -z compares times",
        spellings: &[valued(' ', "etag-compare"), valued(' ', "etag-save")],
    },
    Group {
        reason: "it changes how URLs share the time; each is fetched all the same",
        spellings: &[
            switch('Z', "parallel"),
            switch(' ', "parallel-immediate"),
            valued(' ', "parallel-max"),
            valued(' ', "parallel-max-host"),
            valued(' ', "rate"),
        ],
    },
    Group {
        reason: "it only changes an upload or another option that is refused",
        spellings: &[
            switch('a', "append"),
            switch(' ', "crlf"),
            valued(' ', "expect100-timeout"),
            switch(' ', "form-escape"),
            switch('G', "get"),
            switch(' ', "post301"),
            switch(' ', "post302"),
            switch(' ', "post303"),
            valued(' ', "create-file-mode"),
            valued(' ', "upload-flags"),
            switch('j', "junk-session-cookies"),
            switch(' ', "doh-cert-status"),
            switch(' ', "doh-insecure"),
            valued(' ', "delegation"),
            valued(' ', "service-name"),
            valued(' ', "proxy-service-name"),
            switch(' ', "socks5-gssapi-nec"),
            valued(' ', "socks5-gssapi-service"),
            valued(' ', "variable"),
        ],
    },
    Group {
        reason: "it only changes how things look, or what is noted beside the file",
        spellings: &[
            switch(' ', "styled-output"),
            switch(' ', "suppress-connect-headers"),
            switch(' ', "xattr"),
        ],
    },
    Group {
        reason: "it shows how curl works; -v, --trace and --timeline show how racefetch does",
        spellings: &[
            valued(' ', "trace-ascii"),
            valued(' ', "trace-config"),
            switch(' ', "trace-ids"),
            switch(' ', "trace-time"),
            valued(' ', "libcurl"),
        ],
    },
    Group {
        reason: "only keys without a passphrase are read, and they need none",
        spellings: &[valued(' ', "pass")],
    },
    Group {
        reason: "it concerns https:// proxies, and no file is fetched through one",
        spellings: &[
            valued(' ', "proxy-cacert"),
            valued(' ', "proxy-capath"),
            valued(' ', "proxy-cert"),
            valued(' ', "proxy-cert-type"),
            valued(' ', "proxy-ciphers"),
            valued(' ', "proxy-crlfile"),
            switch(' ', "proxy-insecure"),
            valued(' ', "proxy-key"),
            valued(' ', "proxy-key-type"),
            valued(' ', "proxy-pass"),
            valued(' ', "proxy-pinnedpubkey"),
            switch(' ', "proxy-ssl-allow-beast"),
            switch(' ', "proxy-ssl-auto-client-cert"),
            valued(' ', "proxy-tls13-ciphers"),
            valued(' ', "proxy-tlsauthtype"),
            valued(' ', "proxy-tlspassword"),
            valued(' ', "proxy-tlsuser"),
            flag(' ', "proxy-tlsv1"),
        ],
    },
    Group {
        reason: "other TLS libraries need it; here it has no meaning",
        spellings: &[
            switch(' ', "ssl-allow-beast"),
            switch(' ', "ssl-auto-client-cert"),
            switch(' ', "ssl-no-revoke"),
            switch(' ', "ssl-revoke-best-effort"),
        ],
    },
];

/// To ignore one of these would bring another file, lose a file, or break a promise.
pub static REFUSED: &[Group] = &[
    Group {
        reason: "racefetch downloads, it does not send data",
        spellings: &[
            valued('d', "data"),
            valued(' ', "data-ascii"),
            valued(' ', "data-binary"),
            valued(' ', "data-raw"),
            valued(' ', "data-urlencode"),
            valued('F', "form"),
            valued(' ', "form-string"),
            valued(' ', "json"),
            valued('T', "upload-file"),
        ],
    },
    Group {
        reason: "the output would not be the file",
        spellings: &[
            switch('I', "head"),
            switch('i', "include"),
            switch(' ', "show-headers"),
            switch(' ', "raw"),
            switch(' ', "out-null"),
            flag(' ', "dump-ca-embed"),
        ],
    },
    Group {
        reason: "all URLs share one set of options; call racefetch twice",
        spellings: &[flag(':', "next")],
    },
    Group {
        reason: "a file that exists is overwritten; --skip-existing leaves it alone",
        spellings: &[flag(' ', "no-clobber")],
    },
    Group {
        reason: "the request would be another; write the URL in full, and fields with -H",
        spellings: &[valued(' ', "url-query"), valued(' ', "request-target"), valued(' ', "proxy-header")],
    },
    Group {
        reason: "a user in a URL is used, and never shown, stored or sent to another host",
        spellings: &[switch(' ', "disallow-username-in-url")],
    },
    Group {
        reason: "the password would be sent as it is: of ways to log in, only Basic and bearer are known",
        spellings: &[
            switch(' ', "anyauth"),
            switch(' ', "digest"),
            switch(' ', "negotiate"),
            switch(' ', "ntlm"),
            switch(' ', "ntlm-wb"),
            valued(' ', "aws-sigv4"),
            valued(' ', "httpsig-algo"),
            valued(' ', "httpsig-headers"),
            valued(' ', "httpsig-key"),
            valued(' ', "httpsig-keyid"),
            switch(' ', "proxy-anyauth"),
            switch(' ', "proxy-digest"),
            switch(' ', "proxy-negotiate"),
            switch(' ', "proxy-ntlm"),
            switch(' ', "socks5-gssapi"),
        ],
    },
    Group {
        reason: "cookies are not kept; -b 'name=value' sends one",
        spellings: &[valued('c', "cookie-jar")],
    },
    Group {
        reason: "which hosts want https is not remembered between calls; write https://",
        spellings: &[valued(' ', "hsts")],
    },
    Group {
        reason: "names are resolved by the system; --resolve gives an address",
        spellings: &[
            valued(' ', "dns-interface"),
            valued(' ', "dns-ipv4-addr"),
            valued(' ', "dns-ipv6-addr"),
            valued(' ', "dns-servers"),
            valued(' ', "doh-url"),
            valued(' ', "connect-to"),
        ],
    },
    Group {
        reason: "connections would take another way: they are plain TCP, through one proxy at most",
        spellings: &[
            valued(' ', "abstract-unix-socket"),
            valued(' ', "unix-socket"),
            valued(' ', "preproxy"),
        ],
    },
    Group {
        reason: "this restriction of TLS cannot be kept, so nothing is fetched under it",
        spellings: &[
            switch(' ', "cert-status"),
            valued(' ', "ciphers"),
            valued(' ', "tls13-ciphers"),
            valued(' ', "crlfile"),
            valued(' ', "curves"),
            valued(' ', "sigalgs"),
            valued(' ', "ech"),
            valued(' ', "engine"),
            valued(' ', "pinnedpubkey"),
            valued(' ', "tlsauthtype"),
            valued(' ', "tlspassword"),
            valued(' ', "tlsuser"),
        ],
    },
];

const fn spelling(short: char, long: &'static str, takes: Takes) -> Spelling {
    Spelling { short: if short == ' ' { None } else { Some(short) }, long, takes }
}

/// An option without a value and without `--no-`.
const fn flag(short: char, long: &'static str) -> Spelling {
    spelling(short, long, Takes::Nothing)
}

/// An option that is on or off.
const fn switch(short: char, long: &'static str) -> Spelling {
    spelling(short, long, Takes::Switch)
}

/// An option with a value whose form does not matter.
const fn valued(short: char, long: &'static str) -> Spelling {
    spelling(short, long, Takes::Value("value"))
}

const fn with(short: char, long: &'static str, value: &'static str) -> Spelling {
    spelling(short, long, Takes::Value(value))
}

const fn does(spelling: Spelling, option: Opt, help: &'static str) -> Implemented {
    Implemented { spelling, option, common: false, own: false, help }
}

const fn common(spelling: Spelling, option: Opt, help: &'static str) -> Implemented {
    Implemented { spelling, option, common: true, own: false, help }
}

const fn own_switch(long: &'static str, option: Opt, help: &'static str) -> Implemented {
    Implemented { spelling: switch(' ', long), option, common: true, own: true, help }
}

const fn own(long: &'static str, value: &'static str, option: Opt, help: &'static str) -> Implemented {
    Implemented { spelling: with(' ', long, value), option, common: true, own: true, help }
}
