//! The same command line given to curl and to racefetch, against the same server behaviour.
