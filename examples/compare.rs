//! The table in the README: `cargo run --release --example compare`.
//!
//! Every fetch command that is installed gets one distfile from the same mirrors, with Portage's loop around it: the
//! next mirror after a failure, the next mirror after a wrong file, resumption where bytes were kept. The mirrors
//! are on the loopback address, with limited rates and ailments; nothing needs special rights.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use racefetch::portage::{Algorithm, Digest};
use support::build;
use support::content::{Content, content};
use support::lab::Layout;
use support::mirror::Mirror;
use support::mirror::rule::Rule;

#[path = "../tests/support/mod.rs"]
mod support;

const NAME: &str = "compare-1.0.tar.xz";
const MB: u64 = 1_000_000;
/// How often each is measured; the median counts.
const RUNS: usize = 3;
/// A file that is not there after so many seconds is given up, and not tried again.
const PATIENCE: Duration = Duration::from_secs(30);
/// Portage resumes a partial file from this size on (`PORTAGE_FETCH_RESUME_MIN_SIZE`), in bytes.
const RESUME_FROM: u64 = 350 * 1024;

/// What the fetch commands are put through.
struct Scenario {
    title: &'static str,
    size: u64,
    /// In the order in which Portage would ask them.
    mirrors: fn(&Content) -> Vec<Mirror>,
}

const SCENARIOS: [Scenario; 8] = [
    Scenario {
        title: "60 MB, mirrors of 4, 1, 16, 2 and 8 MB/s",
        size: 60 * MB,
        mirrors: |file| [4, 1, 16, 2, 8].map(|rate| mirror(rate * MB, vec![serve(file)])).into(),
    },
    Scenario {
        title: "the first of four never answers",
        size: 20 * MB,
        mirrors: |file| first(3, file, vec![Rule::silence()]),
    },
    Scenario {
        title: "the first goes silent after 30 %",
        size: 20 * MB,
        mirrors: |file| first(3, file, vec![serve(file).stall_after(6 * MB), Rule::silence()]),
    },
    Scenario {
        title: "the first sends 20 kB/s",
        size: 20 * MB,
        mirrors: |file| first(3, file, vec![serve(file).rate(20_000)]),
    },
    Scenario {
        title: "the first has a corrupt file",
        size: 20 * MB,
        mirrors: |file| first(3, file, vec![serve(file).body(content(2, file.len()))]),
    },
    Scenario {
        title: "the first is a captive portal",
        size: 20 * MB,
        mirrors: |file| first(3, file, vec![Rule::portal()]),
    },
    Scenario {
        title: "three of five say 404",
        size: 20 * MB,
        mirrors: |file| {
            let lack = || mirror(8 * MB, vec![Rule::status(404)]);
            let have = || mirror(8 * MB, vec![serve(file)]);
            vec![lack(), lack(), lack(), have(), have()]
        },
    },
    Scenario {
        title: "one mirror, nothing wrong",
        size: 20 * MB,
        mirrors: |file| vec![mirror(8 * MB, vec![serve(file)])],
    },
];

/// One with these answers, then so many good ones; all of them 8 MB/s.
fn first(good: usize, file: &Content, answers: Vec<Rule>) -> Vec<Mirror> {
    let mut mirrors = vec![mirror(8 * MB, answers)];
    mirrors.extend((0..good).map(|_| mirror(8 * MB, vec![serve(file)])));
    mirrors
}

/// The file, 20 ms away.
fn serve(file: &Content) -> Rule {
    Rule::serve(file).delay(Duration::from_millis(20))
}

/// One per address, as aria2c counts connections. Gives its answers one after the other, and the last for ever.
fn mirror(rate: u64, answers: Vec<Rule>) -> Mirror {
    static STARTED: AtomicU8 = AtomicU8::new(1);
    let mirror = Mirror::start_at(Ipv4Addr::new(127, 0, 1, STARTED.fetch_add(1, Ordering::Relaxed)));
    mirror.limit_rate(rate).allow_unwanted();
    mirror.on("/distfiles/layout.conf").serve(Layout::Flat.conf()).always();
    let last = answers.len().saturating_sub(1);
    for (number, answer) in answers.into_iter().enumerate() {
        let answer = if number == last { answer.always() } else { answer.at_most(1) };
        mirror.on(&format!("/distfiles/{NAME}")).add(answer);
    }
    mirror
}

/// A fetch command as it stands in make.conf.
struct Fetcher {
    name: &'static str,
    /// `{out}` and `{uri}`, and what only some can use: `{mirrors}`, `{digests}`, `{uris}` (all, this one first).
    fetch: &'static str,
    /// What is added to resume.
    resume: &'static str,
}

const FETCHERS: [Fetcher; 4] = [
    Fetcher {
        name: "racefetch",
        fetch: "{racefetch} -sS -f -L --noproxy * --state {state} --digests {digests} --mirrors {mirrors} -o {out} {uri}",
        resume: "-C -",
    },
    Fetcher { name: "wget", fetch: "wget -q -t 3 -T 60 --no-proxy -O {out} {uri}", resume: "-c" },
    Fetcher {
        name: "curl",
        fetch: "curl -sS -f -L --noproxy * --connect-timeout 60 -o {out} {uri}",
        resume: "-C -",
    },
    Fetcher {
        name: "aria2c",
        fetch: "aria2c -q --no-conf --no-proxy=* --allow-overwrite=true --auto-file-renaming=false \
                --file-allocation=none --split=5 --max-connection-per-server=1 --min-split-size=1M --timeout=10 \
                --connect-timeout=5 --max-tries=2 --lowest-speed-limit=50K --uri-selector=inorder -d / -o {out} {uris}",
        resume: "-c",
    },
];

