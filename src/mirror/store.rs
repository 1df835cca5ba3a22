//! The state file: read, and replaced as a whole under a lock.
//!
//! Processes that run at once lose none of each other's figures: each takes the lock, reads what is newest,
//! applies its own events, writes a new file and renames it into place. The lock is on a side-car,
//! because the file itself is another one after every change. A process that is killed at any moment
//! leaves the old file or the new one.
//!
//! No fetch may fail because of the state, or wait long for it: all that goes wrong here is a warning.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use fs2::FileExt;
use rustix::fs::{Access, OFlags, access};
use rustix::process::geteuid;

use super::event::Delta;
use super::format::{self, Content, SIZE_MAX, VERSION};
use super::key::MirrorKey;
use super::location::{Facts, Folder, Location, SYSTEM_FOLDER, choose};
use super::stats::State;
use crate::files;
use crate::patience::STATE_LOCK;
use crate::portage::account::portage_group;

/// One state file.
#[derive(Clone, Debug)]
pub struct Store {
    location: Location,
    lock_budget: LockBudget,
}

/// How long the locks of state files are waited for, in all of a call. Clones share what is left.
#[derive(Clone, Debug)]
pub struct LockBudget {
    whole: Duration,
    left: Arc<Mutex<Duration>>,
}

impl LockBudget {
    pub fn new(whole: Duration) -> Self {
        Self { whole, left: Arc::new(Mutex::new(whole)) }
    }

    fn left(&self) -> Duration {
        *self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spend(&self, time: Duration) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        *left = left.saturating_sub(time);
    }
}

impl Default for LockBudget {
    /// [`STATE_LOCK`].
    fn default() -> Self {
        Self::new(STATE_LOCK)
    }
}

/// What [`locate`] goes by: the paths as arguments and environment give them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish<'a> {
    /// `--state`, else `RACEFETCH_STATE`. An empty path counts as none.
    pub given: Option<&'a Path>,
    /// The figures are only shown.
    pub read_only: bool,
    pub portage_call: bool,
    pub xdg_state_home: Option<&'a Path>,
    pub home: Option<&'a Path>,
    /// The folder that the fetched file goes to.
    pub distdir: Option<&'a Path>,
}

/// What was wrong with the state file, and what became of it. One line each.
#[derive(Debug, thiserror::Error)]
pub enum Warning {
    /// By somebody who only looks.
    #[error("state file {} is broken ({why}): the next fetch moves it away and starts anew", file.display())]
    Seen { file: PathBuf, why: String },
    #[error("state file {} is broken ({why}): moved to {}, starting anew", file.display(), to.display())]
    SetAside { file: PathBuf, to: PathBuf, why: String },
    #[error("state file {} is broken ({why}) and cannot be moved away: please remove it", file.display())]
    Broken { file: PathBuf, why: String },
    #[error(
        "state file {} has version {version}, this racefetch knows {VERSION}: \
         nothing is recorded until racefetch is updated", file.display()
    )]
    Newer { file: PathBuf, version: u64 },
    #[error("state file {} cannot be read ({source}): going on without it", file.display())]
    Unreadable { file: PathBuf, source: io::Error },
}

/// Why figures were not recorded. The file is as it was. One line each.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(
        "state file {}: others held its lock for {} s: the figures of this call are not recorded",
        file.display(), budget.as_secs_f32()
    )]
    Busy { file: PathBuf, budget: Duration },
    /// [`Store::load`] has warned of it already.
    #[error(
        "state file {} has version {version}, this racefetch knows {VERSION}: \
         nothing is recorded until racefetch is updated", file.display()
    )]
    Newer { file: PathBuf, version: u64 },
    #[error(
        "cannot {action} {}: {source}: the figures of this call are not recorded \
         (make its folder writable, or name another file in RACEFETCH_STATE)", path.display()
    )]
    Io { action: &'static str, path: PathBuf, source: io::Error },
}

impl Store {
    pub fn new(location: Location) -> Self {
        Self { location, lock_budget: LockBudget::default() }
    }

    /// With another time to wait for the lock.
    #[must_use]
    pub fn with_lock_budget(self, lock_budget: LockBudget) -> Self {
        Self { lock_budget, ..self }
    }

    /// The path of the state file.
    pub fn file(&self) -> &Path {
        &self.location.file
    }

    /// The state as far as it can be read, which is no more than nothing when there is none. A broken file
    /// is moved away.
    pub fn load(&self) -> (State, Vec<Warning>) {
        self.read_or(|why| self.recover(why))
    }

