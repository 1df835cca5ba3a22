//! What holds for many files from any mirrors; see [`super::properties`] for how the mirrors are made.

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::super::queue::{Action, Came, Health, HostId, ItemEnd, ItemId, Plan, Queue, RepositoryId, Wanted};
use super::many::{Errand, Result};
use super::mirror::{Fault, Mirror};
use super::properties::{MB, all_rates, config, fault, faulty, healthy, longest_trip, slow_start};
use crate::http::Failure;

/// Connections to each mirror.
const EACH: usize = 3;

fn sizes() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(prop_oneof![4 => 100u64..60_000, 2 => 60_000u64..1_000_000], 1..120)
}

fn with_large() -> impl Strategy<Value = Vec<u64>> {
    (sizes(), prop::collection::vec(9_000_000u64..40_000_000, 0..3)).prop_map(|(mut sizes, large)| {
        sizes.extend(large);
        sizes
    })
}

fn errand(mirrors: Vec<Mirror>, mut sizes: Vec<u64>, order: u64) -> Errand {
    sizes.sort_by_key(|size| std::cmp::Reverse(*size));
    Errand {
        mirrors: mirrors.into_iter().map(|mirror| (mirror, EACH)).collect(),
        files: sizes.into_iter().map(|size| (size, Vec::new())).collect(),
        places: Vec::new(),
        jobs: usize::MAX,
        deadline: None,
        order,
    }
}

fn fetched(result: &Result) -> usize {
    result.ends.iter().filter(|end| matches!(end, ItemEnd::Fetched { .. })).count()
}

/// All are there within `limit` seconds, or the story of what happened.
fn all_within(limit: f64, result: &Result) -> std::result::Result<(), TestCaseError> {
    let (seconds, story) = (result.time.as_secs_f64(), result.story.join("\n"));
    prop_assert_eq!(fetched(result), result.ends.len(), "not all came\n{}", story);
    prop_assert!(seconds <= limit, "{:.3} s, not {:.3} s\n{}", seconds, limit, story);
    Ok(())
}

/// Seconds that the last file takes at most: at the slowest mirror, which has another one at the same time.
fn longest(mirrors: &[Mirror], sizes: &[u64]) -> f64 {
    let slowest = mirrors.iter().map(|m| m.rate).fold(f64::INFINITY, f64::min);
    let largest = sizes.iter().filter(|size| **size < 8 * 1024 * 1024).max();
    2.0 * *largest.unwrap_or(&0) as f64 / slowest
}

/// Seconds that the rates allow: bytes over all rates, and a request for each file over all connections.
fn ideal(mirrors: &[Mirror], sizes: &[u64]) -> f64 {
    let bytes: u64 = sizes.iter().sum();
    let requests: f64 = mirrors.iter().map(|m| EACH as f64 / m.round_trip().as_secs_f64()).sum();
    bytes as f64 / all_rates(mirrors) + sizes.len() as f64 / requests
}

/// The limit when large files are raced at half of the rates: twice what the rates allow, and a start for each race.
fn with_races(mirrors: &[Mirror], sizes: &[u64]) -> f64 {
    let start = longest_trip(mirrors) + slow_start(mirrors);
    2.5 * ideal(mirrors, sizes) + longest(mirrors, sizes) + 8.0 + 12.0 * start
}

/// Each case is many transfers.
fn fewer() -> ProptestConfig {
    let usual = config();
    ProptestConfig { cases: usual.cases / 4, ..usual }
}

