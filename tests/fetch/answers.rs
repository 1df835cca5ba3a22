//! What the last line says of those who were asked: who failed, what each has answered, also in an earlier call, and
//! what is there of the file.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::driver::{Distdir, Ended, NAME, manifest_line};
use super::mirrors::{PATH, base, bases, failures, saying, serving};
use crate::support::content::content;
use crate::support::mirror::{Mirror, Rule};
use crate::support::ports::Port;
use crate::support::proxy::{Manners, Proxy};

#[track_caller]
fn assert_says(ended: &Ended, title: &str, said: &[&str], not_said: &[&str]) {
    for text in said {
        assert!(ended.output.contains(text), "{title}: not said: {text:?}: {ended}");
    }
    for text in not_said {
        assert!(!ended.output.contains(text), "{title}: said: {text:?}: {ended}");
    }
}

/// A mirror that is asked once for the file, and as often as one likes for its layout.
fn once(rule: Rule) -> Mirror {
    let mirror = Mirror::start();
    mirror.on(PATH).add(rule.at_most(1));
    mirror.on("/distfiles/layout.conf").status(404).always();
    mirror
}

#[test]
fn a_second_call_says_what_each_mirror_has_answered() {
    let right = content(1, 5000);
    let rows: [(&str, [Rule; 2], [&str; 2]); 3] = [
        ("404", [Rule::status(404), Rule::status(404)], ["HTTP status 404", "HTTP status 404"]),
        ("gone", [Rule::status(410), Rule::status(404)], ["HTTP status 410", "HTTP status 404"]),
        (
            "another file",
            [Rule::status(404), Rule::serve(content(2, 70))],
            ["HTTP status 404", "the file there has 70 bytes, not 5000"],
        ),
    ];
    for (title, rules, answers) in rows {
        let mirrors = rules.map(once);
        let distdir = Distdir::new();
        let call = || distdir.call().target(&right).mirrors(&bases(&mirrors)).fetch(&mirrors[0].url(PATH));
        let said = |mirror: usize| format!("{}: {}", mirrors[mirror].address(), answers[mirror]);
        let advice = "; the file is not there: another mirror or upstream may have it";
        let first = call();
        assert_says(&first, title, &[&said(0), &said(1)], &["a moment ago"]);
        let second = call();
        let remembered = [0, 1].map(|mirror| format!("{} (a moment ago)", said(mirror)));
        assert_says(&second, title, &[&remembered[0], &remembered[1], advice], &["none of", "network"]);
        assert_eq!(second.code, Some(22), "{title}: {second}");
    }
}

#[test]
fn what_was_answered_before_counts_beside_who_cannot_be_reached() {
    let right = content(1, 5000);
    for (title, port) in [("refusing", Port::refusing()), ("babbling", Port::babbling())] {
        let mirror = once(Rule::status(404));
        let dead = format!("http://{}", port.address());
        let distdir = Distdir::new();
        let call =
            || distdir.call().target(&right).mirrors(&[base(&mirror), dead.clone()]).fetch(&mirror.url(PATH));
        call();
        let second = call();
        let remembered = format!("{}: HTTP status 404 (a moment ago)", mirror.address());
        let other = format!("{}: ", port.address());
        let advice = "the file is not there: another mirror or upstream may have it";
        assert_says(&second, title, &[&remembered, &other, advice], &["check the network"]);
    }
}

#[test]
fn who_has_answered_tells_more_than_who_cannot_be_reached() {
    let right = content(1, 5000);
    let port = Port::refusing();
    for first in [0, 1] {
        let mirror = saying(Rule::status(404));
        let dead = format!("http://{}", port.address());
        let mut mirrors = [base(&mirror), dead];
        mirrors.rotate_left(first);
        let ended = Distdir::new().call().target(&right).mirrors(&mirrors).fetch(&mirror.url(PATH));
        assert_says(&ended, "404 and refused", &["the file is not there"], &["check the network"]);
    }
}

