//! The figures as a page for a browser: one file, without scripts, and nothing in it is loaded from elsewhere.

use std::cmp::Reverse;
use std::fmt::Write;
use std::time::{Duration, UNIX_EPOCH};

use super::overview::{Line, MIRRORS_SHOWN, Overview, outcomes};
use super::units::{duration, known, nothing, percent, size};
use crate::mirror::traffic::Traffic;
use crate::progress::{self, printable};
use crate::timeline::svg::escape;

const STYLE: &str = include_str!("page.css");
/// HTTP dates end with the year 9999.
const LAST_DATE: u64 = 253_402_300_799;

/// The whole page.
pub(super) fn write(overview: &Overview<'_>) -> String {
    let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(overview.now.min(LAST_DATE)));
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>racefetch: the mirrors</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header>\n<h1>What racefetch knows of the mirrors</h1>\n<p class=\"faint\">{date}</p>\n"
    );
    if !overview.is_readable {
        page.push_str("<p class=\"alarm\">The file of figures could not be read.</p>\n");
    }
    page.push_str("</header>\n");
    tiles(&mut page, overview);
    mirrors(&mut page, overview);
    failures(&mut page, &overview.all());
    let version = env!("CARGO_PKG_VERSION");
    put(
        &mut page,
        format_args!("<footer><p class=\"faint\">racefetch {version}</p></footer>\n</body>\n</html>"),
    );
    page
}

/// What most want to know, in large figures.
fn tiles(page: &mut String, overview: &Overview<'_>) {
    let all = overview.all();
    let local = &overview.local.traffic;
    let finished = all.successes.saturating_add(all.failures_total());
    let at_rest =
        overview.mirrors.iter().filter(|line| line.figures.cool_down_left(overview.now) > 0).count();
    let mirrors = overview.local.mirrors + overview.public.mirrors;
    page.push_str("<dl class=\"tiles\">\n");
    tile(page, "Fetched", &size(all.bytes_kept), &format!("in {} requests", all.attempts));
    tile(
        page,
        "From the local network",
        &per_cent(local.bytes_kept, all.bytes_kept),
        &format!("{} that did not cross the Internet", size(local.bytes_kept)),
    );
    tile(
        page,
        "Received for nothing",
        &per_cent(all.bytes_wasted, all.bytes_received()),
        &size(all.bytes_wasted),
    );
    tile(
        page,
        "Requests that succeeded",
        &per_cent(all.successes, finished),
        &format!("{} failed, {} were ended from here", all.failures_total(), all.interrupted()),
    );
    tile(page, "Mirrors that rest", &at_rest.to_string(), &format!("after failures, of {mirrors} known"));
    let ranked = overview.ranked_at.map(|at| overview.now.saturating_sub(at));
    let (ranked, note) = match ranked {
        Some(age) => (format!("{} ago", duration(age)), "by racefetch rank"),
        None => ("never".to_owned(), "racefetch rank finds the best"),
    };
    tile(page, "Mirrors ranked", &ranked, note);
    page.push_str("</dl>\n");
}

fn tile(page: &mut String, name: &str, figure: &str, note: &str) {
    let long = if figure.len() > 9 { " long" } else { "" };
    put(page, format_args!("<div class=\"tile\"><dt>{name}</dt><dd class=\"figure{long}\">{figure}</dd>"));
    put(page, format_args!("<dd class=\"faint\">{note}</dd></div>"));
}

const HEADINGS: [&str; 8] =
    ["Mirror", "Fetched", "Succeeded", "First byte", "Rate", "For nothing", "Copy's age", "Last failure"];

