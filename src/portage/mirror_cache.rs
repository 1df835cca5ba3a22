//! The layouts that Portage itself has fetched: `DISTDIR/.mirror-cache.json`.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::layout::LayoutConf;
use super::mirror_uri::MirrorBase;

/// A mirror's layouts, and when Portage fetched them. It fetches them again after a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedLayout {
    pub fetched: SystemTime,
    pub layout: LayoutConf,
}

/// Reads `{"MIRROR":[seconds,[["filename-hash","BLAKE2B","8"],["flat"]]]}`. Entries of another form, and
/// mirrors that are not `http` or `https`, are left out; an error means that the whole is not a JSON object.
pub fn read_mirror_cache(text: &str) -> Result<BTreeMap<MirrorBase, CachedLayout>, serde_json::Error> {
    let entries: BTreeMap<String, Value> = serde_json::from_str(text)?;
    Ok(entries.into_iter().filter_map(read_entry).collect())
}

fn read_entry((mirror, value): (String, Value)) -> Option<(MirrorBase, CachedLayout)> {
    let (seconds, layout): (f64, LayoutConf) = serde_json::from_value(value).ok()?;
    let since_epoch = Duration::try_from_secs_f64(seconds).ok()?;
    let fetched = SystemTime::UNIX_EPOCH.checked_add(since_epoch)?;
    Some((mirror.parse().ok()?, CachedLayout { fetched, layout }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::portage::digests::Digests;

    #[test]
    fn reads_what_portage_writes() {
        let text = r#"{"http://a.example": [1700000000.25, [["flat"]]],
                       "http://b.example/gentoo": [12, []],
                       "/mnt/mirror": [1.0, [["flat"]]],
                       "http://c.example": [-1.0, [["flat"]]],
                       "http://d.example": [1e300, [["flat"]]],
                       "http://e.example": [1.0, null],
                       "http://f.example": "x"}"#;
        let cache = read_mirror_cache(text).unwrap();
        let mirrors: Vec<_> = cache.keys().map(ToString::to_string).collect();
        assert_eq!(mirrors, ["http://a.example", "http://b.example/gentoo"]);
        let a = &cache[&"http://a.example/".parse().unwrap()];
        assert_eq!(a.fetched, SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_250));
        let b = &cache[&"http://b.example/gentoo".parse().unwrap()];
        assert_eq!(b.layout.path("x", &Digests::default()), "x");
    }

    #[test]
    fn another_text_is_an_error() {
        for text in ["", "[]", "{", "<html>"] {
            assert!(read_mirror_cache(text).is_err(), "{text}");
        }
    }
}
