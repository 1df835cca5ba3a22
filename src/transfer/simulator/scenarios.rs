//! Scenarios that matter: one file each in `tests/cases/scheduler`, each with its limits.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::mirror::Mirror;
use super::{Setup, run};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    /// What it is about, and where its limits come from.
    about: String,
    /// Bytes.
    size: u64,
    /// Whether the plan says the size: both ways are run unless said.
    #[serde(default = "both")]
    size_known: Vec<bool>,
    #[serde(default = "four")]
    parallel: usize,
    mirrors: Vec<Mirror>,
    /// Orders in which the mirrors are ranked; without any the one above.
    #[serde(default)]
    orders: Vec<Vec<usize>>,
    limits: Limits,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    /// Seconds until the file is complete.
    seconds: f64,
    /// Bytes sent for nothing, in parts of the file.
    waste: f64,
    /// Requests to all mirrors together.
    requests: u32,
    /// Mirrors that must not be asked.
    #[serde(default)]
    untouched: Vec<usize>,
}

fn both() -> Vec<bool> {
    vec![true, false]
}

fn four() -> usize {
    4
}

#[test]
fn all_stay_within_their_limits() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/scheduler");
    let mut paths: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no scenarios in {}", folder.display());
    let failures: Vec<String> = paths
        .iter()
        .flat_map(|path| {
            let scenario: Scenario = serde_json::from_str(&fs::read_to_string(path).unwrap())
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            failures(&name, &scenario)
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn failures(name: &str, scenario: &Scenario) -> Vec<String> {
    let ranked: Vec<usize> = (0..scenario.mirrors.len()).collect();
    let orders = if scenario.orders.is_empty() { vec![ranked] } else { scenario.orders.clone() };
    let mut failures = Vec::new();
    for order in orders {
        for size_known in &scenario.size_known {
            let setup = Setup {
                size: scenario.size,
                size_known: *size_known,
                parallel: scenario.parallel,
                mirrors: order.iter().map(|at| scenario.mirrors[*at].clone()).collect(),
                order: 1,
            };
            let outcome = run(&setup);
            let requests: u32 = outcome.requests.iter().sum();
            let touched = scenario
                .limits
                .untouched
                .iter()
                .any(|at| outcome.requests[order.iter().position(|o| o == at).unwrap()] > 0);
            let limits = &scenario.limits;
            let got = format!(
                "{name} {order:?} size {}: {:.3} s of {}, waste {:.4} of {}, {:?} requests of {}",
                if *size_known { "known" } else { "unknown" },
                outcome.time.as_secs_f64(),
                limits.seconds,
                outcome.waste,
                limits.waste,
                outcome.requests,
                limits.requests,
            );
            println!("{got}");
            let fast = outcome.complete && outcome.time.as_secs_f64() <= limits.seconds;
            if !fast || outcome.waste > limits.waste || requests > limits.requests || touched {
                failures.push(format!("{got}\n  {}\n{}", scenario.about, outcome.story.join("\n")));
            }
        }
    }
    failures
}
