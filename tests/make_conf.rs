//! Changed values of make.conf, read by Portage's own `getconfig`: in thousands of generated configurations, whole and
//! damaged ones.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use racefetch::commands::draft::Draft;
use racefetch::portage::make_conf_editor::NewValue;
use racefetch::portage::repos_conf::System;
use serde_json::{Map, Value, json};

use crate::real_portage::lab;

/// Lays out each configuration of `cases` and prints what Portage's `config` takes from it: a JSON object, or `null`
/// where it would not start.
const PORTAGES_VALUES: &str = "
import json, os, shutil, sys
sys.stderr = open(os.devnull, 'w')
import portage
from portage.util import getconfig
root = os.path.join(sys.argv[1], 'tree')
paths = [os.path.join(root, 'etc', 'make.conf'), os.path.join(root, 'etc/portage/make.conf')]
def read(files):
    shutil.rmtree(root, ignore_errors=True)
    for path, content in files.items():
        path = os.path.join(root, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'wb') as file:
            file.write(content.encode('latin-1'))
    values = {}
    try:
        for path in paths:
            values.update(getconfig(path, allow_sourcing=True, expand=values, recursive=True) or {})
    except Exception:
        return None
    return values
with open(os.path.join(sys.argv[1], 'cases')) as cases, open(os.path.join(sys.argv[1], 'values'), 'w') as out:
    for line in cases:
        print(json.dumps([read(files) for files in json.loads(line)]), file=out)
";

const CASES: u64 = 10_000;
const BATCH: u64 = 1000;

const NEW: &str = "https://new.example/gentoo";

/// The files of a configuration.
type Tree = BTreeMap<String, Vec<u8>>;

/// A file, and what stands before and behind the value in it.
type Place = Option<(String, Vec<u8>, Vec<u8>)>;

/// One configuration before and after.
struct Case {
    before: Tree,
    /// None when the change was refused, for the reason given.
    after: Result<Tree, String>,
    mirrors: Vec<String>,
    /// Where the value stands that is to be replaced, when that is known.
    place: Place,
}

#[test]
fn the_value_is_right_for_portage_and_all_else_stays() {
    let lab = lab();
    // Tens of thousands of files are made: in memory where that can be.
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let folder = folder.path();
    let tree = folder.join("tree");
    let (mut changed, mut refused, mut stopped) = (0, 0, 0);
    // Each process of Portage's reads some of them: on a busy machine all would take it too long.
    for batch in 0..CASES / BATCH {
        let seeds = batch * BATCH..(batch + 1) * BATCH;
        let cases: Vec<Case> = seeds.clone().map(|seed| case(seed, &tree)).collect();
        let lines = cases.iter().map(|case| {
            let after = case.after.as_ref().unwrap_or(&case.before);
            json!([as_json(&case.before), as_json(after)]).to_string() + "\n"
        });
        fs::write(folder.join("cases"), lines.collect::<String>()).unwrap();
        let run = lab.run("python", &["-W", "ignore", "-c", PORTAGES_VALUES, &folder.to_string_lossy()], &[]);
        assert!(run.success(), "{run}");
        let values = fs::read_to_string(folder.join("values")).unwrap();
        assert_eq!(values.lines().count(), cases.len());
        for (seed, (case, line)) in seeds.zip(cases.iter().zip(values.lines())) {
            let values: Value = serde_json::from_str(line).unwrap();
            match &case.after {
                Ok(after) => {
                    check(case, after, &values)
                        .unwrap_or_else(|what| panic!("{seed}: {what}\n{}", case.show()));
                    stopped += u64::from(values[1].is_null());
                    changed += 1;
                }
                Err(why) => {
                    let has_mark = why.contains("byte order mark");
                    assert!(values[0].is_null() || has_mark, "{seed}: refused: {why}\n{}", case.show());
                    refused += 1;
                }
            }
        }
    }
    let figures =
        format!("{changed} changed, {refused} refused, Portage stops at {stopped} before and after");
    eprintln!("{figures}");
    assert!(changed > CASES * 7 / 10 && refused > CASES / 100 && stopped < CASES / 50, "{figures}");
}

