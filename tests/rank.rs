//! `racefetch rank`: which mirrors are the best, out of many of all kinds.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::globe::{Globe, Kind, Place, configure, list, today};
use crate::support::ports::Port;

const MB: u64 = 1_000_000;

/// A configuration, and a globe that is its proxy: mirrors have public names.
pub struct Stage {
    globe: Globe,
    root: TempDir,
    make_conf: String,
}

impl Stage {
    pub fn new(make_conf: &str) -> Self {
        let stage = Self {
            globe: Globe::start(None),
            root: tempfile::tempdir().unwrap(),
            make_conf: make_conf.to_owned(),
        };
        let _ = stage.command(&[]);
        stage
    }

    /// The mirrors of the list: operator, host, place. The list goes where `--from list.xml` finds it.
    pub fn mirrors(self, mirrors: &[(&str, &str, Place)]) -> Self {
        let addresses: Vec<String> =
            mirrors.iter().map(|(_, host, _)| format!("http://{host}/gentoo")).collect();
        let rows: Vec<(&str, &str, &str)> = mirrors
            .iter()
            .zip(&addresses)
            .map(|((operator, ..), address)| (*operator, "DE", address.as_str()))
            .collect();
        for (_, host, place) in mirrors {
            self.globe.add(host, place.clone());
        }
        let text = list(&rows);
        fs::write(self.path("list.xml"), &text).unwrap();
        self.globe.publish(&text);
        self
    }

    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.root.path().join(name)
    }

    fn make_conf(&self) -> String {
        fs::read_to_string(self.path("etc/portage/make.conf")).unwrap()
    }

    /// `racefetch rank` with these arguments, in the configuration as it is now.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.subcommand("rank", arguments)
    }

    /// Another command of the program, in the same configuration.
    fn subcommand(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_racefetch"));
        if !self.path("etc").exists() {
            configure(&mut command, self.root.path(), &self.make_conf);
        }
        crate::support::globe::environment(&mut command, self.root.path());
        command.env("http_proxy", self.globe.url(""));
        command.current_dir(self.root.path()).arg(name).args(arguments);
        command
    }

    #[track_caller]
    fn rank(&self, arguments: &[&str]) -> Output {
        let with_list = [&["--from", "list.xml"], arguments].concat();
        self.command(&with_list).output().unwrap()
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        let run = self.rank(&[&["--json"], arguments].concat());
        serde_json::from_slice(&run.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&run)))
    }
}

fn text(run: &Output) -> String {
    format!(
        "{}\n{}{}",
        run.status,
        String::from_utf8_lossy(&run.stderr),
        String::from_utf8_lossy(&run.stdout)
    )
}

fn taken(json: &Value) -> Vec<&str> {
    let mirrors = json["mirrors"].as_array().unwrap().iter();
    let ranked = mirrors.filter(|mirror| mirror["rank"].is_u64());
    ranked.map(|mirror| host_of(mirror["address"].as_str().unwrap())).collect()
}

fn host_of(address: &str) -> &str {
    address.split('/').nth(2).unwrap()
}

#[track_caller]
fn reason<'j>(json: &'j Value, host: &str) -> &'j str {
    let mirrors = json["mirrors"].as_array().unwrap();
    let found = mirrors.iter().find(|mirror| host_of(mirror["address"].as_str().unwrap()) == host);
    found.unwrap_or_else(|| panic!("{host} is not among {mirrors:?}"))["reason"].as_str().unwrap_or_default()
}

pub fn sound(rate: u64) -> Place {
    Place::sound(rate, 5)
}

/// Rates are so far from each other that no busy machine brings them together.
fn all_kinds() -> Vec<(&'static str, &'static str, Place)> {
    vec![
        ("A", "a.example", sound(2 * MB)),
        ("B", "b.example", sound(8 * MB)),
        ("B (elsewhere)", "b2.example", Place::sound(8 * MB, 90).hours_old(20)),
        ("C", "c.example", sound(MB / 2)),
        ("Silent", "silent.example", sound(MB).of_kind(Kind::Silent)),
        ("Page", "page.example", sound(30 * MB).of_kind(Kind::WebPage)),
        ("Corrupt", "corrupt.example", sound(30 * MB).of_kind(Kind::Corrupt)),
        ("Lacking", "lacking.example", sound(30 * MB).of_kind(Kind::Lacking)),
        ("Old", "old.example", sound(30 * MB).hours_old(3 * 366 * 24)),
        ("Stale", "stale.example", sound(30 * MB).hours_old(40)),
    ]
}

