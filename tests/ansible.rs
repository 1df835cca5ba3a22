//! The Ansible collection of `ansible/`: machines that are set up by it, a real emerge on them, and the way back.

mod machine;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use fs2::FileExt;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::mirror::cache::{path, public};
use crate::mirror::lan::{free_port, run, wait_for};
use crate::real_portage::{base, lab};
use crate::support::content::content;
use crate::support::lab::{Dist, Lab, account, venv};
use crate::support::mirror::Mirror;
use machine::{Init, Machine, impossible, script, target};

/// What runs playbooks and what looks at them, from `PyPI`.
const RELEASES: &str = "ansible-lint==26.10.1 ansible-core==2.19.14 yamllint==1.38.0";

/// The folder of the mirror's cache.
const CACHE: &str = "/srv/racefetch-cache";

/// The folder of collections, with this one as `ansible-galaxy` installs it, and the lock that keeps another test run
/// from installing another.
static COLLECTIONS: LazyLock<(PathBuf, File)> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ansible");
    fs::create_dir_all(&folder).unwrap();
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock_exclusive().unwrap();
    let _ = fs::remove_dir_all(folder.join("ansible_collections"));
    let (output, said) = run(tool("ansible-galaxy", &folder)
        .args(["collection", "install", "--offline", "-p"])
        .arg(&folder)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("ansible")));
    assert!(output.status.success(), "{said}");
    (folder, lock)
});

fn collections() -> &'static Path {
    &COLLECTIONS.0
}

/// A program of the virtual environment that sees nothing but the collections of this folder.
fn tool(name: &str, collections: &Path) -> Command {
    let lint = venv::ensure_tool(target(), "ansible-lint", RELEASES).unwrap_or_else(|e| panic!("{e}"));
    let programs = lint.parent().unwrap();
    let mut command = Command::new(programs.join(name));
    command
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin:/usr/sbin:/sbin", programs.display()))
        .env("LC_ALL", "C.UTF-8")
        .env("HOME", collections)
        .env("ANSIBLE_HOME", collections.join("home"))
        .env("ANSIBLE_COLLECTIONS_PATH", collections)
        .env("ANSIBLE_NOCOLOR", "1")
        .env("ANSIBLE_PIPELINING", "1")
        .env("ANSIBLE_SSH_RETRIES", "0")
        .current_dir(collections)
        .stdin(Stdio::null());
    command
}

fn collection() -> PathBuf {
    collections().join("ansible_collections/racefetch/racefetch")
}

/// A control node, its inventory, and the machines.
struct Site {
    folder: TempDir,
    mirror: Machine,
    client: Machine,
    port: u16,
    upstream: Mirror,
    dist: Dist,
}

impl Site {
    /// A mirror and a client that nobody has set up yet. On the client is a Portage whose mirrors are public.
    fn new(mirror: Init, client: Init, seed: u64, settings: &Value) -> Self {
        let dist = Dist::new(&format!("foo-{seed}.tar.xz"), &content(seed, 300_000));
        let upstream = public(std::slice::from_ref(&dist));
        let lab = lab().package("app-misc/foo-1", &[&dist]);
        let portage = venv::ensure(target()).unwrap_or_else(|e| panic!("{e}"));
        account::ensure().unwrap();
        let folder = tempfile::Builder::new().prefix("racefetch-site-").tempdir().unwrap();
        let mirror = Machine::start("mirror", mirror, folder.path(), &[]);
        let client = Machine::start("alpha", client, folder.path(), &[&portage, lab.root()]);
        lay_portage(&client, &lab, &portage, &base(&upstream));
        let site = Self { folder, mirror, client, port: free_port(), upstream, dist };
        let program = site.folder.path().join("racefetch");
        // A copy of what cargo built has ten times its size in debugging information.
        let strip =
            Command::new("strip").arg("-o").arg(&program).arg(env!("CARGO_BIN_EXE_racefetch")).status();
        assert!(strip.unwrap().success());
        site.write_inventory(&program, settings);
        site
    }

