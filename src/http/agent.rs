//! Requests to one source, one after another, over one connection at a time.

use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use ureq::Error;
use ureq::config::Config;
use ureq::http::{HeaderValue, Request, Response, Version};
use ureq::tls::TlsConfig;
use ureq::unversioned::transport::{Connector, RustlsConnector};

use super::Failure;
use super::ask::Ask;
use super::connector::{Dial, NoResolver, SharedTls};
use super::deadlines::{Deadlines, Phase};
use super::fields::{Hop, fields};
use super::response::{Head, Judged, Question, judge};
use super::settings::Settings;
use super::tls::tls_config;
use super::url::{Scheme, Url, UrlError};
use super::wire::WireLog;

/// Size of the buffer between socket and reader, in bytes, and of the largest header section.
const INPUT_BUFFER: usize = 128 * 1024;
/// Holds any URL ([`super::url::LONGEST`]), and a long field of the user's.
const OUTPUT_BUFFER: usize = 64 * 1024;
/// Content of an answer that is not used is read before the next request, so that the connection can serve again, up
/// to so many bytes.
const DRAIN_LIMIT: u64 = 16 * 1024;

/// Makes agents that share their settings and the TLS configuration, and keeps those that may have a connection yet.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Shared,
    /// By the place that they were at.
    kept: Arc<Mutex<Vec<(String, Agent)>>>,
}

/// What all agents have in common.
#[derive(Clone, Debug)]
struct Shared {
    settings: Arc<Settings>,
    tls: Arc<OnceLock<Result<SharedConfig, Failure>>>,
}

#[derive(Clone, Debug)]
struct SharedConfig {
    config: TlsConfig,
    connector: Arc<RustlsConnector>,
}

impl Client {
    pub fn new(settings: Settings) -> Self {
        let shared = Shared { settings: Arc::new(settings), tls: Arc::default() };
        Self { shared, kept: Arc::default() }
    }

    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    pub fn agent(&self) -> Agent {
        Agent {
            shared: self.shared.clone(),
            log: Arc::default(),
            plain: None,
            secure: None,
            unread: None,
            live: Arc::default(),
        }
    }

    /// One that was at that place before, when there is one; its connection may still stand.
    pub fn agent_at(&self, place: &str) -> Agent {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.iter().position(|(at, _)| at == place).map(|index| kept.swap_remove(index).1);
        known.unwrap_or_else(|| self.agent())
    }

    /// Keeps an agent for whoever asks that place next.
    pub fn keep(&self, place: &str, agent: Agent) {
        if !agent.is_cancelled() {
            self.kept.lock().unwrap_or_else(PoisonError::into_inner).push((place.to_owned(), agent));
        }
    }
}

impl Shared {
    /// The TLS configuration, read at the first need.
    fn tls(&self) -> Result<SharedConfig, Failure> {
        let build = || {
            let config = tls_config(&self.settings.tls)?;
            Ok(SharedConfig { config, connector: Arc::default() })
        };
        self.tls.get_or_init(build).clone()
    }
}

/// One answer on the way, a redirect or the final one.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub url: Url,
    pub status: u16,
    /// The status code's usual reason phrase.
    pub reason: &'static str,
    /// `HTTP/1.1`, `HTTP/1.0`.
    pub version: &'static str,
    /// Field names in lower case, in the order received.
    pub fields: Vec<(String, String)>,
}

impl Exchange {
    /// The first field of that name (lower case).
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// The final answer, its content still to be read.
#[derive(Debug)]
pub struct Answer {
    pub head: Head,
    /// Every answer, the final one last; never empty.
    pub exchanges: Vec<Exchange>,
    pub content: Content,
    /// From the beginning until the connection stood; none when one was used again.
    pub connect_time: Option<Duration>,
    /// From the beginning until the head of the final answer was there.
    pub head_time: Duration,
    pub peer: Option<SocketAddr>,
}

impl Answer {
    /// The URL that answered.
    #[expect(clippy::missing_panics_doc, reason = "an answer is made with its own exchange")]
    pub fn url(&self) -> &Url {
        &self.exchanges.last().expect("an answer has at least its own exchange").url
    }

    pub fn redirects(&self) -> usize {
        self.exchanges.len() - 1
    }
}

/// Stops an agent from another thread.
#[derive(Clone, Debug)]
pub struct Canceller {
    log: Arc<WireLog>,
    live: Arc<Mutex<Vec<ureq::Agent>>>,
}

impl Canceller {
    /// Closes the agent's connections: what it waits for fails with [`Failure::Cancelled`], at once, and so does
    /// everything that it is asked later.
    pub fn cancel(&self) {
        self.log.cancel();
        for agent in self.live.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            agent.shutdown();
        }
    }
}