#[test]
fn the_best_are_found_among_all_kinds() {
    let stage = Stage::new("GENTOO_MIRRORS=\"/srv/mirror http://c.example/gentoo ftp://gone.example\"\n")
        .mirrors(&all_kinds());
    let json = stage.json(&["-s", "3", "--chart", "chart.svg"]);
    assert_eq!(taken(&json), ["b.example", "a.example", "c.example"], "{json:#}");
    for (host, word) in [
        ("b2.example", "same operator as b.example"),
        ("silent.example", "no answer in time"),
        ("page.example", "answers with web pages"),
        ("corrupt.example", "sends wrong bytes"),
        ("old.example", "3 years old"),
        ("stale.example", "40 h old"),
    ] {
        assert!(reason(&json, host).contains(word), "{host}: {:?}", reason(&json, host));
    }
    assert_eq!(
        json["result"],
        serde_json::json!([
            "/srv/mirror",
            "http://b.example/gentoo",
            "http://a.example/gentoo",
            "http://c.example/gentoo",
            "https://distfiles.gentoo.org"
        ])
    );
    assert_eq!(json["warnings"].as_array().unwrap().len(), 1, "of the ftp mirror: {json:#}");
    assert!(stage.globe.sent() < 60 * MB, "{} bytes", stage.globe.sent());
    let svg = fs::read_to_string(stage.path("chart.svg")).unwrap();
    assert!(svg.contains("1 b.example") && svg.ends_with("</svg>\n"), "{svg}");

    // Layouts are kept; probes are no downloads.
    let state: Value = serde_json::from_slice(&fs::read(stage.path("mirrors.json")).unwrap()).unwrap();
    let known = &state["mirrors"]["http://b.example/gentoo"];
    assert!(known["layout"]["value"].as_str().unwrap().contains("filename-hash"), "{state:#}");
    assert_eq!((&known["attempts"], &known["bytes_kept"]), (&0.into(), &0.into()));
    assert!(known["freshness"]["value"].is_u64());
    assert_eq!(state["ranking"]["value"][0], "http://b.example/gentoo");
    assert!(state["mirrors"].get("http://stale.example/gentoo").is_none(), "who is not asked needs no entry");
}

#[test]
fn who_lacks_new_files_is_behind() {
    let mirrors = [
        ("Lacking", "lacking.example", sound(8 * MB).of_kind(Kind::Lacking)),
        ("A", "a.example", sound(2 * MB)),
        ("B", "b.example", sound(MB / 2)),
    ];
    let stage = Stage::new("").mirrors(&mirrors);
    let json = stage.json(&["-s", "2", "--no-fallback"]);
    assert_eq!(taken(&json), ["a.example", "b.example"], "{json:#}");
    assert_eq!(reason(&json, "lacking.example"), "lacks files that others have");
    assert_eq!(json["result"].as_array().unwrap().len(), 2);
}

#[test]
fn the_table_fits_and_can_be_pasted() {
    let stage = Stage::new("").mirrors(&all_kinds());
    let run = stage.rank(&["-s", "2"]);
    assert!(run.status.success(), "{}", text(&run));
    let table = String::from_utf8(run.stdout.clone()).unwrap();
    let rows: Vec<&str> = table.lines().take_while(|line| !line.is_empty()).collect();
    assert!(rows.iter().all(|row| row.chars().count() <= 80), "{table}");
    assert!(rows[1].starts_with("  1 b.example"), "{table}");
    assert!(
        table.contains("GENTOO_MIRRORS=\"http://b.example/gentoo \\\n    http://a.example/gentoo \\\n"),
        "{table}"
    );
    let explained = stage.rank(&["-s", "2", "--explain", "--fast"]);
    let explained = String::from_utf8(explained.stdout).unwrap();
    for (_, host, _) in all_kinds() {
        assert!(explained.contains(host), "{host}: {explained}");
    }
}

