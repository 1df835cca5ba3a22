//! Markdown as roff, with the macros of man(7): what README and `docs/` say is said in the manual in the same words.

use std::fmt::Write;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// The section of a document below a heading, without the heading.
pub fn section<'t>(text: &'t str, heading: &str) -> &'t str {
    let whole = |at: &usize| *at == 0 || text[..*at].ends_with('\n');
    let begin = text.match_indices(&format!("{heading}\n")).map(|(at, _)| at).find(whole);
    let begin = begin.unwrap_or_else(|| panic!("{heading} is not there"));
    let rest = &text[begin + heading.len() + 1..];
    let level = heading.split(' ').next().unwrap_or_default();
    let end = rest.match_indices(&format!("\n{level} ")).map(|(at, _)| at).next();
    &rest[..end.unwrap_or(rest.len())]
}

/// A document or a part of it. Headings of the second level become sections, those below subsections; the title of the
/// document is left out.
pub fn to_roff(text: &str) -> String {
    let mut roff = Roff::default();
    let mut options = Options::empty();
    options.insert(Options::ENABLE_TABLES);
    for event in Parser::new_ext(text, options) {
        roff.take(event);
    }
    roff.flush("");
    roff.done
}

#[derive(Default)]
struct Roff {
    done: String,
    /// What stands in the paragraph or cell so far.
    line: String,
    /// Title, code block or picture: what it holds is taken as it is, or not at all.
    skips: bool,
    verbatim: bool,
    cells: Vec<String>,
    in_item: bool,
}

impl Roff {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(Tag::Heading { level, .. }) => {
                self.flush("");
                self.skips = level as usize == 1;
            }
            Event::End(TagEnd::Heading(level)) => {
                let name = std::mem::take(&mut self.line);
                if !self.skips {
                    let macro_name = if level as usize == 2 { ".SH" } else { ".SS" };
                    let name = if level as usize == 2 { name.to_uppercase() } else { name };
                    let _ = writeln!(self.done, "{macro_name} \"{}\"", name.replace('"', "\\(dq"));
                }
                self.skips = false;
            }
            Event::Start(Tag::Image { .. }) => self.skips = true,
            Event::End(TagEnd::Image) => self.skips = false,
            Event::Start(Tag::CodeBlock(_)) => {
                self.flush("");
                self.done.push_str(".PP\n.RS 4\n.EX\n");
                self.verbatim = true;
            }
            Event::End(TagEnd::CodeBlock) => {
                self.verbatim = false;
                self.done.push_str(".EE\n.RE\n");
            }
            Event::Start(Tag::Item) => self.in_item = true,
            Event::End(TagEnd::Item) => {
                self.flush(".IP \\(bu 2\n");
                self.in_item = false;
            }
            Event::End(TagEnd::Paragraph) => {
                let begin = if self.in_item { ".IP \\(bu 2\n" } else { ".PP\n" };
                self.flush(begin);
            }
            Event::End(TagEnd::TableCell) => self.cells.push(std::mem::take(&mut self.line)),
            // The names of the columns say nothing that the rows do not.
            Event::End(TagEnd::TableHead) => self.cells.clear(),
            Event::End(TagEnd::TableRow) => {
                let cells = std::mem::take(&mut self.cells);
                let (first, rest) = cells.split_first().expect("a row has cells");
                let _ = writeln!(self.done, ".TP\n{}\n{}", begun(first), begun(&rest.join("; ")));
            }
            Event::Start(Tag::Strong) => self.line.push_str("\\fB"),
            Event::Start(Tag::Emphasis) => self.line.push_str("\\fI"),
            Event::End(TagEnd::Strong | TagEnd::Emphasis) => self.line.push_str("\\fR"),
            Event::Code(code) => {
                let _ = write!(self.line, "\\fB{}\\fR", escaped(&code));
            }
            Event::Text(text) if self.verbatim => {
                for line in text.lines() {
                    self.done.push_str(&begun(&escaped(line)));
                    self.done.push('\n');
                }
            }
            Event::Text(text) if !self.skips => self.line.push_str(&escaped(&text)),
            Event::SoftBreak | Event::HardBreak => self.line.push('\n'),
            _ => {}
        }
    }

    /// Ends what stands in the line.
    fn flush(&mut self, begin: &str) {
        let line = std::mem::take(&mut self.line);
        if line.trim().is_empty() {
            return;
        }
        self.done.push_str(begin);
        for line in line.trim().lines() {
            self.done.push_str(&begun(line));
            self.done.push('\n');
        }
    }
}

/// Text whose characters mean themselves.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '\\' => escaped.push_str("\\e"),
            '-' => escaped.push_str("\\-"),
            '`' => escaped.push_str("\\(ga"),
            '\'' => escaped.push_str("\\(aq"),
            '^' => escaped.push_str("\\(ha"),
            '~' => escaped.push_str("\\(ti"),
            '…' => escaped.push_str("..."),
            '×' => escaped.push_str("\\(mu"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A line that begins with no request.
fn begun(line: &str) -> String {
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_owned() }
}
