//! What those who were asked for a file have answered, in one line.

use crate::http::Failure;

/// `NAME: ANSWER; NAME: ANSWER`, then `said_before`. A failure of somebody who was not asked, such as a
/// proxy, is named once, without a NAME.
pub(super) fn joined(answers: &[(String, Failure)], said_before: Vec<String>) -> String {
    let mut parts: Vec<String> = Vec::new();
    for (name, failure) in answers {
        let part = if failure.is_of_proxy() { failure.to_string() } else { format!("{name}: {failure}") };
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    parts.extend(said_before);
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proxy_is_named_once() {
        let refused = || Failure::Connect { reason: "connection refused".to_owned() };
        let dead = || refused().of_proxy_at("p:3128");
        let lacks = || Failure::Status { code: 404, retry_after: None };
        let before = || vec!["d: HTTP status 410 (a moment ago)".to_owned()];
        for (answers, before, said) in [
            (
                vec![("a", dead()), ("b", dead())],
                Vec::new(),
                "the proxy p:3128: cannot connect: connection refused",
            ),
            (
                vec![("a", lacks()), ("b", dead()), ("c", dead())],
                Vec::new(),
                "a: HTTP status 404; the proxy p:3128: cannot connect: connection refused",
            ),
            (
                vec![("a", lacks()), ("b", lacks())],
                before(),
                "a: HTTP status 404; b: HTTP status 404; d: HTTP status 410 (a moment ago)",
            ),
            (Vec::new(), before(), "d: HTTP status 410 (a moment ago)"),
        ] {
            let answers: Vec<_> =
                answers.into_iter().map(|(name, failure)| (name.to_owned(), failure)).collect();
            assert_eq!(joined(&answers, before), said);
        }
    }
}
