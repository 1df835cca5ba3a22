//! `racefetch rank` among as many mirrors as Gentoo has: `cargo run --release --example survey -- LIST.xml [MBIT] [ARGUMENTS]`.
//!
//! The list is Gentoo's, or one of its form. Each of its hosts gets an address of its own on the loopback network, a
//! distance by its region and a rate; three of them are silent, two have old copies, one sends wrong bytes and one web
//! pages. All share a line of so many Mbit/s. Shows what `rank` printed, the time and the bytes.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use racefetch::survey::list::{Filter, read, sites};
use support::build;
use support::globe::{Globe, Kind, Place, configure, list};

#[path = "../tests/support/mod.rs"]
#[expect(unused_imports, reason = "what is handed on is for others")]
mod support;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(xml) = arguments.next() else {
        eprintln!("survey: name a list of mirrors");
        return ExitCode::from(2);
    };
    let mbit: f64 = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(100.0);
    let text = std::fs::read_to_string(&xml).expect("the list can be read");
    let filter = Filter { schemes: vec!["https", "http"], ..Filter::default() };
    let listed = sites(&read(&text).expect("it is a list"), &filter);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate")]
    let globe = Globe::start(Some((mbit * 125_000.0) as u64));
    let mut rows = Vec::new();
    for (number, site) in (1_u16..).zip(&listed) {
        let (rate, round_trip) = figures(&site.address);
        let place = match number {
            5 | 50 | 100 => Place::sound(rate, round_trip).of_kind(Kind::Silent),
            7 | 70 => Place::sound(rate, round_trip).hours_old(200 * u64::from(number)),
            20 => Place::sound(60_000_000, 8).of_kind(Kind::Corrupt),
            30 => Place::sound(60_000_000, 8).of_kind(Kind::WebPage),
            _ => Place::sound(rate, round_trip),
        };
        let host = globe.add_at_address(number, place);
        let country = site.countries.first().cloned().unwrap_or_default();
        rows.push((site.operator.clone(), country, format!("http://{host}/gentoo")));
    }
    let rows: Vec<(&str, &str, &str)> =
        rows.iter().map(|(a, b, c)| (a.as_str(), b.as_str(), c.as_str())).collect();
    let root = tempfile::tempdir().expect("a folder can be made");
    let xml = root.path().join("list.xml");
    std::fs::write(&xml, list(&rows).replace('&', "&amp;")).expect("it is our own folder");
    let binary = match build::racefetch() {
        Ok(binary) => binary,
        Err(error) => {
            eprintln!("survey: {error}");
            return ExitCode::FAILURE;
        }
    };
    run(&binary, root.path(), &xml, &globe, &arguments.collect::<Vec<_>>())
}

#[expect(clippy::disallowed_methods, reason = "the time is what is shown")]
fn run(binary: &Path, root: &Path, xml: &Path, globe: &Globe, arguments: &[String]) -> ExitCode {
    let mut command = Command::new(binary);
    configure(&mut command, root, "");
    let began = Instant::now();
    let output =
        command.arg("rank").arg("--from").arg(xml).args(arguments).output().expect("it can be started");
    let elapsed: Duration = began.elapsed();
    print!("{}{}", String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    println!(
        "\n{}: {:.1} s, {:.1} MB sent by all mirrors",
        output.status,
        elapsed.as_secs_f64(),
        globe.sent() as f64 / 1e6
    );
    if output.status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A rate and a distance that are always the same for one address.
fn figures(address: &str) -> (u64, u64) {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    address.bytes().for_each(|byte| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let spread = f64::from(u32::try_from(hash >> 40 & 0xffff).unwrap_or(0)) / 65536.0;
    let distance = f64::from(u32::try_from(hash >> 20 & 0xffff).unwrap_or(0)) / 65536.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "figures of a test")]
    let figures = ((500_000.0 * 60_f64.powf(spread)) as u64, (8.0 * 30_f64.powf(distance)) as u64);
    figures
}
