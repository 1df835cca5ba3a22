//! One file for each sub-command, each thin.
