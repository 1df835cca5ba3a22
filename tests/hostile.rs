//! Servers, files and surroundings that lie, dawdle and break: what an attacker can do who runs a mirror, or who
//! has an account on the machine.
//!
//! Every run of the program goes through [`run::Racefetch`], which holds it to what is promised in any
//! circumstances: it ends within ten seconds, never panics, and says why it failed in one line that can be
//! printed on a terminal.

mod run;

mod bad_disk;
mod body;
mod denied;
mod disk;
mod drip;
mod files;
mod garbage;
mod head;
mod links;
mod locks;
mod names;
mod redirects;
mod secrets;
mod signals;
mod surroundings;
mod tls;
