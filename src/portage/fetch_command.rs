//! FETCHCOMMAND and RESUMECOMMAND as people write them, and what is wrong with them.

use std::fmt;

/// The commands that Portage runs for http and https.
pub const COMMANDS: [&str; 2] = ["FETCHCOMMAND", "RESUMECOMMAND"];

/// What is wrong with a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    OpenQuote,
    Empty,
    NoFile,
    NoDistdir,
    NoUri,
    UnquotedDigests,
    Preallocates,
    KeepsErrorPages,
    ResumesInFetch,
    NoResume,
    NoRedirects,
    NoStallLimit,
}

impl Fault {
    /// Whether files cannot be fetched with it, or wrong ones are kept; else it is worse than it could be.
    pub fn is_fatal(self) -> bool {
        use Fault::{NoRedirects, NoResume, NoStallLimit, ResumesInFetch};
        !matches!(self, ResumesInFetch | NoResume | NoRedirects | NoStallLimit)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenQuote => "a quotation is not closed",
            Self::Empty => "it is empty",
            Self::NoFile => "${FILE} is missing: Portage looks for the file under that name",
            Self::NoDistdir => "${DISTDIR} is missing: the file does not get where Portage looks for it",
            Self::NoUri => "${URI} is missing: nothing says what to fetch",
            Self::UnquotedDigests => {
                "${DIGESTS} is not quoted: where a file has none, --digests takes the next option for them"
            }
            Self::Preallocates => {
                "aria2c makes the file at its full size at once (no --file-allocation=none), so that Portage takes \
                 an unfinished one for complete"
            }
            Self::KeepsErrorPages => "-f is missing: the page of an error is saved as the file",
            Self::ResumesInFetch => "it resumes (-C -, -c), where Portage wants the file from its beginning",
            Self::NoResume => "it does not resume: what was fetched before is thrown away",
            Self::NoRedirects => "-L is missing: redirects are not followed",
            Self::NoStallLimit => "it has no limit on stalls: a mirror that falls silent is waited for without end",
        })
    }
}

/// The program of a command, without its folder; what stands before it (`nice`, variables) is passed over.
pub fn program(command: &str) -> &str {
    let name = |word: &'_ str| word.rsplit('/').next().unwrap_or_default().len();
    let mut words = command.split_ascii_whitespace().map(|word| word.trim_matches(['"', '\'']));
    let known = words.clone().find(|word| KNOWN.contains(&&word[word.len() - name(word)..]));
    let word = known.or_else(|| words.next()).unwrap_or_default();
    &word[word.len() - name(word)..]
}

const KNOWN: [&str; 5] = ["racefetch", "curl", "wget", "aria2c", "axel"];

/// What is wrong with a command. `resumes` when it is RESUMECOMMAND.
pub fn faults(command: &str, resumes: bool) -> Vec<Fault> {
    let Some(words) = words(command) else { return vec![Fault::OpenQuote] };
    if words.is_empty() {
        return vec![Fault::Empty];
    }
    let line = Line { program: program(command), words };
    let mut faults = Vec::new();
    let mut add = |is_so: bool, fault| faults.extend(is_so.then_some(fault));
    add(!line.mentions("FILE"), Fault::NoFile);
    add(!line.mentions("DISTDIR"), Fault::NoDistdir);
    add(!line.mentions("URI"), Fault::NoUri);
    add(line.has_unquoted_digests(), Fault::UnquotedDigests);
    let is_curl = matches!(line.program, "curl" | "racefetch");
    if is_curl {
        add(!line.has('f', &["fail", "fail-with-body"]), Fault::KeepsErrorPages);
        add(!line.has('L', &["location", "location-trusted"]), Fault::NoRedirects);
    }
    if line.program == "aria2c" {
        let allocation = line.value("file-allocation");
        add(allocation.is_none_or(|how| how != "none"), Fault::Preallocates);
    }
    let can_resume = match line.program {
        "curl" | "racefetch" => Some(line.has('C', &["continue-at"])),
        "wget" | "aria2c" => Some(line.has('c', &["continue"]) && line.value("continue") != Some("false")),
        _ => None,
    };
    add(!resumes && can_resume == Some(true), Fault::ResumesInFetch);
    add(resumes && can_resume == Some(false), Fault::NoResume);
    let has_limit = match line.program {
        "curl" => {
            let is_given = |letter, name| line.has(letter, &[name]);
            is_given('m', "max-time") || is_given('y', "speed-time") || is_given('Y', "speed-limit")
        }
        "wget" => line.has('T', &["timeout", "read-timeout"]),
        _ => true,
    };
    add(!has_limit, Fault::NoStallLimit);
    faults
}