#[derive(Debug)]
pub struct Agent {
    shared: Shared,
    log: Arc<WireLog>,
    plain: Option<ureq::Agent>,
    secure: Option<ureq::Agent>,
    /// The content of the last answer, when nobody wants it.
    unread: Option<Content>,
    live: Arc<Mutex<Vec<ureq::Agent>>>,
}

impl Agent {
    pub fn canceller(&self) -> Canceller {
        Canceller { log: self.log.clone(), live: self.live.clone() }
    }

    pub fn is_cancelled(&self) -> bool {
        self.log.is_cancelled()
    }

    /// Asks for a range, and judges the answer: the content that comes is what was asked for.
    pub fn open(&mut self, url: &Url, question: &Question, ask: &Ask) -> Result<(Judged, Answer), Failure> {
        let answer = self.ask(url, ask)?;
        match judge(question, &answer.head) {
            Ok(judged) => Ok((judged, answer)),
            Err(failure) => {
                self.set_aside(answer.content);
                Err(failure)
            }
        }
    }

    /// Asks, following redirects as the settings say. Any status is an answer.
    #[expect(clippy::missing_panics_doc, reason = "the exchange was pushed in the lines before")]
    #[expect(clippy::disallowed_methods, reason = "the answer's timings and its time limit begin here")]
    pub fn ask(&mut self, url: &Url, ask: &Ask) -> Result<Answer, Failure> {
        let start = Instant::now();
        let settings = self.shared.settings.clone();
        self.log.begin(Deadlines::new(&settings, ask.time_left, start));
        let mut exchanges: Vec<Exchange> = Vec::new();
        let mut current = url.clone();
        loop {
            let hop = Hop { first: url, current: &current, before: exchanges.last().map(|e| &e.url) };
            let response = self.exchange(&hop, ask).map_err(|failure| match exchanges.len() {
                0 => failure,
                _ => failure.after_redirect_to(&current.authority()),
            })?;
            let exchange = exchange(&current, &response);
            let location = exchange.field("location").map(str::to_owned);
            exchanges.push(exchange);
            let redirect =
                location.filter(|_| settings.redirects.follow && is_redirect(response.status().as_u16()));
            if let Some(coding) = unknown_coding(exchanges.last().expect("one was pushed just now")) {
                return Err(Failure::TransferCoding(coding));
            }
            let body = response.into_body();
            let content = Content {
                length: body.content_length(),
                reader: body.into_reader(),
                log: self.log.clone(),
                slow_for: Duration::ZERO,
            };
            let Some(location) = redirect else {
                let connection = self.log.connection();
                return Ok(Answer {
                    head: head(exchanges.last().expect("one was pushed just now")),
                    exchanges,
                    content,
                    connect_time: connection.map(|(at, _)| at.saturating_duration_since(start)),
                    head_time: start.elapsed(),
                    peer: connection.map(|(_, peer)| peer),
                });
            };
            self.set_aside(content);
            if let Some(most) = settings.redirects.most
                && exchanges.len() > most as usize
            {
                return Err(Failure::TooManyRedirects(most));
            }
            current = redirected(&current, &location, &settings)?;
        }
    }

    /// Keeps a content that nobody wants until the next request, which may find that it is all there: only then is
    /// its connection of use. A long one costs the connection at once.
    fn set_aside(&mut self, content: Content) {
        self.unread =
            Some(content).filter(|content| content.length.is_none_or(|length| length <= DRAIN_LIMIT));
    }

    fn exchange(&mut self, hop: &Hop, ask: &Ask) -> Result<Response<ureq::Body>, Failure> {
        if let Some(unread) = self.unread.take() {
            unread.drain();
        }
        let first = self.send(hop, ask);
        // The server may close an idle connection in the moment in which it is used again.
        let stale = self.log.connection().is_none() && self.log.received() == 0;
        match first {
            Err(Failure::EmptyReply | Failure::Reset | Failure::Send(_)) if stale => self.send(hop, ask),
            other => other,
        }
    }

    fn send(&mut self, hop: &Hop, ask: &Ask) -> Result<Response<ureq::Body>, Failure> {
        let settings = self.shared.settings.clone();
        self.log.start();
        if self.log.is_cancelled() {
            return Err(Failure::Cancelled);
        }
        let request = request(&settings, hop, ask)?;
        let agent = self.agent_for(hop.current.scheme)?;
        self.log.enter(Phase::Head); // unless a connection must be made first
        agent.run(request).map_err(|error| head_failure(error, &self.log))
    }

