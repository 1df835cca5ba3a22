//! Requests to one source, one after another, over one connection at a time.

use std::fmt::Write as _;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use ureq::Error;
use ureq::config::Config;
use ureq::http::Request;
use ureq::tls::TlsConfig;
use ureq::unversioned::transport::{Connector, RustlsConnector};

use super::Failure;
use super::answer_head::{AnswerHead, Framing};
use super::ask::Ask;
use super::connector::{Dial, NoResolver, SharedTls};
use super::cookies::Jar;
use super::date;
use super::deadlines::{Deadlines, Phase};
use super::fields::{Hop, fields};
use super::range::ContentRange;
use super::reader::ReadsHeads;
use super::response::{Head, Judged, Question, judge};
use super::settings::Settings;
use super::tls::tls_config;
use super::url::{Scheme, Url, UrlError};
use super::wire::WireLog;

/// Size of the buffer between socket and reader, in bytes.
const INPUT_BUFFER: usize = 128 * 1024;
/// Holds any URL ([`super::url::LONGEST`]), and a long field of the user's.
const OUTPUT_BUFFER: usize = 64 * 1024;
/// How much of an unused answer is read before the next request, in bytes, so that its connection can be used
/// again.
const DRAIN_LIMIT: u64 = 16 * 1024;

/// Makes agents that share their settings and the TLS configuration, and keeps idle agents, whose connections
/// may still stand.
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
    /// The cookies that all agents share.
    jar: Option<Arc<Mutex<Jar>>>,
}

#[derive(Clone, Debug)]
struct SharedConfig {
    config: TlsConfig,
    connector: Arc<RustlsConnector>,
}

impl Client {
    pub fn new(settings: Settings) -> Self {
        let jar = settings.cookies.clone().map(|jar| Arc::new(Mutex::new(jar)));
        let shared = Shared { settings: Arc::new(settings), tls: Arc::default(), jar };
        Self { shared, kept: Arc::default() }
    }

    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// The text of a file that holds the cookies that all agents share.
    pub fn cookie_text(&self) -> Option<String> {
        let jar = self.shared.jar.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        Some(jar.text(unix_time()))
    }

    pub fn agent(&self) -> Agent {
        Agent {
            shared: self.shared.clone(),
            jar: self.shared.jar.clone().unwrap_or_default(),
            log: Arc::default(),
            plain: None,
            secure: None,
            unread: None,
            live: Arc::default(),
        }
    }

