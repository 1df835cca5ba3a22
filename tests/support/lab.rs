//! The Portage laboratory: an unmodified `emerge` that fetches with the program under test.
//!
//! A [`Lab`] is a throw-away Gentoo prefix: its own repository, `make.conf`, `DISTDIR`, `PKGDIR` and package
//! database, so that labs can run side by side and touch nothing outside. It sources the `make.conf`
//! snippet that users source. Everything is removed when the lab is dropped.
//!
//! ```ignore
//! let dist = Dist::new("foo-1.tar.xz", &content(1, 300_000));
//! let lab = Lab::new(binary)?.mirrors(&[mirror.url("/gentoo")]).package("app-misc/foo-1", &[&dist]);
//! let run = lab.emerge(&["--fetchonly", "app-misc/foo"]);
//! assert!(run.success(), "{run}");
//! assert_eq!(lab.distfile("foo-1.tar.xz"), Some(dist.content));
//! ```

pub mod account;
mod package;
mod prefix;
mod running;
mod venv;

use std::fmt;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::ports::Port;

pub use package::{Dist, Layout};
pub use running::{Emerged, Running};

/// What `FEATURES` must lack outside Gentoo: there is no sandbox(1), and a container has no namespaces.
const FEATURES: &str =
    "-userpriv -userfetch -sandbox -usersandbox -network-sandbox -pid-sandbox -ipc-sandbox -news";

/// A Gentoo prefix for one test.
pub struct Lab {
    root: TempDir,
    venv: PathBuf,
    /// Where `SRC_URI` points unless a test says otherwise: a name that does not exist would ask the resolver.
    upstream: Port,
    mirrors: Option<String>,
    make_conf: String,
    /// Whether make.conf is written at every start.
    keeps_make_conf: bool,
    /// The repositories, Gentoo's first. Packages go into the last one.
    repositories: Vec<String>,
}

impl Lab {
    /// A lab in which Portage fetches with `binary`, which must lie in a profile folder of the target
    /// folder: the Portage environment is kept there. `LAB_BINARY` in the environment names another program
    /// to test, for instance the installed one.
    ///
    /// # Errors
    /// One line that says what could not be set up, and what to install.
    pub fn new(binary: impl AsRef<Path>) -> Result<Self, String> {
        let binary = binary.as_ref();
        let target = binary.ancestors().nth(2);
        let target = target.ok_or_else(|| format!("{} does not lie in a target folder", binary.display()))?;
        #[expect(clippy::disallowed_methods, reason = "the one knob of the laboratory")]
        let tested = std::env::var_os("LAB_BINARY").map_or_else(|| binary.to_owned(), PathBuf::from);
        let venv = venv::ensure(target)?;
        let root = tempfile::Builder::new().prefix("racefetch-lab-").tempdir();
        let root = root.map_err(|e| format!("cannot make a folder for the lab: {e}"))?;
        prefix::lay_out(root.path(), &venv, &tested)
            .map_err(|e| format!("cannot lay out {}: {e}", root.path().display()))?;
        let repositories = vec![prefix::MAIN.to_owned()];
        Ok(Self {
            root,
            venv,
            upstream: Port::refusing(),
            mirrors: None,
            make_conf: String::new(),
            keeps_make_conf: false,
            repositories,
        })
    }

    /// `GENTOO_MIRRORS`, set before the snippet is sourced. Without a call it is what Portage ships.
    #[must_use]
    pub fn mirrors<S: AsRef<str>>(mut self, mirrors: &[S]) -> Self {
        self.mirrors = Some(mirrors.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(" "));
        self
    }

    /// Lines for the end of `make.conf`.
    #[must_use]
    pub fn make_conf(mut self, lines: &str) -> Self {
        self.make_conf.push_str(lines);
        self.make_conf.push('\n');
        self
    }

    /// Leaves `etc/portage/make.conf` to the test from now on. What is in it is what a fresh system has, and what the
    /// laboratory needs: nothing of the program under test.
    #[must_use]
    pub fn fresh_system(mut self) -> Self {
        self.keeps_make_conf = true;
        let ours = |line: &&str| !line.starts_with("source ") && !line.starts_with("RACEFETCH_STATE=");
        let text: String = self.make_conf_text().split_inclusive('\n').filter(ours).collect();
        prefix::put(&self.root().join("etc/portage/make.conf"), &text).unwrap();
        self
    }

