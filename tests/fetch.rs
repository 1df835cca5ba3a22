//! Fetching through the program: failover, resume, verification.
