//! What `monitoring/` ships: a real Prometheus gets real figures, and every panel and every alert finds what it asks for.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::mirror::cache::{before, large, path, public};
use crate::mirror::lan::{free_port, run, wait_for};
use crate::mirror::rsync::{Machine, Source};
use crate::rank::{Stage, sound};
use crate::support::content::content;
use crate::support::lab::Dist;
use crate::support::mirror::Mirror;

fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("monitoring").join(path)
}

/// The dashboards, by the names of their files.
fn dashboards() -> Vec<(String, Value)> {
    let folder = fs::read_dir(shipped("grafana/dashboards")).unwrap();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path.display().to_string(), serde_json::from_str(&text).unwrap())
    };
    let all: Vec<_> = folder.map(|entry| read(entry.unwrap().path())).collect();
    assert_eq!(all.len(), 2);
    all
}

/// The expressions of a panel.
fn expressions(panel: &Value) -> impl Iterator<Item = &str> {
    panel["targets"].as_array().unwrap().iter().map(|target| target["expr"].as_str().unwrap())
}

#[test]
fn rules_are_right_and_fire_when_they_should() {
    let rules = shipped("prometheus/rules/racefetch.yml");
    let tests = shipped("prometheus/tests/racefetch.yml");
    for words in [&["check", "rules"][..], &["test", "rules"]] {
        let file = if words[0] == "check" { &rules } else { &tests };
        let (output, said) = run(Command::new("promtool").args(words).arg(file));
        assert!(output.status.success(), "{said}");
    }
    let (output, said) = run(Command::new("promtool")
        .args(["check", "config", "--syntax-only"])
        .arg(shipped("prometheus/prometheus.yml")));
    assert!(output.status.success(), "{said}");
    // Two tests for each alert.
    let (rules, tests) = (fs::read_to_string(rules).unwrap(), fs::read_to_string(tests).unwrap());
    for alert in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert_eq!(tests.matches(&format!("alertname: {alert}\n")).count(), 2, "{alert}");
    }
}

#[test]
fn dashboards_can_be_used_anywhere() {
    for (file, dashboard) in dashboards() {
        let panels = dashboard["panels"].as_array().unwrap();
        let number = |panel: &Value, name: &str| panel["gridPos"][name].as_u64().unwrap();
        for (at, panel) in panels.iter().enumerate() {
            let title = panel["title"].as_str().unwrap();
            let of = format!("{file}: {title}");
            assert!(
                !panel["description"].as_str().unwrap_or_default().is_empty(),
                "{of} says not what it is"
            );
            assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{of} has no unit");
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{of}");
            for target in panel["targets"].as_array().unwrap() {
                assert_eq!(target["datasource"]["uid"], "${datasource}", "{of}");
                assert!(
                    !target["legendFormat"].as_str().unwrap_or_default().is_empty(),
                    "{of} has no legend"
                );
            }
            for expression in expressions(panel) {
                for function in ["rate(", "increase("] {
                    for (from, _) in expression.match_indices(function) {
                        let range = expression[from..].split_once('[').unwrap().1.split(']').next().unwrap();
                        assert!(["$__rate_interval", "$__range"].contains(&range), "{of}: [{range}]");
                    }
                }
            }
            let end = |panel: &Value, from: &str, length: &str| number(panel, from) + number(panel, length);
            assert!(end(panel, "x", "w") <= 24, "{of} is too wide");
            for other in &panels[at + 1..] {
                assert_ne!(panel["id"], other["id"], "{of}");
                let apart = |from: &str, length: &str| {
                    end(panel, from, length) <= number(other, from)
                        || end(other, from, length) <= number(panel, from)
                };
                assert!(apart("x", "w") || apart("y", "h"), "{of} and {} overlap", other["title"]);
            }
        }
    }
}

/// Programs that are ended with the test.
struct Running(Vec<Child>);

impl Running {
    fn start(&mut self, program: &str, port: u16, arguments: &[String]) {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| panic!("{program} is installed: {error}"));
        self.0.push(child);
        assert!(
            wait_for(|| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()),
            "{program} does not listen"
        );
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A client that fetches through a cache and past it, from good and bad mirrors.
struct Client<'t> {
    corrupt: Mirror,
    failing: Mirror,
    good: Mirror,
    cache: String,
    state: PathBuf,
    textfiles: &'t Path,
}

impl<'t> Client<'t> {
    fn new(cache: String, dists: &[Dist], state: PathBuf, textfiles: &'t Path) -> Self {
        let (corrupt, failing) = (Mirror::start(), Mirror::start());
        for dist in dists {
            corrupt.on(&format!("/gentoo{}", path(dist))).serve(&dist.content).corrupted_at(100).always();
            failing.on(&format!("/gentoo{}", path(dist))).status(503).always();
        }
        Self { corrupt, failing, good: public(dists), cache, state, textfiles }
    }