    /// The same for somebody who only looks: nothing is changed.
    pub fn look(&self) -> (State, Vec<Warning>) {
        let seen = |why| vec![Warning::Seen { file: self.file().to_owned(), why }];
        self.read_or(|why| (State::default(), seen(why)))
    }

    fn read_or(&self, broken: impl FnOnce(String) -> (State, Vec<Warning>)) -> (State, Vec<Warning>) {
        let file = self.file().to_owned();
        match self.read() {
            Ok(Some(Content::Broken(why))) => broken(why),
            Ok(Some(Content::State(state))) => (state, Vec::new()),
            Ok(Some(Content::Newer { version, state })) => (state, vec![Warning::Newer { file, version }]),
            Ok(None) => (State::default(), Vec::new()),
            Err(source) => (State::default(), vec![Warning::Unreadable { file, source }]),
        }
    }

    /// Adds events to what the file holds by then. `now` in UNIX seconds. A broken file is moved away, and
    /// that is the warning.
    pub fn apply(&self, deltas: &[Delta], now: u64) -> Result<Option<Warning>, StoreError> {
        if deltas.is_empty() {
            return Ok(None);
        }
        self.make_folder().map_err(|source| self.error("make the folder of", source))?;
        let turn = self.lock()?;
        let (mut state, warning) = turn.newest()?;
        state.apply_all(deltas);
        state.prune(now);
        turn.replace(&state).map_err(|source| self.error("write", source))?;
        Ok(warning)
    }

    /// What a file of that name beside the state file holds; none when there is none that can be read.
    pub fn read_beside(&self, name: &str, largest: u64) -> Option<Vec<u8>> {
        let file =
            self.open_folder().and_then(|folder| folder.open_file(OsStr::new(name), OFlags::RDONLY)).ok()?;
        files::read_all(&file, largest).ok()
    }

    /// Puts a file of that name beside the state file, in the place of the one that is there.
    pub fn write_beside(&self, name: &str, content: &[u8]) -> io::Result<()> {
        self.make_folder()?;
        let folder = self.open_folder()?;
        let draft = OsString::from(format!(".{name}.tmp-{}", std::process::id()));
        let _ = folder.remove_file(&draft); // of a process with our number that was killed
        let mut file = create_shared(&folder, &draft)?;
        let written =
            file.write_all(content).and_then(|()| folder.rename_file(&file, &draft, OsStr::new(name)));
        if written.is_err() {
            let _ = folder.remove_file(&draft); // it is only untidy
        }
        written
    }

    /// Forgets all that is known of some mirrors, whose keys are returned.
    pub fn forget(
        &self,
        is_it: impl Fn(&MirrorKey) -> bool,
    ) -> Result<(Vec<MirrorKey>, Option<Warning>), StoreError> {
        // Who has no figures need not make a file to forget them.
        if matches!(self.read(), Ok(None)) {
            return Ok((Vec::new(), None));
        }
        let turn = self.lock()?;
        let (mut state, warning) = turn.newest()?;
        let gone = state.forget(is_it);
        if !gone.is_empty() {
            turn.replace(&state).map_err(|source| self.error("write", source))?;
        }
        Ok((gone, warning))
    }

    /// Moves a broken file away, if it is still broken when nobody else can change it.
    fn recover(&self, why: String) -> (State, Vec<Warning>) {
        let recovered = self.lock().and_then(|turn| turn.newest());
        match recovered {
            Ok((state, warning)) => (state, warning.into_iter().collect()),
            Err(_) => (State::default(), vec![Warning::Broken { file: self.file().to_owned(), why }]),
        }
    }