    /// The library's agent for that scheme. TLS is only loaded when it is needed.
    fn agent_for(&mut self, scheme: Scheme) -> Result<ureq::Agent, Failure> {
        let slot = match scheme {
            Scheme::Http => &mut self.plain,
            Scheme::Https => &mut self.secure,
        };
        if let Some(agent) = slot {
            return Ok(agent.clone());
        }
        let settings = &self.shared.settings;
        let dial = Dial { settings: settings.clone(), log: self.log.clone() };
        let builder = Config::builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .max_response_header_size(INPUT_BUFFER)
            .input_buffer_size(INPUT_BUFFER)
            .output_buffer_size(OUTPUT_BUFFER)
            .max_idle_connections_per_host(1)
            .user_agent("")
            .accept("")
            .accept_encoding("");
        let agent = match scheme {
            Scheme::Http => ureq::Agent::with_parts(builder.build(), dial, NoResolver),
            Scheme::Https => {
                let tls = self.shared.tls()?;
                let config = builder.tls_config(tls.config).build();
                let secured = dial.chain(SharedTls { shared: tls.connector, log: self.log.clone() });
                ureq::Agent::with_parts(config, secured, NoResolver)
            }
        };
        self.live.lock().unwrap_or_else(PoisonError::into_inner).push(agent.clone());
        Ok(slot.insert(agent).clone())
    }
}

/// The content of an answer.
pub struct Content {
    reader: ureq::BodyReader<'static>,
    /// As the head says.
    length: Option<u64>,
    log: Arc<WireLog>,
    /// For how long it has come more slowly than the speed limit allows.
    slow_for: Duration,
}

impl Content {
    /// Reads some bytes; 0 at the end of the content.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        // For bytes of the content: trailers and chunk sizes may come for ever.
        self.log.enter(Phase::Content { slow_for: self.slow_for });
        // What was received long ago is not asked for at the socket, and may be read at a slow pace of our own.
        self.log.time_left()?;
        self.reader.read(buffer).map_err(|error| {
            if self.log.is_cancelled() {
                return Failure::Cancelled;
            }
            match Error::from(error) {
                Error::Protocol(error) => Failure::BadChunks(error.to_string()),
                // Both in the middle of a line of the chunked coding.
                Error::BodyStalled if self.log.has_ended() => Failure::Truncated,
                Error::BodyStalled => Failure::BadChunks("a line is too long".to_owned()),
                Error::Io(error) => self.log.failure().unwrap_or_else(|| match error.kind() {
                    std::io::ErrorKind::UnexpectedEof => Failure::Truncated,
                    _ => Failure::receive(&error),
                }),
                other => self.log.failure().unwrap_or_else(|| Failure::Receive(other.to_string())),
            }
        })
    }

    /// Says for how long the content has come more slowly than the speed limit allows: the next bytes have only the
    /// rest of that time.
    pub fn set_slow_for(&mut self, time: Duration) {
        self.slow_for = time;
    }

    /// Says whether much content is still to come: it is then taken from the kernel in larger pieces.
    pub fn set_bulk(&self, bulk: bool) {
        self.log.set_bulk(bulk);
    }

    /// True when the connection broke, although what came looks complete: content without a length ends with
    /// the connection.
    pub fn was_cut(&self) -> Option<Failure> {
        if self.log.is_cancelled() { Some(Failure::Cancelled) } else { self.log.failure() }
    }

    /// Reads what is left of a short content, so that the connection can be used again. A long or slow one costs
    /// the connection instead.
    pub fn drain(mut self) {
        let mut buffer = [0; 2048];
        let mut left = DRAIN_LIMIT;
        self.log.enter(Phase::Drain);
        while let Ok(n @ 1..) = self.reader.read(&mut buffer) {
            left = left.saturating_sub(n as u64);
            if left == 0 {
                return;
            }
        }
    }
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Content").finish_non_exhaustive()
    }
}

fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

fn redirected(from: &Url, location: &str, settings: &Settings) -> Result<Url, Failure> {
    let next = from.join(location).map_err(|error| match error {
        UrlError::Scheme(scheme) => Failure::RedirectRefused(format!("{scheme}://…")),
        UrlError::Malformed(why) => Failure::BadLocation(why),
    })?;
    if !settings.redirects.schemes.contains(next.scheme) {
        return Err(Failure::RedirectRefused(next.to_string()));
    }
    Ok(next)
}

