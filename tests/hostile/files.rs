//! Files that the program finds: of Portage, of its own, of somebody who means harm. None of them fails a fetch,
//! and none of them makes a wrong file right.

use std::fs;

use super::run::{Distfile, Place, Racefetch, each};
use crate::support::content::content;
use crate::support::mirror::Mirror;

const NAME: &str = "x-1.tar.__download__";

/// A fetch as Portage would start it, of a file that the mirror has.
fn fetch(place: &Place, mirror: &Mirror, file: &Distfile) -> Racefetch {
    let ebuild = place.write("repo/cat/pkg/pkg-1.ebuild", "");
    let run = place.racefetch().args(file.arguments()).env("EBUILD_PHASE", "fetch").env("EBUILD", ebuild);
    run.arg(mirror.url("/distfiles/x-1.tar"))
}

fn mirror(bytes: &[u8]) -> Mirror {
    let mirror = Mirror::start();
    mirror.on("/distfiles/x-1.tar").serve(bytes).always();
    mirror.on("/distfiles/layout.conf").serve("[structure]\n0=flat\n").always();
    mirror
}

/// Texts that are no text of the kind expected.
fn odd_texts() -> Vec<Vec<u8>> {
    vec![
        Vec::new(),
        b"\n".to_vec(),
        vec![0; 4096],
        vec![0xff; 4096],
        b"[".repeat(100_000),
        b"{\"http://a.test\":".repeat(10_000),
        b"A=\"${A}${A}\"\n".repeat(100),
        b"source make.conf\n".to_vec(),
        b"A=\"".to_vec(),
        b"DIST x-1.tar 99999999999999999999999 BLAKE2B 00\n".to_vec(),
        b"DIST x-1.tar -1 BLAKE2B 00\n".to_vec(),
        b"DIST x-1.tar 10 BLAKE2B\n".to_vec(),
        b"DIST x-1.tar 10 \x1b[2J 00\n".to_vec(),
        b"DIST ".repeat(20_000),
        "\u{9b}5n\u{feff}\u{202e}\n".repeat(100).into_bytes(),
    ]
}

#[test]
fn odd_configuration() {
    let bytes = content(1, 1000);
    let file = Distfile { name: "x-1.tar", content: &bytes };
    let mirror = mirror(&bytes);
    for name in [
        "repo/cat/pkg/Manifest",
        "repo/profiles/thirdpartymirrors",
        "config/etc/portage/make.conf",
        "config/etc/portage/mirrors",
        "config/usr/share/portage/config/make.globals",
        ".mirror-cache.json",
        "state/mirrors.json",
    ] {
        for text in odd_texts() {
            let place = Place::new();
            place.write(name, &text);
            let shown = text.iter().take(30).copied().collect::<Vec<_>>().escape_ascii().to_string();
            let ran = fetch(&place, &mirror, &file).run();
            assert_eq!(ran.code, 0, "{name}, {shown}: {ran:?}");
            ran.assert_harmless();
            assert!(place.read(NAME) == bytes, "{name}, {shown}");
        }
        // A folder in the place of a file.
        let place = Place::new();
        fs::create_dir_all(place.join(name)).unwrap();
        fetch(&place, &mirror, &file).succeeds();
    }
}

/// A configuration of links that lead back to themselves.
#[test]
fn configuration_without_end() {
    let bytes = content(1, 1000);
    let file = Distfile { name: "x-1.tar", content: &bytes };
    let mirror = mirror(&bytes);
    let place = Place::new();
    place.write("config/etc/portage/make.conf/a", "source a\nsource /dev/zero\nsource b\n");
    std::os::unix::fs::symlink(".", place.join("config/etc/portage/make.conf/b")).unwrap();
    fetch(&place, &mirror, &file).succeeds();
}

