//! The entries of metadata/md5-cache.

#![no_main]

use libfuzzer_sys::fuzz_target;
use racefetch::portage::Metadata;
use racefetch_fuzz::with_text;

fuzz_target!(|data: &[u8]| with_text(data, |text| match Metadata::parse(text) {
    Err(line) => assert!((1..=text.lines().count()).contains(&line)),
    Ok(metadata) => {
        let _ = metadata.src_uri();
        // Other keys say nothing.
        let more = format!("DESCRIPTION=x\n_md5_=0\n{text}");
        assert_eq!(Metadata::parse(&more).as_ref(), Ok(&metadata));
    }
}));