/// Seconds until the verified file was there (if it ever was), and the bytes sent for each byte of it.
struct Figure {
    seconds: Option<f64>,
    sent: f64,
}

fn main() -> ExitCode {
    match compare() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn compare() -> Result<(), String> {
    if cfg!(debug_assertions) {
        return Err("figures are those of a release build: cargo run --release --example compare".to_owned());
    }
    let racefetch = build::racefetch()?;
    let installed = |fetcher: &&Fetcher| fetcher.name == "racefetch" || which(fetcher.name);
    let fetchers: Vec<&Fetcher> = FETCHERS.iter().filter(installed).collect();
    let names: Vec<&str> = fetchers.iter().map(|fetcher| fetcher.name).collect();
    println!("| | {} |\n|---|{}", names.join(" | "), "---:|".repeat(names.len()));
    for scenario in &SCENARIOS {
        let size = usize::try_from(scenario.size).map_err(|e| e.to_string())?;
        let file = Content::from(content(1, size));
        let mut figures: Vec<Vec<Figure>> = fetchers.iter().map(|_| Vec::new()).collect();
        for _ in 0..RUNS {
            for (fetcher, figures) in fetchers.iter().zip(&mut figures) {
                if figures.iter().all(|figure| figure.seconds.is_some()) {
                    figures.push(measure(scenario, fetcher, &racefetch, &file)?);
                }
            }
        }
        let cells: Vec<String> = figures.into_iter().map(cell).collect();
        println!("| {} | {} |", scenario.title, cells.join(" | "));
    }
    Ok(())
}

fn cell(mut figures: Vec<Figure>) -> String {
    if let Some(failed) = figures.iter().find(|figure| figure.seconds.is_none()) {
        return format!("no file, ×{:.2}", failed.sent);
    }
    figures.sort_by(|a, b| a.seconds.partial_cmp(&b.seconds).unwrap_or(std::cmp::Ordering::Equal));
    let Some(Figure { seconds: Some(seconds), sent }) = figures.get(figures.len() / 2) else {
        return String::new();
    };
    format!("{seconds:.2} s, ×{sent:.2}")
}

/// Portage's loop around a fetch command.
#[expect(clippy::disallowed_methods, reason = "a measurement")]
fn measure(
    scenario: &Scenario,
    fetcher: &Fetcher,
    racefetch: &Path,
    file: &Content,
) -> Result<Figure, String> {
    let folder = tempfile::tempdir().map_err(|e| format!("cannot make a temporary folder: {e}"))?;
    let out = folder.path().join(format!("{NAME}.__download__"));
    let mirrors = (scenario.mirrors)(file);
    let bases: Vec<String> = mirrors.iter().map(|mirror| format!("http://{}", mirror.address())).collect();
    let uris: Vec<String> = bases.iter().map(|base| format!("{base}/distfiles/{NAME}")).collect();
    let wanted = Digest::of(Algorithm::Sha512, file);
    let digests = format!("sha512:{}", wanted.hex());
    let start = Instant::now();
    let mut seconds = None;
    for number in 0..uris.len() {
        let kept = fs::metadata(&out).map_or(0, |metadata| metadata.len());
        let template = if kept >= RESUME_FROM {
            format!("{} {}", fetcher.fetch, fetcher.resume)
        } else {
            fetcher.fetch.to_owned()
        };
        let left = PATIENCE.saturating_sub(start.elapsed());
        if left.is_zero() {
            break;
        }
        let mut command = Command::new("timeout");
        command.arg(format!("{:.1}", left.as_secs_f64())).stdout(Stdio::null()).stderr(Stdio::null());
        for word in template.split_whitespace() {
            match word {
                "{racefetch}" => command.arg(racefetch),
                "{state}" => command.arg(folder.path().join("mirrors.json")),
                "{digests}" => command.arg(&digests),
                "{mirrors}" => command.arg(bases.join(" ")),
                "{out}" => command.arg(&out),
                "{uri}" => command.arg(&uris[number]),
                "{uris}" => command.args(&uris[number..]).args(&uris[..number]),
                word => command.arg(word),
            };
        }
        let status = command.status().map_err(|e| format!("timeout could not be started: {e}"))?;
        let came = fs::read(&out).unwrap_or_default();
        if came.len() == file.len() && Digest::of(Algorithm::Sha512, &came) == wanted {
            seconds = Some(start.elapsed().as_secs_f64());
            break;
        }
        // A wrong file is set aside; what a failure left is resumed.
        if status.success() || came.len() >= file.len() {
            fs::remove_file(&out).ok();
        }
    }
    let sent: u64 = mirrors.iter().map(Mirror::body_bytes_sent).sum();
    for mirror in mirrors {
        mirror.finish();
    }
    Ok(Figure { seconds, sent: sent as f64 / scenario.size as f64 })
}

fn which(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}
