//! Progress for people: a bar on a terminal, lines in a log, or silence.
