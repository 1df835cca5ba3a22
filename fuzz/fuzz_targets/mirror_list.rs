//! Gentoo's list of mirrors, which comes from the network.

#![no_main]

use libfuzzer_sys::fuzz_target;
use racefetch::survey::list::{Filter, authority, read, sites, unknown_places};
use racefetch_fuzz::with_text;

fuzz_target!(|data: &[u8]| with_text(data, |text| {
    let Ok(list) = read(text) else { return };
    assert!(list.iter().any(|mirror| !mirror.addresses.is_empty()));
    let all = Filter { schemes: vec!["https", "http"], ..Filter::default() };
    let found = sites(&list, &all);
    for (at, site) in found.iter().enumerate() {
        assert!(site.address.to_ascii_lowercase().starts_with("http"), "{}", site.address);
        let host = authority(&site.address);
        assert!(found[..at].iter().all(|other| authority(&other.address) != host), "{host} is there twice");
        let excluded = Filter { excluded: vec![host.clone()], ..all.clone() };
        assert!(sites(&list, &excluded).iter().all(|left| authority(&left.address) != host));
    }
    // A place that the list has is known, and has no more mirrors than the list.
    for mirror in list.iter().take(20) {
        let of_country = Filter { countries: vec![mirror.country.clone()], ..all.clone() };
        assert!(unknown_places(&list, &of_country).is_empty() || mirror.country == "GB");
        assert!(sites(&list, &of_country).len() <= found.len());
    }
}));
