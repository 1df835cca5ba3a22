use std::os::unix::fs::{PermissionsExt, symlink};

use tempfile::TempDir;

use super::super::event::{Attempt, Outcome};
use super::super::key::MirrorKey;
use super::*;

const NOW: u64 = 1_800_000_000;

fn key() -> MirrorKey {
    MirrorKey::new("http://m.example")
}

fn success() -> Vec<Delta> {
    vec![Delta::Attempt(Attempt {
        mirror: key(),
        at: NOW,
        outcome: Outcome::Success,
        bytes_kept: 1,
        bytes_wasted: 0,
        first_byte: None,
        rate: None,
    })]
}

fn in_folder() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mirrors.json");
    let store = Store::new(Location { file, folder: Folder::Named });
    (folder, store)
}

fn attempts(store: &Store) -> u64 {
    let (state, warnings) = store.load();
    assert!(warnings.is_empty(), "{warnings:?}");
    state.mirror(&key()).map_or(0, |mirror| mirror.attempts)
}

fn beside(store: &Store, suffix: &str) -> PathBuf {
    store.folder().join(store.with_suffix(suffix))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn what_is_applied_is_loaded() {
    let (folder, store) = in_folder();
    assert_eq!(attempts(&store), 0);
    assert!(store.apply(&success(), NOW).unwrap().is_none());
    assert!(store.apply(&success(), NOW).unwrap().is_none());
    assert_eq!(attempts(&store), 2);
    assert_eq!(names(folder.path()), ["mirrors.json", "mirrors.json.lock"]);
    assert_eq!(mode(store.file()), 0o664);
    assert_eq!(mode(&beside(&store, ".lock")), 0o660, "whoever can read it can lock it");
}

#[test]
fn nothing_happened_nothing_is_written() {
    let (folder, store) = in_folder();
    store.apply(&[], NOW).unwrap();
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn an_empty_file_is_an_empty_state() {
    let (_folder, store) = in_folder();
    fs::write(store.file(), "").unwrap();
    assert_eq!(attempts(&store), 0);
    store.apply(&success(), NOW).unwrap();
    assert_eq!(attempts(&store), 1);
}

#[test]
fn a_broken_file_is_kept_under_another_name() {
    let (folder, store) = in_folder();
    for (number, content) in ["first", "second"].iter().enumerate() {
        fs::write(store.file(), content).unwrap();
        let (state, warnings) = store.load();
        assert_eq!(state, State::default());
        let [Warning::SetAside { to, .. }] = &warnings[..] else { panic!("{warnings:?}") };
        assert_eq!(*to, folder.path().join(format!("mirrors.json.broken-{}", number + 1)));
        assert_eq!(fs::read_to_string(to).unwrap(), *content);
    }
    fs::write(store.file(), "third").unwrap();
    let warning = store.apply(&success(), NOW).unwrap();
    assert!(matches!(warning, Some(Warning::SetAside { .. })), "{warning:?}");
    assert_eq!(fs::read_to_string(folder.path().join("mirrors.json.broken-3")).unwrap(), "third");
    assert_eq!(attempts(&store), 1);
}

#[test]
fn a_broken_file_stays_while_somebody_writes() {
    let (_folder, store) = in_folder();
    let store = store.with_lock_budget(LockBudget::new(Duration::ZERO));
    fs::write(store.file(), "broken").unwrap();
    let _lock = store.lock().unwrap();
    let (_, warnings) = store.load();
    assert!(matches!(&warnings[..], [Warning::Broken { .. }]), "{warnings:?}");
    assert_eq!(fs::read_to_string(store.file()).unwrap(), "broken");
}

#[test]
fn a_newer_file_is_never_replaced() {
    let (folder, store) = in_folder();
    let newer = r#"{"version": 2, "mirrors": {"http://m.example": {"attempts": 7}}}"#;
    fs::write(store.file(), newer).unwrap();
    let (state, warnings) = store.load();
    assert_eq!(state.mirror(&key()).unwrap().attempts, 7);
    assert!(matches!(&warnings[..], [Warning::Newer { version: 2, .. }]), "{warnings:?}");
    let error = store.apply(&success(), NOW).unwrap_err();
    assert!(matches!(error, StoreError::Newer { version: 2, .. }), "{error}");
    assert_eq!(fs::read_to_string(store.file()).unwrap(), newer);
    assert_eq!(names(folder.path()), ["mirrors.json", "mirrors.json.lock"]);
}

#[test]
fn a_huge_file_is_not_read() {
    let (_folder, store) = in_folder();
    File::create(store.file()).unwrap().set_len(100 << 30).unwrap();
    let (_, warnings) = store.load();
    assert!(matches!(&warnings[..], [Warning::SetAside { .. }]), "{warnings:?}");
    assert!(warnings[0].to_string().contains("more than 32 MiB"), "{}", warnings[0]);
}

#[test]
fn what_is_not_a_file_is_left_alone() {
    let (folder, store) = in_folder();
    let elsewhere = folder.path().join("elsewhere");
    let refused = || {
        let (state, warnings) = store.load();
        assert_eq!(state, State::default());
        assert!(matches!(&warnings[..], [Warning::Unreadable { .. }]), "{warnings:?}");
        let error = store.apply(&success(), NOW).unwrap_err();
        assert!(matches!(error, StoreError::Io { action: "read", .. }), "{error}");
    };

    fs::create_dir(store.file()).unwrap();
    refused();
    fs::remove_dir(store.file()).unwrap();

    fs::write(&elsewhere, "secret").unwrap();
    symlink(&elsewhere, store.file()).unwrap();
    refused();
    fs::remove_file(store.file()).unwrap();

    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, store.file(), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    refused();
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "secret");
}

#[test]
fn a_symbolic_link_in_the_locks_place_is_refused() {
    let (folder, store) = in_folder();
    for target in ["elsewhere", "missing"] {
        fs::write(folder.path().join("elsewhere"), "secret").unwrap();
        symlink(folder.path().join(target), beside(&store, ".lock")).unwrap();
        let error = store.apply(&success(), NOW).unwrap_err();
        assert!(error.to_string().contains("symbolic link"), "{error}");
        fs::remove_file(beside(&store, ".lock")).unwrap();
    }
    assert_eq!(names(folder.path()), ["elsewhere"]);
    assert_eq!(fs::read_to_string(folder.path().join("elsewhere")).unwrap(), "secret");
}

#[test]
fn a_symbolic_link_in_the_temporary_files_place_is_not_followed() {
    let (folder, store) = in_folder();
    let elsewhere = folder.path().join("elsewhere");
    fs::write(&elsewhere, "secret").unwrap();
    symlink(&elsewhere, beside(&store, &format!(".tmp-{}-0", std::process::id()))).unwrap();
    store.apply(&success(), NOW).unwrap();
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "secret");
    assert_eq!(attempts(&store), 1);
}

