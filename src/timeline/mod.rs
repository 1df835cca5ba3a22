//! A [`Trace`] as a picture: which mirror served which bytes when, and what a slow download waited for.
//!
//! Time runs to the right. Each source that was asked has a lane, with what happened to it in words below; under
//! the lanes are the growth of the file and the rate of all sources together. The picture is one SVG document
//! without scripts, fonts or links; it follows the viewer's light or dark colours.

mod lanes;
mod scale;
pub(crate) mod svg;

use lanes::{Lane, Mark, Request, Story, columns};
use scale::{bytes, duration, percent, rate, shortened, time_mark, time_step};
use svg::{Anchor, Rect, Svg};

use crate::transfer::trace::Trace;

/// Draws a trace.
pub fn draw(trace: &Trace) -> String {
    let story = Story::of(trace);
    let asked: Vec<usize> =
        (0..story.lanes.len()).filter(|id| !story.lanes[*id].requests.is_empty()).collect();
    let lanes_end = LANES_TOP + LANE_PITCH * asked.len() as f64;
    let idle: Vec<&str> = story.lanes.iter().filter(|l| l.requests.is_empty()).map(|l| l.name).collect();
    let file_top = lanes_end + if idle.is_empty() { 14.0 } else { 34.0 };
    let rate_top = file_top + FILE_HEIGHT + 34.0;
    let mut picture = Picture {
        svg: Svg::default(),
        trace,
        elapsed: trace.elapsed_us.max(1),
        plot_end: rate_top + RATE_HEIGHT,
        fastest: 0.0,
    };
    let height = picture.plot_end + 78.0;
    picture.svg.rect("paper", Rect { x: 0.0, y: 0.0, width: WIDTH, height });
    let title = picture.headings(&story);
    picture.time_axis();
    picture.checks(&story);
    picture.lanes(&story, &asked);
    if !idle.is_empty() {
        let names = shortened(&format!("Not asked: {}", idle.join(", ")), 150);
        picture.svg.text("small", (MARGIN, lanes_end + 14.0), Anchor::Start, &names);
    }
    picture.file(&story, file_top);
    picture.total_rate(&story, rate_top);
    picture.legend();
    picture.svg.finish(WIDTH, height, STYLE, &title)
}

const WIDTH: f64 = 1000.0;
const MARGIN: f64 = 16.0;
/// Where the plots begin.
const LEFT: f64 = 196.0;
const PLOT: f64 = WIDTH - LEFT - 24.0;
/// Width of what one rate is shown for.
const COLUMN: f64 = 2.0;
const COLUMNS: usize = 390;
const LANES_TOP: f64 = 76.0;
const LANE: f64 = 24.0;
const LANE_PITCH: f64 = 46.0;
const FILE_HEIGHT: f64 = 96.0;
const RATE_HEIGHT: f64 = 64.0;
/// Shades of the rate, `r1` to `r5`.
const SHADES: f64 = 5.0;
/// Width of a character of the small text, at most.
const CHARACTER: f64 = 5.6;

