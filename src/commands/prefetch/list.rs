//! The list of what is to be fetched: from stdin, or from emerge.

use std::io::{self, Read};
use std::process::{Command, ExitStatus, Stdio};

use crate::commands::{Interrupt, end_by};

/// What emerge said.
pub(super) struct Listing {
    pub(super) text: String,
    /// What it said on stderr, its fetch command's words included: mirrors are asked for their layouts.
    pub(super) errors: String,
    /// How emerge ended; none when the list was on stdin.
    pub(super) status: Option<ExitStatus>,
}

/// Reads the list from stdin for the one argument `-`, else has emerge make it.
pub(super) fn read(arguments: &[std::ffi::OsString], interrupt: &Interrupt) -> io::Result<Listing> {
    if let [only] = arguments
        && only == "-"
    {
        // No transfer is under way yet that would have to end well.
        interrupt.set_hook(end_by);
        let text = read_text(&mut io::stdin().lock())?;
        interrupt.set_hook(|_| {});
        return Ok(Listing { text, errors: String::new(), status: None });
    }
    let mut emerge = Command::new("emerge")
        .args(["--pretend", "--fetchonly", "--color=n"])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let pid = rustix::process::Pid::from_child(&emerge);
    interrupt.set_hook(move |_| {
        // emerge may have ended already.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    });
    let (mut out, mut err) = (emerge.stdout.take(), emerge.stderr.take());
    let (text, errors) = std::thread::scope(|scope| {
        let read = || err.as_mut().map_or_else(|| Ok(String::new()), |err| read_text(err));
        let errors = std::thread::Builder::new().spawn_scoped(scope, read);
        let text = out.as_mut().map_or_else(|| Ok(String::new()), |out| read_text(out));
        let join = |errors: std::thread::ScopedJoinHandle<'_, _>| errors.join();
        (
            text,
            errors.and_then(|errors| join(errors).unwrap_or_else(|panic| std::panic::resume_unwind(panic))),
        )
    });
    interrupt.set_hook(|_| {});
    let status = emerge.wait()?;
    Ok(Listing { text: text?, errors: errors?, status: Some(status) })
}

/// What is not UTF-8 is replaced.
fn read_text(from: &mut dyn Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