    /// An idle agent of that place, if there is one: its connection may still stand. Else a new one.
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
    /// `HTTP/1.1`, `HTTP/1.0`, `HTTP/2`.
    pub version: &'static str,
    /// Field names in lower case, in the order received.
    pub fields: Vec<(String, String)>,
    /// The bytes of the head, those of interim answers before it included.
    pub raw_head: Vec<u8>,
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
    /// When the agent's connection was made, if it has one.
    pub fn connected_at(&self) -> Option<Instant> {
        self.log.connection().map(|(at, _)| at)
    }

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
    jar: Arc<Mutex<Jar>>,
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
            let cookies =
                self.jar.lock().unwrap_or_else(PoisonError::into_inner).field(&current, unix_time());
            let before = exchanges.last().map(|e| &e.url);
            let hop = Hop { first: url, current: &current, before, cookies };
            let (answer, body) = self.exchange(&hop, ask).map_err(|failure| match exchanges.len() {
                0 => failure,
                _ => failure.after_redirect_to(&current.authority()),
            })?;
            let redirect = location(&answer).filter(|_| settings.redirects.follow);
            let length = match answer.framing {
                Framing::Length(length) => Some(length),
                Framing::Nothing | Framing::Chunked | Framing::UntilClose => None,
            };
            let exchange = exchange(&current, answer);
            self.keep_cookies(&exchange);
            exchanges.push(exchange);
            let content = Content {
                length,
                reader: body.into_reader(),
                log: self.log.clone(),
                slow_for: Duration::ZERO,
            };
            let Some(location) = redirect else {
                let connection = self.log.connection();
                return Ok(Answer {
                    head: head(exchanges.last().expect("one was pushed just now"), length),
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

    fn keep_cookies(&self, exchange: &Exchange) {
        let mut set = exchange.fields.iter().filter(|(name, _)| name == "set-cookie").peekable();
        if set.peek().is_some() {
            let mut jar = self.jar.lock().unwrap_or_else(PoisonError::into_inner);
            set.for_each(|(_, value)| jar.take(&exchange.url, value, unix_time()));
        }
    }

    /// Keeps a content that nobody wants until the next request, which may find that it is all there: only then is
    /// its connection of use. A long one costs the connection at once.
    fn set_aside(&mut self, content: Content) {
        self.unread =
            Some(content).filter(|content| content.length.is_none_or(|length| length <= DRAIN_LIMIT));
    }

    fn exchange(&mut self, hop: &Hop, ask: &Ask) -> Result<(AnswerHead, ureq::Body), Failure> {
        if let Some(unread) = self.unread.take() {
            unread.drain();
        }
        let first = self.send(hop, ask);
        // The server may close an idle connection at the very moment when it is used again.
        let stale = self.log.connection().is_none() && self.log.received() == 0;
        match first {
            Err(Failure::EmptyReply | Failure::Reset | Failure::Send(_)) if stale => self.send(hop, ask),
            other => other,
        }
    }

    fn send(&mut self, hop: &Hop, ask: &Ask) -> Result<(AnswerHead, ureq::Body), Failure> {
        let settings = self.shared.settings.clone();
        self.log.start();
        if self.log.is_cancelled() {
            return Err(Failure::Cancelled);
        }
        let request = request(&settings, hop, ask)?;
        let agent = self.agent_for(hop.current.scheme)?;
        self.log.enter(Phase::Head); // unless a connection must be made first
        let response = agent.run(request).map_err(|error| head_failure(error, &self.log))?;
        let head = self.log.take_head().ok_or(Failure::NotHttp)?;
        Ok((head, response.into_body()))
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
        let reads_heads = ReadsHeads { log: self.log.clone() };
        let builder = Config::builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .input_buffer_size(INPUT_BUFFER)
            .output_buffer_size(OUTPUT_BUFFER)
            .max_idle_connections_per_host(1)
            .user_agent("")
            .accept("")
            .accept_encoding("");
        let agent = match scheme {
            Scheme::Http => ureq::Agent::with_parts(builder.build(), dial.chain(reads_heads), NoResolver),
            Scheme::Https => {
                let tls = self.shared.tls()?;
                let config = builder.tls_config(tls.config).build();
                let secured = dial.chain(SharedTls { shared: tls.connector, log: self.log.clone() });
                ureq::Agent::with_parts(config, secured.chain(reads_heads), NoResolver)
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
    /// For how long the content has been slower than the speed limit.
    slow_for: Duration,
}

impl Content {
    /// Some bytes; 0 at the end of the content. Over TLS they are those of one record.
    fn read_piece(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        // The limit for the next byte of content. Trailers and chunk sizes do not renew it: they may come for
        // ever.
        self.log.enter(Phase::Content { slow_for: self.slow_for });
        // Bytes that were received long ago are read without asking the socket, perhaps at a slow pace of our
        // own. The limits hold for them, too.
        self.log.time_left()?;
        let read = self.reader.read(buffer).inspect(|bytes| self.log.read(*bytes as u64));
        read.map_err(|error| {
            if self.log.is_cancelled() {
                return Failure::Cancelled;
            }
            match Error::from(error) {
                Error::Io(error) => self.log.failure().unwrap_or_else(|| match error.kind() {
                    std::io::ErrorKind::UnexpectedEof => Failure::Truncated,
                    _ => Failure::receive(&error),
                }),
                other => self.log.failure().unwrap_or_else(|| Failure::Receive(other.to_string())),
            }
        })
    }

    /// Reads some bytes, and what else has been received already; 0 at the end of the content.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        let mut filled = self.read_piece(buffer)?;
        while self.log.has_record() && filled < buffer.len() {
            match self.read_piece(&mut buffer[filled..]) {
                Ok(more @ 1..) => filled += more,
                Ok(0) | Err(_) => break, // the next call says so, too
            }
        }
        Ok(filled)
    }

    /// Tells for how long the content has been slower than the speed limit: the next bytes have only the rest
    /// of that time.
    pub fn set_slow_for(&mut self, time: Duration) {
        self.slow_for = time;
    }

    /// Tells whether much content is still to come: it is then taken from the kernel in larger pieces.
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

/// Where the answer leads to: as in curl, the first of any 3xx that says something.
fn location(answer: &AnswerHead) -> Option<String> {
    let mut values = answer.fields.iter().filter(|(name, _)| name == "location").map(|(_, value)| value);
    let value = values.find(|value| !value.is_empty()).filter(|_| (300..400).contains(&answer.status))?;
    Some(as_ascii(value))
}

/// Bytes that are no ASCII in the form that they have in a URL.
fn as_ascii(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        if byte.is_ascii() {
            text.push(char::from(*byte));
        } else {
            let _ = write!(text, "%{byte:02x}"); // a String takes anything
        }
        text
    })
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
    request.body(()).map_err(|error| Failure::Request(error.to_string()))
}

fn exchange(url: &Url, head: AnswerHead) -> Exchange {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    Exchange {
        url: url.clone(),
        status: head.status,
        version: head.version,
        fields: head.fields.into_iter().map(|(name, value)| (name, text(&value))).collect(),
        raw_head: head.raw,
    }
}

fn head(exchange: &Exchange, content_length: Option<u64>) -> Head {
    let validator = exchange.field("etag").filter(|tag| !tag.starts_with("W/"));
    let last_modified = exchange.field("last-modified").map(str::to_owned);
    Head {
        status: exchange.status,
        content_range: all(exchange, "content-range")
            .map(|value| ContentRange::read(&value, content_length).ok()),
        content_length,
        content_type: exchange.field("content-type").map(str::to_owned),
        retry_after: exchange.field("retry-after").and_then(retry_after),
        content_encoding: exchange.field("content-encoding").map(str::to_owned),
        file_name: exchange.field("content-disposition").and_then(file_name),
        validator: validator.map(str::to_owned).or_else(|| last_modified.clone()),
        last_modified,
    }
}

/// All fields of that name as one (RFC 9110, section 5.3).
fn all(exchange: &Exchange, name: &str) -> Option<String> {
    let fields = exchange.fields.iter().filter(|(n, _)| n == name);
    let values: Vec<&str> = fields.map(|(_, value)| value.as_str()).collect();
    (!values.is_empty()).then(|| values.join(","))
}

/// The `filename` parameter of `Content-Disposition` (RFC 6266): its last path segment, if it can be a file's name.
fn file_name(disposition: &str) -> Option<String> {
    let mut rest = disposition;
    let value = loop {
        rest = rest.trim_start_matches([' ', '\t', ';']);
        let end = rest.find(['=', ';'])?;
        let (name, after) = rest.split_at(end);
        let Some(after) = after.strip_prefix('=') else {
            rest = after;
            continue;
        };
        let (value, further) = parameter_value(after.trim_start());
        if name.trim().eq_ignore_ascii_case("filename") {
            break value;
        }
        rest = further;
    };
    let name = value.rsplit(['/', '\\']).next().unwrap_or_default();
    let usable = !matches!(name, "" | "." | "..") && !name.chars().any(char::is_control);
    usable.then(|| name.to_owned())
}

/// A value that may be in quotes, of either kind, and what follows it.
fn parameter_value(text: &str) -> (&str, &str) {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''));
    let quoted = quote.and_then(|quote| text[1..].split_once(quote));
    quoted.unwrap_or_else(|| {
        let (value, further) = text.split_once(';').unwrap_or((text, ""));
        (value.trim().trim_start_matches(['"', '\'']), further)
    })
}

/// RFC 9110, section 10.2.3: seconds or a date.
#[expect(clippy::disallowed_methods, reason = "a date in an answer means a distance from now")]
fn retry_after(value: &str) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(date::parse(value)?).unwrap_or(0));
    Some(at.duration_since(SystemTime::now()).unwrap_or_default())
}

/// In seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "cookies end at a time of the wall clock")]
fn unix_time() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// What an error before the end of the head means.
fn head_failure(error: Error, log: &WireLog) -> Failure {
    if log.is_cancelled() {
        return Failure::Cancelled;
    }
    if let Some(failure) = log.failure() {
        return failure;
    }
    match error {
        Error::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Failure::EmptyReply,
        Error::Io(error) => Failure::receive(&error),
        Error::Protocol(ureq_proto::Error::OutputOverflow) => {
            Failure::Request("a header field is too long".to_owned())
        }
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
            ("attachment; filename=\"a;b.tar\"; size=2", Some("a;b.tar")),
            ("attachment; filename='a b.tar'", Some("a b.tar")),
            ("attachment; name=\"filename=x\"; filename = a.tar", Some("a.tar")),
            ("attachment; filename=\"a.tar", Some("a.tar")),
            ("filename=a.tar", Some("a.tar")),
            ("attachment; filename", None),
            ("attachment; filename=", None),
            ("attachment; xfilename=a.tar", None),
            ("attachment", None),
        ] {
            assert_eq!(file_name(disposition).as_deref(), name, "{disposition}");
        }
    }
}