    fn write_inventory(&self, program: &Path, settings: &Value) {
        let lan = format!("http://127.0.0.1:{}", self.port);
        let mut inventory = json!({ "all": {
            "vars": {
                "ansible_ssh_executable": script("ssh.sh"),
                "ansible_ssh_transfer_method": "piped",
                "ansible_ssh_args": "",
                "ansible_python_interpreter": "/usr/bin/python3",
                "racefetch_checkout": env!("CARGO_MANIFEST_DIR"),
                "program_binary": program,
                "mirror_upstreams": [base(&self.upstream)],
                "mirror_settings": {
                    "LISTEN": format!("127.0.0.1:{}", self.port), "MIN_FREE": "1m", "CACHE_SIZE": "1g",
                    // Not where the unit lets nginx write by itself.
                    "CACHE": CACHE,
                },
                "client_mirror": lan,
                "client_rank_timer": false,
            },
            "children": {
                "racefetch_mirror": { "hosts": { "mirror": {} } },
                "racefetch_clients": { "hosts": { "alpha": {} } },
            },
        }});
        let variables = inventory["all"]["vars"].as_object_mut().unwrap();
        variables.extend(settings.as_object().unwrap().clone());
        fs::write(self.inventory(), inventory.to_string()).unwrap();
    }

    fn inventory(&self) -> PathBuf {
        self.folder.path().join("inventory.json")
    }

    /// Runs a playbook of the collection; what it said. It must succeed.
    fn play(&self, playbook: &str, options: &[&str]) -> String {
        let mut command = tool("ansible-playbook", collections());
        command.env("MACHINES", self.folder.path());
        command
            .env("ANSIBLE_CACHE_PLUGIN_CONNECTION", self.folder.path().join("facts"))
            .arg("-i")
            .arg(self.inventory());
        let (output, said) = run(command.arg(format!("racefetch.racefetch.{playbook}")).args(options));
        assert!(output.status.success(), "{said}");
        said
    }

    /// Changes the inventory, and gives a machine an address there.
    fn with_address(&self, machine: &str, address: &str, change: impl FnOnce(&mut Value)) {
        let mut inventory: Value = serde_json::from_slice(&fs::read(self.inventory()).unwrap()).unwrap();
        change(&mut inventory["all"]["children"]);
        fs::write(self.inventory(), inventory.to_string()).unwrap();
        fs::copy(self.folder.path().join(machine), self.folder.path().join(address)).unwrap();
    }

    /// Starts a real sshd on the client.
    fn let_in(&self, port: u16) {
        self.with_address("alpha", "127.0.0.2", |groups| {
            groups["racefetch_clients"]["hosts"]["alpha"] =
                json!({ "ansible_host": "127.0.0.2", "ansible_port": port });
        });
        self.client.shell(&format!(
            "getent passwd sshd || useradd --system sshd; mkdir -p /run/sshd; echo fetched >/etc/list; \
             ssh-keygen -q -t ed25519 -N '' -f /run/key && \
             /usr/sbin/sshd -f /dev/null -h /run/key -p {port} -o ListenAddress=127.0.0.2 -o PidFile=none"
        ));
    }

    /// The mirror asks for the client's list, and gets no more than that.
    fn gives_its_list(&self) {
        let as_mirror = |command: &str| format!("su -s /bin/sh racefetch-mirror -c '{command}'");
        // There is no Portage on the mirror, so nothing is fetched in the end.
        let command = as_mirror("/usr/share/racefetch/mirror/bin/racefetch-mirror-partial 2>&1 || true");
        let said = self.mirror.shell(&command);
        let list = self.mirror.shell("cat /var/lib/racefetch-mirror/lists/alpha.list");
        assert_eq!(list, "fetched\n", "{said}");
        assert_eq!(self.mirror.shell(&as_mirror("ssh -o BatchMode=yes alpha id")), "fetched\n");
    }

    /// Has the mirror run what watches, too, at these ports.
    fn watch(&self, prometheus: u16, node: u16) {
        self.with_address("mirror", "127.0.0.1", |groups| {
            groups["racefetch_monitoring"] =
                json!({ "hosts": { "mirror": { "ansible_host": "127.0.0.1" } } });
        });
        // Somebody has set these up by hand: Debian's packages read it.
        let file = |name: &str, port: u16| {
            format!("echo 'ARGS=\"--web.listen-address=127.0.0.1:{port}\"' >/etc/default/{name}; ")
        };
        self.mirror.shell(&(file("prometheus", prometheus) + &file("prometheus-node-exporter", node)));
    }