#[test]
fn filters_keep_mirrorselects_meaning() {
    let stage = Stage::new("").mirrors(&[("A", "a.example", sound(MB)), ("B", "b.example", sound(MB))]);
    let plain = |arguments: &[&str]| {
        let run = stage.rank(&[&["--fast", "--format", "plain", "--no-fallback"], arguments].concat());
        (run.status.code(), String::from_utf8(run.stdout).unwrap())
    };
    assert_eq!(plain(&["-e", "a.example"]), (Some(0), "http://b.example/gentoo\n".to_owned()));
    assert_eq!(plain(&["-c", "Land DE", "-R", "europe", "-e", "b.example"]).1, "http://a.example/gentoo\n");
    assert_eq!(plain(&["-c", "FR"]), (Some(2), String::new()), "nothing is there");
    assert_eq!(plain(&["-S"]), (Some(1), String::new()), "all are plain http");
    assert_eq!(plain(&["-6"]), (Some(1), String::new()), "none has IPv6");
    assert_eq!(plain(&["-s", "1"]).1.lines().count(), 1);
}

#[test]
fn a_cache_gets_servers_of_its_own() {
    let hosts = ["a.example", "b.example", "c.example", "d.example"];
    let mirrors: Vec<_> = hosts.iter().map(|host| (*host, *host, sound(MB))).collect();
    let stage = Stage::new("").mirrors(&mirrors);
    let run = stage.rank(&["--fast", "--format", "nginx", "--quiet"]);
    assert!(run.status.success(), "{}", text(&run));
    let conf = String::from_utf8(run.stdout).unwrap();
    for host in hosts {
        assert!(conf.contains(&format!("proxy_pass http://{host}/gentoo$request_uri;")), "{conf}");
    }
    assert_eq!(conf.matches(" backup;").count(), 1, "{conf}");
    assert!(
        conf.contains("server unix:/run/racefetch-mirror/4.sock max_fails=3 fail_timeout=60s backup;"),
        "{conf}"
    );
    assert!(!conf.contains("distfiles.gentoo.org"), "{conf}");
}

#[test]
fn make_conf_is_written_where_the_value_is() {
    let before = "# mine\nGENTOO_MIRRORS=\"http://a.example/gentoo\" # here\nUSE=\"x\"\n";
    let stage =
        Stage::new(before).mirrors(&[("A", "a.example", sound(MB)), ("B", "b.example", sound(4 * MB))]);
    let conf = stage.path("etc/portage/make.conf");
    fs::set_permissions(&conf, fs::Permissions::from_mode(0o640)).unwrap();
    let run = stage.rank(&["--write", "--no-fallback"]);
    assert!(run.status.success(), "{}", text(&run));
    let want = before.replace("http://a.example/gentoo", "http://b.example/gentoo http://a.example/gentoo");
    assert_eq!(stage.make_conf(), want);
    assert_eq!(fs::metadata(&conf).unwrap().permissions().mode() & 0o777, 0o640);
    let again = stage.rank(&["--write", "--no-fallback"]);
    assert!(text(&again).contains("has these mirrors already"), "{}", text(&again));

    let own = stage.rank(&["--write", "own.conf", "--no-fallback", "--fast"]);
    assert!(own.status.success(), "{}", text(&own));
    assert!(fs::read_to_string(stage.path("own.conf")).unwrap().contains("GENTOO_MIRRORS=\"http://"));
    let run = stage.rank(&["--write", "etc/portage/make.conf", "--fast"]);
    assert_eq!(run.status.code(), Some(23), "{}", text(&run));
    assert_eq!(stage.make_conf(), want, "a file that others wrote is not replaced");
}

#[test]
fn setup_can_be_undone_after_a_ranking() {
    let before = "GENTOO_MIRRORS=\"http://a.example/gentoo\"\n";
    let stage =
        Stage::new(before).mirrors(&[("A", "a.example", sound(MB)), ("B", "b.example", sound(4 * MB))]);
    let setup = |arguments: &[&str]| stage.subcommand("setup", arguments).output().unwrap();
    let run = setup(&["--yes"]);
    assert!(run.status.success() && stage.make_conf() != before, "{}", text(&run));
    let run = stage.rank(&["--write", "--no-fallback"]);
    assert!(stage.make_conf().contains("b.example"), "{}", text(&run));
    let run = setup(&["--undo", "--yes"]);
    assert!(run.status.success(), "{}", text(&run));
    assert_eq!(stage.make_conf(), before);
}