    /// None when there is no file, or an empty one: that holds nothing that could be lost.
    fn read(&self) -> io::Result<Option<Content>> {
        match self.open_folder() {
            Ok(folder) => self.read_in(&folder),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read_in(&self, folder: &files::Folder) -> io::Result<Option<Content>> {
        let file = match folder.open_file(self.file_name(), OFlags::RDONLY) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match files::read_all(&file, SIZE_MAX) {
            Ok(text) => Ok((!text.is_empty()).then(|| format::read(&text))),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                Ok(Some(Content::Broken(format!("more than {} MiB", SIZE_MAX >> 20))))
            }
            Err(error) => Err(error),
        }
    }

    /// Takes the lock, or goes on without it where the file system knows none: then processes at once may lose figures.
    fn lock(&self) -> Result<Turn<'_>, StoreError> {
        if self.file().file_name().is_none() {
            return Err(self.error("write", io::Error::other("the path names no file")));
        }
        let failed = |source| self.error("lock", source);
        let name = self.with_suffix(".lock");
        let began = now();
        let deadline = began + self.lock_budget.left();
        let turn = loop {
            let opened = self.open_folder().and_then(|folder| {
                let (side_car, _) = folder.lock_file(&name)?;
                Ok((folder, side_car))
            });
            let (folder, side_car) = match opened {
                // It has vanished.
                Err(error) if error.kind() == io::ErrorKind::NotFound && now() < deadline => {
                    self.make_folder().map_err(failed)?;
                    continue;
                }
                opened => opened.map_err(failed)?,
            };
            let left = deadline.saturating_duration_since(now());
            let locked = lock_within(side_car, left).map_err(failed)?;
            match locked.map(|side_car| Turn { store: self, folder, side_car }) {
                Some(turn) if turn.is_current() => break Some(turn),
                // Somebody has removed it meanwhile; others may have locked its successor.
                Some(_) if now() < deadline => {}
                Some(_) | None => break None,
            }
        };
        self.lock_budget.spend(now().saturating_duration_since(began));
        let (file, budget) = (self.file().to_owned(), self.lock_budget.whole);
        turn.ok_or(StoreError::Busy { file, budget })
    }

    /// Beside fetched files it is removed by whoever finds it empty: maybe while it is made.
    fn make_folder(&self) -> io::Result<()> {
        for _ in 0..MAX_ROUNDS {
            match self.try_make_folder() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                made => return made,
            }
        }
        self.try_make_folder()
    }

    fn try_make_folder(&self) -> io::Result<()> {
        let folder = self.folder();
        match self.location.folder {
            Folder::Named if fs::metadata(folder).is_ok() => Ok(()),
            Folder::Named => {
                let made = files::Folder::make_like_parent(folder)?;
                let group = files::read(Path::new("/etc/group"), GROUPS).ok().filter(|_| geteuid().is_root());
                if let Some(group) = group.and_then(|text| portage_group(&String::from_utf8_lossy(&text))) {
                    made.give_to_group(group)?;
                }
                Ok(())
            }
            Folder::Private => DirBuilder::new().recursive(true).mode(0o700).create(folder),
            Folder::LikeParent => files::Folder::make_like_parent(folder).map(drop),
        }
    }

    fn open_folder(&self) -> io::Result<files::Folder> {
        match self.location.folder {
            Folder::Named | Folder::Private => files::Folder::open(self.folder()),
            // It lies where others can put a link in its place.
            Folder::LikeParent => files::Folder::open_no_link(self.folder()),
        }
    }

    fn folder(&self) -> &Path {
        match self.file().parent() {
            Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
            Some(folder) => folder,
            None => self.file(),
        }
    }

    fn file_name(&self) -> &OsStr {
        self.file().file_name().unwrap_or_default()
    }

    /// The name of a file that belongs to the state file.
    fn with_suffix(&self, suffix: &str) -> OsString {
        let mut name = self.file_name().to_owned();
        name.push(suffix);
        name
    }

    fn error(&self, action: &'static str, source: io::Error) -> StoreError {
        StoreError::Io { action, path: self.file().to_owned(), source }
    }
}

/// The right to change the state file, which lasts until this is dropped.
struct Turn<'a> {
    store: &'a Store,
    folder: files::Folder,
    /// Locked.
    side_car: File,
}