/// A word without its quotes, and whether all of it stood in quotes.
pub struct Word {
    pub text: String,
    pub quoted: bool,
}

struct Line<'c> {
    program: &'c str,
    words: Vec<Word>,
}

impl Line<'_> {
    fn mentions(&self, variable: &str) -> bool {
        let (braced, bare) = (format!("${{{variable}}}"), format!("${variable}"));
        let is_end = |rest: &str| !rest.starts_with(|next: char| next.is_ascii_alphanumeric() || next == '_');
        let names = |text: &str| {
            text.contains(&braced)
                || text.match_indices(&bare).any(|(at, _)| is_end(&text[at + bare.len()..]))
        };
        self.words.iter().any(|word| names(&word.text))
    }

    fn has_unquoted_digests(&self) -> bool {
        let mut two = self.words.windows(2);
        let is_digests = |word: &Word| matches!(word.text.as_str(), "${DIGESTS}" | "$DIGESTS");
        two.any(|two| two[0].text == "--digests" && is_digests(&two[1]) && !two[1].quoted)
    }

    /// Whether an option is given, in short or by one of its names.
    fn has(&self, letter: char, names: &[&str]) -> bool {
        let is_name = |text: &str| names.contains(&text.split('=').next().unwrap_or_default());
        let mut takes_value = false;
        self.words.iter().skip(1).any(|Word { text, .. }| {
            // A value looks like an option at times: `-C -`, `-H -x`.
            if std::mem::take(&mut takes_value) {
                return false;
            }
            if let Some(long) = text.strip_prefix("--") {
                return is_name(long);
            }
            let Some(letters) = text.strip_prefix('-') else { return false };
            let with_value = letters.find(|letter| self.value_letters().contains(letter));
            takes_value = with_value.is_some_and(|at| at + 1 == letters.len());
            let end = with_value.map_or(letters.len(), |at| at + 1);
            letters[..end].contains(letter)
        })
    }

    /// What an option `--NAME=VALUE` or `--NAME VALUE` is.
    fn value(&self, name: &str) -> Option<&str> {
        let mut words = self.words.iter().map(|word| word.text.as_str());
        while let Some(word) = words.next() {
            let Some(rest) = word.strip_prefix("--").and_then(|word| word.strip_prefix(name)) else {
                continue;
            };
            match rest.strip_prefix('=') {
                None if rest.is_empty() => return words.next(),
                Some(value) => return Some(value),
                None => {}
            }
        }
        None
    }

    /// The short options that have a value.
    fn value_letters(&self) -> &'static str {
        match self.program {
            "wget" => "aBDeilnoOPQtTUwARXI",
            "aria2c" => "dikljmosTxyUZ",
            _ => "AbCcdDeEFHhKmoPQrtTuUwxXyYz",
        }
    }
}

/// The words of a command, as the shell has them. `None` when a quotation is not closed.
pub fn words(command: &str) -> Option<Vec<Word>> {
    let mut words = Vec::new();
    let mut chars = command.chars().peekable();
    loop {
        while chars.next_if(|next| next.is_whitespace()).is_some() {}
        if chars.peek().is_none() {
            return Some(words);
        }
        let mut word = Word { text: String::new(), quoted: true };
        while let Some(next) = chars.next_if(|next| !next.is_whitespace()) {
            match next {
                '\'' => loop {
                    match chars.next()? {
                        '\'' => break,
                        other => word.text.push(other),
                    }
                },
                '"' => loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => word.text.push(chars.next()?),
                        other => word.text.push(other),
                    }
                },
                '\\' => word.text.extend(chars.next()),
                other => {
                    word.quoted = false;
                    word.text.push(other);
                }
            }
        }
        words.push(word);
    }
}