    /// Another repository. Packages that are named from here on are in this one.
    #[must_use]
    pub fn overlay(mut self, name: &str) -> Self {
        prefix::lay_out_overlay(self.root(), name).unwrap();
        self.repositories.push(name.to_owned());
        self
    }

    /// A package `CATEGORY/NAME-VERSION` with these distfiles.
    #[must_use]
    pub fn package(self, cpv: &str, dists: &[&Dist]) -> Self {
        self.restricted_package(cpv, "", dists)
    }

    /// The same with a `RESTRICT`.
    #[must_use]
    pub fn restricted_package(self, cpv: &str, restrict: &str, dists: &[&Dist]) -> Self {
        let upstream = format!("http://{}", self.upstream.address());
        self.ebuild(cpv, &package::ebuild(dists, restrict, &upstream), dists)
    }

    /// A package with this text for its ebuild.
    #[must_use]
    pub fn ebuild(self, cpv: &str, text: &str, dists: &[&Dist]) -> Self {
        let (category, pf) = cpv.split_once('/').expect("a package is CATEGORY/NAME-VERSION");
        let (name, _version) = pf.rsplit_once('-').expect("a package is CATEGORY/NAME-VERSION");
        let repository = prefix::repository(self.root(), self.repositories.last().expect("Gentoo's is one"));
        let folder = repository.join(category).join(name);
        prefix::put(&folder.join(format!("{pf}.ebuild")), text).unwrap();
        prefix::put(&folder.join("Manifest"), &package::manifest(dists)).unwrap();
        // A category may stand there twice.
        let categories = repository.join("profiles/categories");
        let mut categories = fs::File::options().append(true).open(categories).unwrap();
        writeln!(categories, "{category}").unwrap();
        self
    }

    /// Puts another program where Portage finds it first.
    pub fn install(&self, program: &str, script: &str) {
        prefix::put_program(&self.root().join("bin").join(program), script).unwrap();
    }

    /// Runs `emerge` to its end.
    pub fn emerge(&self, args: &[&str]) -> Emerged {
        self.start_emerge(args).finish()
    }

    /// Starts `emerge`, in a process group that it leads.
    pub fn start_emerge(&self, args: &[&str]) -> Running {
        self.start(&self.venv.join("bin/emerge"), args, &[])
    }

    /// Runs another of Portage's programs to its end, with these variables in its environment.
    pub fn run(&self, program: &str, args: &[&str], env: &[(&str, &Path)]) -> Emerged {
        self.start_program(program, args, env).finish()
    }

    /// Starts another of Portage's programs.
    pub fn start_program(&self, program: &str, args: &[&str], env: &[(&str, &Path)]) -> Running {
        self.start(&self.venv.join("bin").join(program), args, env)
    }

    /// Runs the program under test itself, with the lab's state.
    pub fn racefetch(&self, args: &[&str]) -> Emerged {
        self.start_racefetch(args).finish()
    }

    /// Starts the program under test itself.
    pub fn start_racefetch(&self, args: &[&str]) -> Running {
        let state = self.state_file();
        self.start(&self.root().join(prefix::PROGRAM), args, &[("RACEFETCH_STATE", &state)])
    }

    /// Runs a line of shell in which `racefetch` is the program under test; its calls are noted as Portage's are.
    pub fn shell(&self, line: &str) -> Emerged {
        self.start(Path::new("/bin/sh"), &["-c", line], &[]).finish()
    }

    /// The prefix: `etc/portage`, `var/cache/distfiles` and so on are below it.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// The main repository. It has the name of Gentoo's, which `emerge-webrsync` insists on.
    pub fn repository(&self) -> PathBuf {
        prefix::repository(self.root(), prefix::MAIN)
    }

    /// `DISTDIR`.
    pub fn distdir(&self) -> PathBuf {
        self.root().join(prefix::DISTDIR)
    }

    /// `PKGDIR`.
    pub fn pkgdir(&self) -> PathBuf {
        self.root().join("var/cache/binpkgs")
    }

    /// The path of a partial download: Portage's `FILE`.
    pub fn partial(&self, name: &str) -> PathBuf {
        self.distdir().join(format!("{name}.__download__"))
    }

