//! `racefetch setup`: from a fresh system to one where an unmodified Portage fetches with the program, and back.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::real_portage::{assert_fetched, base, lab, layout_path};
use crate::support::content::content;
use crate::support::lab::{Dist, Emerged, Lab, Layout};
use crate::support::mirror::Mirror;
use crate::support::ports::Port;

/// All files of the configuration, with their modes and owners.
type Files = BTreeMap<PathBuf, (Vec<u8>, u32, u32)>;

fn configuration(lab: &Lab) -> Files {
    let mut files = Files::new();
    let mut folders = vec![lab.root().join("etc")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let found = fs::symlink_metadata(&path).unwrap();
            if found.is_dir() {
                folders.push(path);
            } else if !path.to_string_lossy().ends_with(".racefetch~") {
                let content = if found.is_symlink() {
                    fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
                } else {
                    fs::read(&path).unwrap()
                };
                files.insert(path, (content, found.mode(), found.uid()));
            }
        }
    }
    files
}

fn setup(lab: &Lab, arguments: &str) -> Emerged {
    lab.shell(&format!("racefetch setup {arguments}"))
}

fn status(run: &Emerged) -> Option<i32> {
    run.status.code()
}

/// A fresh system with a package, and a mirror that has its file.
fn fresh(dist: &Dist) -> (Lab, Mirror) {
    let mirror = Mirror::start();
    mirror.on(&layout_path()).serve(Layout::Flat.conf()).always();
    mirror.on(&format!("/gentoo/distfiles/{}", dist.name)).serve(&dist.content).always();
    let lab = lab().mirrors(&[base(&mirror)]).package("app-misc/foo-1", &[dist]).fresh_system();
    (lab, mirror)
}

/// Portage fetches the package's file, and with this program: it has figures of that.
fn fetches(lab: &Lab, dist: &Dist) {
    let run = lab.emerge(&["--fetchonly", "app-misc/foo"]);
    assert_fetched(&run, lab, dist);
    let state = fs::read_to_string(lab.state_file()).unwrap_or_else(|error| panic!("{error}: {run}"));
    assert!(state.contains("bytes_kept"), "{state}");
}

#[test]
fn from_a_fresh_system_to_a_fetch_with_one_command_and_back() {
    let dist = Dist::new("foo-1.tar", &content(1, 30_000));
    let (lab, _mirror) = fresh(&dist);
    fs::remove_dir_all(lab.state_file().parent().unwrap()).unwrap();
    let make_conf = lab.root().join("etc/portage/make.conf");
    fs::set_permissions(&make_conf, Permissions::from_mode(0o640)).unwrap();
    let before = configuration(&lab);

    // Nobody is there to be asked.
    let run = setup(&lab, "");
    assert_eq!(status(&run), Some(2), "{run}");
    assert!(run.output.contains("+FETCHCOMMAND=") && run.output.contains("setup --yes"), "{run}");
    let run = setup(&lab, "--dry-run");
    assert!(run.success() && run.output.contains("+FETCHCOMMAND="), "{run}");
    assert_eq!(configuration(&lab), before);

    let run = setup(&lab, "--yes");
    assert!(run.success(), "{run}");
    fetches(&lab, &dist);
    let state = fs::metadata(lab.state_file().parent().unwrap()).unwrap();
    assert!(state.mode() & 0o7777 == 0o2775 || !rustix::process::geteuid().is_root());
    assert_eq!(fs::metadata(&make_conf).unwrap().mode() & 0o7777, 0o640);

    let after = configuration(&lab);
    let again = setup(&lab, "--yes");
    assert!(again.success() && again.output.contains("Nothing to do"), "{again}");
    assert_eq!(configuration(&lab), after);

    let undone = setup(&lab, "--undo --yes");
    assert!(undone.success() && undone.output.contains("rm -r"), "{undone}");
    assert_eq!(configuration(&lab), before);
    assert!(!lab.root().join("etc/portage/make.conf.racefetch~").exists());
    assert_eq!(status(&setup(&lab, "--undo --yes")), Some(2));
}

