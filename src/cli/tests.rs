//! Whole command lines.

use super::options::*;
use super::*;
use crate::http::settings::{FieldEdit, ProxyKind};
use crate::http::url::SchemeSet;
use crate::portage::Algorithm;
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;

const NO_FILES: &[(&str, &str)] = &[];

fn parse_with(args: &[&str], files: &[(&str, &str)]) -> Result<Command, UsageError> {
    let args: Vec<OsString> = args.iter().map(OsString::from).collect();
    let read = |path: &Path| {
        let file = files.iter().find(|(name, _)| Path::new(name) == path);
        file.map(|(_, text)| (*text).to_owned()).ok_or_else(|| io::ErrorKind::NotFound.into())
    };
    parse(&args, &read)
}

fn fetch_with(args: &[&str], files: &[(&str, &str)]) -> FetchOptions {
    match parse_with(args, files) {
        Ok(Command::Fetch(options)) => *options,
        other => panic!("{args:?} gave {other:?}"),
    }
}

fn fetch(line: &str) -> FetchOptions {
    fetch_with(&line.split(' ').collect::<Vec<_>>(), NO_FILES)
}

fn error(line: &str) -> UsageError {
    match parse_with(&line.split(' ').collect::<Vec<_>>(), NO_FILES) {
        Err(error) => error,
        Ok(command) => panic!("{line:?} gave {command:?}"),
    }
}

fn outputs(options: &FetchOptions) -> Vec<(&str, Output)> {
    options.transfers.iter().map(|t| (t.url.as_str(), t.output.clone())).collect()
}

fn file(path: &str) -> Output {
    Output::File(path.into())
}

#[test]
fn portages_own_lines() {
    let options =
        fetch("-f -L --retry 3 --connect-timeout 60 --speed-limit 30 -o /d/x.__download__ http://m/x");
    assert_eq!(outputs(&options), [("http://m/x", file("/d/x.__download__"))]);
    assert_eq!(options.output.fail, Fail::Fast);
    assert!(options.redirects.follow);
    assert_eq!(options.retry.count, Some(3));
    assert_eq!(options.network.connect_timeout, Some(Duration::from_secs(60)));
    let speed = SpeedLimit { bytes_per_second: 30, time: Duration::from_secs(30) };
    assert_eq!(options.limits.speed, Some(speed));
    assert_eq!(fetch("-C - -o x http://m/x").request.resume, Resume::Existing);
    let webrsync = fetch("--continue-at - -f -S -s -o x http://m/x");
    assert!(webrsync.report.silent && webrsync.report.show_error);
}

#[test]
fn short_options_combine_and_carry_values() {
    let options = fetch("-fsSLo x -C5 -m2.5 http://m/x");
    assert_eq!(outputs(&options), [("http://m/x", file("x"))]);
    assert!(options.report.silent && options.report.show_error && options.redirects.follow);
    assert_eq!(options.request.resume, Resume::From(5));
    assert_eq!(options.limits.max_time, Some(Duration::from_millis(2500)));
    assert_eq!(outputs(&fetch("-fox http://m/x")), [("http://m/x", file("x"))]);
    assert_eq!(fetch("-C- http://m/x").request.resume, Resume::Existing);
    assert_eq!(fetch("-sC - http://m/x").request.resume, Resume::Existing);
}

#[test]
fn long_options_abbreviate_negate_and_take_values_both_ways() {
    let options = fetch("--silent --no-silent --show-e --no-progress-meter --output=x --max-t 3 h");
    assert!(!options.report.silent && options.report.show_error);
    assert!(!options.report.progress_meter);
    assert_eq!(outputs(&options), [("h", file("x"))]);
    assert_eq!(options.limits.max_time, Some(Duration::from_secs(3)));
    assert_eq!(fetch("--no-head h").transfers.len(), 1, "what is off is not asked for");
    for line in
        ["--spee 1 h", "--no-output x h", "--foo h", "--silent=1 h", "--no-ipv4 h", "-", "-fj? h", "---- h"]
    {
        assert_eq!(error(line).status, ExitStatus::FailedInit, "{line}");
    }
    assert_eq!(error("--foo h").to_string(), "racefetch: option --foo: is unknown; see racefetch --help all");
    assert_eq!(error("h -o").to_string(), "racefetch: option -o: requires parameter");
}

