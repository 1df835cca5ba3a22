//! The header section of a request, and who is told which secret.
//!
//! The secrets of the command line are for the servers named there ([`Settings::home`]), those in a URL for its
//! own origin, those of `.netrc` for the host that they are filed under. Any field of the user's may be a secret
//! (`PRIVATE-TOKEN`), but for the few in [`HARMLESS`]: other mirrors are told those only. Where a server named on the
//! command line redirects to, it is as with curl: all but [`SECRET`] go along.

use super::ask::Ask;
use super::proxy_handshake::basic;
use super::settings::{Credentials, FieldEdit, ProxyKind, Settings};
use super::url::{Scheme, Url};

/// Where a request stands in a chain of redirects.
pub(super) struct Hop<'a> {
    /// The URL that was asked for.
    pub(super) first: &'a Url,
    pub(super) current: &'a Url,
    /// The URL that led here.
    pub(super) before: Option<&'a Url>,
    /// The value of the `Cookie` field, as servers have set it.
    pub(super) cookies: Option<String>,
}

impl Hop<'_> {
    /// Whether the secrets that are for `origin` may be told here.
    fn may_tell(&self, origin: &Url, trusted: bool) -> bool {
        origin.same_origin(self.current) || trusted && origin.same_origin(self.first)
    }

    /// Whether the secrets of the command line may be told here.
    fn is_home(&self, settings: &Settings) -> bool {
        settings.home.iter().any(|home| self.may_tell(home, settings.redirects.trusted))
    }

    /// Whether the URL asked for is on a server of the command line.
    fn is_from_home(&self, settings: &Settings) -> bool {
        settings.home.iter().any(|home| home.same_origin(self.first))
    }

    /// What the URL asked for says of its user, if that may be told here.
    fn credentials(&self, settings: &Settings) -> Option<&Credentials> {
        let told = self.may_tell(self.first, settings.redirects.trusted);
        self.first.credentials.as_ref().filter(|_| told)
    }
}

/// Names in lower case, and values. `Host` is only among them when it is not the URL's.
pub(super) fn fields(settings: &Settings, hop: &Hop, ask: &Ask) -> Vec<(String, String)> {
    let url = hop.current;
    let mut fields: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, value: String| fields.push((name.to_owned(), value));
    let is_home = hop.is_home(settings);
    if let Some(authorization) = authorization(settings, hop, is_home) {
        add("authorization", authorization);
    }
    if !settings.user_agent.is_empty() {
        add("user-agent", settings.user_agent.clone());
    }
    add("accept", "*/*".to_owned());
    match hop.before {
        Some(before) if settings.redirects.auto_referer => add("referer", before.to_string()),
        _ => {
            if let Some(referer) = &settings.referer {
                add("referer", referer.clone());
            }
        }
    }
    for (name, value) in [("range", &ask.range), ("if-range", &ask.if_range)] {
        if let Some(value) = value {
            add(name, value.clone());
        }
    }
    if ask.anew {
        add("cache-control", "no-cache".to_owned());
    }
    if let Some((name, value)) = &ask.condition {
        add(name, value.clone());
    }
    if let Some(proxy) =
        (settings.proxy)(url).filter(|p| p.kind == ProxyKind::Http && url.scheme == Scheme::Http)
    {
        if let Some(credentials) = proxy.credentials.as_ref().filter(|_| !proxy.tunnel) {
            add("proxy-authorization", basic(credentials));
        }
        add("proxy-connection", "Keep-Alive".to_owned());
    }
    if let Some(cookies) = &hop.cookies {
        add("cookie", cookies.clone());
    }
    edit(&mut fields, &settings.fields, |edit| is_for(edit, is_home, hop.is_from_home(settings)));
    if let Some(cookies) = &hop.cookies {
        join(&mut fields, cookies);
    }
    fields
}

/// The user's cookies stand behind those that servers have set, in one field (RFC 6265, section 5.4).
fn join(fields: &mut [(String, String)], cookies: &str) {
    if let Some((_, value)) = fields.iter_mut().find(|(name, value)| name == "cookie" && value != cookies) {
        *value = format!("{cookies}; {value}");
    }
}

/// The user's own fields, as far as they are told, replace or remove ours.
fn edit(fields: &mut Vec<(String, String)>, edits: &[FieldEdit], is_told: impl Fn(&FieldEdit) -> bool) {
    let edits = || edits.iter().filter(|edit| is_told(edit));
    fields.retain(|(name, _)| !edits().any(|edit| edit.name().eq_ignore_ascii_case(name)));
    fields.extend(edits().filter_map(|edit| match edit {
        FieldEdit::Set(name, value) => Some((name.to_ascii_lowercase(), value.clone())),
        FieldEdit::Remove(_) => None,
    }));
    // A request is for one server: of several names the first counts, as in curl.
    let mut has_host = false;
    fields.retain(|(name, _)| name != "host" || !std::mem::replace(&mut has_host, true));
}

/// Fields that a server tells to nobody else: secrets, and the name of a server that is not another one's.
const SECRET: [&str; 3] = ["authorization", "cookie", "host"];

/// Fields that say nothing of the user which any server may not know.
const HARMLESS: [&str; 9] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "connection",
    "dnt",
    "pragma",
    "user-agent",
];

