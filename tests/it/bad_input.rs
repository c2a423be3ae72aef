//! Bad input: each case a clear error with the place and a hint, exit code 2, nothing half-written.

use std::fs;
use std::path::Path;

use crate::program::{err, files, folder, out, reconverge, reconverge_with, unwrapped};

const SCENARIO: &str = "scenarios/races/dual-write.yaml";

/// Calls the program and wants exit code 2, all of `wants` on standard error, and nothing on standard output.
fn check(args: &[&str], wants: &[&str]) {
    let output = reconverge(args);
    let (out, err) = (out(&output), err(&output));
    assert_eq!(output.status.code(), Some(2), "{args:?}\n{out}{err}");
    let told = unwrapped(&err);
    for want in wants {
        assert!(
            told.contains(&unwrapped(want)),
            "{args:?}: no `{want}` in\n{err}"
        );
    }
    assert_eq!(out, "", "{args:?}");
}

/// A scenario of its own folder, made from a good one with one text replaced.
fn scenario(name: &str, text: &str, with: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let good = fs::read_to_string(root.join(SCENARIO)).expect("the catalogue is there");
    assert!(good.contains(text), "{text}");
    let path = folder(name).join("bad.yaml");
    fs::write(&path, good.replacen(text, with, 1)).expect("a scenario can be written");
    path.display().to_string()
}

fn check_scenario(name: &str, text: &str, with: &str, wants: &[&str]) {
    let path = scenario(name, text, with);
    let place = format!("{path}:");
    let mut all = vec![place.as_str(), "help: "];
    all.extend(wants);
    for command in ["run", "check"] {
        check(&[command, &path], &all);
    }
    check(
        &["replay", &path, "--variant", "buggy", "--seed", "1"],
        &all,
    );
}

#[test]
fn malformed_yaml() {
    let path = scenario("malformed", "version: 1", "version: [1");
    check(&["run", &path], &["not valid YAML", "bad.yaml:"]);
}

#[test]
fn an_unknown_key() {
    check_scenario(
        "unknown-key",
        "replicas: 2",
        "replcias: 2",
        &["unknown key `replcias`", "did you mean `replicas`?"],
    );
}

#[test]
fn an_unknown_operator() {
    check_scenario(
        "unknown-operator",
        "dual_write::buggy",
        "dual_writ::buggy",
        &[
            "unknown operator `dual_writ::buggy`",
            "did you mean `dual_write::buggy`?",
            "informer_lag::fixed",
            "Operators::new().add(",
        ],
    );
}

#[test]
fn an_unknown_kind() {
    check_scenario(
        "unknown-kind",
        "properties:",
        "workload: [{delete: {kind: WebAp, name: demo}}]\nproperties:",
        &[
            "unknown kind `WebAp`",
            "did you mean `WebApp`?",
            "cluster.crds",
        ],
    );
}

#[test]
fn an_object_that_the_api_server_refuses() {
    check_scenario(
        "refused-object",
        "objects: [{file: ../objects/webapp-demo.yaml}]",
        "objects: [{object: {apiVersion: demo.reconverge.dev/v1, kind: WebApp, metadata: {name: demo}, spec: {size: big}}}]",
        &["the API server refuses WebApp \"demo\"", "spec.size"],
    );
}

#[test]
fn an_unknown_property() {
    check_scenario(
        "unknown-property",
        "properties: [no-lost-update",
        "properties: [no-lost-updates",
        &[
            "unknown property `no-lost-updates`",
            "did you mean `no-lost-update`?",
        ],
    );
}

#[test]
fn a_property_that_must_fail_but_is_not_checked() {
    check_scenario(
        "unchecked-property",
        "properties: [no-lost-update, converges",
        "properties: [converges",
        &["`no-lost-update` is expected to fail but not checked"],
    );
}

#[test]
fn a_workload_step_on_a_missing_object() {
    check_scenario(
        "missing-object",
        "properties:",
        "workload: [{annotate: {kind: WebApp, name: dmeo, key: poked}}]\nproperties:",
        &[
            "no WebApp `dmeo` exists",
            "ifPresent: true",
            "there are: demo",
        ],
    );
}

#[test]
fn a_fault_on_an_operator_that_is_not_there() {
    check_scenario(
        "missing-operator",
        "crash: {operator: webapp,",
        "crash: {operator: web,",
        &["unknown operator `web`", "did you mean `webapp`?"],
    );
}