#[test]
fn what_a_killed_process_left_is_removed() {
    let (folder, store) = in_folder();
    fs::write(beside(&store, ".tmp-1-0"), "half a sta").unwrap();
    fs::write(folder.path().join("other.json.tmp-1-0"), "not ours").unwrap();
    store.apply(&success(), NOW).unwrap();
    assert_eq!(names(folder.path()), ["mirrors.json", "mirrors.json.lock", "other.json.tmp-1-0"]);
}

#[test]
fn a_lock_that_is_held_is_waited_for_and_given_up() {
    let (_folder, store) = in_folder();
    let store = store.with_lock_budget(LockBudget::new(Duration::from_millis(50)));
    let held = store.lock().unwrap();
    let error = store.apply(&success(), NOW).unwrap_err();
    assert!(matches!(error, StoreError::Busy { .. }), "{error}");
    assert_eq!(store.clone().lock_budget.left(), Duration::ZERO, "a call waits once, not for each change");
    // The thread that waited in vain gets the lock now, and must not keep it.
    drop(held);
    store.with_lock_budget(LockBudget::new(Duration::from_secs(60))).apply(&success(), NOW).unwrap();
}

/// Whoever can read the side-car of an earlier version could lock it.
#[test]
fn a_side_car_is_not_for_others() {
    let (_folder, store) = in_folder();
    let path = beside(&store, ".lock");
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    store.apply(&success(), NOW).unwrap();
    assert_eq!(mode(&path), 0o660);
}

#[test]
fn a_lock_that_is_released_is_taken_at_once() {
    let (_folder, store) = in_folder();
    let store = store.with_lock_budget(LockBudget::new(Duration::from_secs(60)));
    let held = store.lock().unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| store.apply(&success(), NOW));
        drop(held);
        waiting.join().unwrap().unwrap();
    });
    assert_eq!(attempts(&store), 1);
}

#[test]
fn a_lock_on_a_removed_side_car_is_none() {
    let (_folder, store) = in_folder();
    let path = beside(&store, ".lock");
    let held = store.lock().unwrap();
    fs::remove_file(&path).unwrap();
    assert!(!held.is_current());
    let successor = store.lock().unwrap();
    assert!(successor.is_current() && !held.is_current());
}