const STYLE: &str = "\
text{font-family:system-ui,'DejaVu Sans',sans-serif;font-size:12px;fill:#1f2328}\
.paper{fill:#fff}.head{font-size:16px;font-weight:bold}.small{font-size:10px;fill:#59636e}\
.error{font-size:11px;fill:#c40d1e}.bad{font-size:10px;fill:#c40d1e}.odd{font-size:10px;fill:#9a5b00}\
.grid{stroke:#d8dee4;stroke-width:1}.rail{fill:#f0f2f5}\
.wait{fill:#f5c451}.stall{fill:#e8871e}.wrong{fill:#d9273a}\
.r1{fill:#cfe3fb}.r2{fill:#9ccaf7}.r3{fill:#5ba5ee}.r4{fill:#2478d0}.r5{fill:#0b4a94}\
.ask{stroke:#fff;stroke-width:1}.repair{fill:none;stroke:#d9273a;stroke-width:2}\
.hit{fill:#000;fill-opacity:0}\
.cross{fill:none;stroke:#c40d1e;stroke-width:2.4}.close{stroke:#59636e;stroke-width:2}\
.arrow{fill:none;stroke:#7b3fc4;stroke-width:1.6}.point{fill:#7b3fc4;stroke:none}\
.check{fill:#d9273a;fill-opacity:.16}.digest{fill:#2f9e4f;fill-opacity:.16}\
.ahead{fill:#bfe5c6}.file{fill:#2f9e4f}.curve{fill:none;stroke:#0b4a94;stroke-width:1.4}.under{fill:#dbe9fb}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.paper{fill:#0d1117}.small{fill:#9198a1}\
.error,.bad{fill:#ff7b72}.odd{fill:#e3a53e}.grid{stroke:#30363d}.rail{fill:#161b22}\
.wait{fill:#b58516}.r1{fill:#16304f}.r2{fill:#1c4a80}.r3{fill:#2b6fbf}.r4{fill:#4f9af0}.r5{fill:#a5d0ff}\
.ask{stroke:#0d1117}.cross{stroke:#ff7b72}.close{stroke:#9198a1}.arrow{stroke:#c297ff}.point{fill:#c297ff}\
.ahead{fill:#1d4a2a}.curve{stroke:#79b8ff}.under{fill:#132a47}}";

struct Picture<'a> {
    svg: Svg,
    trace: &'a Trace,
    elapsed: u64,
    /// Where the lowest plot ends.
    plot_end: f64,
    /// Bytes in one column of a lane that are drawn in the strongest shade.
    fastest: f64,
}