    /// Prometheus gets figures of the machine and of nginx, and node-exporter can read the mirror's files.
    fn is_watched(&self, prometheus: u16) {
        let query = |query: &str| {
            let url = format!("http://127.0.0.1:{prometheus}/api/v1/query");
            self.mirror.shell(&format!("curl -sG --data-urlencode 'query={query}' {url} || true"))
        };
        let (mut up, mut errors) = (String::new(), String::new());
        let is_up = wait_for(|| {
            up = query("up{instance=\"mirror\"} == 1");
            errors = query("node_textfile_scrape_error == 0");
            up.contains(r#""job":"node""#) && up.contains(r#""job":"nginx""#) && errors.contains("mirror")
        });
        assert!(is_up, "{up}\n{errors}");
    }

    /// A real emerge on the client, whose only way to the file is the mirror.
    fn emerge_goes_through_the_mirror(&self) {
        let said = self.client.shell("emerge --fetchonly app-misc/foo 2>&1");
        let name = &self.dist.name;
        let digest = self
            .client
            .shell(&format!("b2sum </var/cache/distfiles/{name}; stat -c %s /var/cache/distfiles/{name}"));
        assert!(digest.contains(&format!("\n{}\n", self.dist.content.len())), "{said}\n{digest}");
        assert!(said.contains("BLAKE2B SHA512 size ;-)"), "{said}");
        let log = self.mirror.shell("cat /var/log/racefetch-mirror/access.log");
        let asked = log.lines().filter(|line| line.contains(&path(&self.dist))).count();
        assert!(asked > 0, "the mirror was not asked: {log}\n{said}");
        assert!(
            self.mirror.has(&format!("test $(find {CACHE}/slices -type f | wc -l) -gt 0")),
            "nothing is kept"
        );
        let state = self.client.shell("cat /var/lib/racefetch/mirrors.json");
        assert!(state.contains(&format!("127.0.0.1:{}", self.port)), "{state}");
    }
}

/// Portage as a Gentoo system has it, with a package to fetch, and public mirrors in make.conf.
fn lay_portage(machine: &Machine, lab: &Lab, venv: &Path, mirrors: &str) {
    let venv = venv.display();
    // In a virtual environment Portage takes that for its prefix, and its own files to be in /share.
    let programs = format!(
        "for name in emerge portageq; do \
         printf '#!/bin/sh\\nPORTAGE_OVERRIDE_EPREFIX=/ exec {venv}/bin/%s \"$@\"\\n' $name >/usr/local/bin/$name; \
         chmod 755 /usr/local/bin/$name; done; ln -s {venv}/share /share"
    );
    let repository = lab.repository();
    let features =
        "-userpriv -userfetch -sandbox -usersandbox -network-sandbox -pid-sandbox -ipc-sandbox -news";
    machine.shell(&format!(
        "{programs}; mkdir -p /etc/portage/repos.conf /var/db/repos && cp -r {} /var/db/repos/gentoo && \
         ln -s /var/db/repos/gentoo/profiles/base /etc/portage/make.profile && \
         printf '[DEFAULT]\\nmain-repo = gentoo\\n[gentoo]\\nlocation = /var/db/repos/gentoo\\nauto-sync = no\\n' \
         >/etc/portage/repos.conf/gentoo.conf && \
         printf 'FEATURES=\"{features}\"\\nGENTOO_MIRRORS=\"{mirrors}\"\\n' >/etc/portage/make.conf",
        repository.display()
    ));
}

/// A number of the recap for a machine.
fn recap(said: &str, machine: &str, what: &str) -> u32 {
    let line = said.lines().rfind(|line| line.starts_with(machine) && line.contains("unreachable="));
    let line = line.unwrap_or_else(|| panic!("no recap for {machine}: {said}"));
    let word = line.split_whitespace().find_map(|word| word.strip_prefix(what)?.strip_prefix('='));
    word.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no {what}: {line}"))
}

fn is_possible() -> bool {
    if let Some(reason) = impossible() {
        eprintln!("skipped: {reason}");
    }
    impossible().is_none()
}

/// What is written anew with any account, and what Portage, systemd and Prometheus keep for themselves.
fn is_the_systems_own(file: &str) -> bool {
    const FOLDERS: [&str; 5] = [
        "/var/log/journal/",
        "/var/cache/edb/",
        "/var/lib/portage/",
        "/var/log/wtmp",
        "/var/lib/prometheus/metrics2/",
    ];
    const ACCOUNTS: [&str; 7] = [
        "/etc/passwd",
        "/etc/group",
        "/etc/shadow",
        "/etc/gshadow",
        "/etc/subuid",
        "/etc/subgid",
        "/etc/.pwd.lock",
    ];
    ACCOUNTS.contains(&file.trim_end_matches('-')) || FOLDERS.iter().any(|folder| file.starts_with(folder))
}

#[test]
fn one_run_sets_all_up_a_second_changes_nothing_and_the_way_back_leaves_nothing() {
    if !is_possible() {
        return;
    }
    let [prometheus, node, nginx, ssh] = [free_port(), free_port(), free_port(), free_port()];
    let settings = json!({
        "mirror_partial": true,
        "mirror_list_clients": ["alpha"],
        "mirror_packages": [],
        "client_list_key": "{{ hostvars.mirror.mirror__key.ssh_public_key | default('') }}",
        "client_list_command": "cat /etc/list",
        "monitoring_node": "{{ inventory_hostname == 'mirror' }}",
        "monitoring_nodes": ["mirror"],
        "monitoring_node_packages": [],
        "monitoring_server_packages": [],
        "monitoring_scrape_interval": "1s",
        "monitoring_node_port": node,
        "monitoring_nginx_port": nginx,
    });
    let site = Site::new(Init::Systemd, Init::OpenRc, 1, &settings);
    site.watch(prometheus, node);
    site.let_in(ssh);
    let make_conf = site.client.shell("cat /etc/portage/make.conf");
    let before = [site.mirror.differing(), site.client.differing()];

    let said = site.play("site", &[]);
    assert!(recap(&said, "mirror", "changed") > 0 && recap(&said, "alpha", "changed") > 0, "{said}");
    assert_eq!(
        site.mirror.shell("systemctl is-active racefetch-mirror racefetch-mirror-partial.timer"),
        "active\nactive\n"
    );
    site.emerge_goes_through_the_mirror();
    site.gives_its_list();

    let again = site.play("site", &[]);
    for machine in ["mirror", "alpha"] {
        assert_eq!(recap(&again, machine, "changed"), 0, "{again}");
    }
    // It has had time to look around by now.
    site.is_watched(prometheus);

    // Somebody has a setting otherwise by hand: it is told, and stays.
    site.mirror.shell("sed -i s/CACHE_SIZE=1g/CACHE_SIZE=7g/ /etc/racefetch/mirror.conf");
    let told = site.play("site", &["--check", "--diff", "--limit", "racefetch_mirror"]);
    assert!(told.contains("\n-CACHE_SIZE=7g\n+CACHE_SIZE=1g\n") && told.contains("would run: "), "{told}");
    assert_eq!(recap(&told, "mirror", "changed"), 2, "the file, and what depends on it: {told}");
    assert!(site.mirror.has("grep -qx CACHE_SIZE=7g /etc/racefetch/mirror.conf"));

    let said = site.play("uninstall", &["-e", "remove_data=yes"]);
    assert_eq!(site.client.shell("cat /etc/portage/make.conf"), make_conf, "{said}");
    site.client.shell("rm -r /var/cache/distfiles");
    for (machine, before) in [&site.mirror, &site.client].into_iter().zip(&before) {
        let mut left: Vec<_> = machine.differing().difference(before).cloned().collect();
        // What was replaced has its content again. What programs of the system write for themselves is theirs.
        left.retain(|file| {
            let has_changed = || {
                machine.shell(&format!("cat {file} 2>/dev/null || true")).into_bytes()
                    != fs::read(file).unwrap_or_default()
            };
            !is_the_systems_own(file) && has_changed()
        });
        assert_eq!(left, [""; 0], "{said}");
        let left = machine.shell(
            "grep -rl --exclude='*-' racefetch /etc || true; ls -d /run/racefetch* 2>/dev/null || true",
        );
        assert_eq!(left, "", "{said}");
        assert!(!machine.has(
            "ps ax | grep -v grep | grep -q '[n]ginx: master process /usr/sbin/nginx -c /etc/racefetch'"
        ));
    }
}

#[test]
fn with_the_other_init_on_each_and_the_data_stay_unless_somebody_says_yes() {
    if !is_possible() {
        return;
    }
    let settings = json!({ "client_prefetch_timer": true });
    let site = Site::new(Init::OpenRc, Init::Systemd, 2, &settings);
    let make_conf = site.client.shell("cat /etc/portage/make.conf");
    let foreign = "# of another hand\nCACHE_SIZE=3g\n";
    site.mirror.shell(&format!(
        "mkdir /etc/racefetch && printf '{}' >/etc/racefetch/mirror.conf",
        foreign.replace('\n', "\\n")
    ));

    // Before anything is there, it is told what would be done, as far as it can be known, and nothing is.
    let before = [site.mirror.differing(), site.client.differing()];
    let told = site.play("site", &["--check", "--diff"]);
    assert!(told.contains("\n-CACHE_SIZE=3g\n") && told.contains("racefetch is not installed yet"), "{told}");
    assert_eq!([site.mirror.differing(), site.client.differing()], before, "{told}");

    site.play("site", &[]);
    assert!(site.mirror.shell("rc-service racefetch-mirror status").contains("started"));
    assert!(site.mirror.has("test -e /etc/runlevels/default/racefetch-mirror"));
    assert!(site.client.has("systemctl is-active racefetch-metrics.timer racefetch-prefetch.timer"));
    assert!(!site.client.has("systemctl is-enabled racefetch-rank.timer"));
    site.emerge_goes_through_the_mirror();
    site.client
        .shell("mkdir -p /var/lib/prometheus/node-exporter && systemctl start racefetch-metrics.service");
    let figures = site.client.shell("cat /var/lib/prometheus/node-exporter/racefetch.prom");
    assert!(figures.contains("# TYPE racefetch_"), "{figures}");

    // Nobody is there to be asked.
    let said = site.play("uninstall", &[]);
    assert_eq!(site.client.shell("cat /etc/portage/make.conf"), make_conf, "{said}");
    assert_eq!(site.mirror.shell("cat /etc/racefetch/mirror.conf"), foreign);
    assert!(site.mirror.has(&format!("test -d {CACHE}/slices")), "{said}");
    assert!(
        !site
            .mirror
            .has("test -e /etc/runlevels/default/racefetch-mirror || test -e /etc/init.d/racefetch-mirror")
    );
    assert!(!site.client.has("ls /etc/systemd/system/racefetch-* /usr/local/bin/racefetch"));
}

#[test]
fn linters_have_nothing_to_say() {
    let (output, said) = run(tool("ansible-lint", collections())
        .args(["--offline", "--profile", "production", "--strict", "--nocolor", "-q"])
        .current_dir(collection()));
    assert!(output.status.success() && output.stdout.is_empty(), "{said}");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("ansible");
    let (output, said) = run(tool("yamllint", collections()).args(["--strict", "."]).current_dir(source));
    assert!(output.status.success() && output.stdout.is_empty(), "{said}");
    for playbook in ["site", "uninstall"] {
        let mut command = tool("ansible-playbook", collections());
        command.arg("-i").arg(collection().join("examples/inventory.yml"));
        let (output, said) =
            run(command.args(["--syntax-check", &format!("racefetch.racefetch.{playbook}")]));
        assert!(output.status.success() && !said.contains("WARNING"), "{said}");
    }
    let scripts = ["machine.sh", "programs.sh", "ssh.sh"].map(script);
    let (output, said) = run(Command::new("shellcheck").args(scripts));
    assert!(output.status.success(), "{said}");
}

#[test]
fn each_setting_of_the_mirror_can_be_set() {
    let text = |path: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let is_name =
        |name: &&str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    let conf = text("mirror/mirror.conf");
    let told = conf.lines().filter_map(|line| line.strip_prefix('#')?.split_once('=')).map(|(name, _)| name);
    // The units name the user, and the folder of sockets.
    let told: Vec<&str> =
        told.filter(is_name).filter(|name| !["RUN", "MIRROR_USER"].contains(name)).collect();
    let specs = text("ansible/roles/mirror/meta/argument_specs.yml");
    let known =
        specs.lines().filter_map(|line| line.trim_start().split_once(": {type: ")).map(|(name, _)| name);
    let known: Vec<&str> = known.filter(is_name).collect();
    assert!(known.len() > 20 && told == known, "{told:?}\n{known:?}");
}