#[test]
fn a_double_dash_ends_the_options() {
    let options = fetch("-s -- -x http://m/x");
    let urls: Vec<_> = options.transfers.iter().map(|t| t.url.as_str()).collect();
    assert_eq!(urls, ["-x", "http://m/x"]);
    assert_eq!(outputs(&fetch("http://m/x -o y")), [("http://m/x", file("y"))]);
}

#[test]
fn urls_and_outputs_pair_in_order() {
    use Output::{RemoteName, Stdout};
    assert_eq!(outputs(&fetch("a b -o 1 -o 2")), [("a", file("1")), ("b", file("2"))]);
    assert_eq!(outputs(&fetch("-o 1 -O a b c")), [("a", file("1")), ("b", RemoteName), ("c", Stdout)]);
    assert_eq!(outputs(&fetch("-o - a")), [("a", file("-"))]);
    assert_eq!(outputs(&fetch("--output-dir d -o - a -o b b")), [("a", file("-")), ("b", file("d/b"))]);
    assert_eq!(
        outputs(&fetch("a --remote-name-all b -o 1 c")),
        [("a", file("1")), ("b", RemoteName), ("c", RemoteName)]
    );
    assert_eq!(outputs(&fetch("--remote-name-all --no-remote-name a b")), [("a", Stdout), ("b", RemoteName)]);
    assert_eq!(outputs(&fetch("--output-dir d -o x a -o /y b")), [("a", file("d/x")), ("b", file("d//y"))]);
    assert_eq!(fetch("-o 1 -o 2 a").warnings.len(), 1);
    assert_eq!(outputs(&fetch("--url a --url=b")).len(), 2);
    assert_eq!(outputs(&fetch("http://h/{a,b}[1-3]"))[0].0, "http://h/{a,b}[1-3]");
    let list = fetch_with(&["@list", "-o", "1"], &[("list", "a\n# c\n\nb\n")]);
    assert_eq!(outputs(&list), [("a", file("1")), ("b", RemoteName)]);
}

#[test]
fn paths_need_not_be_utf8() {
    let odd = OsString::from_vec(b"-o\xff\xfe".to_vec());
    let Ok(Command::Fetch(options)) = parse(&[odd, "h".into()], &|_| unreachable!()) else { panic!() };
    assert_eq!(options.transfers[0].output, Output::File(OsStr::from_bytes(b"\xff\xfe").into()));
    let url = OsString::from_vec(b"http://h/\xff".to_vec());
    assert_eq!(parse(&[url], &|_| unreachable!()).unwrap_err().status, ExitStatus::UrlMalformat);
    let long = OsString::from_vec(b"--output=\xff".to_vec());
    assert!(parse(&[long, "h".into()], &|_| unreachable!()).is_ok());
}

#[test]
fn urls_that_cannot_be_urls_are_status_3() {
    for args in [&["http://h/a b"][..], &["http://h/\n"], &["--url", ""]] {
        assert_eq!(parse_with(args, NO_FILES).unwrap_err().status, ExitStatus::UrlMalformat, "{args:?}");
    }
    assert_eq!(parse_with(&[], NO_FILES).unwrap_err().status, ExitStatus::FailedInit);
    assert_eq!(parse_with(&[""], NO_FILES).unwrap_err().status, ExitStatus::FailedInit);
}