#[test]
fn nothing_is_written_when_all_are_dead() {
    let before = "GENTOO_MIRRORS=\"http://a.example/gentoo\"\n";
    let page = sound(MB).of_kind(Kind::WebPage);
    let stage = Stage::new(before).mirrors(&[("A", "a.example", page.clone()), ("B", "b.example", page)]);
    for arguments in
        [&["--write"][..], &["--format", "make.conf"], &["--write", "own.conf"], &["--format", "nginx"]]
    {
        let run = stage.rank(arguments);
        assert_eq!(run.status.code(), Some(1), "{arguments:?}: {}", text(&run));
        assert!(text(&run).contains("none of the 2 mirrors asked can be used"), "{}", text(&run));
        assert_eq!(String::from_utf8_lossy(&run.stdout), "");
    }
    assert_eq!(stage.make_conf(), before);
    assert!(!stage.path("own.conf").exists());
}

#[test]
fn the_list_is_asked_for_again_only_when_it_changed() {
    let stage = Stage::new("").mirrors(&[("A", "a.example", sound(MB))]);
    let url = stage.globe.url("/list.xml");
    let rank = || {
        let mut command = stage.command(&["--from", &url, "--fast", "--format", "plain", "--no-fallback"]);
        let run = command.env("no_proxy", "127.0.0.1").output().unwrap();
        assert_eq!(String::from_utf8_lossy(&run.stdout), "http://a.example/gentoo\n", "{}", text(&run));
    };
    rank();
    assert_eq!(stage.globe.list_requests(), (1, 1));
    rank();
    assert_eq!(stage.globe.list_requests(), (2, 1), "the second answer was 304");
}

#[test]
fn without_the_list_there_are_the_mirrors_in_use() {
    let stage = Stage::new("GENTOO_MIRRORS=\"http://a.example/gentoo http://b.example/gentoo\"\n")
        .mirrors(&[("A", "a.example", sound(MB)), ("B", "b.example", sound(4 * MB))]);
    // The list is asked for with https, through a proxy where nobody listens.
    let nobody = Port::refusing();
    let run = stage
        .command(&["--format", "plain", "--no-fallback"])
        .env("https_proxy", format!("http://{}", nobody.address()))
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&run.stdout),
        "http://b.example/gentoo\nhttp://a.example/gentoo\n",
        "{}",
        text(&run)
    );
    assert!(text(&run).contains("the list of mirrors cannot be had"), "{}", text(&run));
}

#[test]
fn standard_input_and_files_that_are_no_lists() {
    let stage = Stage::new("").mirrors(&[("A", "a.example", sound(MB))]);
    let mut command = stage.command(&["--from", "-", "--fast", "--format", "plain", "--no-fallback"]);
    let list = fs::File::open(stage.path("list.xml")).unwrap();
    let run = command.stdin(Stdio::from(list)).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&run.stdout), "http://a.example/gentoo\n", "{}", text(&run));
    fs::write(stage.path("page.html"), "<html><body><p>Hello</p></body></html>").unwrap();
    for (file, word) in [("page.html", "no list of mirrors"), ("absent.xml", "cannot read")] {
        let run = stage.command(&["--from", file]).output().unwrap();
        assert_eq!(run.status.code(), Some(26), "{}", text(&run));
        assert!(text(&run).contains(word), "{}", text(&run));
    }
}

#[test]
fn real_downloads_outweigh_a_measurement() {
    let stage =
        Stage::new("").mirrors(&[("A", "a.example", sound(6 * MB)), ("B", "b.example", sound(2 * MB))]);
    assert_eq!(taken(&stage.json(&[])), ["a.example", "b.example"]);
    let now = today().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let mirror = |rate: u64, hits: u64, misses: u64| {
        serde_json::json!({
            "attempts": 30, "successes": hits, "bytes_per_second": {"mean": rate, "weight": 16_000_000, "at": now},
            "reliability": {"hits": hits * 1_000_000, "misses": misses * 1_000_000, "at": now},
        })
    };
    let state = serde_json::json!({"version": 1, "mirrors": {
        "http://a.example/gentoo": mirror(100_000, 10, 20), "http://b.example/gentoo": mirror(6 * MB, 30, 0)}});
    fs::write(stage.path("mirrors.json"), state.to_string()).unwrap();
    assert_eq!(taken(&stage.json(&[])), ["b.example", "a.example"]);
}

