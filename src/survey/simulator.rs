//! Invented mirrors, whose true rates are known: how good is the choice?

use std::collections::BTreeSet;
use std::time::Duration;

use super::arrivals::Arrivals;
use super::decide::{Candidate, Fault, History, SIZE};
use super::rounds::{Field, Measured, WithBlock, run};
use super::samples::BlockDigest;
use crate::mirror::Freshness;

const SEEDS: u64 = 200;
const MIRRORS: usize = 169;
const WANTED: usize = 5;

/// Random numbers, the same for the same seed.
struct Dice(u64);

impl Dice {
    fn number(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn is(&mut self, probability: f64) -> bool {
        self.number() < probability
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.number()
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.number()).sum::<f64>() - 6.0
    }

    fn log_normal(&mut self, median: f64, spread: f64) -> f64 {
        median * (self.normal() * spread).exp()
    }
}

/// A mirror as it truly is.
struct Truth {
    round_trip: f64,
    /// Bytes a second that one connection gets from it.
    server: f64,
    /// The same over this line.
    rate: f64,
    /// How unsteady it is.
    spread: f64,
    corrupt: bool,
    lacks_files: bool,
}

struct World {
    dice: Dice,
    /// Of the user, in bytes a second.
    line: f64,
    truths: Vec<Truth>,
    /// Seconds that the measurements took.
    elapsed: f64,
    measured: usize,
}

impl World {
    fn new(seed: u64) -> (Self, Vec<Candidate>) {
        let mut dice = Dice(seed.wrapping_mul(0x0123_4567_89ab_cdef) ^ 0x4d);
        // 2, 16, 100, 250, 1000 Mbit/s.
        let lines = [0.25e6, 2e6, 12.5e6, 31e6, 125e6];
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is below five")]
        let line = lines[(dice.number() * 5.0) as usize];
        let (mut truths, mut candidates) = (Vec::new(), Vec::new());
        for number in 0..MIRRORS {
            let round_trip = dice.log_normal(0.06, 0.8).clamp(0.002, 0.4);
            let server = dice.log_normal(15e6, 0.9);
            let server = server.min(4e6 / round_trip);
            let rate = server.min(line);
            // Probes run side by side: each time is somewhat longer than it should be.
            let noisy = |dice: &mut Dice| round_trip * dice.between(1.0, 1.25);
            let html = dice.is(0.02);
            let dead = dice.is(0.04);
            let age = match dice.number() {
                n if n < 0.80 => Some(Freshness::Fresh),
                n if n < 0.88 => Some(Freshness::Ageing),
                n if n < 0.92 => Some(Freshness::Stale),
                n if n < 0.98 => Some(Freshness::Out),
                _ => None,
            };
            // A good mirror that was fetched from in races of four: its figures show a part of the rate.
            let history = dice.is(0.03).then(|| History {
                bytes_per_second: rate * 0.4 * dice.between(0.85, 1.15),
                weight: dice.between(0.5, 10.0),
                probability: 0.98,
            });
            let fault = match (dead, html) {
                (true, _) => Some(Fault::Dead("no connection".to_owned())),
                (_, true) => Some(Fault::WebPage),
                (false, false) => None,
            };
            candidates.push(Candidate {
                operator: format!("operator {}", if dice.is(0.05) { 0 } else { number }),
                is_network: dice.is(0.1),
                in_use: dice.is(0.015),
                age,
                round_trip: Duration::from_secs_f64(noisy(&mut dice)),
                first_byte: Duration::from_secs_f64(4.0 * noisy(&mut dice)),
                history,
                rate: None,
                fault,
            });
            truths.push(Truth {
                round_trip,
                server,
                rate,
                spread: dice.between(0.02, 0.2),
                corrupt: dice.is(0.02),
                lacks_files: dice.is(0.02),
            });
        }
        (Self { dice, line, truths, elapsed: 0.0, measured: 0 }, candidates)
    }

    /// Seconds for a file, which the order should follow.
    fn seconds(&self, mirror: usize, candidate: &Candidate) -> f64 {
        let truth = &self.truths[mirror];
        let age = if candidate.age == Some(Freshness::Ageing) { 1.1 } else { 1.0 };
        (4.0 * truth.round_trip + SIZE / truth.rate) * age
    }

    fn is_sound(&self, mirror: usize, before: &Candidate) -> bool {
        let truth = &self.truths[mirror];
        let young = matches!(before.age, Some(Freshness::Fresh | Freshness::Ageing));
        young && before.fault.is_none() && !truth.corrupt && !truth.lacks_files
    }
}