#[test]
fn digests_come_in_every_form_of_portage() {
    let blake2b = format!("blake2b:{}", "ab".repeat(64));
    let sha512 = format!("sha512:{}", "cd".repeat(64));
    let both = format!("{blake2b} {sha512}");
    for args in [
        &["http://h/x", &both][..],
        &[&blake2b, "http://h/x", &sha512],
        &["--digests", &both, "http://h/x"],
        &["--digests", &blake2b, "http://h/x", &sha512],
    ] {
        let options = fetch_with(args, NO_FILES);
        assert_eq!(options.transfers.len(), 1, "{args:?}");
        let digests = options.distfile.digests.unwrap();
        assert_eq!(digests.get(Algorithm::Blake2b).unwrap().to_string(), blake2b);
        assert_eq!(digests.get(Algorithm::Sha512).unwrap().to_string(), sha512);
    }
    assert_eq!(fetch_with(&["http://h/x", ""], NO_FILES).distfile.digests, None);
    let none = fetch_with(&["http://h/x", "--digests", ""], NO_FILES).distfile.digests.unwrap();
    assert!(none.is_empty());
    let unknown = format!("sha3_512:{}", "00".repeat(64));
    let options = fetch_with(&["http://h/x", &unknown], NO_FILES);
    let digests = options.distfile.digests.unwrap();
    assert_eq!(digests.unknown_algorithms().collect::<Vec<_>>(), ["sha3_512"]);
    assert_eq!(outputs(&fetch("localhost:8080"))[0].0, "localhost:8080");
    assert_eq!(error("sha512:8080 h").status, ExitStatus::FailedInit);
    assert_eq!(error("--digests sha512 h").status, ExitStatus::FailedInit);
}

#[test]
fn our_own_options() {
    let args = [
        "--mirrors",
        "http://a/ \n http://b/",
        "--size",
        "10",
        "--parallel-mirrors",
        "4",
        "--state",
        "s",
        "h",
    ];
    let distfile = fetch_with(&args, NO_FILES).distfile;
    assert_eq!(distfile.mirrors.unwrap(), ["http://a/", "http://b/"]);
    assert_eq!((distfile.size, distfile.parallel_mirrors), (Some(10), Some(4)));
    assert_eq!(distfile.state, Some("s".into()));
    assert_eq!(fetch_with(&["--mirrors", "", "h"], NO_FILES).distfile.mirrors, Some(Vec::new()));
    assert_eq!(fetch("h").distfile, DistfileOptions::default());
}

#[test]
fn headers_cookies_and_credentials() {
    let files = [("fields", "X-A: 1\n\n# no\nX-B;\r\n")];
    let options =
        fetch_with(&["-H", "Accept:", "-H@fields", "-b", "a=1", "-b", "b=2", "-u", "joe:x", "h"], &files);
    let headers: Vec<_> = options.request.fields.iter().map(FieldEdit::name).collect();
    assert_eq!(headers, ["Accept", "X-A", "X-B", "Cookie"]);
    assert_eq!(options.request.fields[3], FieldEdit::Set("Cookie".into(), "a=1; b=2".into()));
    assert_eq!(options.request.credentials.unwrap().user, "joe");
    assert_eq!(fetch("-e http://r;auto h").request.referer.as_deref(), Some("http://r"));
    assert!(fetch("-e ;auto h").redirects.auto_referer);
    let ignored = fetch("-H nonsense -H A:b h");
    assert_eq!((ignored.request.fields.len(), ignored.warnings.len()), (1, 1));
    let cookies =
        fetch_with(&["-b", "one", "-b", "", "-b", "two", "-j", "-c", "-", "h"], NO_FILES).request.cookies;
    assert_eq!(cookies.files, [Path::new("one"), Path::new("two")]);
    assert_eq!((cookies.shared, cookies.junk_session, cookies.jar), (true, true, Some(Sink::Stdout)));
    assert_eq!(fetch("-b a=1 h").request.cookies, CookieOptions::default());
    for line in ["-H X/Y:z h", "-A \u{1} h", "-b a=\r h", "-u joe h"] {
        assert_eq!(error(line).status, ExitStatus::FailedInit, "{line}");
    }
}

#[test]
fn files_that_cannot_be_read_are_status_26() {
    for line in ["-K none h", "-H @none h", "-w @none h", "@none"] {
        let error = error(line);
        assert_eq!(error.status, ExitStatus::ReadError, "{line}");
        assert!(error.to_string().contains("none"), "{error}");
    }
}