    fn publics(&self) -> [&Mirror; 3] {
        [&self.corrupt, &self.failing, &self.good]
    }

    /// Here all addresses are those of this machine.
    fn program(&self) -> Command {
        let tiers = self.publics().map(|mirror| format!("{}=1", mirror.address()));
        let mut command = Command::new(env!("CARGO_BIN_EXE_racefetch"));
        command.env("RACEFETCH_TIERS", tiers.join(" ")).env("PORTAGE_CONFIGROOT", self.textfiles);
        command
    }

    fn fetches(&self, dist: &Dist, mirrors: &[String]) {
        let mut command = self.program();
        command.args(["-s", "-f", "-L", "--digests", &format!("sha512:{}", dist.sha512())]);
        command.args(["--mirrors", &mirrors.join(" "), "--size", &dist.content.len().to_string(), "--state"]);
        command.arg(&self.state).arg("-o").arg(self.state.with_file_name(&dist.name));
        let (output, said) = run(command.arg(format!("{}{}", mirrors[0], path(dist))));
        assert!(output.status.success(), "{said}");
    }

    /// One file from the cache, one from the others, and then the figures.
    fn works(&self, from_cache: &Dist, from_others: &Dist) {
        self.fetches(from_cache, std::slice::from_ref(&self.cache));
        self.fetches(from_others, &self.publics().map(|mirror| mirror.url("/gentoo")));
        let mut stats = self.program();
        stats.args(["stats", "--state"]).arg(&self.state).arg("--prometheus");
        let (output, said) = run(stats.arg(self.textfiles.join("racefetch.prom")));
        assert!(output.status.success(), "{said}");
    }

    fn ranks(&self) {
        let listed = [("A", "a.example", sound(1_000_000)), ("B", "b.example", sound(2_000_000))];
        let stage = Stage::new("").mirrors(&listed);
        let (list, state) = (stage.path("list.xml").display().to_string(), self.state.display().to_string());
        let mut rank = stage.command(&["--from", &list, "--fast", "--state", &state]);
        let (output, said) = run(rank.stdin(Stdio::null()));
        assert!(output.status.success(), "{said}");
    }
}

/// Figures of the scripts of a mirror, which write them whether they succeed or not.
fn figures_of_the_scripts(textfiles: &Path) {
    let source = Source::start();
    source.put("timestamp.mirmon", "1800000000\n", 1_800_000_000);
    source.put("00/file.tar", "content", 1_800_000_000);
    let sync = format!(
        "SYNC_SOURCES=\"{}\"\nSYNC_DELAY=0\nTREE_SOURCES=\"{0}\"\nTREE_DELAY=0\nTREE_VERIFY=true",
        source.url()
    );
    for script in ["racefetch-mirror-sync", "racefetch-tree-sync", "racefetch-mirror-partial"] {
        let machine = Machine::new(script, &sync);
        let (_, said) = run(&mut machine.command(&[]));
        let metrics =
            fs::read_dir(machine.data().join("metrics")).unwrap_or_else(|_| panic!("{script}: {said}"));
        for file in metrics.map(Result::unwrap) {
            fs::copy(file.path(), textfiles.join(file.file_name())).unwrap();
        }
    }
}

/// A comparison with a number, and what is on the left of it.
fn without_limits(expression: &str) -> String {
    let mut words = expression.split_whitespace().peekable();
    let mut left = Vec::new();
    while let Some(word) = words.next() {
        if !["<", ">", "==", ">=", "<=", "!="].contains(&word) {
            left.push(word);
            continue;
        }
        while words.next_if(|word| word.parse::<f64>().is_ok() || *word == "*").is_some() {}
    }
    left.join(" ")
}

