//! Users who are impatient and surroundings that are hostile: Ctrl-C, closed pipes, full disks, control characters.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::program::{Running, Server, command, err, files, folder, out, reconverge, unwrapped};

const SCENARIO: &str = "scenarios/races/dual-write.yaml";

fn json(output: &Output) -> Value {
    serde_json::from_str(&out(output))
        .unwrap_or_else(|e| panic!("{e}\n{}{}", out(output), err(output)))
}

/// Starts a long command, waits for a file or folder that it makes before its work and for some of that work, and presses
/// Ctrl-C.
fn interrupted(args: &[&str], begun: &Path) -> Output {
    let mut program = command(args, &[]);
    let mut running = Running::start(program.stdout(Stdio::piped()).stderr(Stdio::piped()));
    running.until(|_| begun.exists());
    let before = ticks(running.id());
    running.until(|id| ticks(id) >= before + 50);
    // The shell's own: not every machine has a program of that name.
    let pressed = Command::new("sh")
        .args(["-c", "kill -INT $0", &running.id().to_string()])
        .status();
    assert!(pressed.expect("the program starts").success());
    running.output()
}

/// The time that a process has spent on processors, in hundredths of a second: on a busy machine it says more than a clock.
fn ticks(id: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).expect("Linux has it");
    let (_, fields) = stat.rsplit_once(')').expect("its name is in brackets");
    let spent = fields.split_whitespace().skip(11).take(2);
    spent
        .map(|field| field.parse::<u64>().expect("a number"))
        .sum()
}

#[test]
fn ctrl_c_tells_what_is_known() {
    for format in ["text", "json"] {
        let out_folder = folder(&format!("interrupted-{format}")).join("out");
        let path = out_folder.display().to_string();
        let args = ["run", SCENARIO, "--seeds", "1000000", "--format", format];
        let output = interrupted(&[&args[..], &["--out", &path]].concat(), &out_folder);
        let text = out(&output);
        assert_eq!(output.status.code(), Some(130), "{text}{}", err(&output));
        if format == "text" {
            for want in [
                "of 1000000",
                "not run (interrupted)",
                "interrupted by Ctrl-C: of 2 cases 0 are whole, 1 in part and 1 not run",
            ] {
                assert!(text.contains(want), "no `{want}` in\n{text}");
            }
            let verdicts = text.lines().filter(|line| line.starts_with(" dual-write"));
            for line in verdicts {
                assert!(
                    !line.ends_with("holds") && !line.ends_with("caught"),
                    "{text}"
                );
            }
        } else {
            let report = json(&output);
            assert_eq!(
                (&report["interrupted"], &report["exitCode"]),
                (&true.into(), &130.into())
            );
            assert_eq!(report["cases"][0]["interrupted"], true);
            assert_eq!(report["elsewhere"][0]["verdict"], "not run (interrupted)");
        }
        for (path, _) in files(&out_folder) {
            assert!(path.extension().is_some_and(|e| e == "jsonl"), "{path:?}");
        }
    }
}

#[test]
fn ctrl_c_lets_the_long_job_be_gone_on_with() {
    let state = folder("interrupted-twins").join("state.jsonl");
    let path = state.display().to_string();
    let args = ["twins", SCENARIO, "--seeds", "1000000", "--state", &path];
    let output = interrupted(&args, &state);
    let text = out(&output);
    assert_eq!(output.status.code(), Some(130), "{text}{}", err(&output));
    assert!(text.contains("goes on from here"), "{text}");
    let again = reconverge(&["twins", SCENARIO, "--seeds", "0", "--state", &path]);
    assert_eq!(again.status.code(), Some(0), "{}", err(&again));
}

#[test]
fn a_failure_is_json_too() {
    let state = folder("json-failures").join("state.jsonl");
    let state = state.display().to_string();
    for args in [
        &["run", "no/such.yaml"][..],
        &["run", SCENARIO, "--variant", "none"],
        &["replay", SCENARIO, "--variant", "buggy"],
        &["replay", "Cargo.toml"],
        &["list", "no/such"],
        &["check", "docs"],
        &["twins", "no/such", "--state", &state],
        &["conform", "--server", "ftp://x"],
    ] {
        let output = reconverge(&[args, &["--format", "json"]].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let report = json(&output);
        assert_eq!(report["exitCode"], 2, "{report:#}");
        let message = report["errors"][0]["message"].as_str().expect("a text");
        assert!(
            unwrapped(&err(&output)).contains(&unwrapped(message)),
            "{args:?}: {message}"
        );
    }
}

#[test]
fn a_reader_who_goes_early_is_no_failure() {
    for args in [
        &["--help"][..],
        &["list", "scenarios"],
        &["schema"],
        &["completions", "zsh"],
    ] {
        let mut program = command(args, &[]);
        let program = program.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = program.spawn().expect("the program starts");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", err(&output));
        assert_eq!(err(&output), "", "{args:?}");
    }
}

#[test]
fn a_full_disk_is_told() {
    for args in [
        &["--help"][..],
        &["list", "scenarios", "--format", "json"],
        &["schema"],
    ] {
        let full = fs::File::options().write(true).open("/dev/full");
        let mut program = command(args, &[]);
        let program = program.stdout(full.expect("Linux has it"));
        let output = program.output().expect("the program starts");
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", err(&output));
    }
}

#[test]
fn what_files_and_recordings_say_moves_no_cursor() {
    let folder = folder("control-characters");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let good = fs::read_to_string(root.join(SCENARIO)).expect("the catalogue is there");
    let hostile = r"\e[2J\r\u202e";
    let text = good
        .replacen("summary: ", &format!("summary: \"{hostile}\" # "), 1)
        .replacen("source: \"", &format!("source: \"{hostile}"), 1);
    let path = folder.join("hostile.yaml");
    fs::write(&path, &text).expect("a scenario can be written");
    let path = path.display().to_string();
    let wrong = folder.join("wrong.yaml");
    let text = text.replacen("replicas: 2", &format!("\"{hostile}\": 2"), 1);
    fs::write(&wrong, text).expect("a scenario can be written");
    let wrong = wrong.display().to_string();
    let missing = "no/\u{1b}[2J\r.yaml";
    for (args, code) in [
        (&["list", &path][..], 0),
        (&["list", &path, "--format", "json"], 0),
        (&["catalogue", &path], 0),
        (&["check", &wrong], 2),
        (&["check", &wrong, "--format", "json"], 2),
        (&["run", &wrong], 2),
        (&["run", missing], 2),
        (&["run", missing, "--format", "json"], 2),
        (&["run", &path, "--variant", "\u{1b}[2J\r"], 2),
    ] {
        let output = reconverge(args);
        let text = out(&output) + &err(&output);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
        let obeyed = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
        assert!(!text.contains(obeyed), "{args:?}: {text:?}");
        assert!(text.contains("[2J\\r"), "{args:?}: {text}");
    }
}

#[test]
fn a_kubeconfig_is_its_owners_alone_even_where_a_file_was() {
    let path = folder("kubeconfig").join("config");
    fs::write(&path, "old, and longer than what comes\n".repeat(100)).expect("it can be written");
    let open = fs::Permissions::from_mode(0o644);
    fs::set_permissions(&path, open).expect("they can be set");
    let path_arg = path.display().to_string();
    drop(Server::start(&["--token", "t", "--kubeconfig", &path_arg]));
    let mode = fs::metadata(&path)
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = fs::read_to_string(&path).expect("it can be read");
    assert!(text.ends_with("token: \"t\"\n"), "{text}");
}
