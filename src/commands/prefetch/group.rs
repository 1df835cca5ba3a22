//! Distfiles of which the list does not say which one is meant: what is there of them, and what became of the rest.

use super::plan::OneOf;
use super::report::{Report, State};
use crate::portage::{DistEntry, Distfile};

/// A [`OneOf`] beside what is in DISTDIR.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    /// How many of all emerge wants.
    listed: usize,
    pub(super) present: Vec<DistEntry>,
    pub(super) missing: Vec<DistEntry>,
}

impl Group {
    pub(super) fn new(one_of: &OneOf, have: impl Fn(&DistEntry) -> bool) -> Self {
        let (present, missing) = one_of.entries.iter().cloned().partition(|entry| have(entry));
        Self { listed: one_of.listed, present, missing }
    }

    /// The largest that is missing: there must be room for it.
    pub(super) fn largest(&self) -> Option<&DistEntry> {
        self.missing.iter().max_by_key(|entry| entry.size)
    }

    /// The reports when none of the files came, for that reason.
    pub(super) fn nothing_came(&self, end: State) -> Vec<Report> {
        let mut reports = self.of_present(self.listed);
        if self.is_short_of(0) {
            reports.push(Report { name: self.names(None), size: None, state: end });
        }
        reports
    }

    /// That one came, from these hosts.
    pub(super) fn one_came(&self, name: &Distfile, hosts: Vec<String>) -> Vec<Report> {
        let size = self.missing.iter().find(|entry| entry.name == *name).map(|entry| entry.size);
        let mut reports = self.of_present(self.listed.saturating_sub(1));
        if self.is_short_of(1) {
            let why = format!("{} has {name} under the same URL", hosts.join(", "));
            reports.push(Report { name: self.names(Some(name)), size: None, state: State::Missing(why) });
        }
        reports.push(Report { name: name.to_string(), size, state: State::Fetched(hosts) });
        reports
    }

    /// Whether emerge wants more of them than are there when so many have come.
    pub(super) fn is_short_of(&self, came: usize) -> bool {
        self.present.len() + came < self.listed
    }

    fn of_present(&self, most: usize) -> Vec<Report> {
        let report = |entry: &DistEntry| Report {
            name: entry.name.to_string(),
            size: Some(entry.size),
            state: State::Present,
        };
        self.present.iter().take(most).map(report).collect()
    }

    /// `a-1.deb or a-2.deb`: those that did not come.
    pub(super) fn names(&self, came: Option<&Distfile>) -> String {
        let left = self.missing.iter().filter(|entry| Some(&entry.name) != came);
        left.map(|entry| entry.name.as_str()).collect::<Vec<_>>().join(" or ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::portage::manifest;

    fn group(listed: usize, present: &[&str]) -> Group {
        let entry = |name: &str| {
            let text = format!("DIST {name} 7 SHA256 {}", "ab".repeat(32));
            manifest::find(&text, &Distfile::new(name).unwrap()).unwrap().unwrap()
        };
        let one_of = OneOf { entries: ["a", "b", "c"].map(entry).into(), listed, ..OneOf::default() };
        Group::new(&one_of, |entry| present.contains(&entry.name.as_str()))
    }

    fn shown(reports: &[Report]) -> Vec<String> {
        let one = |report: &Report| match &report.state {
            State::Present => format!("{} present", report.name),
            State::Fetched(hosts) => format!("{} from {}", report.name, hosts.join(" ")),
            State::Missing(why) => format!("{} missing: {why}", report.name),
            other => format!("{} {other:?}", report.name),
        };
        reports.iter().map(one).collect()
    }

    #[test]
    fn so_many_are_reported_as_were_listed() {
        let b = Distfile::new("b").unwrap();
        for (listed, present, came, said) in [
            (1, &[] as &[&str], true, &["b from h"] as &[&str]),
            (1, &["a"], true, &["b from h"]),
            (2, &["a"], true, &["a present", "b from h"]),
            (2, &[], true, &["a or c missing: h has b under the same URL", "b from h"]),
            (3, &["a"], true, &["a present", "c missing: h has b under the same URL", "b from h"]),
            (1, &[], false, &["a or b or c missing: why"]),
            (1, &["a"], false, &["a present"]),
            (2, &["a"], false, &["a present", "b or c missing: why"]),
        ] {
            let group = group(listed, present);
            let reports = if came {
                group.one_came(&b, vec!["h".to_owned()])
            } else {
                group.nothing_came(State::Missing("why".to_owned()))
            };
            assert_eq!(shown(&reports), said, "{listed} {present:?} {came}");
        }
    }
}
