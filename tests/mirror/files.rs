//! What lies in `mirror/` besides: scripts, units, and what names what.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::lan::{run, script, shipped};

fn files(folder: &str, suffix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(shipped(folder)).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<PathBuf> =
        entries.filter(|path| path.to_str().is_some_and(|path| path.ends_with(suffix))).collect();
    assert!(!files.is_empty(), "{folder}/*{suffix}");
    files
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn shellcheck_has_nothing_to_say() {
    let mut command = Command::new("shellcheck");
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["--external-sources", "x"]).args(files("bin", ""));
    let (output, said) = run(&mut command);
    assert!(output.status.success(), "{said}");
    // What openrc-run sets is not known to it.
    let mut command = Command::new("shellcheck");
    let (output, said) =
        run(command.args(["--shell=sh", "--exclude=SC2034,SC2154"]).args(files("openrc", ".initd")));
    assert!(output.status.success(), "{said}");
}

#[test]
fn each_script_tells_its_options_and_each_option_is_one() {
    for file in files("bin", "") {
        let name = file.file_name().unwrap().to_str().unwrap();
        let (output, said) = run(script(name).arg("--help"));
        assert!(output.status.success() && said.contains("Exit status: 0 "), "{name}: {said}");
        let text = text(&file);
        for line in said.lines().filter_map(|line| line.trim_start().strip_prefix("--")) {
            let option = line.split([' ', '\n']).next().unwrap();
            assert!(text.contains(&format!("\t--{option}) ")), "{name} --{option}");
        }
    }
}

#[test]
fn each_setting_of_the_configuration_is_read_and_each_that_is_read_is_told() {
    let conf = text(&shipped("mirror.conf"));
    let settings: Vec<&str> = conf
        .lines()
        .filter_map(|line| line.strip_prefix('#')?.split_once('='))
        .map(|(name, _)| name)
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'))
        .collect();
    assert!(settings.len() > 20, "{settings:?}");
    let code: String = files("bin", "").iter().chain(&files("lib", ".sh")).map(|file| text(file)).collect();
    for setting in &settings {
        let read = [format!(": \"${{{setting}:="), format!(": \"${{{setting}=")];
        assert!(read.iter().any(|read| code.contains(read)), "{setting} is not read");
    }
    for read in code.lines().filter_map(|line| line.strip_prefix(": \"${")) {
        let setting = read.split([':', '=']).next().unwrap();
        // Only containers need to say where the logs go.
        let container_only = ["ERROR_LOG", "ACCESS_LOG", "PUBLIC_LOG", "KEYS_ZONE"].contains(&setting);
        assert!(container_only || settings.contains(&setting), "{setting} is not told");
    }
}

#[test]
fn units_and_crontab_start_what_there_is() {
    let names: Vec<String> =
        files("bin", "").iter().map(|file| file.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    let mut started = 0;
    for unit in files("systemd", ".service") {
        for line in text(&unit).lines().filter_map(|line| line.strip_prefix("ExecStart=")) {
            let program = line.split(' ').next().unwrap();
            let Some(name) = program.strip_prefix("/usr/share/racefetch/mirror/bin/") else { continue };
            assert!(names.iter().any(|there| there == name), "{}: {name}", unit.display());
            started += 1;
        }
    }
    assert_eq!(started, names.len(), "each script has its unit");
    let cron = text(&shipped("openrc/racefetch-mirror.cron"));
    assert!(names.iter().all(|name| cron.contains(&format!(" {name} "))), "{cron}");
    for timer in files("systemd", ".timer") {
        assert!(timer.with_extension("service").exists(), "{}", timer.display());
    }
    if Path::new("/usr/bin/systemd-analyze").exists() {
        // Programs must be where the units say they are.
        let folder = tempfile::tempdir().unwrap();
        let units: Vec<PathBuf> =
            files("systemd", ".service").into_iter().chain(files("systemd", ".timer")).collect();
        for unit in &units {
            let lines = text(unit);
            let lines = lines.lines().map(|line| match line.split_once('=') {
                Some(("ExecStart", _)) => "ExecStart=/bin/true\n".to_owned(),
                _ => format!("{line}\n"),
            });
            fs::write(folder.path().join(unit.file_name().unwrap()), lines.collect::<String>()).unwrap();
        }
        let written = units.iter().map(|unit| folder.path().join(unit.file_name().unwrap()));
        let (output, said) = run(Command::new("systemd-analyze").arg("verify").args(written));
        assert!(output.status.success() && said.trim().lines().count() == 1, "{said}");
    }
}