#[test]
fn an_interrupted_ranking_changes_nothing() {
    let before = "GENTOO_MIRRORS=\"http://a.example/gentoo\"\n";
    let silent = sound(MB).of_kind(Kind::Silent);
    let stage = Stage::new(before).mirrors(&[("A", "a.example", silent.clone()), ("B", "b.example", silent)]);
    let mut command = stage.command(&["--from", "list.xml", "--write"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It says what it does before it does it.
    let mut line = String::new();
    let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    std::io::BufRead::read_line(&mut stderr, &mut line).unwrap();
    assert_eq!(line, "racefetch: asking 2 mirrors\n");
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert!(!ended.status.success() && ended.stdout.is_empty(), "{}", text(&ended));
    assert_eq!(stage.make_conf(), before);
    assert!(!stage.path("mirrors.json").exists());
    let leftover = |path: &Path| fs::read_dir(path).unwrap().count();
    assert_eq!(leftover(&stage.path("etc/portage")), 1);
}

/// rsync(1) is asked as Portage asks it; here it is a daemon of its own.
#[test]
fn mirrors_of_the_repository_are_ranked_by_their_age() {
    assert!(Command::new("rsync").arg("--version").output().is_ok(), "rsync is missing: install it");
    let root = tempfile::tempdir().unwrap();
    let date = |days: u64| httpdate::fmt_http_date(today() - Duration::from_secs(days * 86400));
    let mut rows = Vec::new();
    let mut daemons = Vec::new();
    for (name, days) in [("old", 9), ("young", 0)] {
        let tree = root.path().join(name);
        fs::create_dir_all(tree.join("metadata")).unwrap();
        fs::write(tree.join("metadata/timestamp.chk"), date(days) + "\n").unwrap();
        let conf = root.path().join(format!("{name}.conf"));
        fs::write(&conf, format!("use chroot = no\n[gentoo-portage]\npath = {}\n", tree.display())).unwrap();
        let daemon = Rsync::start(&conf);
        rows.push((name, format!("rsync://127.0.0.1:{}", daemon.port)));
        daemons.push(daemon);
    }
    let nobody = Port::refusing();
    rows.push(("dead", format!("rsync://{}", nobody.address())));
    let rows: Vec<(&str, &str, &str)> =
        rows.iter().map(|(name, address)| (*name, "DE", address.as_str())).collect();
    fs::write(root.path().join("rsync.xml"), list(&rows)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_racefetch"));
    configure(&mut command, root.path(), "");
    command.env("PATH", "/usr/bin:/bin");
    command.current_dir(root.path()).args(["rank", "--sync", "--from", "rsync.xml", "--format", "plain"]);
    let run = command.output().unwrap();
    let ports: Vec<u16> = daemons.iter().map(|daemon| daemon.port).collect();
    assert_eq!(
        String::from_utf8_lossy(&run.stdout),
        format!(
            "rsync://127.0.0.1:{}/gentoo-portage\nrsync://127.0.0.1:{}/gentoo-portage\n",
            ports[1], ports[0]
        ),
        "{}",
        text(&run)
    );
}

/// A running rsync daemon, which ends with the value.
struct Rsync {
    child: std::process::Child,
    port: u16,
}

impl Rsync {
    /// The kernel chooses the port; rsync is told. Somebody may take it in between: then another one is tried.
    fn start(conf: &Path) -> Self {
        for _ in 0..20 {
            let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut child = Command::new("rsync")
                .args(["--daemon", "--no-detach", "--address=127.0.0.1", &format!("--port={port}")])
                .arg(format!("--config={}", conf.display()))
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            while child.try_wait().unwrap().is_none() {
                if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return Self { child, port };
                }
                std::thread::yield_now();
            }
        }
        panic!("rsync does not start");
    }
}

impl Drop for Rsync {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}
