//! As much of SVG 1.1 as a picture of rectangles, lines and text needs.

use std::fmt::Write;

/// A picture in the making. Classes are those of its style sheet; every text is escaped.
#[derive(Debug, Default)]
pub(crate) struct Svg(String);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Rect {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

impl Svg {
    pub(crate) fn rect(&mut self, class: &str, rect: Rect) {
        self.put(&format!("{}/>", open_rect(class, rect)));
    }

    /// A rectangle that explains itself when it is pointed at.
    pub(crate) fn rect_with_title(&mut self, class: &str, rect: Rect, title: &str) {
        self.put(&format!("{}><title>{}</title></rect>", open_rect(class, rect), escape(title)));
    }

    pub(crate) fn text(&mut self, class: &str, (x, y): (f64, f64), anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        self.put(&format!(
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\"{anchor}>{}</text>",
            escape(text)
        ));
    }

    pub(crate) fn line(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        self.put(&format!(
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        ));
    }

    /// Straight lines from point to point.
    pub(crate) fn path(&mut self, class: &str, points: &[(f64, f64)]) {
        let mut data = String::new();
        for (number, (x, y)) in points.iter().enumerate() {
            let command = if number == 0 { 'M' } else { 'L' };
            let _ = write!(data, "{command}{x:.1} {y:.1}"); // writing to a String cannot fail
        }
        self.put(&format!("<path class=\"{class}\" d=\"{data}\"/>"));
    }

    /// The whole document.
    pub(crate) fn finish(self, width: f64, height: f64, style: &str, title: &str) -> String {
        let title = escape(title);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\">\n<title>{title}</title>\n<style>{style}</style>\n\
             {}</svg>\n",
            self.0
        )
    }

    fn put(&mut self, element: &str) {
        self.0.push_str(element);
        self.0.push('\n');
    }
}

fn open_rect(class: &str, Rect { x, y, width, height }: Rect) -> String {
    format!("<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"")
}

/// Text as XML 1.0 can hold it (sections 2.2 and 2.4): characters that it forbids are replaced.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\u{FFFE}' | '\u{FFFF}' => escaped.push(char::REPLACEMENT_CHARACTER),
            c if c.is_control() => escaped.push(char::REPLACEMENT_CHARACTER),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_stays_text() {
        for (text, escaped) in [
            ("a.example:8080", "a.example:8080"),
            ("</text><script>x</script>", "&lt;/text&gt;&lt;script&gt;x&lt;/script&gt;"),
            ("\" onload=\"x", "&quot; onload=&quot;x"),
            ("a&b\u{1b}[2J\n\u{0}\u{ffff}", "a&amp;b\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}"),
            ("Müller", "Müller"),
        ] {
            assert_eq!(escape(text), escaped);
        }
    }
}