#[cfg(test)]
mod tests {
    use super::Fault::*;
    use super::*;

    const END: &str = r#"-o "${DISTDIR}/${FILE}" "${URI}""#;

    #[test]
    fn commands_that_people_write() {
        let globals = r#"wget -t 3 -T 60 --passive-ftp -O "${DISTDIR}/${FILE}" "${URI}""#;
        let globals_c = r#"wget -c -t 3 -T 60 --passive-ftp -O "${DISTDIR}/${FILE}" "${URI}""#;
        let ours =
            r#"racefetch -f -L --digests "${DIGESTS}" --mirrors "http://a" -o "${DISTDIR}/${FILE}" "${URI}""#;
        let aria2 = r"/usr/bin/aria2c -d ${DISTDIR} -o ${FILE} --allow-overwrite=true --max-tries=5 ${URI}";
        for (command, resumes, expected) in [
            (globals, false, &[] as &[Fault]),
            (globals, true, &[NoResume]),
            (globals_c, true, &[]),
            (globals_c, false, &[ResumesInFetch]),
            (ours, false, &[]),
            (ours, true, &[NoResume]),
            (&ours.replace("-L", "-L -C -"), true, &[]),
            (&ours.replace("-L", "-LC-"), false, &[ResumesInFetch]),
            (&ours.replace("\"${DIGESTS}\"", "${DIGESTS}"), false, &[UnquotedDigests]),
            (&ours.replace("--digests \"${DIGESTS}\"", "${DIGESTS}"), false, &[]),
            (&ours.replace("/${FILE}", ""), false, &[NoFile]),
            (&ours.replace("${DISTDIR}", "."), false, &[NoDistdir]),
            (&ours.replace("${URI}", "$URIS"), false, &[NoUri]),
            (&format!("curl {END}"), false, &[KeepsErrorPages, NoRedirects, NoStallLimit]),
            (&format!("curl -fsSL -y 30 {END}"), false, &[]),
            (&format!("curl -fsSL --speed-limit=1 {END}"), false, &[]),
            // What follows a letter with a value is that value.
            (&format!("curl -ofL -y 3 {END}"), false, &[KeepsErrorPages, NoRedirects]),
            (&format!("curl -A -f -L -y 3 {END}"), false, &[KeepsErrorPages]),
            (&format!("nice -n 19 curl --fail --location --max-time 600 {END}"), false, &[]),
            (r"wget -O ${DISTDIR}/${FILE} ${URI}", false, &[NoStallLimit]),
            (r"wget -P ${DISTDIR} --timeout=9 ${URI}", false, &[NoFile]),
            (aria2, false, &[Preallocates]),
            (&aria2.replace("--max", "--file-allocation=none --max"), false, &[]),
            (&aria2.replace("--max", "--file-allocation falloc -c --max"), true, &[Preallocates]),
            (r"/usr/local/bin/my-fetch ${DISTDIR} ${FILE} ${URI}", false, &[]),
            ("", false, &[Empty]),
            ("curl \"${URI}", false, &[OpenQuote]),
        ] {
            assert_eq!(faults(command, resumes), expected, "{command}");
        }
    }

    #[test]
    fn the_program_is_found_behind_what_starts_it() {
        for (command, name) in [
            ("racefetch -f", "racefetch"),
            ("/usr/bin/racefetch -f", "racefetch"),
            ("nice -n 5 /usr/bin/wget -O x", "wget"),
            ("\"/opt/my fetch\" x", "my"),
            ("", ""),
            ("/", ""),
        ] {
            assert_eq!(program(command), name, "{command}");
        }
    }

    #[test]
    fn what_is_fatal_is_what_breaks_files() {
        assert!(NoFile.is_fatal() && Preallocates.is_fatal() && UnquotedDigests.is_fatal());
        assert!(!NoResume.is_fatal() && !NoStallLimit.is_fatal());
    }
}