/// Whether a server is told what the user says of a field. `is_from_home` holds for those of the command line and for
/// whom they redirect to.
fn is_for(edit: &FieldEdit, is_home: bool, is_from_home: bool) -> bool {
    let is_among = |names: &[&str]| names.iter().any(|name| edit.name().eq_ignore_ascii_case(name));
    match edit {
        _ if is_home => true,
        _ if is_among(&SECRET) => false,
        // To say less gives nothing away.
        FieldEdit::Remove(_) => true,
        FieldEdit::Set(..) => is_from_home || is_among(&HARMLESS),
    }
}

fn authorization(settings: &Settings, hop: &Hop, is_home: bool) -> Option<String> {
    if let Some(token) = settings.bearer.as_ref().filter(|_| is_home) {
        return Some(format!("Bearer {token}"));
    }
    if let Some(credentials) = settings.user.as_ref().filter(|_| is_home) {
        return Some(basic(credentials));
    }
    let Some(given) = hop.credentials(settings) else {
        return (settings.netrc)(hop.current).as_ref().map(basic);
    };
    let mut asked = hop.current.clone();
    asked.credentials = Some(given.clone());
    Some(basic((settings.netrc)(&asked).as_ref().unwrap_or(given)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    /// What is sent on the way from `first` to `current`, with every kind of secret on the command line.
    fn sent(first: &str, current: &str, trusted: bool) -> String {
        let set = |name: &str| FieldEdit::Set(name.to_owned(), "told".to_owned());
        let mut settings = Settings {
            home: vec![url("http://home.test/x"), url("https://home.test/x")],
            fields: vec![set("COOKIE"), set("Host"), set("X-Other"), set("Accept-Language")],
            user: Some(Credentials { user: "me".to_owned(), password: "pw".to_owned() }),
            ..Settings::default()
        };
        settings.redirects.trusted = trusted;
        let (first, current) = (url(first), url(current));
        let hop = Hop { first: &first, current: &current, before: None, cookies: None };
        let fields = fields(&settings, &hop, &Ask::default());
        let mut names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
        names.retain(|name| ["authorization", "cookie", "host", "x-other", "accept-language"].contains(name));
        names.join(" ")
    }

    #[test]
    fn cookies_of_servers_and_of_the_user_share_a_field() {
        let user = |edit: FieldEdit| Settings {
            home: vec![url("http://h.test/")],
            fields: vec![edit],
            ..Settings::default()
        };
        let set = || user(FieldEdit::Set("Cookie".to_owned(), "u=1".to_owned()));
        let home = "http://h.test/x";
        for (settings, current, server, want) in [
            (set(), home, Some("s=2"), &["s=2; u=1"][..]),
            (set(), home, None, &["u=1"]),
            (set(), "http://away.test/", Some("s=2"), &["s=2"]),
            (user(FieldEdit::Remove("cookie".to_owned())), home, Some("s=2"), &[]),
            (Settings::default(), home, Some("s=2"), &["s=2"]),
        ] {
            let (first, current) = (url(home), url(current));
            let cookies = server.map(str::to_owned);
            let hop = Hop { first: &first, current: &current, before: None, cookies };
            let fields = fields(&settings, &hop, &Ask::default());
            let sent: Vec<&str> =
                fields.iter().filter(|(name, _)| name == "cookie").map(|(_, value)| value.as_str()).collect();
            assert_eq!(sent, want, "{current} {server:?}");
        }
    }

    #[test]
    fn other_mirrors_are_told_what_is_harmless() {
        let edit = |name: &str, value: Option<&str>| match value {
            Some(value) => FieldEdit::Set(name.to_owned(), value.to_owned()),
            None => FieldEdit::Remove(name.to_owned()),
        };
        for (name, value, redirected, elsewhere) in [
            ("PRIVATE-TOKEN", Some("x"), true, false),
            ("X-Auth-Token", Some("x"), true, false),
            ("Referer", Some("x"), true, false),
            ("Proxy-Authorization", Some("x"), true, false),
            ("ACCEPT", Some("x"), true, true),
            ("Cache-Control", Some("no-cache"), true, true),
            ("Pragma", Some("no-cache"), true, true),
            ("user-agent", Some("x"), true, true),
            ("User-Agent", None, true, true),
            ("X-Anything", None, true, true),
            ("Authorization", Some("x"), false, false),
            ("cookie", Some("x"), false, false),
            ("Host", None, false, false),
        ] {
            let edit = edit(name, value);
            let told = [is_for(&edit, true, true), is_for(&edit, false, true), is_for(&edit, false, false)];
            assert_eq!(told, [true, redirected, elsewhere], "{edit:?}");
        }
    }

    #[test]
    fn secrets_of_the_command_line_stay_at_home() {
        let all = "authorization cookie host x-other accept-language";
        let redirected = "x-other accept-language";
        for (first, current, trusted, want) in [
            ("http://home.test/x", "http://home.test/x", false, all),
            ("http://home.test/x", "https://home.test/y", false, all),
            ("http://home.test/x", "http://home.test:81/x", false, redirected),
            ("http://home.test/x", "http://away.test/x", false, redirected),
            ("http://home.test/x", "http://away.test/x", true, all),
            ("http://away.test/x", "http://away.test/x", false, "accept-language"),
            ("http://away.test/x", "http://away.test/x", true, "accept-language"),
            ("http://away.test/x", "http://home.test/x", false, all),
            ("http://me:pw@away.test/x", "http://away.test/x", false, "authorization accept-language"),
            ("http://me:pw@away.test/x", "http://third.test/x", false, "accept-language"),
        ] {
            assert_eq!(sent(first, current, trusted), want, "{first} {current} {trusted}");
        }
    }
}
