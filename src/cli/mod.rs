//! The command line: what was asked, and with which exit status it ends.