fn request(settings: &Settings, hop: &Hop, ask: &Ask) -> Result<Request<()>, Failure> {
    let fields = fields(settings, hop, ask);
    let request = fields.iter().fold(Request::get(hop.current.to_string()), |r, (n, v)| r.header(n, v));
    request.body(()).map_err(|error| Failure::Send(error.to_string()))
}

fn exchange<B>(url: &Url, response: &Response<B>) -> Exchange {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Exchange {
        url: url.clone(),
        status: response.status().as_u16(),
        reason: response.status().canonical_reason().unwrap_or_default(),
        version: if response.version() == Version::HTTP_10 { "HTTP/1.0" } else { "HTTP/1.1" },
        fields: response
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), text(value)))
            .collect(),
    }
}

/// A transfer coding (RFC 9112, section 7) other than chunked: what comes cannot be told apart.
fn unknown_coding(exchange: &Exchange) -> Option<String> {
    let codings = exchange.field("transfer-encoding")?.split(',').map(str::trim);
    let known = |coding: &str| ["chunked", "identity", ""].iter().any(|k| coding.eq_ignore_ascii_case(k));
    codings.into_iter().find(|coding| !known(coding)).map(str::to_owned)
}

fn head(exchange: &Exchange) -> Head {
    let validator = exchange.field("etag").filter(|tag| !tag.starts_with("W/"));
    let last_modified = exchange.field("last-modified").map(str::to_owned);
    Head {
        status: exchange.status,
        content_range: exchange.field("content-range").map(|value| value.parse().ok()),
        content_length: exchange.field("content-length").and_then(|value| value.trim().parse().ok()),
        content_type: exchange.field("content-type").map(str::to_owned),
        retry_after: exchange.field("retry-after").and_then(retry_after),
        content_encoding: exchange.field("content-encoding").map(str::to_owned),
        file_name: exchange.field("content-disposition").and_then(file_name),
        validator: validator.map(str::to_owned).or_else(|| last_modified.clone()),
        last_modified,
    }
}

/// The `filename` parameter of `Content-Disposition` (RFC 6266): its last path segment, if it can be a file's name.
fn file_name(disposition: &str) -> Option<String> {
    let parameter = disposition.split(';').map(str::trim).find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("filename").then(|| value.trim().trim_matches('"').to_owned())
    })?;
    let name = parameter.rsplit(['/', '\\']).next().unwrap_or_default();
    let usable = !matches!(name, "" | "." | "..") && !name.chars().any(char::is_control);
    usable.then(|| name.to_owned())
}

/// RFC 9110, section 10.2.3: seconds or a date.
#[expect(clippy::disallowed_methods, reason = "a date in an answer means a distance from now")]
fn retry_after(value: &str) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(value.trim()).ok()?;
    Some(at.duration_since(SystemTime::now()).unwrap_or_default())
}

/// What an error before the end of the head means.
fn head_failure(error: Error, log: &WireLog) -> Failure {
    use ureq_proto::Error as Proto;
    if log.is_cancelled() {
        return Failure::Cancelled;
    }
    if let Some(failure) = log.failure() {
        return failure;
    }
    match error {
        Error::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            // To the HTTP library a full buffer looks like the end of the connection.
            let full = log.received() >= INPUT_BUFFER as u64 && !log.has_ended();
            if full { Failure::HeadTooLarge } else { Failure::EmptyReply }
        }
        Error::Io(error) => Failure::receive(&error),
        Error::LargeResponseHeader(..) | Error::Protocol(Proto::HttpParseTooManyHeaders) => {
            Failure::HeadTooLarge
        }
        Error::Protocol(Proto::HttpParseFail(_) | Proto::UnsupportedVersion) => Failure::NotHttp,
        Error::Protocol(Proto::OutputOverflow) => Failure::Send("a header field is too long".to_owned()),
        Error::Protocol(error) => Failure::BadHead(error.to_string()),
        other => Failure::Send(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_names_files_but_not_folders() {
        for (disposition, name) in [
            ("attachment; filename=\"a.tar\"", Some("a.tar")),
            ("attachment; FileName=a.tar; size=1", Some("a.tar")),
            ("attachment; filename=\"../../etc/passwd\"", Some("passwd")),
            ("attachment; filename=\"..\"", None),
            ("attachment", None),
        ] {
            assert_eq!(file_name(disposition).as_deref(), name, "{disposition}");
        }
    }
}