#[test]
fn a_folder_a_local_mirror_and_a_timer() {
    let dist = Dist::new("foo-1.tar", &content(2, 30_000));
    let (lab, mirror) = fresh(&dist);
    let local = Mirror::start();
    local.on("/lan/distfiles/layout.conf").serve(Layout::Flat.conf()).always();
    local.on("/lan/distfiles/foo-1.tar").serve(&dist.content).at_most(1);
    let (etc, portage) = (lab.root().join("etc"), lab.root().join("etc/portage"));
    let text = fs::read(portage.join("make.conf")).unwrap();
    fs::remove_file(portage.join("make.conf")).unwrap();
    for (name, content) in
        [("10-main", &text[..]), ("zz-local", b"# nothing\n"), ("zz-local~", b"FETCHCOMMAND=x\n")]
    {
        fs::create_dir_all(portage.join("make.conf")).unwrap();
        fs::write(portage.join("make.conf").join(name), content).unwrap();
    }
    fs::create_dir_all(lab.root().join("run/systemd/system")).unwrap();
    let before = configuration(&lab);

    let nowhere = Port::refusing();
    let run = setup(&lab, &format!("--yes --mirror http://{}/lan", nowhere.address()));
    assert_eq!(status(&run), Some(7), "{run}");
    assert_eq!(configuration(&lab), before, "a mirror that does not answer is not written");

    let run = setup(&lab, &format!("--yes --timer --mirror {}", local.url("/lan/")));
    assert!(run.success(), "{run}");
    let mirrors = lab.shell("portageq envvar GENTOO_MIRRORS");
    assert_eq!(
        mirrors.output.split_whitespace().collect::<Vec<_>>(),
        [local.url("/lan"), base(&mirror)],
        "{mirrors}"
    );
    assert!(portage.join("make.conf/zz-racefetch").exists());
    let wants = etc.join("systemd/system/timers.target.wants/racefetch-prefetch.timer");
    assert!(fs::read_to_string(wants).unwrap().contains("OnCalendar"));
    fetches(&lab, &dist);
    assert_eq!(local.requests_for("/lan/distfiles/foo-1.tar").len(), 1);
    assert!(setup(&lab, "--yes --timer").output.contains("Nothing to do"));

    assert!(setup(&lab, "--undo --yes").success());
    assert_eq!(configuration(&lab), before);
    assert!(!etc.join("systemd").exists());
}

#[test]
fn a_system_without_mirrors_or_without_any_make_conf() {
    let dist = Dist::new("foo-1.tar", &content(6, 30_000));
    let (lab, mirror) = fresh(&dist);
    let make_conf = lab.root().join("etc/portage/make.conf");
    let text = fs::read_to_string(&make_conf).unwrap();
    let bare: String =
        text.split_inclusive('\n').filter(|line| !line.starts_with("GENTOO_MIRRORS")).collect();
    assert_ne!(bare, text);
    fs::write(&make_conf, &bare).unwrap();
    let before = configuration(&lab);
    let arguments = format!("--yes --no-rank --mirror {}", base(&mirror));
    let run = setup(&lab, &arguments);
    assert!(run.success(), "{run}");
    assert!(setup(&lab, &arguments).output.contains("Nothing to do"));
    fetches(&lab, &dist);
    assert!(setup(&lab, "--undo --yes").success());
    assert_eq!(configuration(&lab), before);

    fs::remove_file(&make_conf).unwrap();
    let run = setup(&lab, &arguments);
    assert!(run.success() && fs::read_to_string(&make_conf).unwrap().contains(&base(&mirror)), "{run}");
    assert!(setup(&lab, "--undo --yes").success());
    assert!(!make_conf.exists());
}

#[test]
fn cron_where_there_is_no_systemd() {
    let dist = Dist::new("foo-1.tar", &content(3, 3000));
    let (lab, _mirror) = fresh(&dist);
    let run = setup(&lab, "--yes --timer");
    assert!(status(&run) == Some(2) && run.output.contains("cronie"), "{run}");
    fs::create_dir(lab.root().join("etc/cron.daily")).unwrap();
    assert!(setup(&lab, "--yes --timer").success());
    let script = lab.root().join("etc/cron.daily/racefetch-prefetch");
    assert_eq!(fs::metadata(&script).unwrap().mode() & 0o7777, 0o755);
    assert!(Command::new("sh").arg("-n").arg(&script).status().unwrap().success());
}

#[test]
fn what_was_changed_since_is_not_undone_unless_forced() {
    let dist = Dist::new("foo-1.tar", &content(4, 3000));
    let (lab, _mirror) = fresh(&dist);
    let make_conf = lab.root().join("etc/portage/make.conf");
    let before = configuration(&lab);
    assert!(setup(&lab, "--yes").success());
    let ours = fs::read_to_string(&make_conf).unwrap();
    let theirs = format!("{ours}USE=\"x\"\n");
    fs::write(&make_conf, &theirs).unwrap();
    let run = setup(&lab, "--undo --yes");
    assert!(status(&run) == Some(23) && run.output.contains("was changed since"), "{run}");
    assert_eq!(fs::read_to_string(&make_conf).unwrap(), theirs);
    assert!(setup(&lab, "--undo --yes --force").success());
    assert_eq!(configuration(&lab), before);
    let backup = make_conf.with_file_name("make.conf.racefetch~");
    assert_eq!(fs::read_to_string(backup).unwrap(), theirs);
}