#[test]
fn a_step_that_does_two_things() {
    check_scenario(
        "two-things",
        "properties:",
        "workload: [{delete: {kind: WebApp, name: demo}, annotate: {kind: WebApp, name: demo, key: a}}]\nproperties:",
        &["a step does exactly one thing"],
    );
}

#[test]
fn a_seed_out_of_range() {
    check(
        &["run", SCENARIO, "--seed", "18446744073709551616"],
        &["--seed", "18446744073709551616"],
    );
    check(
        &["run", SCENARIO, "--seeds", "0..18446744073709551616"],
        &["--seeds", "is not a seed", "below 2^64"],
    );
    check(&["run", SCENARIO, "--seeds", "5..5"], &["holds no seed"]);
    check(
        &["replay", SCENARIO, "--variant", "buggy", "--seed", "-1"],
        &["`-1` is neither a seed"],
    );
    check(
        &[
            "replay",
            SCENARIO,
            "--variant",
            "buggy",
            "--seed",
            "18446744073709551616",
        ],
        &["neither a seed nor a token", "below 2^64"],
    );
}

#[test]
fn a_variant_that_is_not_there_or_not_said() {
    check(
        &["replay", SCENARIO, "--variant", "bugy", "--seed", "1"],
        &["unknown variant `bugy`", "did you mean `buggy`?"],
    );
    check(
        &["replay", SCENARIO, "--seed", "1"],
        &["2 variants", "buggy, fixed"],
    );
    check(
        &["replay", SCENARIO, "--variant", "buggy"],
        &["which seed?", "--seed N"],
    );
}

#[test]
fn a_token_of_another_scenario() {
    check(
        &[
            "replay",
            SCENARIO,
            "--variant",
            "buggy",
            "--seed",
            "v1.00000000.7",
        ],
        &["of another scenario", "has the hash "],
    );
    check(
        &["replay", SCENARIO, "--variant", "buggy", "--seed", "v1.7"],
        &["neither a seed nor a token"],
    );
}

#[test]
fn an_unwritable_output_folder() {
    let folder = folder("unwritable");
    let file = folder.join("file");
    fs::write(&file, "not a folder").expect("a file can be written");
    let below = file.join("out").display().to_string();
    for args in [
        &["run", SCENARIO, "--seeds", "2", "--out", &below][..],
        &[
            "replay",
            SCENARIO,
            "--variant",
            "buggy",
            "--seed",
            "1",
            "--out",
            &below,
        ],
    ] {
        check(args, &["cannot write", &below, "--out"]);
    }
    assert_eq!(files(&folder), [(file, b"not a folder".to_vec())]);
}

#[test]
fn flags_that_name_another_run() {
    let plan_and_seed = [
        "replay",
        SCENARIO,
        "--variant",
        "buggy",
        "--seed",
        "1",
        "--plan",
        "crash-1",
    ];
    check(
        &plan_and_seed,
        &["--seed and --plan name two runs", "help: "],
    );
    for (flag, value) in [
        ("--seed", "1"),
        ("--variant", "buggy"),
        ("--plan", "crash-1"),
    ] {
        check(
            &["replay", "some.jsonl", flag, value],
            &[flag, "does not go with a recording", "help: "],
        );
    }
}

#[test]
fn a_foreign_or_cut_recording() {
    let folder = folder("recordings");
    let foreign = folder.join("foreign.jsonl");
    fs::write(&foreign, "{\"hello\": 1}\n").expect("a file can be written");
    let binary = folder.join("binary.jsonl");
    fs::write(&binary, [0xff, 0xfe, 0, 1]).expect("a file can be written");
    for path in [&foreign, &binary] {
        let path = path.display().to_string();
        check(
            &["replay", &path],
            &[&path, "not a reconverge recording", "help: "],
        );
    }
    check(&["replay", "gone.jsonl"], &["cannot read gone.jsonl"]);

    let out = folder.join("out");
    let out_arg = out.display().to_string();
    let made = reconverge(&[
        "replay",
        SCENARIO,
        "--variant",
        "fixed",
        "--seed",
        "3",
        "--out",
        &out_arg,
    ]);
    assert_eq!(made.status.code(), Some(0), "{}", err(&made));
    let (_, whole) = files(&out).pop().expect("a recording was written");
    let cut = folder.join("cut.jsonl");
    fs::write(&cut, &whole[..whole.len() * 2 / 3]).expect("a file can be written");
    let before = files(&out);
    check(
        &["replay", &cut.display().to_string(), "--out", &out_arg],
        &["cut off after line", "record the run again"],
    );
    assert_eq!(files(&out), before, "nothing was written");
}