/// What Portage reads before and after, and which bytes are others.
fn check(case: &Case, after: &Tree, values: &Value) -> Result<(), String> {
    // A sourced file that is not UTF-8 stops Portage; and does not any more, when that was in the value.
    let stops_before = values[0].is_null();
    let Some(new) = values[1].as_object() else {
        return if stops_before { Ok(()) } else { Err(format!("Portage stops: {values}")) };
    };
    let read: Vec<&str> = new["GENTOO_MIRRORS"].as_str().unwrap_or_default().split_whitespace().collect();
    if read != case.mirrors {
        return Err(format!("Portage reads {read:?}, not {:?}", case.mirrors));
    }
    // What uses the variable, on purpose or because a quote is damaged, has another value now.
    let uses = |value: &&Value| {
        value.as_str().is_some_and(|value| value.contains(NEW) || value.contains("--mirrors"))
    };
    let others = values[0].as_object().unwrap_or(new).iter().filter(|(name, _)| *name != "GENTOO_MIRRORS");
    let changed = others
        .filter(|(name, old)| new.get(*name) != Some(*old) && !new.get(*name).as_ref().is_some_and(uses));
    let changed: Vec<_> = changed.collect();
    if changed.iter().any(|(name, _)| *name != "USE_A") {
        return Err(format!("other variables are changed: {values}"));
    }
    let differing: Vec<&String> = after
        .iter()
        .filter(|(path, content)| case.before.get(*path) != Some(content))
        .map(|(path, _)| path)
        .collect();
    if differing.len() > 1 || case.before.keys().any(|path| !after.contains_key(path)) {
        return Err(format!("these files are changed: {differing:?}"));
    }
    if let (Some((path, head, tail)), [changed]) = (&case.place, &differing[..]) {
        let content = &after[*changed];
        if *changed != path || !content.starts_with(head) || !content.ends_with(tail) {
            return Err("bytes around the value are changed".to_owned());
        }
    }
    Ok(())
}