#[test]
fn a_dead_proxy_is_named_and_no_mirror_blamed() {
    let right = content(1, 5000);
    let mirrors = [Mirror::start(), Mirror::start()]; // fail the test when they are asked
    let refusing = Port::refusing();
    let dead = refusing.address();
    let mute = Port::mute();
    let [http, socks] = [Proxy::http(Manners::Refusing(403)), Proxy::socks5(Manners::Refusing(0))];
    let asking = Proxy::http(Manners::Asking("a:b".to_owned()));
    for (title, scheme, address, more) in [
        ("refuses connections", "http", dead, &[] as &[&str]),
        ("refuses connections, with a tunnel", "http", dead, &["-p"]),
        ("SOCKS, refuses connections", "socks5h", dead, &[]),
        ("SOCKS, says nothing", "socks5h", mute.address(), &["--connect-timeout", "1"]),
        ("refuses the tunnel", "http", http.address(), &["-p"]),
        ("wants a password for the tunnel", "http", asking.address(), &["-p"]),
        ("SOCKS, refuses", "socks5h", socks.address(), &[]),
    ] {
        for by_variable in [false, true] {
            let distdir = Distdir::new();
            let url = format!("{scheme}://{address}");
            let call = distdir.call().target(&right).mirrors(&bases(&mirrors)).args(more);
            let call = if by_variable { call.env("all_proxy", &url) } else { call.args(["-x", &url]) };
            let ended = call.fetch(&mirrors[0].url(PATH));
            assert!(!ended.success(), "{title}: {ended}");
            let named = format!("the proxy {address}: ");
            let mirrors_named = mirrors.each_ref().map(|mirror| format!("{}: ", mirror.address()));
            assert_says(
                &ended,
                title,
                &[&named, "; check the proxy"],
                &[&mirrors_named[0], &mirrors_named[1]],
            );
            assert_eq!(ended.output.matches(&named).count(), 1, "{title}: {ended}");
            for mirror in &mirrors {
                assert_eq!(failures(&distdir, &base(mirror)), [""; 0], "{title}: {ended}");
            }
        }
    }
}

#[test]
fn a_redirect_to_nobody_names_where_it_led() {
    let right = content(1, 5000);
    let (refusing, babbling) = (Port::refusing(), Port::babbling());
    for (title, port, why) in [
        ("a dead login page", &refusing, "cannot connect: "),
        ("a login page that speaks no HTTP", &babbling, "the answer is not HTTP"),
    ] {
        let target = format!("http://{}/login?from=x", port.address());
        let mirror = saying(Rule::redirect(302, &target));
        let named = format!("redirected to {}: {why}", port.address());
        let distdir = Distdir::new();
        let ended = distdir.call().target(&right).mirrors(&[base(&mirror)]).fetch(&mirror.url(PATH));
        assert_says(&ended, title, &[&named], &["check the network connection"]);
        let ended = distdir.call().fetch(&mirror.url(PATH));
        assert_says(&ended, title, &[&named], &["check the network connection"]);
    }
}

#[test]
fn what_came_is_kept_is_only_said_when_something_came() {
    let right = content(1, 50_000);
    let serve = || Rule::serve(&right);
    for (title, rule, options, kept) in [
        ("reset at once", &Rule::reset as &dyn Fn() -> Rule, &[] as &[&str], false),
        ("reset before the first byte", &|| serve().reset_after(0), &[], false),
        ("cut off before the first byte", &|| serve().close_after(0), &[], false),
        ("silence", &Rule::silence, &["-m", "1"], false),
        ("cut off", &|| serve().close_after(20_000), &[], true),
        ("stalled", &|| serve().stall_after(20_000), &["-m", "1"], true),
    ] {
        for verified in [true, false] {
            let mirror = Mirror::start();
            mirror.on(PATH).add(rule().times(1));
            mirror.on(PATH).reset().always();
            mirror.on("/distfiles/layout.conf").status(404).always();
            let distdir = Distdir::new();
            let call = distdir.call().args(options);
            let call = if verified { call.target(&right) } else { call };
            let ended = call.fetch(&mirror.url(PATH));
            assert!(!ended.success(), "{title}: {ended}");
            let said = ended.output.contains("what came is kept");
            assert_eq!(said, kept, "{title}, verified: {verified}: {ended}");
            assert_eq!(distdir.content().is_some_and(|held| !held.is_empty()), kept, "{title}: {ended}");
        }
    }
    let mirror = saying(serve().close_after(20_000));
    let distdir = Distdir::new();
    let ended = distdir.call().args(["--remove-on-error"]).fetch(&mirror.url(PATH));
    assert_says(&ended, "removed", &[], &["is kept"]);
    let ended = distdir.call().output(Path::new("-")).fetch(&mirror.url(PATH));
    assert_says(&ended, "stdout", &[], &["is kept"]);
}

