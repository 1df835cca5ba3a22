//! The user and the group `portage`, which FEATURES=userfetch gives the fetch command to.

use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The numbers of the user and the group `portage`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    pub uid: u32,
    pub gid: u32,
}

/// The account `portage`; it is created first when it is missing and this process may do so.
///
/// # Errors
/// One line that says why there is no such account.
pub fn ensure() -> Result<Account, String> {
    static ACCOUNT: OnceLock<Result<Account, String>> = OnceLock::new();
    ACCOUNT.get_or_init(find_or_create).clone()
}

fn find_or_create() -> Result<Account, String> {
    if let Some(account) = find() {
        return Ok(account);
    }
    if !rustix::process::geteuid().is_root() {
        return Err("there is no user `portage`, and only root can create it".to_owned());
    }
    // Another test run may do the same at this moment: what counts is what is there afterwards.
    let group = create("groupadd", &["-r", "-f", "portage"]);
    let user =
        create("useradd", &["-r", "-g", "portage", "-d", "/var/tmp/portage", "-s", "/bin/false", "portage"]);
    find().ok_or_else(|| format!("cannot create the user `portage`: groupadd {group}; useradd {user}"))
}

fn find() -> Option<Account> {
    let number = |option| {
        let output = Command::new("id").args([option, "portage"]).stderr(Stdio::null()).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    Some(Account { uid: number("-u")?, gid: number("-g")? })
}

/// Runs a command of shadow(8); how it ended.
fn create(program: &str, args: &[&str]) -> String {
    match Command::new(program).args(args).stdin(Stdio::null()).output() {
        Ok(output) => format!("{} {}", output.status, String::from_utf8_lossy(&output.stderr).trim()),
        Err(e) => e.to_string(),
    }
}
