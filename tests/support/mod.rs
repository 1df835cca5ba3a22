//! What the tests stand on: a fault-injecting mirror and a Portage laboratory.
