//! The state file: many processes, broken files, read-only folders.