impl Field for World {
    fn measure(&mut self, mirror: usize, enough: &dyn Fn(&Arrivals) -> bool) -> Result<Measured, Fault> {
        let truth = &self.truths[mirror];
        let first_byte = 4.0 * truth.round_trip;
        let mut arrivals = Arrivals::default();
        let (mut time, mut noise) = (0.0, 0.0);
        let step = 0.004;
        loop {
            // TCP doubles what is under way each round trip, until the rate is reached.
            let slow_start = 14_600.0 / truth.round_trip * (time / truth.round_trip).min(40.0).exp2();
            noise = 0.9 * noise + 0.44 * self.dice.normal();
            let server = truth.server * (1.0 + truth.spread * noise).clamp(0.1, 1.9);
            let rate = server.min(self.line).min(slow_start);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is small")]
            let bytes = (rate * step) as u64;
            time += step;
            arrivals.add(Duration::from_secs_f64(first_byte + time), bytes);
            if enough(&arrivals) {
                break;
            }
        }
        self.elapsed += first_byte + time;
        self.measured += 1;
        let blocks = blocks(mirror, truth.corrupt, arrivals.bytes());
        Ok(Measured { arrivals, first_byte: Duration::from_secs_f64(first_byte), blocks })
    }

    fn look(&mut self, mirrors: &[(usize, WithBlock)]) -> Vec<Result<Vec<BlockDigest>, Fault>> {
        let look = |(mirror, with_block): &(usize, WithBlock)| {
            let truth = &self.truths[*mirror];
            if truth.lacks_files {
                return Err(Fault::LacksFiles);
            }
            Ok(if *with_block { blocks(*mirror, truth.corrupt, 1) } else { Vec::new() })
        };
        mirrors.iter().map(look).collect()
    }

    fn has_time(&self) -> bool {
        self.elapsed < crate::patience::MEASUREMENTS.as_secs_f64()
    }

    fn goes_on(&self) -> bool {
        true
    }
}

/// Each corrupt mirror is wrong in its own way.
fn blocks(mirror: usize, corrupt: bool, bytes: u64) -> Vec<BlockDigest> {
    let digest = if corrupt { mirror as u64 + 1 } else { 0 };
    let mut block = BlockDigest::default();
    block[..8].copy_from_slice(&digest.to_le_bytes());
    vec![block; usize::try_from(bytes / 65536).unwrap_or(0).max(1)]
}

/// Who differs by less cannot be told apart by measurements that are right within 10 %.
const ALIKE: f64 = 1.1;

/// Pairs in the right order less pairs in the wrong one, over all that truly differ.
fn kendall_tau(seconds: &[f64]) -> Option<f64> {
    let (mut right, mut wrong) = (0.0, 0.0);
    for (index, first) in seconds.iter().enumerate() {
        for second in &seconds[index + 1..] {
            match second / first {
                ratio if ratio > ALIKE => right += 1.0,
                ratio if ratio < 1.0 / ALIKE => wrong += 1.0,
                _ => {}
            }
        }
    }
    (right + wrong > 0.0).then(|| (right - wrong) / (right + wrong))
}

#[test]
fn the_choice_is_nearly_always_among_the_best() {
    let (mut good, mut taus, mut bytes, mut seconds, mut measured) = (0, Vec::new(), 0, 0.0_f64, 0);
    let mut misses = Vec::new();
    for seed in 0..SEEDS {
        let (mut world, before) = World::new(seed);
        let mut candidates = before.clone();
        let outcome = run(&mut candidates, WANTED, true, &mut world);
        assert_eq!(outcome.chosen.len(), WANTED, "seed {seed}");
        for mirror in &outcome.chosen {
            assert!(world.is_sound(*mirror, &before[*mirror]), "seed {seed}: {:?}", candidates[*mirror]);
        }
        let operators: BTreeSet<&str> =
            outcome.chosen.iter().map(|mirror| before[*mirror].operator.as_str()).collect();
        assert_eq!(operators.len(), WANTED, "seed {seed}");
        assert!(outcome.chosen[..3].iter().filter(|mirror| before[**mirror].is_network).count() <= 1);

        let sound = (0..MIRRORS).filter(|mirror| world.is_sound(*mirror, &before[*mirror]));
        let best = sound.map(|mirror| world.seconds(mirror, &before[mirror])).fold(f64::MAX, f64::min);
        let first = world.seconds(outcome.chosen[0], &before[outcome.chosen[0]]);
        if first <= 1.1 * best {
            good += 1;
        } else {
            misses.push((seed, first / best));
        }
        // Networks stand further behind than their rates would have them.
        let order: Vec<f64> = outcome
            .chosen
            .iter()
            .filter(|mirror| !before[**mirror].is_network)
            .map(|mirror| world.seconds(*mirror, &before[*mirror]))
            .collect();
        taus.extend(kendall_tau(&order));
        bytes += outcome.bytes;
        seconds = seconds.max(world.elapsed);
        measured += world.measured;
    }
    let tau = taus.iter().sum::<f64>() / taus.len() as f64;
    println!(
        "within 10 % of the best: {good} of {SEEDS}; tau {tau:.3} over {} orders; {:.1} MB and {:.1} measured on average, \
         at most {seconds:.1} s; missed: {misses:.2?}",
        taus.len(),
        bytes as f64 / SEEDS as f64 / 1e6,
        measured as f64 / SEEDS as f64,
    );
    assert!(good * 100 >= SEEDS * 95, "within 10 % of the best in {good} of {SEEDS}: {misses:.2?}");
    assert!(tau >= 0.8, "Kendall's tau of the first five is {tau}");
}