#[test]
fn a_command_that_works_stays_and_a_broken_one_is_outweighed() {
    let dist = Dist::new("foo-1.tar", &content(5, 3000));
    let (lab, _mirror) = fresh(&dist);
    let make_conf = lab.root().join("etc/portage/make.conf");
    let text = fs::read_to_string(&make_conf).unwrap();
    let command = |name: &str, options: &str| {
        let racefetch = lab.root().join("bin/racefetch");
        format!(
            "{name}=\"{} {options} -o \\\"\\${{DISTDIR}}/\\${{FILE}}\\\" \\\"\\${{URI}}\\\"\"\n",
            racefetch.display()
        )
    };
    let works = format!("{text}{}{}", command("FETCHCOMMAND", "-fL"), command("RESUMECOMMAND", "-fLC -"));
    fs::write(&make_conf, &works).unwrap();
    let run = setup(&lab, "--yes");
    assert!(run.success() && run.output.contains("Nothing to do"), "{run}");
    // As it may be after an edit: the file gets another name.
    fs::write(&make_conf, works.replace("/\\${FILE}", "")).unwrap();
    assert!(setup(&lab, "--yes").success());
    fetches(&lab, &dist);
    // What is added below counts more; the lines are moved, not doubled.
    let ours = fs::read_to_string(&make_conf).unwrap();
    fs::write(&make_conf, format!("{ours}FETCHCOMMAND=\"true\"\n")).unwrap();
    assert!(setup(&lab, "--yes").success());
    let text = fs::read_to_string(&make_conf).unwrap();
    assert_eq!(text.matches("# racefetch begin").count(), 1, "{text}");
    assert!(text.ends_with("# racefetch end\n"), "{text}");
}

/// Kills the program at its n-th system call that changes something.
fn killer() -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/setup/killed.c");
    let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("killed");
    // Another test run may do the same: what is complete is put in its place.
    let draft = program.with_extension(std::process::id().to_string());
    let Ok(built) = Command::new("cc").args(["-O1", "-o"]).arg(&draft).arg(source).output() else {
        eprintln!("skipped: there is no C compiler");
        return None;
    };
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    fs::rename(&draft, &program).unwrap();
    if Command::new(&program).args(["1000", "/bin/true"]).status().unwrap().success() {
        return Some(program);
    }
    eprintln!("skipped: ptrace is not to be had");
    None
}

#[test]
fn killed_at_any_step_the_old_or_the_new_file_is_whole() {
    let Some(killer) = killer() else { return };
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(name);
    let text = "GENTOO_MIRRORS=\"http://a\"\n# the end\n";
    fs::create_dir_all(path("etc/portage")).unwrap();
    fs::create_dir_all(path("empty")).unwrap();
    fs::write(path("real"), text).unwrap();
    std::os::unix::fs::symlink("../../real", path("etc/portage/make.conf")).unwrap();
    let run = |program: &Path, arguments: &[&str]| {
        let mut command = Command::new(program);
        // Without portageq, which would be killed instead.
        command.args(arguments).env_clear().env("PATH", path("empty"));
        command.env("PORTAGE_OVERRIDE_EPREFIX", root.path()).output().unwrap()
    };
    let own = Path::new(env!("CARGO_BIN_EXE_racefetch"));
    assert!(run(own, &["setup", "--yes"]).status.success());
    let new = fs::read_to_string(path("real")).unwrap();
    assert!(new.len() > text.len());
    assert!(run(own, &["setup", "--undo", "--yes"]).status.success());

    let mut seen = [0, 0];
    for step in 1..200 {
        fs::write(path("real"), text).unwrap();
        let number = step.to_string();
        let ended = run(&killer, &[&number, &own.to_string_lossy(), "setup", "--yes"]);
        let now = fs::read_to_string(path("real")).unwrap();
        assert!(now == text || now == new, "{step}: {now}");
        seen[usize::from(now == new)] += 1;
        assert!(fs::symlink_metadata(path("etc/portage/make.conf")).unwrap().is_symlink());
        if ended.status.success() {
            assert!(seen[0] > 5 && seen[1] > 1, "{step} steps, {seen:?}");
            return;
        }
        // What was done can be taken back, and be done again.
        let undone = run(own, &["setup", "--undo", "--yes"]);
        let said = String::from_utf8_lossy(&undone.stderr).into_owned();
        assert!(undone.status.success() || said.contains("nothing to undo"), "{step}: {said}");
        assert_eq!(fs::read_to_string(path("real")).unwrap(), text, "{step}");
        assert!(!path("var/lib/racefetch").exists(), "{step}");
    }
    panic!("it never ended: {seen:?}");
}
