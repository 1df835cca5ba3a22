//! layout.conf of a mirror, and the cache that Portage keeps of such files.

#![no_main]

use std::path::{Component, Path};

use libfuzzer_sys::fuzz_target;
use racefetch::portage::{Digests, LayoutConf, read_mirror_cache};
use racefetch_fuzz::with_text;

fuzz_target!(|data: &[u8]| with_text(data, |text| {
    if let Ok(conf) = LayoutConf::parse(text) {
        check(&conf);
    }
    for cached in read_mirror_cache(text).unwrap_or_default().into_values() {
        check(&cached.layout);
    }
}));

fn check(conf: &LayoutConf) {
    let json = serde_json::to_string(conf).unwrap();
    assert_eq!(serde_json::from_str::<LayoutConf>(&json).unwrap(), *conf);
    let digests = Digests::parse(&format!("sha512:{}", "0a".repeat(64))).unwrap();
    for layout in conf.layouts().take(20) {
        let Some(path) = layout.path("a-1.tar.xz", &digests) else { continue };
        // A cutoff of 0 makes an empty folder, as it does in Portage.
        let plain = Path::new(path.trim_start_matches('/'))
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        assert!(plain, "{path}");
    }
}
