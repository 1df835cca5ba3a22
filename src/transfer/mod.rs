//! Which source sends which bytes, and how they become a verified file.
