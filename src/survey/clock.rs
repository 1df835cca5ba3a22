//! Whether this machine's clock is right, by those of the mirrors.

/// A clock that is wrong by less, in seconds, does no harm here.
const CLOCK_IS_RIGHT: i64 = 120;
/// So many servers must agree before this machine's clock is doubted.
const WITNESSES: usize = 3;

/// By how many seconds this machine's clock is ahead of those of the servers, when it is wrong. `ahead` has what each
/// server's `Date` says. Servers have the right time as a rule; a single one may not.
pub(crate) fn clock_error(ahead: &[i64]) -> Option<i64> {
    let mut sorted = ahead.to_vec();
    sorted.sort_unstable();
    let median = *sorted.get(sorted.len() / 2)?;
    (sorted.len() >= WITNESSES && median.abs() > CLOCK_IS_RIGHT).then_some(median)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_with_a_wrong_clock_proves_nothing() {
        assert_eq!(clock_error(&[]), None);
        assert_eq!(clock_error(&[9000, 9000]), None, "two are too few");
        assert_eq!(clock_error(&[1, -2, 90_000]), None);
        assert_eq!(clock_error(&[3600, 3601, 3599, -80_000]), Some(3600));
        assert_eq!(clock_error(&[-3600, -3601, -3599]), Some(-3600));
    }
}