#[test]
fn config_files_are_command_lines() {
    let config = "silent\noutput = \"a b\"\n-C 5\nurl: http://h/ lost\nno-fail\n";
    let options = fetch_with(&["-f", "-K", "c"], &[("c", config)]);
    assert_eq!(outputs(&options), [("http://h/", file("a b"))]);
    assert!(options.report.silent && options.output.fail == Fail::No);
    assert_eq!(options.warnings.len(), 1);
    let wrong = parse_with(&["-K", "c"], &[("c", "silent\nfoo\n")]).unwrap_err();
    assert_eq!(wrong.to_string(), "racefetch: c:2: option foo: is unknown; see racefetch --help all");
    let garbage = parse_with(&["-K", "c"], &[("c", "silent yes\n")]).unwrap_err();
    assert!(garbage.to_string().contains("trailing garbage"), "{garbage}");
    let endless = parse_with(&["-K", "c"], &[("c", "config = c\n")]).unwrap_err();
    assert_eq!(endless.status, ExitStatus::FailedInit);
    assert!(parse_with(&["-K", "-"], &[("-", "url = h")]).is_ok());
}

#[test]
fn contradictions_are_refused() {
    for line in [
        "-C - -r 0-1 h",
        "-r 0-1 -C 5 h",
        "-C - --remove-on-error h",
        "-OJ -C - h",
        "--tls-max 1.2 --tlsv1.3 h",
        "--tls-max 1.1 h",
        "--parallel-mirrors x h",
        "--parallel-mirrors 0 h",
        "--size 1k h",
        "--cert a:b h",
        "--key-type DER h",
        "-X POST h",
        "-o x",
        "--output-dir= h",
        "--interface a/b h",
        "--max-redirs -2 h",
    ] {
        assert_eq!(error(line).status, ExitStatus::FailedInit, "{line}");
    }
    assert_eq!(error("--resolve foo h").status, ExitStatus::SetoptOptionSyntax);
    assert_eq!(error("--proto-default ftp h").status, ExitStatus::UnsupportedProtocol);
    assert_eq!(fetch("-X GET --key-type pem --max-redirs -1 h").redirects.most, None);
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let refused = error("-d x h").to_string();
    assert_eq!(refused, "racefetch: option --data: is refused: racefetch downloads, it does not send data");
    for words in [
        "-T x",
        "-F a=b",
        "--json {}",
        "-I",
        "-i",
        "--raw",
        "-:",
        "--next",
        "--no-clobber",
        "--url-query a=b",
        "--proxy-header A:b",
        "--disallow-username-in-url",
        "--digest",
        "--aws-sigv4 a:b",
        "--hsts f",
        "--dns-servers 1.1.1.1",
        "--doh-url https://d",
        "--connect-to a:1:b:2",
        "--unix-socket s",
        "--preproxy p",
        "--cert-status",
        "--ciphers x",
        "--crlfile f",
        "--pinnedpubkey x",
        "--tlsuser u",
        "--expand-url",
    ] {
        for error in [
            error(&format!("{words} h")),
            parse_with(&["h", "-K", "c"], &[("c", words)]).unwrap_err(),
            parse_with(&["h", "-K", "c"], &[("c", words.trim_start_matches("--"))]).unwrap_err(),
        ] {
            assert!(error.to_string().contains("is refused"), "{words}: {error}");
        }
    }
}

/// Every option that the table has is understood by the parser, and an ignored one changes nothing.
#[test]
fn the_table_and_the_parser_agree() {
    let plain = format!("{:?}", fetch("h"));
    for (spelling, class) in table::all() {
        let long = format!("--{}", spelling.long);
        let mut args = vec!["h", long.as_str()];
        if spelling.value().is_some() {
            args.push("1");
        }
        let result = parse_with(&args, &[("1", "")]);
        match class {
            table::Class::Ignored(_) => {
                let Ok(Command::Fetch(options)) = result else { panic!("{long}: {result:?}") };
                assert_eq!(format!("{options:?}"), plain, "{long}");
            }
            table::Class::Refused(_) => {
                assert!(result.unwrap_err().to_string().contains("refused"), "{long}");
            }
            table::Class::Does(_) => {
                let unknown = result.err().is_some_and(|error| error.to_string().contains("unknown"));
                assert!(!unknown, "{long}");
            }
        }
    }
}