#[test]
fn a_folder_is_only_made_where_it_is_ours() {
    let parent = tempfile::tempdir().unwrap();
    let distdir = parent.path().join("distfiles");
    fs::create_dir(&distdir).unwrap();
    fs::set_permissions(&distdir, fs::Permissions::from_mode(0o2775)).unwrap();
    let store =
        |folder: &Path, policy| Store::new(Location { file: folder.join("mirrors.json"), folder: policy });

    // What was named is made where the folder that it lies in is there.
    let given = parent.path().join("given");
    store(&given, Folder::Named).apply(&success(), NOW).unwrap();
    assert_eq!(attempts(&store(&given, Folder::Named)), 1);
    let error = store(&parent.path().join("a/b"), Folder::Named).apply(&success(), NOW).unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }) && !parent.path().join("a").exists(), "{error}");

    let private = parent.path().join("home/state");
    store(&private, Folder::Private).apply(&success(), NOW).unwrap();
    assert_eq!((mode(&private), mode(private.parent().unwrap())), (0o700, 0o700));

    let shared = distdir.join(".racefetch");
    store(&shared, Folder::LikeParent).apply(&success(), NOW).unwrap();
    store(&shared, Folder::LikeParent).apply(&success(), NOW).unwrap();
    assert_eq!(mode(&shared), 0o2775);
    assert_eq!(attempts(&store(&shared, Folder::LikeParent)), 2);

    let missing = parent.path().join("missing/.racefetch");
    assert!(store(&missing, Folder::LikeParent).apply(&success(), NOW).is_err());
    assert!(!missing.parent().unwrap().exists(), "a DISTDIR is Portage's to make");
}

#[test]
fn a_link_in_the_folders_place_is_only_followed_where_it_was_named() {
    let parent = tempfile::tempdir().unwrap();
    let elsewhere = parent.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let link = parent.path().join("link");
    symlink(&elsewhere, &link).unwrap();
    let store = |folder| Store::new(Location { file: link.join("mirrors.json"), folder });

    let beside_distfiles = store(Folder::LikeParent);
    let error = beside_distfiles.apply(&success(), NOW).unwrap_err();
    assert!(error.to_string().contains("symbolic link"), "{error}");
    let (_, warnings) = beside_distfiles.load();
    assert!(matches!(&warnings[..], [Warning::Unreadable { .. }]), "{warnings:?}");
    assert_eq!(names(&elsewhere), [""; 0]);

    store(Folder::Named).apply(&success(), NOW).unwrap();
    assert_eq!(names(&elsewhere), ["mirrors.json", "mirrors.json.lock"]);
}

#[test]
fn a_path_that_names_no_file_is_an_error() {
    for path in ["/", "..", "", "/proc/self/mirrors.json", "/dev/null/mirrors.json"] {
        let store = Store::new(Location { file: path.into(), folder: Folder::Named });
        let _ = store.load();
        assert!(store.apply(&success(), NOW).is_err(), "{path}");
        assert!(!beside(&store, ".lock").exists(), "{path}");
    }
}

#[test]
fn places_that_cannot_be_used_are_passed_over() {
    let own = tempfile::tempdir().unwrap();
    let given = own.path().join("s.json");
    fs::write(&given, "").unwrap();
    assert!(is_own(own.path()) && !is_own(&given) && !is_own(&own.path().join("missing")));
    let wish = Wish { given: Some(&given), ..Wish::default() };
    assert_eq!(locate(wish).unwrap().file, given);
    let distdir = Wish { given: Some(Path::new("")), distdir: Some(own.path()), portage_call: true, ..wish };
    assert_ne!(locate(distdir).unwrap().file, Path::new(""));
}

#[test]
fn messages_are_one_line() {
    let file = PathBuf::from("/var/lib/racefetch/mirrors.json");
    let source = || io::Error::from(io::ErrorKind::StorageFull);
    for message in [
        Warning::Broken { file: file.clone(), why: "not JSON".to_owned() }.to_string(),
        Warning::Newer { file: file.clone(), version: 2 }.to_string(),
        Warning::Unreadable { file: file.clone(), source: source() }.to_string(),
        StoreError::Busy { file: file.clone(), budget: STATE_LOCK }.to_string(),
        StoreError::Newer { file: file.clone(), version: 2 }.to_string(),
        StoreError::Io { action: "write", path: file, source: source() }.to_string(),
    ] {
        assert!(message.contains("/var/lib/racefetch/mirrors.json") && !message.contains('\n'), "{message}");
        assert!(!message.contains("  "), "{message}");
    }
}

/// The folder beside fetched files is removed by every fetch that finds it empty, also between the moment in which it was
/// made and that in which the lock was made in it.
#[test]
fn a_folder_that_vanishes_is_made_again() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join(".racefetch");
    let store = Store::new(Location { file: folder.join("mirrors.json"), folder: Folder::LikeParent });
    let is_over = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                let _ = fs::remove_dir(&folder);
            }
        });
        for _ in 0..300 {
            let applied = store.apply(&success(), NOW);
            for name in ["mirrors.json", "mirrors.json.lock"] {
                let _ = fs::remove_file(folder.join(name));
            }
            if applied.is_err() {
                is_over.store(true, std::sync::atomic::Ordering::Relaxed);
            }
            assert!(applied.is_ok(), "{applied:?}");
        }
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}
