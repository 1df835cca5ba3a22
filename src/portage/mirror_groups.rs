//! Groups of mirrors: `/etc/portage/mirrors` (portage(5)) and the repositories' `profiles/thirdpartymirrors`.

use std::collections::BTreeMap;

/// The group of `/etc/portage/mirrors` whose mirrors are asked before `GENTOO_MIRRORS`, for every distfile.
pub const LOCAL: &str = "local";

/// Groups of mirrors by name, each in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MirrorGroups(BTreeMap<String, Vec<String>>);

impl MirrorGroups {
    /// Adds the lines `GROUP URI URI…` of one file behind what is there (Portage's `grabdict`).
    pub fn read(&mut self, text: &str) {
        for line in text.lines() {
            let mut words = line.split_whitespace().take_while(|word| !word.starts_with('#')).peekable();
            let Some(group) = words.next() else { continue };
            if words.peek().is_some() {
                self.0.entry(group.to_owned()).or_default().extend(words.map(str::to_owned));
            }
        }
    }

    /// Lays the groups of a repository over those of its masters (Portage's `stack_dictlist`): mirrors are
    /// added once, `-URI` takes one away and `-*` all.
    pub fn stack(&mut self, over: &Self) {
        for (group, words) in &over.0 {
            let mirrors = self.0.entry(group.clone()).or_default();
            for word in words {
                match word.strip_prefix('-') {
                    Some("*") => mirrors.clear(),
                    Some(removed) => mirrors.retain(|mirror| mirror != removed),
                    None if mirrors.contains(word) => {}
                    None => mirrors.push(word.clone()),
                }
            }
        }
    }

    /// The mirrors of a group as they are written, which may be a path of the file system; none when
    /// there is no such group.
    pub fn mirrors(&self, group: &str) -> &[String] {
        self.0.get(group).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(text: &str) -> MirrorGroups {
        let mut groups = MirrorGroups::default();
        groups.read(text);
        groups
    }

    #[test]
    fn lines_of_one_group_add_up() {
        let mut mirrors = groups(
            "# comment\n\nlocal http://a http://b # http://c\n  gnu\thttp://g #x\nalone\nlocal /mnt/m\n\
             none #\n",
        );
        mirrors.read("local http://d\n");
        assert_eq!(mirrors.mirrors(LOCAL), ["http://a", "http://b", "/mnt/m", "http://d"]);
        assert_eq!(mirrors.mirrors("gnu"), ["http://g"]);
        for absent in ["alone", "none", "#", ""] {
            assert!(mirrors.mirrors(absent).is_empty(), "{absent}");
        }
    }

    #[test]
    fn repositories_are_stacked() {
        let mut mirrors = groups("gnu http://a http://b\nkde http://k\n");
        mirrors.stack(&groups("gnu -http://a http://c http://b\nkde -* http://l\nnew http://n\n"));
        assert_eq!(mirrors.mirrors("gnu"), ["http://b", "http://c"]);
        assert_eq!(mirrors.mirrors("kde"), ["http://l"]);
        assert_eq!(mirrors.mirrors("new"), ["http://n"]);
    }
}
