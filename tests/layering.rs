//! The dependency rule of `src/lib.rs`, read from the `use` lines.
