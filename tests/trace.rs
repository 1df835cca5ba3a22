//! What the program says of its transfers: `--trace`, `--timeline`, tiers, `stats --explain`.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use racefetch::portage::{Algorithm, Digest};
use serde_json::Value;
use tempfile::TempDir;

use super::support::content::{Content, content};
use super::support::mirror::Mirror;
use super::support::mirror::rule::Rule;

const NAME: &str = "demo-1.0.tar.xz";
const PATH: &str = "/distfiles/demo-1.0.tar.xz";
const MB: usize = 1_000_000;

#[test]
fn a_trace_tells_who_sent_what() {
    let place = Place::new(3 * MB);
    let (missing, slow, good) = (Mirror::start(), Mirror::start(), Mirror::start());
    missing.allow_unwanted();
    for mirror in [&slow, &good] {
        mirror.allow_unwanted().limit_rate(3 * MB as u64);
        mirror.on(PATH).serve(&place.content).always();
    }
    let (trace, picture) = place.fetch_traced(&[&missing, &slow, &good]);
    assert_eq!((&trace["version"], &trace["file"], &trace["error"]), (&1.into(), &NAME.into(), &Value::Null));
    assert_eq!(trace["size"], 3 * MB);
    let names: Vec<_> = [&missing, &slow, &good].iter().map(|mirror| mirror.address().to_string()).collect();
    assert_eq!(trace["sources"], Value::from(names.clone()));

    let failed: Vec<_> = events(&trace, "failed").map(|e| (&e["source"], &e["words"])).collect();
    assert!(failed.iter().all(|failed| *failed == (&0.into(), &"HTTP status 404".into())), "{failed:?}");
    assert!(!failed.is_empty(), "{trace}");
    for source in [1, 2] {
        let opened = events(&trace, "opened").find(|e| e["source"] == source).expect("both were asked");
        assert!(number(opened, "waited_us") < number(&trace, "elapsed_us"), "{opened}");
    }
    assert_eq!(received(&trace), 3 * MB as u64);
    let grown: Vec<u64> = events(&trace, "prefix").map(|e| number(e, "end")).collect();
    assert!(grown.is_sorted() && grown.last() == Some(&(3 * MB as u64)), "{grown:?}");
    assert_eq!(events(&trace, "verified").count(), 1);
    for said in [NAME, "HTTP status 404", "verified", names[0].as_str(), names[2].as_str()] {
        assert!(picture.contains(said), "{said} is missing in {picture}");
    }
}

#[test]
fn wrong_bytes_are_traced_to_their_source_and_to_their_repair() {
    let place = Place::new(3 * MB);
    let (corrupt, slow, steady) = (Mirror::start(), Mirror::start(), Mirror::start());
    corrupt.on(PATH).serve(&place.content).body(content(2, 3 * MB)).always();
    for mirror in [&slow, &steady] {
        mirror.allow_unwanted().limit_rate(2 * MB as u64).on(PATH).serve(&place.content).always();
    }
    corrupt.allow_unwanted();
    let (trace, picture) = place.fetch_traced(&[&corrupt, &slow, &steady]);
    let order: Vec<&str> = trace["events"].as_array().unwrap().iter().map(what).collect();
    let at =
        |what: &str| order.iter().position(|w| *w == what).unwrap_or_else(|| panic!("{what}: {order:?}"));
    assert!(at("mismatch") < at("given_up") && at("given_up") < at("convicted"), "{order:?}");
    assert!(events(&trace, "convicted").all(|e| e["source"] == 0), "{trace}");
    let lost: u64 = events(&trace, "given_up").map(|e| number(e, "end") - number(e, "first")).sum();
    assert!(lost > 0 && received(&trace) == 3 * MB as u64 + lost, "{lost} of {trace}");
    assert!(picture.contains("wrong bytes") && picture.contains("once more"), "{picture}");
}

#[test]
fn a_failed_transfer_is_traced_with_its_error() {
    let place = Place::new(MB);
    let mirror = Mirror::start();
    mirror.on(PATH).status(404).always();
    mirror.allow_unwanted();
    let output = place.run(place.fetch(&[&mirror]).args(["--trace", "-", "--timeline", "t.svg"]));
    assert_eq!(output.status.code(), Some(22), "{output:?}");
    let trace: Value = serde_json::from_slice(&output.stdout).expect("stdout is the trace alone");
    assert!(trace["error"].as_str().unwrap().contains("HTTP status 404"), "{trace}");
    assert!(place.read("t.svg").contains("not verified"));
}

#[test]
fn what_cannot_be_drawn_is_said_and_fails_no_fetch() {
    let place = Place::new(MB);
    let mirror = Mirror::start();
    mirror.on(PATH).serve(&place.content).always();
    let output = place.run(place.fetch(&[&mirror]).args(["--timeline", "no/such/folder.svg"]));
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("cannot write no/such/folder.svg: ") && said.contains("(--timeline)"), "{said}");

    let plain = place.run(place.program().args(["-o", "plain", "--trace", "plain.json", &mirror.url(PATH)]));
    let said = String::from_utf8(plain.stderr).unwrap();
    assert!(plain.status.success() && said.contains("without digests"), "{said}");
    assert!(!place.folder.path().join("plain.json").exists());
}

