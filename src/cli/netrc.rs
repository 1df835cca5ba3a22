//! The netrc file: credentials by host (curl(1), `--netrc`; `ftp`(1), "THE .netrc FILE").

use crate::http::settings::Credentials;

/// What a netrc file says, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetrcFile {
    entries: Vec<Entry>,
}

/// Why a file is not a netrc file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: a quoted string does not end")]
pub struct NetrcError {
    /// From 1.
    pub line: usize,
}

impl NetrcFile {
    /// Reads the whole file. Words that are not understood are passed over, as curl does.
    pub fn parse(text: &str) -> Result<Self, NetrcError> {
        let mut file = Self::default();
        let mut expects = Expects::Keyword;
        let mut in_macro = false;
        for (index, line) in text.lines().enumerate() {
            if in_macro {
                in_macro = !line.trim().is_empty(); // a macro ends with an empty line
                continue;
            }
            for word in words(line).map_err(|UnclosedQuote| NetrcError { line: index + 1 })? {
                if expects == Expects::Keyword && !word.quoted && word.text == "macdef" {
                    in_macro = true;
                    break;
                }
                expects = file.take(word, expects);
            }
        }
        Ok(file)
    }

    /// The credentials for a host, of a certain user when `login` is given (from the URL). The first
    /// entry that fits wins; `default` fits every host of which nothing else is said. The host is compared without
    /// case.
    pub fn credentials(&self, host: &str, login: Option<&str>) -> Option<Credentials> {
        let says = |entry: &&Entry| entry.login.is_some() || entry.password.is_some();
        let is_host =
            |entry: &&Entry| entry.machine.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(host));
        let is_user =
            |entry: &&Entry| login.is_none() || entry.login.is_none() || entry.login.as_deref() == login;
        let mut of_host = self.entries.iter().filter(says).filter(is_host).peekable();
        let entry = if of_host.peek().is_some() {
            of_host.find(is_user)
        } else {
            self.entries.iter().filter(says).find(|entry| entry.machine.is_none() && is_user(entry))
        }?;
        let user = login.map(str::to_owned).or_else(|| entry.login.clone()).unwrap_or_default();
        Some(Credentials { user, password: entry.password.clone().unwrap_or_default() })
    }

    /// Takes a word and says what the next one is.
    fn take(&mut self, word: Word, expects: Expects) -> Expects {
        let last = self.entries.last_mut();
        match (expects, last) {
            (Expects::Machine, _) => {
                self.entries.push(Entry { machine: Some(word.text), ..Entry::default() });
                return Expects::Keyword;
            }
            (Expects::Login, Some(entry)) => entry.login = Some(word.text),
            (Expects::Password, Some(entry)) => entry.password = Some(word.text),
            (Expects::Keyword, _) => return self.keyword(&word.text),
            (Expects::Login | Expects::Password | Expects::Account, _) => {}
        }
        Expects::Keyword
    }

    fn keyword(&mut self, word: &str) -> Expects {
        match word.to_ascii_lowercase().as_str() {
            "machine" => Expects::Machine,
            "login" => Expects::Login,
            "password" => Expects::Password,
            "account" => Expects::Account,
            "default" => {
                self.entries.push(Entry::default());
                Expects::Keyword
            }
            _ => Expects::Keyword,
        }
    }
}

/// `machine` is `None` for `default`.
#[derive(Clone, Default, PartialEq, Eq)]
struct Entry {
    machine: Option<String>,
    login: Option<String>,
    password: Option<String>,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("machine", &self.machine).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Expects {
    Keyword,
    Machine,
    Login,
    Password,
    Account,
}

struct Word {
    text: String,
    quoted: bool,
}

struct UnclosedQuote;

/// The words of a line; `#` in front of one starts a comment. In quotes, `\n \r \t` are control
/// characters and any other escaped character stands for itself.
fn words(line: &str) -> Result<Vec<Word>, UnclosedQuote> {
    let mut words = Vec::new();
    let mut chars = line.chars().peekable();
    while let Some(&first) = chars.peek() {
        if first.is_whitespace() {
            chars.next();
        } else if first == '#' {
            break;
        } else if first == '"' {
            chars.next();
            words.push(Word { text: quoted(&mut chars)?, quoted: true });
        } else {
            let mut text = String::new();
            while let Some(c) = chars.next_if(|c| !c.is_whitespace()) {
                text.push(c);
            }
            words.push(Word { text, quoted: false });
        }
    }
    Ok(words)
}

fn quoted(chars: &mut impl Iterator<Item = char>) -> Result<String, UnclosedQuote> {
    let mut text = String::new();
    loop {
        match chars.next().ok_or(UnclosedQuote)? {
            '"' => return Ok(text),
            '\\' => match chars.next().ok_or(UnclosedQuote)? {
                'n' => text.push('\n'),
                'r' => text.push('\r'),
                't' => text.push('\t'),
                other => text.push(other),
            },
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "machine one.example login joe password s3cret\n\
        # machine two.example login wrong password wrong\n\
        machine two.example\n\tlogin ann\n\taccount x\n\tpassword \"a b\\\"\\t\"\n\
        macdef init\nmachine three.example login macro password macro\n\n\
        machine three.example login a password 1\n\
        machine three.example login b password 2#3\n\
        machine bare.example\n\
        default login anonymous password guest\n";

    fn found(host: &str, login: Option<&str>) -> Option<(String, String)> {
        let credentials = NetrcFile::parse(FILE).unwrap().credentials(host, login)?;
        Some((credentials.user, credentials.password))
    }

    fn pair(user: &str, password: &str) -> (String, String) {
        (user.to_owned(), password.to_owned())
    }

    #[test]
    fn finds_credentials_by_host() {
        assert_eq!(found("ONE.example", None), Some(pair("joe", "s3cret")));
        assert_eq!(found("two.example", None), Some(pair("ann", "a b\"\t")));
        assert_eq!(found("three.example", None), Some(pair("a", "1")));
        assert_eq!(found("other.example", None), Some(pair("anonymous", "guest")));
        assert_eq!(found("bare.example", None), Some(pair("anonymous", "guest")));
    }

    #[test]
    fn finds_credentials_of_one_user() {
        assert_eq!(found("three.example", Some("b")), Some(pair("b", "2#3")));
        assert_eq!(found("three.example", Some("c")), None);
        assert_eq!(found("three.example", Some("anonymous")), None);
        assert_eq!(found("other.example", Some("anonymous")), Some(pair("anonymous", "guest")));
        let only_password = NetrcFile::parse("machine h password p").unwrap();
        assert_eq!(only_password.credentials("h", Some("u")).unwrap().password, "p");
    }

    #[test]
    fn survives_files_that_end_early() {
        for text in ["", "machine", "login joe", "machine h login", "password", "default"] {
            assert_eq!(NetrcFile::parse(text).unwrap().credentials("h", None), None, "{text}");
        }
        assert_eq!(NetrcFile::parse("\nmachine h login \"joe"), Err(NetrcError { line: 2 }));
    }

    #[test]
    fn shows_no_secrets() {
        let shown = format!("{:?}", NetrcFile::parse(FILE).unwrap());
        assert!(
            shown.contains("one.example") && !shown.contains("s3cret") && !shown.contains("joe"),
            "{shown}"
        );
    }
}