/// Beside the right digests a Manifest of other ones: what Portage passes counts.
#[test]
fn a_manifest_that_disagrees() {
    let bytes = content(1, 1000);
    let file = Distfile { name: "x-1.tar", content: &bytes };
    let mirror = mirror(&bytes);
    let place = Place::new();
    let wrong = Distfile { name: "", content: b"other" }.digests();
    let words: Vec<&str> = wrong.split([':', ' ']).collect();
    place
        .write("repo/cat/pkg/Manifest", format!("DIST x-1.tar 5 BLAKE2B {} SHA512 {}\n", words[1], words[3]));
    let ebuild = place.write("repo/cat/pkg/pkg-1.ebuild", "");
    let run = place.racefetch().args(["-f", "-o", NAME, "--digests", &file.digests()]);
    let run = run.env("EBUILD_PHASE", "fetch").env("EBUILD", ebuild);
    run.arg(mirror.url("/distfiles/x-1.tar")).succeeds();
    assert!(place.read(NAME) == bytes);
}

/// What a killed process left: a prefix, a side file with the rest, and the journal of that.
struct LeftOver {
    bytes: Vec<u8>,
    journal: Vec<u8>,
}

impl LeftOver {
    fn new() -> Self {
        let bytes = content(1, 3000);
        let digests = Distfile { name: "x-1.tar", content: &bytes }.digests();
        // As `Digest`'s Display has it; the test below proves that it is taken over.
        let journal =
            format!("racefetch ahead 1 {digests}\n+ 1500 2000\n+ 2000 3000\n- 2500 2600\n+ 2500 2600\n");
        Self { bytes, journal: journal.into_bytes() }
    }

    fn lay_out(&self, place: &Place, journal: &[u8]) {
        place.write(NAME, &self.bytes[..1000]);
        let mut ahead = vec![0; 3000];
        ahead[1500..].copy_from_slice(&self.bytes[1500..]);
        place.write(".racefetch/x-1.tar.ahead", ahead);
        place.write(".racefetch/x-1.tar.journal", journal);
    }

    fn file(&self) -> Distfile<'_> {
        Distfile { name: "x-1.tar", content: &self.bytes }
    }
}

#[test]
fn a_good_journal_is_taken_over() {
    let left = LeftOver::new();
    let mirror = mirror(&left.bytes);
    let place = Place::new();
    left.lay_out(&place, &left.journal);
    fetch(&place, &mirror, &left.file()).succeeds();
    assert!(place.read(NAME) == left.bytes);
    assert_eq!(mirror.body_bytes_sent(), 500, "only what was not there");
    assert!(!place.exists(".racefetch"));
}

/// Side files that are of no use any longer (all that was ahead has been moved, the digests are others, the journal is
/// none) go with success too: nobody else would come for them.
#[test]
fn useless_side_files_are_removed_with_success() {
    let left = LeftOver::new();
    let mirror = mirror(&left.bytes);
    let header = left.journal.split_inclusive(|byte| *byte == b'\n').next().unwrap();
    let emptied = [header, b"+ 1500 3000\n- 1500 3000\n"].concat();
    each([&emptied, header, b"racefetch ahead 1 sha512:00\n+ 1500 3000\n", b""], |journal| {
        let place = Place::new();
        left.lay_out(&place, journal);
        fetch(&place, &mirror, &left.file()).succeeds();
        assert!(place.read(NAME) == left.bytes);
        assert!(!place.exists(".racefetch"), "{}", journal.escape_ascii());
    });
}

/// A journal that ends anywhere. What it still says is true, so nothing but bytes of the network can be lost.
#[test]
fn a_journal_that_ends_anywhere() {
    let left = LeftOver::new();
    let mirror = mirror(&left.bytes);
    let records = left.journal.iter().position(|byte| *byte == b'\n').unwrap();
    let ends = (0..records).step_by(16).chain(records..=left.journal.len());
    for end in ends {
        let place = Place::new();
        left.lay_out(&place, &left.journal[..end]);
        fetch(&place, &mirror, &left.file()).succeeds();
        assert!(place.read(NAME) == left.bytes, "after {end} bytes");
    }
}