#[test]
fn a_higher_tier_is_asked_when_the_lower_one_lacks_the_file() {
    let place = Place::new(MB);
    let (near, far) = (Mirror::start(), Mirror::start());
    near.on(PATH).serve(&place.content).times(1);
    near.on(PATH).add(Rule::status(404)).always();
    near.allow_unwanted();
    far.on(PATH).serve(&place.content).always();
    // The same host, so the ports tell them apart; the command line goes before the environment.
    let tiers = format!("{}=0 {}=0 nonsense", near.address(), far.address());
    let later = format!("http://{}=1", far.address());
    let fetch = |number: u8| {
        let mut command = place.fetch(&[&far, &near]);
        command.args(["--tier", &later, "-o", &format!("{number}/{NAME}"), "--create-dirs"]);
        let output = place.run(command.env("RACEFETCH_TIERS", &tiers));
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let said = fetch(1);
    assert!(said.contains("RACEFETCH_TIERS: \"nonsense\" is no tier"), "{said}");
    assert_eq!((near.requests_for(PATH).len(), far.requests().len()), (1, 0));
    fetch(2);
    assert!(near.requests_for(PATH).len() >= 2 && !far.requests_for(PATH).is_empty());
}

#[test]
fn the_order_is_explained() {
    let place = Place::new(MB);
    let explain = |arguments: &[&str]| {
        let mut command = place.program();
        command.args(["stats", "--state", "mirrors.json", "--explain", "20M"]).args(arguments);
        let output = place.run(&mut command);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let mirrors = ["--mirrors", "http://a.example http://b.example http://nas.lan ftp://c.example"];
    let table = explain(&mirrors);
    let order: Vec<&str> = table.lines().skip(2).take_while(|line| !line.is_empty()).collect();
    assert_eq!(order.len(), 3, "{table}");
    assert!(order[0].starts_with("nas.lan ") && order[1].starts_with("a.example "), "{table}");
    assert!(table.lines().all(|line| line.len() < 80), "{table}");
    let wide = explain(&[&mirrors[..], &["--wide"]].concat());
    assert!(wide.contains("\nhttp://nas.lan "), "{wide}");
    assert!(table.starts_with("For a file of 20.0 MiB"), "{table}");

    let json: Value = serde_json::from_str(&explain(
        &[&mirrors[..], &["--json", "--tier", ".example=0", "--tier", "a.example=3"]].concat(),
    ))
    .unwrap();
    let order: Vec<_> =
        json["order"].as_array().unwrap().iter().map(|r| (&r["mirror"], &r["tier"])).collect();
    assert_eq!(json["size"], 20 << 20);
    assert_eq!(order[2], (&"http://a.example".into(), &3.into()));

    // Without a list the mirrors are those of which there are figures; an empty configuration names none.
    assert!(explain(&[]).starts_with("No mirrors"), "{}", explain(&[]));
    let mirror = Mirror::start();
    mirror.on(PATH).serve(&place.content).always();
    assert!(place.run(&mut place.fetch(&[&mirror])).status.success());
    let known = explain(&[]);
    let address = mirror.address().to_string();
    assert!(known.lines().any(|line| line.starts_with(&address) && line.ends_with(" 1")), "{known}");
}

/// A folder to fetch to, and the file that the mirrors have.
struct Place {
    folder: TempDir,
    content: Content,
}

impl Place {
    fn new(size: usize) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), content: content(1, size).into() }
    }

    /// Without anything of the environment, and with a configuration that names no mirrors.
    fn program(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_racefetch"));
        command.env_clear().current_dir(self.folder.path());
        command
            .env("PORTAGE_CONFIGROOT", self.folder.path())
            .env("PORTAGE_OVERRIDE_EPREFIX", self.folder.path());
        command
    }

    /// The file from those mirrors; Portage asks the first one.
    fn fetch(&self, mirrors: &[&Mirror]) -> Command {
        let bases: Vec<String> = mirrors.iter().map(|mirror| mirror.url("")).collect();
        let sha512 = Digest::of(Algorithm::Sha512, &self.content).hex();
        let mut command = self.program();
        command.args(["-f", "-L", "--state", "mirrors.json", "--size", &self.content.len().to_string()]);
        command.args(["--digests", &format!("sha512:{sha512}"), "--mirrors", &bases.join(" ")]);
        command.arg(format!("{}{PATH}", bases[0])).args(["-o", NAME]);
        command
    }

    fn fetch_traced(&self, mirrors: &[&Mirror]) -> (Value, String) {
        let output = self.run(self.fetch(mirrors).args(["--trace", "t.json", "--timeline", "t.svg"]));
        assert!(output.status.success(), "{output:?}");
        assert_eq!(fs::read(self.folder.path().join(NAME)).unwrap(), self.content[..]);
        (serde_json::from_str(&self.read("t.json")).unwrap(), self.read("t.svg"))
    }

    #[expect(clippy::unused_self, reason = "a command of this place")]
    fn run(&self, command: &mut Command) -> Output {
        command.output().expect("the program was built for this test")
    }

    fn read(&self, name: &str) -> String {
        let path: PathBuf = self.folder.path().join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }
}

fn what(event: &Value) -> &str {
    event["what"].as_str().expect("every event says what")
}

fn number(event: &Value, field: &str) -> u64 {
    event[field].as_u64().unwrap_or_else(|| panic!("{field} in {event}"))
}

fn events<'t>(trace: &'t Value, wanted: &str) -> impl Iterator<Item = &'t Value> {
    trace["events"].as_array().unwrap().iter().filter(move |event| what(event) == wanted)
}

/// Bytes received, those included that came for nothing.
fn received(trace: &Value) -> u64 {
    events(trace, "received").map(|e| number(e, "end") - number(e, "first")).sum()
}