fn mirrors(page: &mut String, overview: &Overview<'_>) {
    page.push_str("<main>\n<h2>Mirrors</h2>\n<div class=\"card\">\n");
    if overview.mirrors.is_empty() {
        page.push_str("<p>There are no figures of any mirror yet: they come with the first fetch.</p>\n");
    } else {
        page.push_str("<table>\n<thead><tr>");
        for heading in HEADINGS {
            let _ = write!(page, "<th scope=\"col\">{heading}</th>"); // a String takes all that it is given
        }
        page.push_str("</tr></thead>\n<tbody>\n");
        let mut lines: Vec<&Line<'_>> = overview.mirrors.iter().collect();
        lines.sort_by_key(|line| Reverse(line.figures.bytes_kept));
        let most = lines[0].figures.bytes_kept;
        for line in lines {
            row(page, line, most, overview.now);
        }
        page.push_str("</tbody>\n</table>\n");
    }
    let others = (overview.local.mirrors + overview.public.mirrors).saturating_sub(MIRRORS_SHOWN);
    if others > 0 {
        put(page, format_args!("<p class=\"faint\">{others} others were asked less often.</p>"));
    }
    page.push_str("</div>\n</main>\n");
}

/// `most` is what the mirror that gave most has given, in bytes.
fn row(page: &mut String, line: &Line<'_>, most: u64, now: u64) {
    let figures = line.figures;
    let traffic = Traffic::of(figures);
    let (scope, tag) =
        if line.is_local { ("local", " <span class=\"tag local\">local</span>") } else { ("public", "") };
    let rank =
        line.rank.map(|rank| format!(" <span class=\"tag rank\">no. {rank}</span>")).unwrap_or_default();
    let address = escape(&printable(line.key.as_str()));
    put(page, format_args!("<tr><th scope=\"row\">{address}{tag}{rank}"));
    put(page, format_args!("{}</th>", bar(scope, figures.bytes_kept, most)));
    let finished = figures.successes.saturating_add(figures.failures_total());
    let first_byte = figures.first_byte_us.mean().map(|us| us as f64 / 1e3);
    let cells = [
        size(figures.bytes_kept),
        per_cent(figures.successes, finished),
        first_byte.map_or_else(nothing, |ms| format!("{} ms", known(Some(ms)))),
        figures.bytes_per_second.mean().map_or_else(nothing, |rate| progress::rate(rate as f64)),
        per_cent(figures.bytes_wasted, traffic.bytes_received()),
        line.copy_age().map_or_else(nothing, duration),
    ];
    for (cell, name) in cells.iter().zip(&HEADINGS[1..]) {
        let _ = write!(page, "<td data-name=\"{name}\">{cell}</td>");
    }
    let failure = figures.last_failure.map_or_else(nothing, |failure| {
        format!("{}, {} ago", spoken(failure.kind.name()), duration(now.saturating_sub(failure.at)))
    });
    let rest = match figures.cool_down_left(now) {
        0 => String::new(),
        left => format!("<br><span class=\"rests\">rests for {}</span>", duration(left)),
    };
    put(page, format_args!("<td data-name=\"{}\">{failure}{rest}</td></tr>", HEADINGS[7]));
}

/// Why requests failed, the most frequent first.
fn failures(page: &mut String, all: &Traffic) {
    let mut failed: Vec<(&str, u64)> = outcomes(all)
        .filter(|(name, count)| *count > 0 && !["success", "interrupted"].contains(name))
        .collect();
    failed.sort_by_key(|(_, count)| Reverse(*count));
    let Some((_, most)) = failed.first().copied() else { return };
    page.push_str("<section>\n<h2>How requests failed</h2>\n<dl class=\"tiles\">\n");
    for (name, count) in failed {
        put(page, format_args!("<div class=\"tile\"><dt>{}</dt><dd>{count}", spoken(name)));
        put(page, format_args!("{}</dd></div>", bar("wasted", count, most)));
    }
    page.push_str("</dl>\n</section>\n");
}

/// A failure's name in the state, as words.
fn spoken(name: &str) -> String {
    name.replace('_', " ")
}

fn per_cent(part: u64, whole: u64) -> String {
    if whole == 0 { nothing() } else { format!("{} %", percent(part, whole)) }
}

