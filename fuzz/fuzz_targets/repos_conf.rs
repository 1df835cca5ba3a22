//! repos.conf, and the files of the repositories that it names.

#![no_main]

use std::io;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use racefetch::portage::ConfigEntry;
use racefetch::portage::repos_conf::{Repositories, System};
use racefetch_fuzz::{halves, with_text};

fuzz_target!(|data: &[u8]| with_text(data, |text| {
    // Behind the first NUL is what every file of a repository says.
    let (conf, others) = halves(text);
    let read = |path: &Path| match path.extension() {
        _ if path.ends_with("layout.conf") || path.ends_with("thirdpartymirrors") => {
            Ok(ConfigEntry::File(others.to_owned()))
        }
        _ if path.ends_with("profiles/categories") => Ok(ConfigEntry::File(others.to_owned())),
        Some(_) => Err(io::ErrorKind::NotFound.into()),
        None => Ok(ConfigEntry::Folder(vec!["a".into(), "b.conf".into()])),
    };
    let root = Path::new("/");
    let system = System { eprefix: root, configroot: root };
    let repositories = Repositories::of_system(system, Some(conf), &read);
    let list: Vec<_> = repositories.iter().collect();
    assert!(list.is_sorted_by_key(|repository| (repository.priority, &repository.name)));
    for repository in &list {
        assert_eq!(repositories.find(&repository.name), Some(*repository));
        let of_path = repositories.of_path(&repository.location.join("x"));
        assert!(of_path.is_some_and(|found| found.location >= repository.location));
        assert!(repository.masters.iter().all(|master| repositories.find(master).is_some()));
    }
    if list.len() < 5 {
        let _ = repositories.third_party_mirrors(&read);
        let categories = repositories.categories(root, &read);
        for manifest in repositories.manifests(&categories, &read) {
            assert!(manifest.ends_with("Manifest"));
            let inside = list.iter().any(|repository| manifest.starts_with(&repository.location));
            assert!(inside, "{} lies in no repository", manifest.display());
        }
    }
}));