#[test]
fn joint_options() {
    assert_eq!(fetch("-n h").request.netrc, Netrc::Required(None));
    assert_eq!(fetch("--netrc-file f h").request.netrc, Netrc::Required(Some("f".into())));
    assert_eq!(fetch("--netrc-optional --netrc-file f h").request.netrc, Netrc::Optional(Some("f".into())));
    let https = SchemeSet { http: false, https: true };
    let options = fetch("--proto =https h");
    assert_eq!((options.request.schemes, options.redirects.schemes), (https, https));
    let options = fetch("--proto-redir =https h");
    assert_eq!((options.request.schemes, options.redirects.schemes), (SchemeSet::BOTH, https));
    assert_eq!(fetch("-y 5 h").limits.speed.unwrap().bytes_per_second, 1);
    assert_eq!(fetch("-Y 0 h").limits.speed, None);
    assert_eq!(fetch("-f --fail-with-body h").output.fail, Fail::WithBody);
    let resolved =
        fetch("--resolve a:80:1.1.1.1 --resolve a:80:2.2.2.2 --resolve b:1:3.3.3.3 --resolve -b:1 h");
    assert_eq!(resolved.network.resolve.len(), 1);
    assert_eq!(resolved.network.resolve[0].addresses, ["2.2.2.2".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(fetch("--socks5-hostname p:1 h").proxy.proxy.unwrap().kind, ProxyKind::Socks5h);
}

#[test]
fn write_out_reads_files_as_one_line() {
    let options = fetch_with(&["-w", "@f", "h"], &[("f", "a\n%{url}\r\n")]);
    let expected = write_out::Template::parse("a%{url}");
    assert_eq!(options.report.write_out, Some(expected));
}

#[test]
fn help_version_and_subcommands() {
    assert!(matches!(parse_with(&["-V"], NO_FILES), Ok(Command::Version)));
    assert!(matches!(parse_with(&["--no-version", "h"], NO_FILES), Ok(Command::Fetch(_))));
    for args in [&["-h"][..], &["--help"], &["--help", "all"], &["-M"], &["stats", "--help"]] {
        assert!(matches!(parse_with(args, NO_FILES), Ok(Command::Help(_))), "{args:?}");
    }
    let stats = parse_with(&["stats", "--json", "--state", "f"], NO_FILES);
    let expected = StatsArgs { json: true, state: Some("f".into()), ..StatsArgs::default() };
    assert!(matches!(stats, Ok(Command::Sub(Subcommand::Stats(args))) if args == expected));
    let words =
        ["stats", "--explain", "20M", "--mirrors", "http://a http://b", "--tier", "a=0", "--tier", "b=2"];
    let Ok(Command::Sub(Subcommand::Stats(explain))) = parse_with(&words, NO_FILES) else {
        panic!("{words:?}")
    };
    assert_eq!((explain.explain, explain.mirrors.as_deref()), (Some(20 << 20), Some("http://a http://b")));
    assert_eq!(explain.tiers.len(), 2);
    for words in [
        &["stats", "--tier", "a=0"][..],
        &["stats", "--explain", "x"],
        &["stats", "--explain", "1", "--tier", "a"],
    ] {
        let wrong = parse_with(words, NO_FILES).unwrap_err();
        assert_eq!((wrong.status, wrong.to_string().lines().count()), (ExitStatus::FailedInit, 1), "{wrong}");
    }
    let wrong = parse_with(&["stats", "--nonsense"], NO_FILES).unwrap_err();
    assert_eq!(wrong.status, ExitStatus::FailedInit);
    assert_eq!(wrong.to_string().lines().count(), 1);
    assert!(wrong.to_string().contains("--nonsense"), "{wrong}");
    assert!(matches!(parse_with(&["--", "stats"], NO_FILES), Ok(Command::Fetch(_))));
    assert!(matches!(parse_with(&["-s", "stats"], NO_FILES), Ok(Command::Fetch(_))));
}

proptest::proptest! {
    /// No command line, however odd, may do worse than an error of one line.
    #[test]
    fn any_words_end_in_a_command_or_one_line(words in proptest::collection::vec("(-{0,2}[a-zA-Z0-9=:#.@%!-]{0,12}|\\PC{0,8})", 0..6)) {
        let args: Vec<OsString> = words.iter().map(OsString::from).collect();
        if let Err(error) = parse(&args, &|_| Ok("silent\nurl = \"h\"\n".to_owned())) {
            proptest::prop_assert!(!error.to_string().is_empty());
        }
    }
}
