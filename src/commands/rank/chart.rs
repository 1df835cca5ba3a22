//! The result as a picture: rates, each with its interval, over the ages of the copies.

use super::report::Report;
use crate::progress::{bytes, rate};
use crate::survey::decide::Place;
use crate::timeline::svg::{Anchor, Rect, Svg};

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 520.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 60.0;
const BOTTOM: f64 = 60.0;
/// Marks on the axis of rates.
const MARKS: u32 = 5;

/// The classes of age end at these hours; so do the parts of the picture.
const AGES: [(f64, &str); 6] =
    [(1.0, "1 h"), (12.0, "12 h"), (28.0, "28 h"), (52.0, "52 h"), (720.0, "30 d"), (8760.0, "1 year")];

const STYLE: &str = "\
text{font:13px sans-serif;fill:#222}.title{font-size:17px;font-weight:bold}.small{font-size:12px;fill:#555}\
.axis{stroke:#888}.grid{stroke:#ddd}.taken{fill:#1a7f37}.taken-interval{stroke:#1a7f37;stroke-width:2}\
.other{fill:#8c959f}.other-interval{stroke:#8c959f}.bad{fill:#cf222e}.bad-interval{stroke:#cf222e}\
.young{fill:#f0f8f1}.background{fill:#fff}";

/// The picture.
pub(super) fn svg(report: &Report) -> String {
    let mut svg = Svg::default();
    svg.rect("background", Rect { x: 0.0, y: 0.0, width: WIDTH, height: HEIGHT });
    let young = x_of(28.0) - LEFT;
    svg.rect("young", Rect { x: LEFT, y: TOP, width: young, height: HEIGHT - TOP - BOTTOM });
    svg.text("title", (LEFT, 26.0), Anchor::Start, "Gentoo mirrors: who is fast, and has a young copy");
    svg.text("small", (LEFT, 44.0), Anchor::Start, &subtitle(report));
    let highest = report.candidates.iter().filter_map(|c| c.rate).map(|rate| rate.high).fold(1.0, f64::max);
    axes(&mut svg, highest);
    let mut labels: Vec<(f64, f64)> = Vec::new();
    let mut order = report.order();
    order.reverse(); // the best on top
    for index in order {
        let (Some(age), Some(rate)) = (report.age(index), report.candidates[index].rate) else { continue };
        let x = x_of(age.as_secs_f64() / 3600.0);
        let y = |figure: f64| y_of(figure, highest);
        let class = match report.places[index] {
            Place::Taken(_) => "taken",
            Place::Faulty(_) | Place::TooOld => "bad",
            Place::SameOperator(_) | Place::NotNeeded => "other",
        };
        svg.line(&format!("{class}-interval"), (x, y(rate.low)), (x, y(rate.high)));
        let point = Rect { x: x - 4.0, y: y(rate.mean) - 4.0, width: 8.0, height: 8.0 };
        svg.rect_with_title(class, point, &title(report, index));
        if let Place::Taken(rank) = report.places[index] {
            let at = free_place(&mut labels, (x + 8.0, y(rate.mean) + 4.0));
            svg.text("", at, Anchor::Start, &format!("{rank} {}", report.name(index)));
        }
    }
    svg.finish(WIDTH, HEIGHT, STYLE, "Rates of Gentoo mirrors over the ages of their copies")
}

fn subtitle(report: &Report) -> String {
    let measured = report.candidates.iter().filter(|candidate| candidate.rate.is_some()).count();
    let line = report.line.map(|line| format!("; the line is the limit: {}", rate(line))).unwrap_or_default();
    format!("{} mirrors asked, {measured} measured with {}{line}", report.mirrors.len(), bytes(report.bytes))
}

fn title(report: &Report, index: usize) -> String {
    let rate = report.candidates[index].rate.map(|measured| rate(measured.mean)).unwrap_or_default();
    let reason = report.reason(index);
    let reason = if reason.is_empty() { reason } else { format!(": {reason}") };
    format!("{}, {rate}{reason}", report.name(index))
}

fn axes(svg: &mut Svg, highest: f64) {
    let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    for mark in 0..=MARKS {
        let figure = highest * f64::from(mark) / f64::from(MARKS);
        let y = y_of(figure, highest);
        svg.line("grid", (LEFT, y), (right, y));
        svg.text("small", (LEFT - 8.0, y + 4.0), Anchor::End, &rate(figure));
    }
    for (hours, name) in AGES {
        let x = x_of(hours);
        svg.line("grid", (x, TOP), (x, bottom));
        svg.text("small", (x, bottom + 18.0), Anchor::Middle, name);
    }
    svg.line("axis", (LEFT, bottom), (right, bottom));
    svg.line("axis", (LEFT, TOP), (LEFT, bottom));
    svg.text("small", (f64::midpoint(LEFT, right), bottom + 40.0), Anchor::Middle, "age of the copy");
}

/// Ages differ by factors.
fn x_of(hours: f64) -> f64 {
    let (shortest, longest) = (0.5_f64.ln(), 20_000_f64.ln());
    let part = (hours.max(0.5).ln() - shortest) / (longest - shortest);
    LEFT + part.clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
}

fn y_of(figure: f64, highest: f64) -> f64 {
    HEIGHT - BOTTOM - (figure / highest).clamp(0.0, 1.0) * (HEIGHT - TOP - BOTTOM)
}

/// A place for a label that covers no other one.
fn free_place(labels: &mut Vec<(f64, f64)>, (x, mut y): (f64, f64)) -> (f64, f64) {
    while labels.iter().any(|(other_x, other_y)| (other_x - x).abs() < 220.0 && (other_y - y).abs() < 15.0) {
        y += 15.0;
    }
    labels.push((x, y));
    (x, y)
}
