//! When everybody who is at work would be done, if what is left were divided fairly.

/// One source at work, in seconds from now and bytes per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Worker {
    /// When it will have delivered what it claimed.
    pub free: f64,
    /// Time between a further request and its first byte.
    pub gap: f64,
    pub rate: f64,
}

/// Seconds until all is done when the `left` bytes that nobody claimed, and what some have claimed too much,
/// are divided so that all end together. Infinite without workers.
pub fn common_finish(workers: &[Worker], left: f64) -> f64 {
    // By `time`, how much more could be delivered than is there to be divided. It grows with `time`.
    let surplus = |time: f64| -> f64 {
        let each = workers.iter().map(|w| {
            let spare = (time - w.free - w.gap).max(0.0);
            let too_much = (w.free - time).max(0.0);
            w.rate * (spare - too_much)
        });
        each.sum::<f64>() - left
    };
    let total: f64 = workers.iter().map(|w| w.rate).sum();
    if total <= 0.0 {
        return f64::INFINITY;
    }
    let (mut early, mut late) =
        (0.0, workers.iter().map(|w| w.free + w.gap).fold(0.0, f64::max) + left / total);
    while late - early > 0.001 + late * 0.001 {
        let middle = f64::midpoint(early, late);
        if surplus(middle) < 0.0 { early = middle } else { late = middle }
    }
    late
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, want: f64) {
        assert!((got - want).abs() < 0.01, "{got}, not {want}");
    }

    #[test]
    fn what_is_left_is_divided_by_rate() {
        let worker = |rate| Worker { free: 0.0, gap: 0.0, rate };
        close(common_finish(&[worker(1.0), worker(3.0)], 8.0), 2.0);
        assert!(common_finish(&[], 8.0).is_infinite());
        assert!(common_finish(&[worker(0.0)], 8.0).is_infinite());
    }

    #[test]
    fn who_is_late_gives_up_its_excess() {
        let (late, idle) =
            (Worker { free: 10.0, gap: 0.5, rate: 1.0 }, Worker { free: 0.0, gap: 0.5, rate: 1.0 });
        // 10 - t = t - 0.5
        close(common_finish(&[late, idle], 0.0), 5.25);
    }

    #[test]
    fn who_is_free_too_late_does_not_help() {
        let worker = |free| Worker { free, gap: 1.0, rate: 2.0 };
        close(common_finish(&[worker(0.0), worker(2.5)], 4.0), 3.0);
    }
}