impl Turn<'_> {
    /// Whether the side-car is still the one that others will lock.
    fn is_current(&self) -> bool {
        self.folder.is_at(&self.side_car, &self.store.with_suffix(".lock"))
    }

    /// What the file holds, for a change.
    fn newest(&self) -> Result<(State, Option<Warning>), StoreError> {
        let store = self.store;
        let file = store.file().to_owned();
        match store.read_in(&self.folder).map_err(|source| store.error("read", source))? {
            None => Ok((State::default(), None)),
            Some(Content::State(state)) => Ok((state, None)),
            Some(Content::Newer { version, .. }) => Err(StoreError::Newer { file, version }),
            Some(Content::Broken(why)) => {
                let to = self.set_aside().map_err(|source| store.error("move away the broken", source))?;
                Ok((State::default(), Some(Warning::SetAside { file, to, why })))
            }
        }
    }

    /// Writes a new file and puts it in the place of the old one.
    fn replace(&self, state: &State) -> io::Result<()> {
        let text = format::write(state)?;
        if text.len() as u64 > SIZE_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.remove_left_over();
        let (mut file, name) = self.create_temporary()?;
        // It is not synced: a disk that feels it would be waited for in every call. What a power failure can cost is the
        // file, which is set aside then, and with it figures.
        let written = file
            .write_all(text.as_bytes())
            .and_then(|()| self.folder.rename_file(&file, &name, self.store.file_name()));
        if written.is_err() {
            let _ = self.folder.remove_file(&name); // the next one that writes removes it
        }
        written
    }

    fn create_temporary(&self) -> io::Result<(File, OsString)> {
        for number in 0..100 {
            let name = self.store.with_suffix(&format!(".tmp-{}-{number}", std::process::id()));
            match create_shared(&self.folder, &name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                created => return Ok((created?, name)),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Removes the temporary files of processes that were killed: whoever has the lock is the only one that
    /// has a temporary file.
    fn remove_left_over(&self) {
        let prefix = self.store.with_suffix(".tmp-");
        for name in self.folder.names().unwrap_or_default() {
            if name.as_encoded_bytes().starts_with(prefix.as_encoded_bytes()) {
                let _ = self.folder.remove_file(&name); // it is only untidy
            }
        }
    }

    /// Moves the state file to a name that was free.
    fn set_aside(&self) -> io::Result<PathBuf> {
        for number in 1..1000 {
            let name = self.store.with_suffix(&format!(".broken-{number}"));
            if !self.folder.has(&name)? {
                self.folder.rename(self.store.file_name(), &name)?;
                return Ok(self.store.folder().join(name));
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "there are too many broken ones already"))
    }
}

/// How often the folder may vanish while it is made. Each time somebody else was quicker.
const MAX_ROUNDS: usize = 64;
/// The largest `/etc/group` that is read, in bytes.
const GROUPS: u64 = 16 << 20;

/// Where the state file of this process belongs; none when no place is known.
pub fn locate(wish: Wish<'_>) -> Option<Location> {
    let in_system_folder = if wish.read_only { Access::READ_OK } else { Access::WRITE_OK };
    let system = Path::new(SYSTEM_FOLDER);
    let can_make = || {
        let parent = system.parent().filter(|_| !wish.read_only && !system.exists());
        parent.is_some_and(|parent| access(parent, Access::WRITE_OK | Access::EXEC_OK).is_ok())
    };
    choose(&Facts {
        given: wish.given.filter(|path| !path.as_os_str().is_empty()).map(Path::to_owned),
        system_folder_usable: system.is_dir() && access(system, in_system_folder | Access::EXEC_OK).is_ok()
            || can_make(),
        portage_call: wish.portage_call,
        root: geteuid().is_root(),
        xdg_state_home: wish
            .xdg_state_home
            .filter(|path| path.is_absolute() && path.ancestors().find(|a| a.exists()).is_some_and(is_own))
            .map(Path::to_owned),
        home: wish.home.filter(|path| path.is_absolute() && is_own(path)).map(Path::to_owned),
        distdir: wish.distdir.map(Path::to_owned),
    })
}

/// Whether a folder belongs to this user and can be written.
fn is_own(folder: &Path) -> bool {
    fs::metadata(folder).is_ok_and(|found| found.is_dir() && found.uid() == geteuid().as_raw())
        && access(folder, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}

/// Makes a file that everybody in the folder's group can read and write, whatever the umask: root and the user
/// portage take turns.
fn create_shared(folder: &files::Folder, name: &OsStr) -> io::Result<File> {
    let file = folder.create_file(name, 0o600)?;
    folder.share(&file, 0o664);
    Ok(file)
}

/// Locks a file, or gives up when others had it all the time. One that cannot be locked is nobody's.
fn lock_within(file: File, budget: Duration) -> io::Result<Option<File>> {
    match file.try_lock_exclusive() {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Ok(()) | Err(_) => return Ok(Some(file)),
    }
    if budget.is_zero() {
        return Ok(None);
    }
    // flock(2) knows no time limit, but has a queue: who waits in it is served in turn, and at once,
    // unlike who asks again and again. When time is up the thread stays behind; should it ever get the
    // lock, it finds nobody to give it to, and closing the file releases it.
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::Builder::new().name("state lock".to_owned()).spawn(move || {
        let locked = wait_for_lock(&file).map(|()| file);
        let _ = sender.send(locked); // nobody waits any more
    })?;
    receiver.recv_timeout(budget).ok().transpose()
}

fn wait_for_lock(file: &File) -> io::Result<()> {
    loop {
        match file.lock_exclusive() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the lock's budget is time that passes while this process waits"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests;