#[test]
fn twins_where_there_are_none() {
    let holds = (
        "    expect: holds",
        "    expect: {violates: [no-lost-update]}",
    );
    let only_buggy = scenario("no-twins", holds.0, holds.1);
    let state = folder("no-twins-state")
        .join("t.jsonl")
        .display()
        .to_string();
    check(
        &["twins", &only_buggy, "--state", &state],
        &["no case here must hold", "help: "],
    );
}

#[test]
fn paths_that_lead_nowhere() {
    check(&["run", "no/such/folder"], &["cannot read no/such/folder"]);
    check(&["run", "docs"], &["no scenario under docs"]);
    let circle = folder("circle");
    for link in ["a", "b"] {
        std::os::unix::fs::symlink(".", circle.join(link)).expect("a link can be made");
    }
    check(
        &["check", &circle.display().to_string()],
        &["no scenario under"],
    );
    let pipe = folder("pipe").join("waits.yaml");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("the program starts").success());
    let pipe = pipe.display().to_string();
    let state = ["twins", SCENARIO, "--seeds", "1", "--state", &pipe];
    for args in [&["check", &pipe][..], &["replay", &pipe], &state] {
        check(args, &["cannot read", &pipe, "only files are read"]);
    }
    let folder = folder("not-a-scenario");
    fs::write(folder.join("values.yaml"), "a: 1\n").expect("a file can be written");
    check(
        &["check", &folder.display().to_string()],
        &["values.yaml:1:1", "no scenario", "`scenario: NAME`"],
    );
}

/// Both would be written to one recording, and to one line of the rates.
#[test]
fn two_scenarios_of_one_name() {
    let second = scenario("one-name", "version: 1", "version:  1");
    let place = format!("{second}:1:11");
    let wants = [
        &place,
        "of scenarios/races/dual-write.yaml",
        "`dual-write` too",
    ];
    for command in ["run", "check", "twins", "catalogue"] {
        check(&[command, SCENARIO, &second], &wants);
    }
}

#[test]
fn a_server_that_cannot_be_served() {
    check(&["serve", "--listen", "127.0.0.1:0"], &["--http"]);
    let folder = folder("tokens");
    let tokens = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).expect("a file can be written");
        path.display().to_string()
    };
    let twice = tokens("twice.csv", "a,alice,1\n# b\nb,bob,2\na,eve,3\n");
    let admins = tokens("admins.csv", "a,alice,1\nroot,eve,3\n");
    let short = tokens("short.csv", "a,alice\n");
    for (args, want) in [
        (&["--listen", "0.0.0.0:0"][..], "not a loopback address"),
        (
            &["--token-file", "no/such/file"],
            "cannot read no/such/file",
        ),
        (
            &["--kubeconfig", "no/such/file"],
            "cannot write no/such/file",
        ),
        (&["--token", ""], "the token is empty, or holds characters"),
        (&["--token-file", &short], "line 1: needs token, user name"),
        (
            &["--token-file", &twice],
            "line 4: it has the token of line 1",
        ),
        (
            &["--token-file", &admins, "--token", "root"],
            "line 2: it has the administrator's token",
        ),
    ] {
        check(&[&["serve", "--http"], args].concat(), &[want]);
    }
}

#[test]
fn an_environment_that_makes_no_sense() {
    for (variable, value, want) in [
        ("RECONVERGE_LOG", "loud", "`loud` is no level"),
        ("RECONVERGE_SEEDS", "many", "is not a seed"),
        ("RECONVERGE_SEED", "first", "--seed"),
    ] {
        let output = reconverge_with(&["run", SCENARIO], &[(variable, value)]);
        assert_eq!(output.status.code(), Some(2), "{variable}");
        assert!(err(&output).contains(want), "{}", err(&output));
    }
}

#[test]
fn bad_usage() {
    check(&["replya"], &["replya", "replay"]);
    check(&["run", "--frobnicate"], &["--frobnicate"]);
    check(&["run", SCENARIO, "--shard", "3/2"], &["I from 1 to N"]);
    check(
        &["run", SCENARIO, "--seed", "1", "--seeds", "5"],
        &["--seed and --seeds"],
    );
    for jobs in ["0", "100000", "many"] {
        check(
            &["run", SCENARIO, "--jobs", jobs],
            &["--jobs", "from 1 to 1024"],
        );
    }
    check(
        &["run", SCENARIO, "--variant", "none"],
        &["no scenario here has a variant `none`"],
    );
}