proptest! {
    #![proptest_config(fewer())]

    /// When nothing fails: 1.3 times what the rates allow, then the last file. No byte comes twice.
    #[test]
    fn small_files_take_what_the_rates_allow(
        mirrors in prop::collection::vec(healthy(), 1..7),
        sizes in sizes(),
        order in any::<u64>(),
    ) {
        let limit = 1.3 * ideal(&mirrors, &sizes)
            + longest(&mirrors, &sizes)
            + 1.0
            + 4.0 * longest_trip(&mirrors)
            + slow_start(&mirrors);
        let result = errand(mirrors, sizes, order).run();
        all_within(limit, &result)?;
        prop_assert_eq!(result.wasted, 0);
    }

    /// The same with large files beside them, which are raced at half of the rates.
    #[test]
    fn large_files_beside_small_ones(
        mirrors in prop::collection::vec(healthy(), 1..7),
        sizes in with_large(),
        order in any::<u64>(),
    ) {
        let limit = with_races(&mirrors, &sizes);
        let result = errand(mirrors, sizes, order).run();
        all_within(limit, &result)?;
    }

    /// One mirror that is silent, dead or broken costs at most so many seconds.
    #[test]
    fn nobody_waits_for_the_dead(
        mut mirrors in prop::collection::vec(healthy(), 1..6),
        bad in healthy(),
        fault in prop_oneof![
            Just(Fault::Hang), Just(Fault::BlackHole), Just(Fault::StallAfter(0)), Just(Fault::DeathAt(1)),
            (1u64..500_000).prop_map(Fault::StallAfter), Just(Fault::NotFound), Just(Fault::WrongSize),
        ],
        at in any::<prop::sample::Index>(),
        sizes in with_large(),
        order in any::<u64>(),
    ) {
        for mirror in &mut mirrors {
            mirror.rate = mirror.rate.max(MB);
        }
        let limit = with_races(&mirrors, &sizes) + 4.0;
        mirrors.insert(at.index(mirrors.len() + 1), Mirror { fault, ..bad });
        let result = errand(mirrors, sizes, order).run();
        all_within(limit, &result)?;
    }

    /// One honest mirror is enough, whatever the others do; each file ends once (the simulation sees to that), no
    /// mirror gets more connections than it may, and one that says 429 is left alone.
    #[test]
    fn one_honest_mirror_ends_it(
        honest in healthy(),
        mut others in prop::collection::vec(faulty(), 0..6),
        at in any::<prop::sample::Index>(),
        sizes in with_large(),
        jobs in 1usize..40,
        order in any::<u64>(),
    ) {
        others.insert(at.index(others.len() + 1), honest);
        let result = Errand { jobs, ..errand(others, sizes, order) }.run();
        all_within(3000.0, &result)?;
    }

    /// Nobody is honest: every file ends all the same, and soon.
    #[test]
    fn whatever_they_do_it_ends(
        mirrors in prop::collection::vec((faulty(), fault()), 1..6),
        sizes in with_large(),
        lacking in prop::collection::vec(prop::collection::vec(0usize..6, 0..6), 1..120),
        deadline in prop::option::of(1u64..60),
        order in any::<u64>(),
    ) {
        let mirrors = mirrors.into_iter().map(|(mirror, fault)| Mirror { fault, ..mirror }).collect();
        let mut errand = errand(mirrors, sizes, order);
        for ((_, lacks), lacking) in errand.files.iter_mut().zip(lacking) {
            *lacks = lacking;
        }
        errand.deadline = deadline.map(Duration::from_secs);
        let result = errand.run();
        if let Some(deadline) = errand.deadline {
            prop_assert!(result.time <= deadline + Duration::from_millis(200), "{:?}", result.time);
        }
    }
}

/// A mirror of that rate, in bytes per second.
fn mirror(rate: f64, fault: Fault) -> Mirror {
    Mirror { rate, rtt_ms: 20, tls: false, then: Vec::new(), fault, tier: 0, known: false }
}

#[test]
fn a_trickle_is_left_to_others_and_when_there_are_none_it_ends() {
    // A byte in three seconds.
    let trickle = || mirror(0.33, Fault::None);
    let all = errand(vec![trickle(), mirror(MB, Fault::None)], vec![50_000; 20], 1).run();
    all_within(8.0, &all).unwrap();
    for files in [1, 5, 100] {
        let none = errand(vec![trickle()], vec![50_000; files], 1).run();
        assert_eq!(fetched(&none), 0);
        assert!(none.time < Duration::from_secs(50), "{:?} for {files} files", none.time);
    }
    let large = errand(vec![trickle()], vec![50_000_000], 1).run();
    assert!(fetched(&large) == 0 && large.time < Duration::from_secs(50), "{:?}", large.time);
}