#[test]
fn bytes_that_came_just_now_were_not_there_already() {
    let right = content(1, 50_000);
    for (title, rule) in [
        (
            "no length, and a reset behind the last byte",
            Rule::serve(&right).until_close().reset_after(50_000),
        ),
        ("in chunks, and a reset behind the last byte", Rule::serve(&right).chunked().reset_after(50_000)),
        ("all is well", Rule::serve(&right)),
    ] {
        let mirror = saying(rule);
        let distdir = Distdir::new();
        // The size is not known.
        let ended = distdir.call().digests_of(&right).fetch(&mirror.url(PATH));
        ended.assert_success();
        distdir.assert_holds(&right, &ended);
        assert_says(&ended, title, &["verified BLAKE2B SHA512"], &["was there already"]);
        let again = distdir.call().resume().target(&right).fetch(&mirror.url(PATH));
        assert_says(&again, title, &["was there already"], &[]);
    }
}

#[test]
fn a_failure_leaves_no_empty_file_and_touches_no_old_one() {
    let right = content(1, 5000);
    for (title, rule) in [
        ("404", Rule::status(404)),
        ("410", Rule::status(410)),
        ("500", Rule::status(500)),
        ("reset", Rule::reset()),
    ] {
        for verified in [true, false] {
            let mirror = saying(rule.clone());
            let call = |distdir: &Distdir| {
                let call = distdir.call();
                let call = if verified { call.target(&right) } else { call };
                call.fetch(&mirror.url(PATH))
            };
            let distdir = Distdir::new();
            let ended = call(&distdir);
            assert!(!ended.success(), "{title}: {ended}");
            assert_eq!(distdir.names(), [""; 0], "{title}, verified: {verified}: {ended}");
            distdir.put_file(b"an old file");
            let ended = call(&distdir);
            let held = distdir.content();
            assert_eq!(held.as_deref(), Some(&b"an old file"[..]), "{title}, verified: {verified}: {ended}");
        }
    }
    // One that comes replaces it.
    let mirror = saying(Rule::serve(&right));
    let distdir = Distdir::new();
    distdir.put_file(&content(2, 9000));
    let ended = distdir.call().target(&right).fetch(&mirror.url(PATH));
    ended.assert_success();
    distdir.assert_holds(&right, &ended);
}

/// As a person at a terminal runs it: the exit code, and what is on the terminal then.
fn at_a_terminal(program: &str, arguments: &[&str]) -> (Option<i32>, Vec<u8>) {
    let run = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
    let mut command = Command::new("python3");
    command.args(["-c", run, program]).args(arguments).env_remove("http_proxy").env("TERM", "dumb");
    let run = command.stdin(Stdio::null()).output().expect("python3 is there for Portage, too");
    (run.status.code(), run.stdout)
}

#[test]
fn binary_content_is_kept_from_a_terminal_as_by_curl() {
    for (title, bytes, options, code) in [
        ("binary", &b"\x1f\x8b\0\x01"[..], &[] as &[&str], 23),
        ("binary behind some text", b"a line\nand \0", &[], 23),
        ("binary, and asked for", b"a\0b", &["-o", "-"], 0),
        ("text", b"a line\n", &[], 0),
    ] {
        let mirror = Mirror::start();
        mirror.on("/f").serve(bytes).always();
        let url = mirror.url("/f");
        let arguments = [&["-sS"][..], options, &[url.as_str()]].concat();
        for program in ["curl", env!("CARGO_BIN_EXE_racefetch")] {
            let (ended, shown) = at_a_terminal(program, &arguments);
            assert_eq!(ended, Some(code), "{title}: {program}: {}", String::from_utf8_lossy(&shown));
            assert_eq!(shown.contains(&0), code == 0 && bytes.contains(&0), "{title}: {program}");
        }
    }
}