    /// A file of `DISTDIR`; `None` when it is not there.
    pub fn distfile(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.distdir().join(name)).ok()
    }

    /// The names of the visible files in `DISTDIR`, in order.
    pub fn distfiles(&self) -> Vec<String> {
        let folder = fs::read_dir(self.distdir()).unwrap();
        let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort();
        names
    }

    /// The calls of the fetch command so far, in order.
    pub fn calls(&self) -> Vec<Call> {
        fs::read_to_string(self.root().join(prefix::CALLS)).unwrap().lines().map(Call::from_line).collect()
    }

    /// Waits until no fetch is under way, whoever started it.
    pub fn wait_for_fetches(&self) {
        running::wait_until("all fetches have ended", || !self.is_fetching());
    }

    /// Whether the program under test is running, whoever started it.
    pub fn is_fetching(&self) -> bool {
        let program = self.root().join(prefix::PROGRAM);
        // A process may end while its entry is looked at.
        let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        processes
            .into_iter()
            .any(|process| fs::read_link(process.path().join("exe")).is_ok_and(|exe| exe == program))
    }

    /// The program's state file.
    pub fn state_file(&self) -> PathBuf {
        self.root().join(prefix::STATE).join("mirrors.json")
    }

    /// The snippet for `make.conf`, where the ebuild installs it.
    pub fn snippet(&self) -> PathBuf {
        self.root().join(prefix::SNIPPET)
    }

    fn start(&self, program: &Path, args: &[&str], env: &[(&str, &Path)]) -> Running {
        let root = self.root();
        if !self.keeps_make_conf {
            prefix::put(&root.join("etc/portage/make.conf"), &self.make_conf_text()).unwrap();
        }
        let path = [&root.join("bin"), &self.venv.join("bin")].map(|folder| folder.display().to_string());
        let mut command = Command::new(program);
        command
            .args(args)
            .current_dir(root)
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin:/usr/sbin:/sbin", path.join(":")))
            .env("HOME", root.join("home"))
            .env("LANG", "C.UTF-8")
            .env("NOCOLOR", "true")
            .env("TERM", "dumb")
            // Configuration, package database, caches and locks are then all below the lab's root.
            .env("PORTAGE_OVERRIDE_EPREFIX", root)
            // Stands in for Portage's own repos.conf, which has the repository in another place.
            .env("PORTAGE_REPOSITORIES", self.repos_conf())
            .envs(env.iter().copied());
        Running::start(command, root)
    }

    fn repos_conf(&self) -> String {
        let section = |name: &String| {
            let location = prefix::repository(self.root(), name);
            format!("[{name}]\nlocation = {}\nauto-sync = no\n", location.display())
        };
        let sections: String = self.repositories.iter().map(section).collect();
        format!("[DEFAULT]\nmain-repo = {}\n{sections}", prefix::MAIN)
    }

    fn make_conf_text(&self) -> String {
        let root = self.root().display();
        let mirrors = self.mirrors.as_ref().map_or_else(String::new, |m| format!("GENTOO_MIRRORS=\"{m}\"\n"));
        format!(
            "DISTDIR=\"{}\"\nPKGDIR=\"{}\"\nPORTAGE_TMPDIR=\"{root}/var/tmp\"\nFEATURES=\"{FEATURES}\"\n\
             RACEFETCH_STATE=\"{}\"\n{mirrors}source \"{}\"\n{}",
            self.distdir().display(),
            self.pkgdir().display(),
            self.state_file().display(),
            self.snippet().display(),
            self.make_conf
        )
    }
}

/// One call of the fetch command, as the lab's wrapper noted it.
#[derive(Clone, PartialEq, Eq)]
pub struct Call {
    /// The user that it ran as.
    pub uid: u32,
    pub args: Vec<String>,
}

impl Call {
    /// True for `RESUMECOMMAND`.
    pub fn is_resume(&self) -> bool {
        self.args.windows(2).any(|two| two == ["-C", "-"])
    }

    /// True when Portage asks for a mirror's layout, not for a distfile.
    pub fn is_layout(&self) -> bool {
        self.args.last().is_some_and(|uri| uri.ends_with("/layout.conf"))
    }

    fn from_line(line: &str) -> Self {
        let mut words = line.split('\t').map(str::to_owned);
        let uid = words.next().and_then(|uid| uid.parse().ok()).expect("the wrapper notes `id -u` first");
        Self { uid, args: words.collect() }
    }
}

/// As a line of a shell's history.
impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid {}: racefetch {}", self.uid, self.args.join(" "))
    }
}