impl Picture<'_> {
    fn x(&self, at_us: u64) -> f64 {
        LEFT + PLOT * (at_us as f64 / self.elapsed as f64).min(1.0)
    }

    /// Name, figures and, when it went wrong, the reason. Returns a title in one line.
    fn headings(&mut self, story: &Story<'_>) -> String {
        let trace = self.trace;
        let kept: u64 = story.lanes.iter().map(|lane| lane.kept).sum();
        let wasted: u64 = story.lanes.iter().map(|lane| lane.wasted).sum();
        let mut figures = vec![format!(
            "{} in {}",
            bytes(trace.size.unwrap_or(trace.resumed + kept) as f64),
            duration(trace.elapsed_us)
        )];
        figures.extend(rate(kept, trace.elapsed_us));
        figures.push(format!("waste {}", percent(wasted, kept)));
        if trace.resumed > 0 {
            figures.push(format!("{} were there already", bytes(trace.resumed as f64)));
        }
        figures.push(if story.verified.is_some() { "verified" } else { "not verified" }.to_owned());
        if trace.omitted > 0 {
            figures.push(format!("{} events left out", trace.omitted));
        }
        let figures = figures.join("  ·  ");
        let name = shortened(&trace.file, 90);
        self.svg.text("head", (MARGIN, 26.0), Anchor::Start, &name);
        self.svg.text("sub", (MARGIN, 46.0), Anchor::Start, &figures);
        if let Some(error) = &trace.error {
            self.svg.text("error", (MARGIN, 63.0), Anchor::Start, &shortened(error, 150));
        }
        format!("{name}: {figures}")
    }

    fn time_axis(&mut self) {
        let step = time_step(self.elapsed);
        let mut at = 0;
        while at <= self.elapsed {
            let x = self.x(at);
            self.svg.line("grid", (x, LANES_TOP - 6.0), (x, self.plot_end + 4.0));
            let label = time_mark(at, step);
            self.svg.text("small", (x, self.plot_end + 16.0), Anchor::Middle, &label);
            at = at.saturating_add(step);
        }
    }

    /// Times in which everything waited for the digests, or for a comparison of samples.
    fn checks(&mut self, story: &Story<'_>) {
        for (from, until) in &story.checks {
            let (from_x, until_x) = (self.x(*from), self.x(*until));
            let y = LANES_TOP - 6.0;
            let rect = Rect { x: from_x, y, width: (until_x - from_x).max(2.0), height: self.plot_end - y };
            let time = duration(until.saturating_sub(*from));
            let title = format!("The digests did not match, and samples were compared: {time}");
            self.svg.rect_with_title("check", rect, &title);
        }
        if let Some((from, until)) = story.verified {
            let (x, y) = (self.x(from), LANES_TOP - 6.0);
            let rect = Rect { x, y, width: self.x(until) - x, height: self.plot_end - y };
            let title = format!("The digests were completed: {}", duration(until.saturating_sub(from)));
            self.svg.rect_with_title("digest", rect, &title);
        }
    }

    fn lanes(&mut self, story: &Story<'_>, asked: &[usize]) {
        let lane_columns: Vec<Vec<f64>> =
            story.lanes.iter().map(|lane| columns(lane.cells.iter(), self.elapsed, COLUMNS)).collect();
        self.fastest = usual_maximum(lane_columns.iter().flatten().copied());
        let top = |row: usize| LANES_TOP + LANE_PITCH * row as f64;
        for (row, id) in asked.iter().enumerate() {
            self.lane(&story.lanes[*id], &lane_columns[*id], top(row));
        }
        // Above the lanes, so that no bar hides them.
        for (row, id) in asked.iter().enumerate() {
            for request in &story.lanes[*id].requests {
                let victim = request.taken_from.and_then(|victim| asked.iter().position(|id| *id == victim));
                if let Some(victim) = victim {
                    self.arrow(request.asked, top(victim), top(row));
                }
            }
        }
    }

    fn lane(&mut self, lane: &Lane<'_>, rates: &[f64], y: f64) {
        self.svg.text("name", (MARGIN, y + 11.0), Anchor::Start, &shortened(lane.name, 27));
        let mut figures = bytes(lane.kept as f64);
        if lane.wasted > lane.kept / WORTH_A_WORD {
            figures = format!("{figures}, {} for nothing", bytes(lane.wasted as f64));
        } else if let Some(rate) = rate(lane.kept, lane.receiving) {
            figures = format!("{figures}, {rate}");
        }
        self.svg.text("small", (MARGIN, y + 24.0), Anchor::Start, &figures);
        self.svg.rect("rail", Rect { x: LEFT, y, width: PLOT, height: LANE });
        self.rates(rates, y);
        let wrong = columns(lane.cells.iter().filter(|cell| cell.wrong), self.elapsed, COLUMNS);
        self.runs(&wrong, y, |amount| if amount > 0.0 { Some("wrong") } else { None });
        for (from, until) in &lane.stalls {
            let rect = self.span(*from, *until, y);
            let time = duration(until.saturating_sub(*from));
            self.svg.rect_with_title("stall", rect, &format!("{}: nothing came for {time}", lane.name));
        }
        for request in &lane.requests {
            self.request(lane.name, request, y);
        }
        self.marks(lane, y);
    }

    fn rates(&mut self, rates: &[f64], y: f64) {
        const CLASSES: [&str; 5] = ["r1", "r2", "r3", "r4", "r5"];
        let fastest = self.fastest;
        self.runs(rates, y, |amount| {
            let shade = (amount / fastest * SHADES).ceil().clamp(1.0, SHADES);
            let at = (1..=CLASSES.len()).find(|at| *at as f64 >= shade)?;
            (amount > 0.0).then(|| CLASSES[at - 1])
        });
    }

    /// Neighbouring columns of one class as one rectangle.
    fn runs(&mut self, columns: &[f64], y: f64, class: impl Fn(f64) -> Option<&'static str>) {
        let mut begin = 0;
        while begin < columns.len() {
            let this = class(columns[begin]);
            let length = columns[begin..].iter().take_while(|amount| class(**amount) == this).count();
            if let Some(class) = this {
                let (x, width) = (LEFT + begin as f64 * COLUMN, length as f64 * COLUMN);
                self.svg.rect(class, Rect { x, y, width, height: LANE });
            }
            begin += length.max(1);
        }
    }

    fn request(&mut self, source: &str, request: &Request, y: f64) {
        let answered = request.opened.unwrap_or(request.until);
        let wait = self.span(request.asked, answered, y);
        self.svg.rect("wait", wait);
        self.svg.line("ask", (wait.x, y), (wait.x, y + LANE));
        let whole = self.span(request.asked, request.until, y);
        let end = request.end.map_or_else(|| "the end".to_owned(), |end| end.to_string());
        let waited = duration(answered.saturating_sub(request.asked));
        let answer = match request.opened {
            Some(opened) => {
                let received = request.until.saturating_sub(opened);
                let rate = rate(request.bytes, received).unwrap_or_else(|| "at once".to_owned());
                let amount = bytes(request.bytes as f64);
                format!("first byte after {waited}, {amount} in {}, {rate}", duration(received))
            }
            None => format!("no answer within {waited}"),
        };
        let repair = if request.repair { " once more" } else { "" };
        let title = format!("{source}: asked for {} to {end}{repair}: {answer}", request.first);
        if request.repair {
            self.svg.rect("repair", Rect { x: whole.x, y: y + 1.0, width: whole.width, height: LANE - 2.0 });
        }
        self.svg.rect_with_title("hit", whole, &title);
    }

    /// Marks of failures and the like, and what they mean, as far as there is room for words.
    fn marks(&mut self, lane: &Lane<'_>, y: f64) {
        let mut words = Vec::new();
        for (at, mark) in &lane.marks {
            let x = self.x(*at);
            let is_bad = matches!(mark, Mark::Failed(_) | Mark::Convicted);
            if is_bad {
                self.cross((x, y + LANE / 2.0));
            } else {
                self.svg.line("close", (x, y - 3.0), (x, y + LANE + 3.0));
            }
            let text = match mark {
                Mark::Failed(words) => shortened(words, 60),
                Mark::Convicted => "wrong bytes".to_owned(),
                Mark::GivenUp => "fetched again elsewhere".to_owned(),
                Mark::Closed(silent) if *silent >= WORTH_A_WORD_US => {
                    format!("given up after {} of silence", duration(*silent))
                }
                Mark::Closed(_) => continue,
            };
            words.push((!is_bad, x, text));
        }
        // What failed is said first; what then finds no room is not said.
        words.sort_by_key(|(odd, ..)| *odd);
        let mut taken: Vec<(f64, f64)> = Vec::new();
        for (odd, x, text) in words {
            let width = text.chars().count() as f64 * CHARACTER;
            let begin = (x - 4.0).min(LEFT + PLOT - width).max(LEFT);
            let end = begin + width + CHARACTER;
            if taken.iter().all(|(from, to)| end <= *from || *to <= begin) {
                let class = if odd { "odd" } else { "bad" };
                self.svg.text(class, (begin, y + LANE + 12.0), Anchor::Start, &text);
                taken.push((begin, end));
            }
        }
    }

    /// From the lane of the source that had a range to that of the one which has it now.
    fn arrow(&mut self, at: u64, victim: f64, thief: f64) {
        let x = self.x(at);
        let (from, to, head) =
            if victim < thief { (victim + LANE, thief, -6.0) } else { (victim, thief + LANE, 6.0) };
        self.svg.line("arrow", (x, from), (x, to + head));
        self.svg.path("point", &[(x, to), (x - 4.0, to + head), (x + 4.0, to + head), (x, to)]);
    }

    /// How the file grew, and what was there ahead of it.
    fn file(&mut self, story: &Story<'_>, top: f64) {
        let size = self.trace.size.unwrap_or(0);
        let most = story.present.iter().chain(&story.prefix).map(|(_, bytes)| *bytes).max().unwrap_or(0);
        let whole = size.max(most).max(1) as f64;
        let bottom = top + FILE_HEIGHT;
        self.svg.text("name", (MARGIN, top + 12.0), Anchor::Start, "the file");
        self.swatch("file", (MARGIN, top + 20.0), "from its beginning");
        self.swatch("ahead", (MARGIN, top + 36.0), "ahead of that");
        self.svg.text("small", (LEFT - 6.0, top + 8.0), Anchor::End, &bytes(whole));
        self.svg.text("small", (LEFT - 6.0, bottom), Anchor::End, "0");
        self.svg.line("grid", (LEFT, top), (LEFT + PLOT, top));
        self.svg.line("grid", (LEFT, bottom), (LEFT + PLOT, bottom));
        for (class, growth) in [("ahead", &story.present), ("file", &story.prefix)] {
            let mut points = vec![(LEFT, bottom)];
            let (mut before, mut last) = (bottom, 0);
            for (at, length) in thinned(growth, self.elapsed) {
                let (x, y) = (self.x(at), bottom - FILE_HEIGHT * (length as f64 / whole));
                // What came is drawn as it came, steadily; what waited long, or was lost, changes at once.
                if y > before {
                    points.push((x, before));
                } else if at.saturating_sub(last) > STEADY_US.max(self.elapsed / 50) {
                    points.push((self.x(at.saturating_sub(STEADY_US)), before));
                }
                points.push((x, y));
                (before, last) = (y, at);
            }
            points.extend([(LEFT + PLOT, before), (LEFT + PLOT, bottom)]);
            self.svg.path(class, &points);
        }
        if let Some(at) = story.wrong_beginning {
            let x = self.x(at).min(LEFT + PLOT - 150.0);
            self.svg.text("bad", (x + 4.0, top + 12.0), Anchor::Start, "what lay there before was wrong");
        }
    }

    fn total_rate(&mut self, story: &Story<'_>, top: f64) {
        const BESIDE: usize = 2;
        let bottom = top + RATE_HEIGHT;
        let raw = columns(story.lanes.iter().flat_map(|lane| &lane.cells), self.elapsed, COLUMNS);
        // A mean over neighbours: what a buffer holds back is no change of the rate.
        let smooth: Vec<f64> = (0..raw.len())
            .map(|at| {
                let near = &raw[at.saturating_sub(BESIDE)..(at + BESIDE + 1).min(raw.len())];
                near.iter().sum::<f64>() / near.len() as f64
            })
            .collect();
        let most = smooth.iter().copied().fold(0.0, f64::max);
        let seconds = self.elapsed as f64 / 1e6 / COLUMNS as f64;
        self.svg.text("name", (MARGIN, top + 12.0), Anchor::Start, "all together");
        self.svg.text("small", (LEFT - 6.0, top + 8.0), Anchor::End, &format!("{}/s", bytes(most / seconds)));
        self.svg.text("small", (LEFT - 6.0, bottom), Anchor::End, "0");
        self.svg.line("grid", (LEFT, top), (LEFT + PLOT, top));
        self.svg.line("grid", (LEFT, bottom), (LEFT + PLOT, bottom));
        let curve: Vec<(f64, f64)> = smooth
            .iter()
            .enumerate()
            .map(|(at, amount)| {
                (LEFT + (at as f64 + 0.5) * COLUMN, bottom - RATE_HEIGHT * (amount / most.max(1.0)))
            })
            .collect();
        let mut area = vec![(LEFT, bottom)];
        area.extend(&curve);
        area.push((LEFT + PLOT, bottom));
        self.svg.path("under", &area);
        self.svg.path("curve", &curve);
    }

    fn legend(&mut self) {
        let (first_row, second_row) = (self.plot_end + 34.0, self.plot_end + 54.0);
        let mut x = MARGIN;
        for (class, words) in [
            ("wait", "waiting for the first byte"),
            ("r1", ""),
            ("r3", ""),
            ("r5", "receiving, slow to fast"),
            ("stall", "nothing came"),
            ("wrong", "came for nothing"),
            ("repair", "fetched once more"),
        ] {
            x = self.swatch(class, (x, first_row), words);
        }
        let (y, mut x) = (second_row, MARGIN);
        self.cross((x + 7.0, y + 6.0));
        x = self.words((x, y), "failed");
        self.svg.line("close", (x + 7.0, y - 1.0), (x + 7.0, y + 13.0));
        x = self.words((x, y), "closed by us");
        self.svg.line("arrow", (x + 7.0, y), (x + 7.0, y + 7.0));
        self.svg.path("point", &[(x + 7.0, y + 13.0), (x + 3.0, y + 7.0), (x + 11.0, y + 7.0)]);
        x = self.words((x, y), "takes over what the other had not sent yet");
        x = self.swatch("check", (x, y), "the digests are wrong: why?");
        self.swatch("digest", (x, y), "the digests are completed");
    }

    /// A colour and what it means. Returns where the next one may begin.
    fn swatch(&mut self, class: &str, (x, y): (f64, f64), words: &str) -> f64 {
        self.svg.rect(class, Rect { x, y, width: 14.0, height: 12.0 });
        if words.is_empty() { x + 15.0 } else { self.words((x, y), words) }
    }

    /// The words beside a sign of the legend.
    fn words(&mut self, (x, y): (f64, f64), words: &str) -> f64 {
        self.svg.text("small", (x + 19.0, y + 10.0), Anchor::Start, words);
        x + 34.0 + words.len() as f64 * CHARACTER
    }

    fn cross(&mut self, (x, y): (f64, f64)) {
        self.svg.path("cross", &[(x - 5.0, y - 5.0), (x + 5.0, y + 5.0)]);
        self.svg.path("cross", &[(x - 5.0, y + 5.0), (x + 5.0, y - 5.0)]);
    }

    fn span(&self, from: u64, until: u64, y: f64) -> Rect {
        let (x, end) = (self.x(from), self.x(until));
        Rect { x, y, width: (end - x).max(1.0), height: LANE }
    }
}

