//! Dates.

#![no_main]

use std::time::{Duration, UNIX_EPOCH};

use libfuzzer_sys::fuzz_target;
use racefetch::http::date;
use racefetch_fuzz::with_text;

fuzz_target!(|data: &[u8]| with_text(data, |text| {
    let Some(seconds) = date::parse(text) else { return };
    // The years 1583 to 9999, and a day for the zone.
    assert!((-12_212_553_600 - 86_400..=253_402_300_800 + 86_400).contains(&seconds), "{seconds}");
    if let Ok(seconds) = u64::try_from(seconds)
        && seconds < 253_402_300_800
    {
        let written = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(date::parse(&written), i64::try_from(seconds).ok(), "{written}");
    }
}));