/// A journal that claims what is not so. The digests find it out, and the bytes are fetched again.
#[test]
fn a_journal_that_lies() {
    let left = LeftOver::new();
    let mirror = mirror(&left.bytes);
    let header = left.journal.split_inclusive(|byte| *byte == b'\n').next().unwrap();
    each(
        [
            &b"+ 1000 3000\n"[..],
            b"+ 0 3000\n",
            b"+ 0 18446744073709551615\n",
            b"+ 18446744073709551614 18446744073709551615\n",
            b"+ 2999 3001\n+ 5000 6000\n",
            b"+ 3000 1000\n",
            b"- 0 18446744073709551615\n",
            b"+ 1500 1500\n",
            b"+ 00000000000000000001500 3000\n",
            b"+ +1500 3000\n",
            b"+ -1 3000\n",
            b"+ 1500 3000 9\n",
            b"* 1500 3000\n",
            b"\xff\xfe\n",
            b"+ 1500 3000\0\n",
        ],
        |records| {
            for ahead in [3000, 0, 10_000_000] {
                let place = Place::new();
                left.lay_out(&place, &[header, records].concat());
                fs::File::options()
                    .write(true)
                    .open(place.join(".racefetch/x-1.tar.ahead"))
                    .unwrap()
                    .set_len(ahead)
                    .unwrap();
                let ran = fetch(&place, &mirror, &left.file()).run();
                let shown = records.escape_ascii();
                assert_eq!(ran.code, 0, "{shown}, {ahead}: {ran:?}");
                assert!(place.read(NAME) == left.bytes, "{shown}, {ahead}");
            }
        },
    );
}

#[test]
fn a_journal_of_random_bytes() {
    let left = LeftOver::new();
    let mirror = mirror(&left.bytes);
    let header = left.journal.split_inclusive(|byte| *byte == b'\n').next().unwrap();
    for seed in 0..30 {
        let place = Place::new();
        let noise = content(seed, 200);
        let journal = if seed % 2 == 0 { noise } else { [header, &noise[..]].concat() };
        left.lay_out(&place, &journal);
        fetch(&place, &mirror, &left.file()).succeeds();
        assert!(place.read(NAME) == left.bytes, "{seed}");
    }
}

/// A side file larger than any memory, and a journal as long as the program reads one.
#[test]
fn a_monstrous_journal() {
    let left = LeftOver::new();
    let mirror = mirror(&left.bytes);
    let header = left.journal.split_inclusive(|byte| *byte == b'\n').next().unwrap();
    let place = Place::new();
    let mut journal = header.to_vec();
    // Ranges that do not touch: each is an entry of its own.
    for n in 0..700_000_u64 {
        journal.extend_from_slice(format!("+ {} {}\n", 4000 + 2 * n, 4001 + 2 * n).as_bytes());
    }
    left.lay_out(&place, &journal);
    fs::File::options()
        .write(true)
        .open(place.join(".racefetch/x-1.tar.ahead"))
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    fetch(&place, &mirror, &left.file()).succeeds();
    assert!(place.read(NAME) == left.bytes);
}

/// The mirror has been rearranged since its layout was read, some hours ago: what it lacks and others have is a reason to
/// ask for the layout again.
#[test]
fn a_stored_layout_that_is_wrong_is_asked_for_again() {
    let contents = [content(1, 1000), content(2, 1000)];
    let (moved, other, place) = (Mirror::start(), Mirror::start(), Place::new());
    other.on("/distfiles/layout.conf").serve("[structure]\n0=flat\n").always();
    other.on("/distfiles/x-1.tar").serve(&contents[0]).always();
    moved.on("/distfiles/layout.conf").serve("[structure]\n0=flat\n").times(1);
    moved.on("/distfiles/layout.conf").serve("[structure]\n0=filename-hash SHA512 8\n").times(1);
    moved.on("*").status(404).always();
    let mirrors = format!("{} {}", moved.url(""), other.url(""));
    let layout = |expected: &str| {
        let output = ".layout.conf.127.0.0.1.__download__";
        let run = place.racefetch().args(["-f", "-o", output, &moved.url("/distfiles/layout.conf")]);
        run.succeeds();
        assert!(String::from_utf8_lossy(&place.read(output)).contains(expected), "{expected}");
    };
    layout("flat");
    let fetch_from = |mirror: &Mirror| {
        let file = Distfile { name: "x-1.tar", content: &contents[0] };
        let run = place.racefetch().args(file.arguments()).args(["--mirrors", &mirrors]);
        run.arg(mirror.url("/distfiles/x-1.tar")).succeeds();
        fs::remove_file(place.join(NAME)).unwrap();
    };
    // It was read a moment ago: then the file is what is missing.
    fetch_from(&moved);
    layout("flat");
    let mut state: serde_json::Value = serde_json::from_slice(&place.read("state/mirrors.json")).unwrap();
    for mirror in state["mirrors"].as_object_mut().unwrap().values_mut() {
        if let Some(at) = mirror.get_mut("layout").map(|layout| &mut layout["at"]) {
            *at = (at.as_u64().unwrap() - 7200).into();
        }
    }
    state["notes"] = serde_json::json!({});
    place.write("state/mirrors.json", state.to_string());
    layout("flat");
    fetch_from(&moved);
    layout("SHA512");
}

