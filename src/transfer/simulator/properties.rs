//! What holds for any mirrors.
