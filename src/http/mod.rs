//! One HTTP request and the judgement of its answer. Knows nothing of mirrors.