/// A Manifest larger than any: that it verifies nothing is said.
#[test]
fn a_manifest_that_is_too_large() {
    let bytes = content(1, 1000);
    let mirror = mirror(&bytes);
    let place = Place::new();
    let line = Distfile { name: "x-1.tar", content: &bytes }.manifest_line();
    place.write("repo/cat/pkg/Manifest", line + &"\n".repeat(17 << 20));
    let ebuild = place.write("repo/cat/pkg/pkg-1.ebuild", "");
    let run = place.bare().args(["-f", "-o", NAME]).arg(mirror.url("/distfiles/x-1.tar"));
    let ran = run.env("EBUILD_PHASE", "fetch").env("EBUILD", ebuild).succeeds();
    let stderr = ran.stderr();
    assert!(stderr.contains("Manifest") && stderr.contains("verifies nothing"), "{ran:?}");
}

/// What the user does not want to be larger, no sibling is either.
#[test]
fn the_largest_size_is_that_of_siblings_too() {
    let contents = [content(1, 1000), content(2, 1500), content(3, 3000)];
    let names = ["x-1.tar", "y-1.tar", "z-1.tar"];
    let mirror = mirror(&contents[0]);
    mirror.on("/distfiles/y-1.tar").serve(&contents[1]).times(1);
    mirror.on("*").status(404).always(); // where most mirrors have it
    let place = Place::new();
    let files = names.iter().zip(&contents).map(|(name, content)| Distfile { name, content });
    place.write("repo/cat/pkg/Manifest", files.map(|file| file.manifest_line()).collect::<String>());
    let run = fetch(&place, &mirror, &Distfile { name: names[0], content: &contents[0] });
    let run = run.env("A", names.join(" ")).args(["--max-filesize", "2000", "--mirrors", &mirror.url("")]);
    run.succeeds();
    assert!(place.exists("y-1.tar") && !place.exists("z-1.tar"));
}

/// Figures that somebody else has written are shown as what they are: text.
#[test]
fn figures_give_no_orders() {
    let place = Place::new();
    let name = "http://a.example/\u{1b}[2J\u{202e}\u{9b}31m\u{2066}\u{7f}";
    let mirror = serde_json::json!({ "attempts": 1, "bytes_kept": 5 });
    let state =
        serde_json::json!({ "version": 1, "mirrors": { name: mirror }, "repositories": { name: {} } });
    place.write("state/mirrors.json", state.to_string());
    for arguments in [&["stats"][..], &["stats", "--json"], &["stats", "--explain", "5"]] {
        let ran = place.bare().args(arguments).succeeds();
        let shown = String::from_utf8(ran.stdout).unwrap();
        assert!(shown.contains("a.example"), "{shown}");
        let order = shown.chars().find(|c| c.is_control() && *c != '\n' || "\u{202e}\u{2066}".contains(*c));
        assert_eq!(order, None, "{arguments:?}: {shown:?}");
    }
}

/// The folder that was named for the state is made, if it can be.
#[test]
fn the_states_folder_is_made() {
    let bytes = content(1, 1000);
    let mirror = mirror(&bytes);
    let file = Distfile { name: "x-1.tar", content: &bytes };
    let place = Place::new();
    let run = fetch(&place, &mirror, &file).env("RACEFETCH_STATE", place.join("figures/mirrors.json"));
    run.succeeds();
    assert!(place.exists("figures/mirrors.json"));
}