#[test]
fn the_name_of_the_url_counts_when_file_has_another_one() {
    let right = content(1, 5000);
    for file in ["h", "download.tmp", "foo-1.tar.xz.new"] {
        let mirrors = [saying(Rule::status(404)), serving(&right.clone().into())];
        let distdir = Distdir::new();
        let path = distdir.root().join(file);
        let call = distdir.call().digests_of(&right).mirrors(&bases(&mirrors)).output(&path);
        let ended = call.fetch(&mirrors[0].url(PATH));
        ended.assert_success();
        assert_eq!(fs::read(&path).unwrap(), right, "{file}: {ended}");
        // A mirror whose layout is by content has no names.
        let digest = super::driver::digest("sha512", &right);
        let digest = digest.strip_prefix("sha512:").unwrap();
        let by_content = Mirror::start();
        by_content.on(&format!("/distfiles/{digest}")).serve(&right).times(1);
        let call = distdir.call().digests_of(&right).mirrors(&[base(&by_content)]).output(&path);
        let ended = call.fetch(&by_content.url(&format!("/distfiles/{digest}")));
        assert_says(&ended, file, &["verified"], &[]);
    }
}

#[test]
fn the_manifest_may_know_the_name_of_file_or_that_of_the_url() {
    let (right, other) = (content(1, 5000), content(2, 6000));
    for (title, file, path, manifest) in [
        ("FILE's", NAME, "/upstream/v1.tar.xz", manifest_line(NAME, &right)),
        ("the URL's", "h", "/upstream/foo-1.tar.xz", manifest_line(NAME, &right)),
        ("both", NAME, "/upstream/v1", manifest_line(NAME, &right) + &manifest_line("v1", &other)),
    ] {
        let mirror = Mirror::start();
        mirror.on(path).serve(&right).times(1);
        let distdir = Distdir::new();
        distdir.put("repo/app-misc/foo/Manifest", manifest);
        distdir.put("repo/app-misc/foo/foo-1.ebuild", "");
        let ebuild = distdir.root().join("repo/app-misc/foo/foo-1.ebuild");
        let output = distdir.root().join(file);
        let call = distdir.call().env("EBUILD", &ebuild).env("EBUILD_PHASE", "fetch").output(&output);
        let ended = call.fetch(&mirror.url(path));
        ended.assert_success();
        assert_says(&ended, title, &["verified BLAKE2B SHA512"], &[]);
    }
}

#[test]
fn other_mirrors_are_told_no_secrets() {
    let right = content(1, 5000);
    for (field, value, is_told) in [
        ("PRIVATE-TOKEN", "s3cr3t", false),
        ("X-Api-Key", "s3cr3t", false),
        ("Authorization", "Bearer s3cr3t", false),
        ("Cookie", "a=s3cr3t", false),
        ("Referer", "http://here/?s3cr3t", false),
        ("Accept", "application/x-tar", true),
        ("Accept-Language", "de", true),
        ("Cache-Control", "no-cache", true),
        ("Pragma", "no-cache", true),
        ("User-Agent", "tester", true),
    ] {
        let mirrors = [saying(Rule::status(404)), serving(&right.clone().into())];
        let distdir = Distdir::new();
        let call = distdir.call().target(&right).mirrors(&bases(&mirrors));
        let ended = call.args(["-H", &format!("{field}: {value}")]).fetch(&mirrors[0].url(PATH));
        ended.assert_success();
        let told = mirrors.each_ref().map(|mirror| {
            let requests = mirror.requests_for(PATH);
            assert!(!requests.is_empty(), "{field}: {ended}");
            requests.iter().all(|request| request.field(field) == Some(value))
        });
        assert_eq!(told, [true, is_told], "{field}");
    }
}