/// Waste is named from this part of what was kept.
const WORTH_A_WORD: u64 = 20;
/// Silence that is named, in microseconds.
const WORTH_A_WORD_US: u64 = 200_000;

/// Growth is reported at least so often when it is steady, in microseconds.
const STEADY_US: u64 = 60_000;

/// What 19 of 20 amounts do not exceed: a single burst does not make everything else pale.
fn usual_maximum(amounts: impl Iterator<Item = f64>) -> f64 {
    let mut amounts: Vec<f64> = amounts.filter(|amount| *amount > 0.0).collect();
    amounts.sort_by(f64::total_cmp);
    amounts.get(amounts.len().saturating_sub(1) * 19 / 20).copied().unwrap_or(1.0)
}

/// The points that make a difference: the last of each column, and those at which it falls.
fn thinned(growth: &[(u64, u64)], elapsed: u64) -> Vec<(u64, u64)> {
    let column = |at: u64| u128::from(at) * COLUMNS as u128 / u128::from(elapsed.max(1));
    let mut points: Vec<(u64, u64)> = Vec::new();
    for (at, length) in growth {
        match points.last_mut() {
            Some(last) if column(last.0) == column(*at) && last.1 <= *length => *last = (*at, *length),
            _ => points.push((*at, *length)),
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::trace::{Event, What};

    fn event(at_ms: u64, source: Option<usize>, what: What) -> Event {
        Event { at_us: at_ms * 1000, source, what }
    }

    /// One source is cut short by another, one fails, one lies, one is never asked.
    fn trace() -> Trace {
        let asked = |first, end, taken_from| What::Asked { first, end: Some(end), taken_from };
        let received = |first, end, since_ms: u64| What::Received { first, end, since_us: since_ms * 1000 };
        let opened = || What::Opened { waited_us: 100_000, reused: false, peer: None };
        Trace {
            version: 1,
            file: "a&b-<1>.tar".to_owned(),
            size: Some(3000),
            elapsed_us: 2_000_000,
            sources: ["one", "two", "<bad>", "idle"].map(str::to_owned).to_vec(),
            events: vec![
                event(0, Some(0), asked(0, 2000, None)),
                event(0, Some(1), asked(2000, 3000, None)),
                event(0, Some(2), asked(0, 1, None)),
                event(50, Some(2), What::Failed { words: "said </svg> & \u{1b}[2J".to_owned() }),
                event(100, Some(0), opened()),
                event(100, Some(1), opened()),
                event(500, Some(1), received(2000, 3000, 100)),
                event(600, Some(0), What::Shortened { end: 1000 }),
                event(600, Some(1), asked(1000, 2000, Some(0))),
                event(700, Some(1), opened()),
                event(900, Some(0), received(0, 1000, 100)),
                event(900, None, What::Prefix { end: 1000, moved: 0 }),
                event(1000, Some(1), received(1000, 2000, 700)),
                event(1000, None, What::Prefix { end: 3000, moved: 1000 }),
                event(1010, None, What::Mismatch),
                event(1100, Some(0), What::Sampled { bytes: 10 }),
                event(1100, Some(1), What::GivenUp { first: 1000, end: 3000 }),
                event(1100, Some(0), asked(1000, 3000, None)),
                event(1200, Some(0), opened()),
                event(1800, Some(0), received(1000, 3000, 1200)),
                event(1800, None, What::Prefix { end: 3000, moved: 0 }),
                event(2000, None, What::Verified),
                event(2000, Some(1), What::Convicted),
            ],
            ..Trace::default()
        }
    }

    #[test]
    fn everything_that_happened_is_in_the_picture() {
        let picture = draw(&trace());
        for said in [
            "a&amp;b-&lt;1&gt;.tar",
            "2.9 KiB in 2.00 s  ·  1.5 KiB/s  ·  waste 67.0 %  ·  verified",
            "said &lt;/svg&gt; &amp; \u{fffd}[2J",
            "wrong bytes",
            "fetched again elsewhere",
            "Not asked: idle",
            "0 B, 2.0 KiB for nothing",
            "one: asked for 1000 to 3000 once more: first byte after 100 ms, 2.0 KiB in 600 ms, 3.3 KiB/s",
            "&lt;bad&gt;: asked for 0 to 1: no answer within 50 ms",
            "class=\"arrow\"",
            "class=\"repair\"",
        ] {
            assert!(picture.contains(said), "{said} is missing in {picture}");
        }
        assert_eq!(picture.matches("<svg").count(), 1);
        for unwanted in ["<bad>", "<script", "xlink", "href", "url(", "NaN", "inf"] {
            assert!(!picture.contains(unwanted), "{unwanted} in {picture}");
        }
    }

    #[test]
    fn failures_and_empty_transfers_can_be_drawn() {
        let error = Some("x: nobody <has> it".to_owned());
        let picture = draw(&Trace { error, sources: vec!["a".to_owned()], ..Trace::default() });
        for said in ["nobody &lt;has&gt; it", "0 B in 0 ms", "not verified", "Not asked: a"] {
            assert!(picture.contains(said), "{said} is missing in {picture}");
        }
        assert!(!picture.contains("NaN") && !picture.contains("inf"), "{picture}");
    }

    #[test]
    fn a_long_transfer_makes_no_large_picture() {
        let mut trace = trace();
        trace.elapsed_us = 3_600_000_000;
        trace.size = None;
        trace.events.clear();
        trace.events.push(event(0, Some(0), What::Asked { first: 0, end: None, taken_from: None }));
        for n in 0..8000 {
            let (at, first) = (n * 450, n * 5000);
            let what = What::Received { first, end: first + 5000 * (n % 3 + 1), since_us: at * 1000 };
            trace.events.push(event(at + 400, Some(0), what));
            trace.events.push(event(at + 400, None, What::Prefix { end: first, moved: 0 }));
        }
        assert!(draw(&trace).len() < 100_000);
    }
}
