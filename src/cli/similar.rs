//! "Did you mean …?": the word that was probably meant.

/// The candidate that differs least from `word`: a letter or two too many, too few, wrong or swapped.
pub(super) fn similar<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let letters = word.chars().count();
    let most = if letters < 5 { 1 } else { 2 };
    let distance = |candidate: &'c str| (strsim::damerau_levenshtein(word, candidate), candidate);
    let near = candidates.into_iter().map(distance).filter(|(distance, _)| (1..=most).contains(distance));
    near.filter(|_| letters > 2).min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_seen() {
        let words = ["retry", "retry-delay", "stats", "verify", "prefetch"];
        for (word, meant) in [
            ("retyr", Some("retry")),
            ("stat", Some("stats")),
            ("verfiy", Some("verify")),
            ("prefecht", Some("prefetch")),
            ("stats", None),
            ("st", None),
            ("mirror", None),
            ("localhost", None),
        ] {
            assert_eq!(similar(word, words), meant, "{word}");
        }
    }
}
