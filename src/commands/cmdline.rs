//! Blanks out what others shall not read in the list of processes.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;

/// Blanks out these values of options in `/proc/PID/cmdline`, as curl does. Where the system lets nobody do that, they
/// stay.
pub(super) fn hide(secrets: &[OsString]) {
    if !secrets.is_empty() {
        let _ = try_hide(secrets);
    }
}

fn try_hide(secrets: &[OsString]) -> io::Result<()> {
    let line = fs::read("/proc/self/cmdline")?;
    let stat = fs::read_to_string("/proc/self/stat")?;
    let start = start(&stat).ok_or(io::ErrorKind::InvalidData)?;
    let memory = File::options().write(true).open("/proc/self/mem")?;
    for place in places(&line, secrets) {
        memory.write_all_at(&vec![b' '; place.len()], start + place.start as u64)?;
    }
    Ok(())
}

/// Where the command line lies in the memory of a process: the field `arg_start` of its `/proc/PID/stat` (proc(5)).
fn start(stat: &str) -> Option<u64> {
    // The second field is a name in parentheses, with whatever characters; `arg_start` is the 48th.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(48 - 3)?.parse().ok()
}

/// Where these values stand in a command line: as words, or at the end of an option.
fn places(line: &[u8], secrets: &[OsString]) -> Vec<Range<usize>> {
    let mut places = Vec::new();
    let mut at = 0;
    for word in line.split(|byte| *byte == 0) {
        let end = at + word.len();
        let is_its = |secret: &[u8]| {
            !secret.is_empty() && (word == secret || word.starts_with(b"-") && word.ends_with(secret))
        };
        let longest = secrets.iter().map(|secret| secret.as_bytes()).filter(|secret| is_its(secret));
        if let Some(length) = longest.map(<[u8]>::len).max() {
            places.push(end - length..end);
        }
        at = end + 1;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_values_are_blanked_out() {
        let line = b"racefetch\0-u\0me:secret\0-sume:secret\0--oauth2-bearer\0t\0-o\0out\0http://h/t\0";
        let secrets = ["me:secret", "t", ""].map(OsString::from);
        let blanked = places(line, &secrets);
        let shown: Vec<&[u8]> = blanked.iter().map(|place| &line[place.clone()]).collect();
        assert_eq!(shown, [&b"me:secret"[..], b"me:secret", b"t"]);
        assert!(places(b"", &secrets).is_empty());
        assert_eq!(start("1 (a) b) S 2"), None);
    }
}
