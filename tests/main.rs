//! All tests that run the program from outside, in one binary.

#![allow(unreachable_pub, reason = "nobody names what is in a test binary")]

mod ansible;
mod binpkg;
mod configuration;
mod curl_oracle;
mod distlock;
mod doctor;
mod fetch;
mod field;
mod hostile;
mod interplay;
mod layering;
mod look_ahead;
mod make_conf;
mod mirror;
mod monitoring;
mod moving_urls;
mod pages;
mod portage_race;
mod prefetch;
mod rank;
mod real_portage;
mod setup;
mod state;
mod support;
mod trace;
mod verify;