#[test]
fn a_slow_line_is_no_trickle() {
    // A modem: each of its connections gets half a kilobyte a second.
    let slow = errand(vec![mirror(1500.0, Fault::None)], vec![30_000; 9], 1).run();
    all_within(9.0 * 20.0 * 1.1 + 3.0, &slow).unwrap();
}

#[test]
fn a_link_that_is_gone_for_a_while_convicts_nobody() {
    // For five seconds nothing comes from anybody. A third mirror has nothing to do meanwhile.
    let gone = vec![(0.5, 0.2), (6.0, MB)];
    let mut mirrors = vec![Mirror { then: gone, ..mirror(MB, Fault::None) }; 3];
    mirrors[2].tier = 1;
    let result = errand(mirrors, vec![900_000; 24], 1).run();
    all_within(40.0, &result).unwrap();
    let probes = result.requests - 24;
    assert!(probes <= 7, "{probes} were tried elsewhere, one after another\n{}", result.story.join("\n"));
}

#[test]
fn hundreds_of_hosts_are_asked_a_few_at_a_time() {
    let mut errand = errand(vec![mirror(MB, Fault::None); 300], vec![20_000; 300], 1);
    errand.places = (0..300).map(|file| vec![file, (file + 7) % 300]).collect();
    let result = errand.run(); // which sees to it that they are not too many
    all_within(2.0, &result).unwrap();
    assert_eq!(result.requests, 300);
}

#[test]
fn thousands_of_files_are_decided_on_in_no_time() {
    let mut mirrors = vec![mirror(20.0 * MB, Fault::None); 6];
    mirrors[3..].iter_mut().for_each(|mirror| mirror.tier = 2);
    let result = errand(mirrors, vec![2000; 5000], 1).run();
    all_within(30.0, &result).unwrap();
    assert_eq!(result.requests, 5000);
}

#[test]
fn ninety_small_files_and_two_large_ones_with_a_dead_mirror_among_four() {
    // 70 ms, https, 8 MB/s each; nothing answers at one of them.
    let good = Mirror { rtt_ms: 70, tls: true, ..mirror(8.0 * MB, Fault::None) };
    for dead in 0..4 {
        let mut mirrors = vec![good.clone(); 4];
        mirrors[dead].fault = Fault::BlackHole;
        let mut sizes = vec![40_000; 90];
        sizes.extend([30_000_000; 2]);
        let result = errand(mirrors, sizes, 1).run();
        all_within(10.0, &result).unwrap();
    }
}

/// A slow mirror has the last file, and the others have nothing to do: they help, instead of waiting for it.
#[test]
fn the_idle_help_with_the_last_file() {
    let mirrors = [1.0, 8.0, 8.0].map(|rate| mirror(rate * MB, Fault::None));
    let result = errand(mirrors.into(), vec![4_000_000; 6], 1).run();
    // 24 MB at 17 MB/s are 1.4 s. The slow mirror needs 4 s for a file.
    all_within(2.8, &result).unwrap();
    assert!(result.wasted < 240_000, "{} bytes\n{}", result.wasted, result.story.join("\n"));
}

/// What only one mirror is left for stays with it, and what is nearly there does, too.
#[test]
fn nobody_is_stopped_whom_nobody_can_help() {
    let mirrors = [1.0, 8.0, 8.0].map(|rate| mirror(rate * MB, Fault::None));
    let mut alone = errand(mirrors.clone().into(), vec![4_000_000; 6], 1);
    alone.places = [vec![0], vec![1, 2], vec![1, 2], vec![1, 2], vec![1, 2], vec![1, 2]].into();
    let small = errand(mirrors.into(), vec![400_000; 6], 1);
    for errand in [alone, small] {
        let result = errand.run();
        all_within(5.0, &result).unwrap();
        let is_stopped = |line: &String| line.contains("file 0 is cancelled");
        assert!(!result.story.iter().any(is_stopped), "{}", result.story.join("\n"));
    }
}