/// As long as the part is of the whole.
fn bar(class: &str, part: u64, whole: u64) -> String {
    let width = part as f64 * 100.0 / whole.max(1) as f64;
    format!("<span class=\"bar\"><i class=\"{class}\" style=\"width:{width:.1}%\"></i></span>")
}

fn put(page: &mut String, line: std::fmt::Arguments<'_>) {
    let _ = writeln!(page, "{line}");
}

#[cfg(test)]
mod tests {
    use super::super::overview::tests::{NOW, attempt, failure};
    use super::*;
    use crate::mirror::{Delta, FailureKind, MirrorKey, Outcome, State};
    use crate::portage::Tiers;

    fn page(state: &State, is_readable: bool) -> String {
        write(&Overview::new(state, is_readable, &Tiers::default(), NOW))
    }

    #[test]
    fn the_figures_are_shown() {
        let mut state = State::default();
        state.apply(&attempt("https://a.example/gentoo", Outcome::Success, 64 << 20));
        state.apply(&attempt("http://cache.lan:8080", Outcome::Success, 192 << 20));
        state.apply(&attempt("https://b.example", failure(FailureKind::TooManyRequests), 0));
        let mirror = MirrorKey::new("https://a.example/gentoo");
        state.apply(&Delta::Freshness { mirror: mirror.clone(), at: NOW - 5, timestamp: NOW - 5 - 3 * 3600 });
        state.apply(&Delta::Ranking { at: NOW - 7200, mirrors: vec![mirror] });
        let page = page(&state, true);
        for text in [
            "Fri, 15 Jan 2027 08:00:00 GMT",
            "<dd class=\"figure\">256.0 MiB</dd>",
            "<dd class=\"figure\">75.0 %</dd>\n<dd class=\"faint\">192.0 MiB that did not cross the Internet</dd>",
            "<dd class=\"figure\">66.7 %</dd>\n<dd class=\"faint\">1 failed, 0 were ended from here</dd>",
            "<dd class=\"figure\">2 h ago</dd>",
            "http://cache.lan:8080 <span class=\"tag local\">local</span>\n",
            "<i class=\"local\" style=\"width:100.0%\">",
            "https://a.example/gentoo <span class=\"tag rank\">no. 1</span>\n",
            "<i class=\"public\" style=\"width:33.3%\">",
            "<td data-name=\"First byte\">40.0 ms</td><td data-name=\"Rate\">32.0 MiB/s</td>",
            "<td data-name=\"Copy's age\">3 h</td>",
            "too many requests, 60 s ago",
        ] {
            assert!(page.contains(text), "{text}\n{page}");
        }
        assert!(!page.contains("could not be read"));
    }

    #[test]
    fn what_comes_from_outside_stays_text() {
        let mut state = State::default();
        let odd = "http://u:secret@<script>alert(1)</script>\"onload=\"x\u{202e}";
        state.apply(&attempt(odd, Outcome::Success, 5));
        let page = page(&state, true);
        assert!(page.contains("http://&lt;script&gt;alert(1)&lt;/script&gt;&quot;onload=&quot;x?"), "{page}");
        assert!(!page.contains("<script") && !page.contains("secret") && !page.contains('\u{202e}'));
    }

    #[test]
    fn a_page_without_figures_says_so() {
        let empty = page(&State::default(), false);
        assert!(
            empty.contains("There are no figures of any mirror yet") && empty.contains("could not be read")
        );
        assert!(empty.ends_with("</html>\n") && !empty.contains("<table>") && !empty.contains("NaN"));
    }

    #[test]
    fn the_rest_is_counted() {
        let mut state = State::default();
        for n in 0..53 {
            state.apply(&attempt(&format!("https://m{n}.example"), Outcome::Success, 5));
        }
        let page = page(&state, true);
        assert!(page.contains("3 others were asked less often."));
        assert_eq!(page.matches("<tr>").count(), 1 + MIRRORS_SHOWN);
    }
}
