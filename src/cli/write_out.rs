//! `-w`: a format that is printed after each transfer (curl(1), `--write-out`).

use super::exit::ExitStatus;
use std::time::Duration;

/// A format, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

/// What one transfer has to say.
#[derive(Clone, Debug)]
pub struct Outcome<'a> {
    /// As on the command line.
    pub url: &'a str,
    /// Where the redirects ended.
    pub url_effective: &'a str,
    /// Position among the URLs, from 0.
    pub url_number: usize,
    pub status: ExitStatus,
    /// The line that was or would be shown; empty without an error.
    pub error: &'a str,
    /// Status code of the last answer; 0 without one.
    pub response_code: u16,
    pub content_type: Option<&'a str>,
    pub redirects: u32,
    pub retries: u32,
    /// Bytes received of the content, in this call.
    pub received: u64,
    pub elapsed: Duration,
    pub file_name: Option<&'a str>,
    pub remote_ip: Option<&'a str>,
    /// Header fields of the last answer: names and values, in their order.
    pub fields: &'a [(String, String)],
}

/// What goes where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    pub stdout: String,
    pub stderr: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Variable(Variable),
    /// `%header{name}`.
    Field(String),
    ToStdout,
    ToStderr,
    /// `%{onerror}`: the rest only when the transfer failed.
    OnError,
    /// A name that means nothing here.
    Unknown(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variable {
    ContentType,
    ErrorMessage,
    ExitCode,
    FileName,
    Method,
    Redirects,
    RemoteIp,
    ResponseCode,
    Retries,
    SizeDownload,
    SpeedDownload,
    TimeTotal,
    Url,
    UrlEffective,
    UrlNumber,
}

impl Template {
    /// Reads a format. Nothing in it is an error: what is not understood stands for itself, and unknown
    /// variables are named on stderr when the time comes, as curl does it.
    pub fn parse(format: &str) -> Self {
        let mut pieces = Vec::new();
        let mut text = String::new();
        let mut rest = format;
        while let Some(at) = rest.find(['%', '\\']) {
            let (before, special) = rest.split_at(at);
            text.push_str(before);
            let (piece, tail) = special_piece(special);
            rest = tail;
            match piece {
                Piece::Text(more) => text.push_str(&more),
                piece => {
                    pieces.push(Piece::Text(std::mem::take(&mut text)));
                    pieces.push(piece);
                }
            }
        }
        text.push_str(rest);
        pieces.push(Piece::Text(text));
        pieces.retain(|piece| *piece != Piece::Text(String::new()));
        Self { pieces }
    }

    /// The text for one transfer.
    pub fn render(&self, outcome: &Outcome<'_>) -> Rendered {
        let mut rendered = Rendered::default();
        let mut to_stderr = false;
        for piece in &self.pieces {
            let text = match piece {
                Piece::Text(text) => text.clone(),
                Piece::Variable(variable) => variable.value(outcome),
                Piece::Field(name) => field(outcome.fields, name),
                Piece::Unknown(name) => {
                    let line = format!("racefetch: unknown --write-out variable: '{name}'\n");
                    rendered.stderr.push_str(&line);
                    continue;
                }
                Piece::OnError if outcome.status.is_success() => break,
                Piece::OnError => continue,
                Piece::ToStdout | Piece::ToStderr => {
                    to_stderr = *piece == Piece::ToStderr;
                    continue;
                }
            };
            if to_stderr {
                rendered.stderr.push_str(&text);
            } else {
                rendered.stdout.push_str(&text);
            }
        }
        rendered
    }
}

/// The piece at the start of `special`, which starts with `%` or `\`, and what follows it.
fn special_piece(special: &str) -> (Piece, &str) {
    let named = |opening: &str| special.strip_prefix(opening)?.split_once('}');
    if let Some((name, tail)) = named("%{") {
        return (variable_piece(name), tail);
    }
    if let Some((name, tail)) = named("%header{") {
        return (Piece::Field(name.to_owned()), tail);
    }
    let length = special.chars().take(2).map(char::len_utf8).sum();
    let (pair, tail) = special.split_at(length);
    let text = match pair {
        "%%" => "%",
        "\\n" => "\n",
        "\\r" => "\r",
        "\\t" => "\t",
        other => other,
    };
    (Piece::Text(text.to_owned()), tail)
}

fn variable_piece(name: &str) -> Piece {
    let variable = match name.to_ascii_lowercase().as_str() {
        "content_type" => Variable::ContentType,
        "errormsg" => Variable::ErrorMessage,
        "exitcode" => Variable::ExitCode,
        "filename_effective" => Variable::FileName,
        "http_code" | "response_code" => Variable::ResponseCode,
        "method" => Variable::Method,
        "num_redirects" => Variable::Redirects,
        "num_retries" => Variable::Retries,
        "remote_ip" => Variable::RemoteIp,
        "size_download" => Variable::SizeDownload,
        "speed_download" => Variable::SpeedDownload,
        "time_total" => Variable::TimeTotal,
        "url" => Variable::Url,
        "url_effective" => Variable::UrlEffective,
        "urlnum" => Variable::UrlNumber,
        "onerror" => return Piece::OnError,
        "stderr" => return Piece::ToStderr,
        "stdout" => return Piece::ToStdout,
        _ => return Piece::Unknown(name.to_owned()),
    };
    Piece::Variable(variable)
}

impl Variable {
    fn value(self, outcome: &Outcome<'_>) -> String {
        match self {
            Self::ContentType => outcome.content_type.unwrap_or_default().to_owned(),
            Self::ErrorMessage => outcome.error.to_owned(),
            Self::ExitCode => outcome.status.to_string(),
            Self::FileName => outcome.file_name.unwrap_or_default().to_owned(),
            Self::Method => "GET".to_owned(),
            Self::Redirects => outcome.redirects.to_string(),
            Self::RemoteIp => outcome.remote_ip.unwrap_or_default().to_owned(),
            Self::ResponseCode => format!("{:03}", outcome.response_code),
            Self::Retries => outcome.retries.to_string(),
            Self::SizeDownload => outcome.received.to_string(),
            Self::SpeedDownload => speed(outcome.received, outcome.elapsed).to_string(),
            Self::TimeTotal => format!("{:.6}", outcome.elapsed.as_secs_f64()),
            Self::Url => outcome.url.to_owned(),
            Self::UrlEffective => outcome.url_effective.to_owned(),
            Self::UrlNumber => outcome.url_number.to_string(),
        }
    }
}

/// Whole bytes a second.
fn speed(bytes: u64, elapsed: Duration) -> u128 {
    let micros = elapsed.as_micros().max(1);
    u128::from(bytes) * 1_000_000 / micros
}

/// The value of the first field of that name.
fn field(fields: &[(String, String)], name: &str) -> String {
    let found = fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(format: &str, status: ExitStatus) -> Rendered {
        let fields = [("ETag".to_owned(), "\"x\"".to_owned()), ("etag".to_owned(), "second".to_owned())];
        let outcome = Outcome {
            url: "http://h/",
            url_effective: "http://i/",
            url_number: 1,
            status,
            error: "it failed",
            response_code: 206,
            content_type: None,
            redirects: 2,
            retries: 0,
            received: 3000,
            elapsed: Duration::from_millis(1500),
            file_name: Some("out"),
            remote_ip: Some("127.0.0.1"),
            fields: &fields,
        };
        Template::parse(format).render(&outcome)
    }

    fn stdout(format: &str) -> String {
        render(format, ExitStatus::Ok).stdout
    }

    #[test]
    fn prints_variables() {
        assert_eq!(stdout("%{http_code} %{Response_Code}\\n"), "206 206\n");
        assert_eq!(stdout("%{size_download}/%{time_total}=%{speed_download}"), "3000/1.500000=2000");
        assert_eq!(stdout("[%{content_type}]%header{ETAG}%header{none}"), "[]\"x\"");
        assert_eq!(stdout("%{url} %{url_effective} %{urlnum} %{method}"), "http://h/ http://i/ 1 GET");
        assert_eq!(stdout("%{filename_effective}%{num_redirects}%{remote_ip}"), "out2127.0.0.1");
        assert_eq!(render("%{exitcode} %{errormsg}", ExitStatus::PartialFile).stdout, "18 it failed");
    }

    #[test]
    fn escapes_and_leaves_the_rest_alone() {
        assert_eq!(stdout("100%%\\t|\\r|\\x|%x|%é|%|"), "100%\t|\r|\\x|%x|%é|%|");
        assert_eq!(stdout("%{open"), "%{open");
        assert_eq!(stdout("%header{open"), "%header{open");
        assert_eq!(stdout("%"), "%");
        assert_eq!(stdout("\\"), "\\");
        assert_eq!(stdout(""), "");
    }

    #[test]
    fn names_unknown_variables() {
        let rendered = render("a%{foo}b", ExitStatus::Ok);
        assert_eq!(rendered.stdout, "ab");
        assert_eq!(rendered.stderr, "racefetch: unknown --write-out variable: 'foo'\n");
    }

    #[test]
    fn switches_streams_and_stops() {
        let rendered = render("a%{stderr}b%{stdout}c%{onerror}d", ExitStatus::Ok);
        assert_eq!((rendered.stdout.as_str(), rendered.stderr.as_str()), ("ac", "b"));
        assert_eq!(render("a%{onerror}d", ExitStatus::PartialFile).stdout, "ad");
    }
}