#[test]
fn what_is_all_there_may_be_verified_for_a_while() {
    let hosts = vec![(HostId(0), 0)];
    let mut queue = Queue::new(Plan {
        items: vec![Wanted { size: 100, hosts, repository: RepositoryId::default(), can_be_raced: true }],
        hosts: vec![Health::new(1)],
        mirrors: vec![true],
        jobs: 1,
        ..Plan::default()
    });
    queue.tick(Duration::ZERO);
    assert_eq!(queue.take_actions(), [Action::Fetch { item: ItemId(0), host: HostId(0) }]);
    queue.on_begun(ItemId(0), 100);
    for second in 1..100 {
        queue.tick(Duration::from_secs(second));
    }
    assert_eq!(queue.take_actions(), []);
    assert_eq!(queue.on_fetch_ended(ItemId(0), Came::Whole, Duration::from_secs(100)), None);
    assert!(queue.is_over());
}

#[test]
fn what_a_race_hears_the_other_connections_know_and_the_other_way_round() {
    let hosts = vec![(HostId(0), 0)];
    let wanted =
        |size| Wanted { size, hosts: hosts.clone(), repository: RepositoryId::default(), can_be_raced: true };
    let mut queue = Queue::new(Plan {
        items: vec![wanted(100_000_000), wanted(100), wanted(100)],
        hosts: vec![Health::new(3)],
        mirrors: vec![true],
        jobs: 4,
        ..Plan::default()
    });
    queue.tick(Duration::ZERO);
    assert_eq!(queue.take_actions().len(), 3, "a race and two small files");
    let refusal = Failure::Status { code: 429, retry_after: Some(Duration::from_secs(4)) };
    queue.on_race_failure(HostId(0), &refusal, Duration::from_secs(1));
    assert_eq!(queue.health(HostId(0)).rest_left(Duration::from_secs(2)), Some(Duration::from_secs(3)));
    assert_eq!(queue.health(HostId(0)).cap(), Some(2));
    queue.on_race_failure(HostId(0), &Failure::Reset, Duration::from_secs(2));
    assert_eq!(queue.health(HostId(0)).last_failure(), None, "of others is told at the end");
}

/// The file that was asked for has found out that one of two mirrors cannot be reached: its siblings do not try, and what
/// only that one has is over.
#[test]
fn what_another_transfer_found_out_counts_for_all_files() {
    let wanted = |hosts: &[usize]| Wanted {
        size: 100,
        hosts: hosts.iter().map(|host| (HostId(*host), 0)).collect(),
        repository: RepositoryId::default(),
        can_be_raced: false,
    };
    let mut queue = Queue::new(Plan {
        items: vec![wanted(&[0, 1]), wanted(&[0, 1]), wanted(&[0])],
        hosts: vec![Health::new(1), Health::new(1)],
        mirrors: vec![true, true],
        jobs: 4,
        ..Plan::default()
    });
    let refused = Failure::Connect { reason: "connection refused".to_owned() };
    queue.on_failure_elsewhere(HostId(0), &refused, Duration::ZERO);
    queue.tick(Duration::ZERO);
    for item in [0, 1] {
        assert_eq!(queue.take_actions(), [Action::Fetch { item: ItemId(item), host: HostId(1) }]);
        queue.on_fetch_ended(ItemId(item), Came::Whole, Duration::from_secs(1));
    }
    assert!(queue.is_over(), "the third file has nobody left");
    let (ends, _) = queue.into_ends();
    assert_eq!(ends[2], ItemEnd::Failed(vec![(HostId(0), refused)]));
    assert!(matches!(ends[0], ItemEnd::Fetched { .. }));
}