fn case(seed: u64, tree: &Path) -> Case {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let (before, place) = generate(&mut dice);
    let mirrors: Vec<String> = (0..=dice.below(5)).map(|n| format!("{NEW}/{n}")).collect();
    let _ = fs::remove_dir_all(tree);
    for (path, content) in &before {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    fs::create_dir_all(tree).unwrap();
    let tree = &fs::canonicalize(tree).unwrap();
    let mut draft = Draft::new(System { eprefix: tree, configroot: tree });
    let after = draft.set("GENTOO_MIRRORS", NewValue::Words(&mirrors), "a test").map(|_| {
        let mut after = before.clone();
        for change in draft.changes() {
            let path = fs::canonicalize(&change.path).unwrap_or_else(|_| change.path.clone());
            let path = path.strip_prefix(tree).unwrap().display().to_string();
            after.insert(path, change.new.clone().unwrap());
        }
        after
    });
    Case { before, after: after.map_err(|error| error.to_string()), mirrors, place }
}

impl Case {
    fn show(&self) -> String {
        let show = |tree: &Tree| {
            let files = tree
                .iter()
                .map(|(path, content)| format!("{path}: {:?}\n", content.escape_ascii().to_string()));
            files.collect::<String>()
        };
        let after = self.after.as_ref().map_or_else(Clone::clone, show);
        format!("{}after:\n{after}", show(&self.before))
    }
}

fn as_json(tree: &Tree) -> Value {
    let latin = |content: &Vec<u8>| content.iter().map(|&byte| char::from(byte)).collect::<String>();
    tree.iter()
        .map(|(path, content)| (path.clone(), Value::from(latin(content))))
        .collect::<Map<_, _>>()
        .into()
}

/// The files of a folder, in the order in which they are read.
const FOLDER: [&str; 6] = [
    "etc/portage/make.conf/00-a",
    "etc/portage/make.conf/10",
    "etc/portage/make.conf/20/b",
    "etc/portage/make.conf/20/c/d",
    "etc/portage/make.conf/zz",
    "etc/portage/make.conf/zzz",
];

/// A configuration, and where its list of mirrors is when nothing of it is damaged.
fn generate(dice: &mut Dice) -> (Tree, Place) {
    let mut names: Vec<&str> = Vec::new();
    if dice.below(8) == 0 {
        names.push("etc/make.conf");
    }
    match dice.below(4) {
        0 => names.extend(FOLDER.iter().filter(|_| dice.below(2) == 0)),
        _ => names.push("etc/portage/make.conf"),
    }
    let mut tree = Tree::new();
    let mut place = None;
    let mut sources = 0;
    for name in names {
        file(dice, name, &mut tree, &mut place, &mut sources);
    }
    // Portage passes over the `source` that ends a sourced file without a line's end.
    let passed_over = |(name, content): (&String, &Vec<u8>)| {
        let last = content.rsplit(|byte| b"\r\n".contains(byte)).next().unwrap();
        name.contains("sourced") && last.windows(6).any(|part| part == b"source")
    };
    place = place.filter(|_| !tree.iter().any(passed_over));
    // What Portage does not read.
    if tree.contains_key("etc/portage/make.conf/10") {
        for ignored in ["10~", ".hidden", "CVS/x"] {
            tree.insert(format!("etc/portage/make.conf/{ignored}"), b"GENTOO_MIRRORS=ignored\n".to_vec());
        }
    }
    if dice.below(3) == 0 && !tree.is_empty() {
        place = None;
        damage(dice, &mut tree);
    }
    (tree, place)
}

/// Writes a file, and those that it sources, into the tree.
fn file(dice: &mut Dice, name: &str, tree: &mut Tree, place: &mut Place, sources: &mut u32) {
    let newline = dice.one(&["\n", "\n", "\n", "\r\n", "\r"]);
    let mut text = String::new();
    if dice.below(60) == 0 {
        text.push('\u{feff}');
        *place = None;
    }
    // The value in this file that counts so far: its bytes.
    let mut own: Option<(usize, usize)> = None;
    for _ in 0..dice.below(7) {
        text.push_str(dice.one(&[
            "",
            "",
            " ",
            "\t",
            "# GENTOO_MIRRORS=\"no\"\n",
            "\n",
            "# \u{e9}'\"\n",
            "#\n",
        ]));
        match dice.below(10) {
            0..=3 => {
                text.push_str(dice.one(&["", "", "export ", "export\n"]));
                text.push_str(dice.one(&["GENTOO_MIRRORS=", "GENTOO_MIRRORS=", "GENTOO_MIRRORS = "]));
                let start = text.len();
                text.push_str(dice.one(&[
                    "\"http://a http://b\"",
                    "'http://a'",
                    "http://a",
                    "\"\"",
                    "\"${GENTOO_MIRRORS} http://more\"",
                    "\"http://x \\\n  http://y \\\n\"",
                    "\"\nhttp://x\n\thttp://y\n\"",
                    "\"a\"'b c'd",
                    "\"a # b\"",
                    "\"${OLD} \\\"q\\\"\"",
                    "'it\\'",
                    "$OLD",
                    "a\\ b",
                    "\"\u{e9} ${x:-y}\"",
                ]));
                own = Some((start, text.len()));
                *place = None;
                text.push_str(dice.one(&["\n", "\n", " # c\n", "#c\n", " ", "\n\n"]));
            }
            4 => text.push_str(dice.one(&[
                "OLD=\"http://old\"\n",
                "USE=\"a b \\\n c\"\n",
                "FEATURES='x y' ",
                "export A=1\n",
                "B=\"a\n# no comment\nb\"\n",
                "__C=x\n",
            ])),
            5 => text.push_str(dice.one(&[
                "USE_A=\"f --mirrors \\\"${GENTOO_MIRRORS}\\\" \\${URI}\"\n",
                "USE_A='$GENTOO_MIRRORS'\n",
            ])),
            6 if *sources < 4 => {
                *sources += 1;
                let path = format!("etc/portage/sourced-{sources}");
                let folder = Path::new(name).parent().unwrap();
                let up = folder.strip_prefix("etc").unwrap().components().count();
                let relative = format!("{}etc/portage/sourced-{sources}", "../".repeat(up + 1));
                let quote = dice.one(&["", "\"", "'"]);
                text.extend(["source ", quote, &relative, quote, "\n"]);
                let before = (own.take(), place.take());
                file(dice, &path, tree, place, sources);
                // Unless that file determines the value.
                if place.is_none() {
                    (own, *place) = before;
                    if tree[&path].windows(14).any(|part| part == b"GENTOO_MIRRORS") {
                        (own, *place) = (None, None);
                    }
                }
            }
            _ => text.push_str(dice.one(&["C=2\n", "# c\n", "\n", "D=\"\"\n"])),
        }
    }
    if dice.below(4) == 0 && text.ends_with('\n') {
        text.pop();
    }
    let bytes = |text: &str| {
        // Some files are not UTF-8.
        let text = text.replace('\n', newline);
        let latin = text.contains('\u{e9}') && name.len().is_multiple_of(2);
        if latin {
            text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect()
        } else {
            text.into_bytes()
        }
    };
    if let Some((start, end)) = own {
        *place = Some((name.to_owned(), bytes(&text[..start]), bytes(text.get(end..).unwrap_or(""))));
    }
    tree.insert(name.to_owned(), bytes(&text));
}

/// Changes some bytes.
fn damage(dice: &mut Dice, tree: &mut Tree) {
    let which = dice.below(tree.len() as u64);
    let content = tree.values_mut().nth(usize::try_from(which).unwrap()).unwrap();
    for _ in 0..=dice.below(3) {
        let at = usize::try_from(dice.below(content.len() as u64 + 1)).unwrap();
        let byte = dice.byte(b"\"'\\\n\r${}#= A(\xff");
        match dice.below(3) {
            0 => content.insert(at, byte),
            1 if at < content.len() => drop(content.remove(at)),
            _ if at < content.len() => content[at] = byte,
            _ => {}
        }
    }
}

/// Numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % limit
    }

    fn one(&mut self, of: &[&'static str]) -> &'static str {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }

    fn byte(&mut self, of: &[u8]) -> u8 {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }
}