/// Portage makes a call for each file: that its figures cannot be kept is said once a day.
#[test]
fn that_no_figures_are_kept_is_said_once_a_day() {
    let bytes = content(1, 1000);
    let mirror = mirror(&bytes);
    let place = Place::new();
    let missing = place.join("missing/folder/mirrors.json");
    let call = || {
        let run =
            place.bare().args(["--no-progress-meter", "-f", "-o", NAME]).env("RACEFETCH_STATE", &missing);
        let digests = Distfile { name: "x-1.tar", content: &bytes }.digests();
        let run = run.args(["--digests", &digests]).env("EBUILD_PHASE", "fetch");
        let ran = run.arg(mirror.url("/distfiles/x-1.tar")).succeeds();
        ran.stderr().matches("are not recorded").count()
    };
    assert_eq!([call(), call(), call()], [1, 0, 0]);
    let said = fs::File::options().write(true).open(place.join(".racefetch/figures-not-kept")).unwrap();
    said.set_modified(std::time::UNIX_EPOCH).unwrap();
    assert_eq!([call(), call()], [1, 0]);
}

/// Whoever finds a broken state sets it aside and says so, a call for a layout, too; who only looks changes nothing.
#[test]
fn a_broken_state_is_set_aside_by_who_finds_it() {
    let bytes = content(1, 1000);
    let mirror = mirror(&bytes);
    let place = Place::new();
    place.write("state/mirrors.json", "broken");
    let ran = place.bare().args(["stats"]).succeeds();
    assert!(ran.stderr().contains("is broken"), "{ran:?}");
    let names: Vec<_> = fs::read_dir(place.join("state")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["mirrors.json"], "who looks changes nothing");
    let layout = ".layout.conf.127.0.0.1.__download__";
    let run = place.bare().args(["--no-progress-meter", "-f", "-o", layout]);
    let ran = run.arg(mirror.url("/distfiles/layout.conf")).succeeds();
    assert!(ran.stderr().contains("is broken") && ran.stderr().contains("moved to"), "{ran:?}");
    assert!(place.read("state/mirrors.json.broken-1") == b"broken");
    assert!(place.read("state/mirrors.json").starts_with(b"{"));
}

/// The clock went back two hours after a mirror said that it lacks the file: nobody believes that for two hours.
#[test]
fn a_note_from_the_future() {
    let bytes = content(1, 1000);
    let file = Distfile { name: "x-1.tar", content: &bytes };
    let (place, lacking) = (Place::new(), Mirror::start());
    lacking.on("*").status(404).always();
    fetch(&place, &lacking, &file).fails(22, &["x-1.tar"]);
    fetch(&place, &lacking, &file).fails(22, &["a moment ago"]);
    let mut state: serde_json::Value = serde_json::from_slice(&place.read("state/mirrors.json")).unwrap();
    let ahead = |time: &mut serde_json::Value| *time = (time.as_u64().unwrap() + 7200).into();
    let mut moved = 0;
    for files in state["notes"]["lacks"].as_object_mut().unwrap().values_mut() {
        for span in files.as_object_mut().unwrap().values_mut() {
            match span.as_array_mut() {
                Some(span) => span.iter_mut().for_each(ahead),
                None => ahead(span),
            }
            moved += 1;
        }
    }
    assert!(moved > 0, "{state}");
    place.write("state/mirrors.json", state.to_string());
    let before = lacking.requests_for("/distfiles/x-1.tar").len();
    fetch(&place, &lacking, &file).fails(22, &["x-1.tar"]);
    assert_eq!(lacking.requests_for("/distfiles/x-1.tar").len(), before + 1, "it was not asked");
}

/// A file that Portage set aside, of the right size and wrong: it is not taken, and it stays.
#[test]
fn a_wrong_file_of_the_right_size_is_no_salvage() {
    let bytes = content(1, 1000);
    let file = Distfile { name: "x-1.tar", content: &bytes };
    let mirror = mirror(&bytes);
    let place = Place::new();
    place.write("x-1.tar._checksum_failure_.abcd", content(2, 1000));
    std::os::unix::fs::symlink(
        "x-1.tar._checksum_failure_.abcd",
        place.join("x-1.tar._checksum_failure_.link"),
    )
    .unwrap();
    fetch(&place, &mirror, &file).succeeds();
    assert!(place.read(NAME) == bytes);
    assert!(place.read("x-1.tar._checksum_failure_.abcd") == content(2, 1000));
}