#[test]
fn every_panel_and_every_alert_finds_what_it_asks_for() {
    let folder = tempfile::tempdir().unwrap();
    let textfiles = folder.path().join("textfiles");
    fs::create_dir(&textfiles).unwrap();
    let large = [large(1), large(2)];
    let small = [3, 4].map(|seed| Dist::new(&format!("small-{seed}.tar"), &content(seed, 900_000)));
    let behind = public(&large);
    let lan = before(&[&behind]);
    let client = Client::new(lan.base(), &small, folder.path().join("mirrors.json"), &textfiles);
    client.ranks();
    client.works(&large[0], &small[0]);
    figures_of_the_scripts(&textfiles);

    let [prometheus, node, nginx] = [free_port(), free_port(), free_port()];
    let mut running = Running(Vec::new());
    running.start(
        "prometheus-node-exporter",
        node,
        &[
            format!("--web.listen-address=127.0.0.1:{node}"),
            "--collector.disable-defaults".to_owned(),
            "--collector.textfile".to_owned(),
            format!("--collector.textfile.directory={}", textfiles.display()),
            "--collector.filesystem".to_owned(),
            "--collector.uname".to_owned(),
        ],
    );
    running.start(
        "prometheus-nginx-exporter",
        nginx,
        &[
            format!("-web.listen-address=127.0.0.1:{nginx}"),
            format!("-nginx.scrape-uri={}/nginx_status", lan.base()),
        ],
    );
    let config = folder.path().join("prometheus.yml");
    let job = |name: &str, port: u16| {
        format!(
            "  - job_name: {name}\n    static_configs:\n      - targets: ['127.0.0.1:{port}']\n        labels: {{instance: alpha}}\n"
        )
    };
    fs::write(
        &config,
        format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{}/*.yml']\nscrape_configs:\n{}{}",
            shipped("prometheus/rules").display(),
            job("node", node),
            job("nginx", nginx)
        ),
    )
    .unwrap();
    running.start(
        "prometheus",
        prometheus,
        &[
            format!("--config.file={}", config.display()),
            format!("--storage.tsdb.path={}", folder.path().join("data").display()),
            format!("--web.listen-address=127.0.0.1:{prometheus}"),
        ],
    );

    let api = |what: &str, query: &str| -> Value {
        let mut curl = Command::new("curl");
        curl.args(["-sG", "--noproxy", "*", "--data-urlencode", &format!("query={query}")]);
        let output = curl.arg(format!("http://127.0.0.1:{prometheus}/api/v1/{what}")).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    };
    let mut asked: Vec<(String, String)> = Vec::new();
    for (file, dashboard) in dashboards() {
        for panel in dashboard["panels"].as_array().unwrap() {
            for expression in expressions(panel) {
                let expression =
                    [("$job", ".+"), ("$instance", ".+"), ("$__rate_interval", "1m"), ("$__range", "1h")]
                        .iter()
                        .fold(expression.to_owned(), |text, (name, value)| text.replace(name, value));
                asked.push((format!("{file}: {}", panel["title"]), expression));
            }
        }
    }
    let mut alerts = Value::Null;
    assert!(wait_for(|| {
        alerts = api("rules", "");
        alerts["data"]["groups"].as_array().is_some_and(|groups| groups.len() == 2)
    }));
    let runbook = include_str!("../docs/runbook.md");
    let groups = alerts["data"]["groups"].as_array().unwrap();
    for alert in groups.iter().flat_map(|group| group["rules"].as_array().unwrap()) {
        let name = alert["name"].as_str().unwrap();
        assert!(runbook.contains(&format!("\n## {name}\n")), "the runbook lacks {name}");
        assert_eq!(alert["annotations"]["runbook"], format!("docs/runbook.md#{}", name.to_lowercase()));
        asked.push((name.to_owned(), without_limits(alert["query"].as_str().unwrap())));
    }
    assert!(asked.len() > 35, "{asked:?}");
    // What only grows has to grow while it is looked at: a ratio of nothing to nothing is no answer.
    let is_known =
        || api("query", "racefetch_kept_bytes_total")["data"]["result"] != Value::Array(Vec::new());
    assert!(wait_for(is_known), "the figures do not come");
    client.works(&large[1], &small[1]);
    let mut left = asked;
    let found = wait_for(|| {
        left.retain(|(_, query)| {
            let answer = api("query", query);
            assert_ne!(answer["status"], "error", "{query}: {answer}");
            let results = answer["data"]["result"].as_array().map_or(&[][..], Vec::as_slice);
            !results.iter().any(|result| result["value"][1] != "NaN")
        });
        left.is_empty()
    });
    assert!(found, "without data: {left:#?}");
}

#[test]
fn the_unit_is_that_of_the_collection() {
    for kind in ["service", "timer"] {
        let name = format!("racefetch-metrics.{kind}");
        let shipped = fs::read_to_string(shipped("systemd").join(&name)).unwrap();
        let template =
            shipped_template(&name).replace("ExecStart=racefetch ", "ExecStart=/usr/bin/racefetch ");
        let template =
            template.replace("{{ client_textfile_folder }}", "/var/lib/node_exporter/textfile_collector");
        let lines = |text: &str| {
            text.lines().skip_while(|line| *line != "[Unit]").map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(lines(&shipped), lines(&template), "{name}");
    }
}

fn shipped_template(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("ansible/roles/client/templates");
    fs::read_to_string(folder.join(format!("{name}.j2"))).unwrap()
}
