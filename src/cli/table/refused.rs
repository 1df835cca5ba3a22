//! Options of curl that are refused: to ignore one of them would bring another file, lose a file, or break a
//! promise.

use super::{Group, flag, switch, valued};

pub static REFUSED: &[Group] = &[
    Group {
        reason: "racefetch downloads, it does not send data",
        spellings: &[
            valued("data").short('d'),
            valued("data-ascii"),
            valued("data-binary"),
            valued("data-raw"),
            valued("data-urlencode"),
            valued("form").short('F'),
            valued("form-string"),
            valued("json"),
            valued("upload-file").short('T'),
        ],
    },
    Group {
        reason: "the output would not be the file",
        spellings: &[
            switch("head").short('I'),
            switch("include").short('i'),
            switch("show-headers"),
            switch("raw"),
            switch("out-null"),
            flag("dump-ca-embed"),
        ],
    },
    Group {
        reason: "all URLs share one set of options; call racefetch twice",
        spellings: &[flag("next").short(':')],
    },
    Group {
        reason: "a file that exists is overwritten; --skip-existing leaves it alone",
        spellings: &[flag("no-clobber")],
    },
    Group {
        reason: "the request would be another; write the URL in full, and fields with -H",
        spellings: &[valued("url-query"), valued("request-target"), valued("proxy-header")],
    },
    Group {
        reason: "a user in a URL is used, and never shown, stored or sent to another host",
        spellings: &[switch("disallow-username-in-url")],
    },
    Group {
        reason: "the password would be sent as it is: of ways to log in, only Basic and bearer are known",
        spellings: &[
            switch("anyauth"),
            switch("digest"),
            switch("negotiate"),
            switch("ntlm"),
            switch("ntlm-wb"),
            valued("aws-sigv4"),
            valued("httpsig-algo"),
            valued("httpsig-headers"),
            valued("httpsig-key"),
            valued("httpsig-keyid"),
            switch("proxy-anyauth"),
            switch("proxy-digest"),
            switch("proxy-negotiate"),
            switch("proxy-ntlm"),
            switch("socks5-gssapi"),
        ],
    },
    Group {
        reason: "which hosts want https is not remembered between calls; write https://",
        spellings: &[valued("hsts")],
    },
    Group {
        reason: "names are resolved by the system; --resolve gives an address",
        spellings: &[
            valued("dns-interface"),
            valued("dns-ipv4-addr"),
            valued("dns-ipv6-addr"),
            valued("dns-servers"),
            valued("doh-url"),
            valued("connect-to"),
        ],
    },
    Group {
        reason: "connections would take another way: they are plain TCP, through one proxy at most",
        spellings: &[valued("abstract-unix-socket"), valued("unix-socket"), valued("preproxy")],
    },
    Group {
        reason: "this restriction of TLS cannot be kept, so nothing is fetched under it",
        spellings: &[
            switch("cert-status"),
            valued("ciphers"),
            valued("tls13-ciphers"),
            valued("crlfile"),
            valued("curves"),
            valued("sigalgs"),
            valued("ech"),
            valued("engine"),
            valued("pinnedpubkey"),
            valued("tlsauthtype"),
            valued("tlspassword"),
            valued("tlsuser"),
        ],
    },
];
