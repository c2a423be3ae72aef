//! What the subcommands print on good input.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::program::{Server, err, files, folder, out, reconverge, reconverge_with};

fn json(args: &[&str]) -> Value {
    let output = reconverge(args);
    serde_json::from_str(&out(&output))
        .unwrap_or_else(|e| panic!("{args:?}: {e}\n{}{}", out(&output), err(&output)))
}

#[test]
fn run_catches_the_buggy_twin_and_not_the_fixed_one() {
    let folder = folder("run-dual-write");
    let output = reconverge(&[
        "run",
        "scenarios/races/dual-write.yaml",
        "--seeds",
        "60",
        "--out",
        &folder.display().to_string(),
    ]);
    let text = out(&output);
    assert_eq!(output.status.code(), Some(0), "{text}{}", err(&output));
    for want in [
        "✗ no-lost-update:",
        "scenario dual-write · variant buggy · seed ",
        "replay: reconverge replay scenarios/races/dual-write.yaml --variant buggy --seed ",
        "object@resourceVersion",
        "caught",
        "holds",
    ] {
        assert!(text.contains(want), "no `{want}` in\n{text}");
    }
    assert!(
        !text.contains('\u{1b}'),
        "no colours where there is no terminal"
    );
    assert_eq!(files(&folder).len(), 1, "one recording, of the buggy twin");
}

#[test]
fn an_unexpected_verdict_is_exit_code_1() {
    let folder = folder("unexpected");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let good = fs::read_to_string(root.join("scenarios/races/dual-write.yaml"))
        .expect("the catalogue is there");
    let text = good.replace("expect: {violates: [no-lost-update]}", "expect: holds");
    let path = folder.join("optimist.yaml");
    fs::write(&path, text).expect("a scenario can be written");
    let out_folder = folder.join("out").display().to_string();
    let output = reconverge(&[
        "run",
        &path.display().to_string(),
        "--seeds",
        "60",
        "--out",
        &out_folder,
    ]);
    assert_eq!(
        output.status.code(),
        Some(1),
        "{}{}",
        out(&output),
        err(&output)
    );
    assert!(out(&output).contains("unexpected"));
    assert!(
        out(&output).contains("dual-write · buggy: no-lost-update failed in"),
        "{}",
        out(&output)
    );
}

#[test]
fn shards_are_disjoint_and_make_up_the_whole() {
    let folder = folder("shards");
    let out_folder = folder.display().to_string();
    let runs = |extra: &[&str]| {
        let mut args = vec![
            "run",
            "scenarios/races/dual-write.yaml",
            "--seeds",
            "40",
            "--format",
            "json",
        ];
        args.extend(["--out", &out_folder, "--variant", "buggy"]);
        args.extend(extra);
        let case = json(&args)["cases"][0].clone();
        (
            case["runs"].as_u64().expect("a number"),
            case["failingRuns"].as_u64().expect("a number"),
        )
    };
    let (whole, one, two) = (
        runs(&[]),
        runs(&["--shard", "1/2"]),
        runs(&["--shard", "2/2"]),
    );
    assert_eq!((one.0, two.0), (20, 20));
    assert_eq!(whole, (one.0 + two.0, one.1 + two.1));
}

#[test]
fn the_environment_chooses_seeds() {
    let folder = folder("environment");
    let out_folder = folder.display().to_string();
    let args = [
        "run",
        "scenarios/races/dual-write.yaml",
        "--format",
        "json",
        "--out",
        &out_folder,
    ];
    for (variable, value, typed, want) in [
        ("RECONVERGE_SEEDS", "5..9", &[][..], "5..9"),
        ("RECONVERGE_SEED", "6", &[], "6..7"),
        // What is typed counts more, and what is empty nothing.
        ("RECONVERGE_SEED", "6", &["--seeds", "2"], "0..2"),
        ("RECONVERGE_SEEDS", "5..9", &["--seed", "6"], "6..7"),
        ("RECONVERGE_SEED", "", &["--seeds", "2"], "0..2"),
    ] {
        let output = reconverge_with(&[&args, typed].concat(), &[(variable, value)]);
        let report: Value = serde_json::from_str(&out(&output)).expect("JSON");
        assert_eq!(report["cases"][0]["seeds"], want);
    }
}

#[test]
fn list_check_and_schema() {
    let list = json(&["list", "scenarios", "--format", "json"]);
    let names: Vec<_> = list["cases"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|c| c["scenario"].clone())
        .collect();
    for name in [
        "dual-write",
        "duplicate-create",
        "finalizer-vs-cleanup",
        "informer-lag",
        "status-spec-tear",
    ] {
        assert!(names.contains(&Value::from(name)), "{names:?}");
    }
    let engine = |name: &str| {
        let of = |case: &&Value| case["scenario"] == name;
        let cases = list["cases"].as_array().expect("a list");
        cases.iter().find(of).map(|case| case["engine"].clone())
    };
    for (name, want) in [
        ("dual-write", "sim"),
        ("status-tear-in-memory", "loom"),
        ("lease-cas-lock", "madsim"),
        ("kubernetes-129795", "owed"),
    ] {
        assert_eq!(engine(name), Some(Value::from(want)), "{name}");
    }
    let check = reconverge(&["check", "scenarios"]);
    assert_eq!(check.status.code(), Some(0), "{}", err(&check));
    assert!(out(&check).ends_with("all good\n"), "{}", out(&check));
    let schema = json(&["schema"]);
    assert!(schema["properties"]["cluster"].is_object());
    assert_eq!(schema["additionalProperties"], false);
}

#[test]
fn what_another_engine_runs_is_shown_and_never_holds() {
    let folder = folder("other-engine");
    let out_folder = folder.display().to_string();
    let file = "scenarios/races/status-tear-in-memory.yaml";
    let output = reconverge(&["run", file, "--out", &out_folder]);
    let text = out(&output);
    assert_eq!(output.status.code(), Some(0), "{text}{}", err(&output));
    assert!(text.contains("not run here (engine loom)"), "{text}");
    assert!(!text.contains("holds"), "{text}");
    let output = reconverge(&["replay", file, "--seed", "1", "--out", &out_folder]);
    assert_eq!(output.status.code(), Some(2), "{}", err(&output));
    assert!(
        err(&output).contains("not run here (engine loom)"),
        "{}",
        err(&output)
    );
}

#[test]
fn plans_go_before_the_seeds_and_are_replayed_by_name() {
    let folder = folder("plans");
    let out_folder = folder.display().to_string();
    let file = "scenarios/races/dual-write.yaml";
    let run = |variant: &str, jobs: &str| {
        let args = [
            "run",
            file,
            "--plans",
            "only",
            "--variant",
            variant,
            "--jobs",
            jobs,
        ];
        let more = ["--format", "json", "--out", &out_folder];
        json(&[&args[..], &more[..]].concat())["cases"][0].clone()
    };
    let (fixed, buggy) = (run("fixed", "1"), run("buggy", "1"));
    assert_eq!(fixed["runs"], 0, "no seeds");
    let made = fixed["plans"]["made"].as_u64().expect("a number");
    assert!(made >= 10, "{fixed:#}");
    assert_eq!(fixed["plans"]["failing"], serde_json::json!({}));
    assert_eq!(fixed["verdict"], "holds");
    assert_eq!(
        buggy["plans"],
        run("buggy", "2")["plans"],
        "one worker or two"
    );
    let failing = buggy["plans"]["failing"].as_object().expect("by plan");
    let name = failing.keys().next().expect("one fails").as_str();
    let replay = |by: &[&str]| {
        let args = ["replay", file, "--variant", "buggy", "--format", "json"];
        json(&[&args[..], by, &["--out", &out_folder]].concat())
    };
    let first = replay(&["--plan", name]);
    assert_eq!(first["violated"], failing[name]);
    let token = first["token"].as_str().expect("a token");
    assert!(token.ends_with(&format!(".{name}")), "{token}");
    assert_eq!(
        replay(&["--seed", token])["fingerprint"],
        first["fingerprint"]
    );
    let recording = first["recording"].as_str().expect("a path");
    let again = json(&[
        "replay",
        recording,
        "--format",
        "json",
        "--out",
        &out_folder,
    ]);
    assert_eq!(again["fingerprint"], first["fingerprint"]);
    let unknown = reconverge(&[
        "replay",
        file,
        "--variant",
        "buggy",
        "--plan",
        "crash-999",
        "--out",
        &out_folder,
    ]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(
        err(&unknown).contains("no plan `crash-999`"),
        "{}",
        err(&unknown)
    );
}

#[test]
fn the_long_job_goes_on_where_it_was_stopped() {
    let folder = folder("twins");
    let state = folder.join("twins.jsonl").display().to_string();
    let file = "scenarios/races/dual-write.yaml";
    let call = |seeds: &str, shard: &[&str]| {
        let args = [
            "twins", file, "--seeds", seeds, "--state", &state, "--format", "json",
        ];
        json(&[&args[..], shard].concat())
    };
    assert_eq!(call("600", &["--shard", "2/2"])["runs"], 100);
    assert_eq!(call("600", &["--shard", "1/2"])["runs"], 600);
    let lines = |path: &str| fs::read_to_string(path).expect("a file").lines().count();
    let before = lines(&state);
    let all = call("600", &[]);
    assert_eq!((all["runs"].clone(), lines(&state)), (600.into(), before));
    assert_eq!(all["failing"], 0);
    let table = reconverge(&["twins", file, "--seeds", "0", "--state", &state]);
    assert!(
        out(&table).contains("0 of 600 (p < 0.50 %)"),
        "{}",
        out(&table)
    );
}

/// Asserts that a file of the repository is what the command prints; `RECONVERGE_UPDATE` writes it.
fn is_printed(file: &str, args: &[&str]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let printed = out(&reconverge(args));
    if std::env::var_os("RECONVERGE_UPDATE").is_some() {
        fs::write(&path, &printed).expect("the file can be written");
    }
    let file = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        file == printed,
        "run this test with RECONVERGE_UPDATE=1 to write {} anew",
        path.display()
    );
}

/// `RECONVERGE_UPDATE=1 cargo test --test it the_catalogue` writes it anew; its figures are those of `run --rates`.
#[test]
fn the_catalogue_is_the_one_that_is_printed() {
    is_printed("docs/catalogue.md", &["catalogue", "scenarios"]);
}

#[test]
fn conditions_and_figures_of_a_file_are_judged_and_printed() {
    let folder = folder("conditions");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let good = fs::read_to_string(root.join("scenarios/races/dual-write.yaml"))
        .expect("the catalogue is there");
    let text = good
        .replace(
            "properties: [no-lost-update, converges, idempotent]",
            "properties:\n- converges\n\
             - always: each writes once\n  cel: replicas.all(r, writes.filter(w, w.by == r.name).size() <= 1)\n\
             - sometimes: both write\n  cel: writes.exists(w, w.by == 'webapp-1')\n\
             - sometimes: it takes a year\n  cel: now > duration('8760h')",
        )
        .replace(
            "figures:\n",
            "figures:\n  status writes: \"writes.filter(w, w.fields.exists(f, f.startsWith('/status'))).size()\"\n",
        )
        .replace("violates: [no-lost-update]", "violates: [each writes once]");
    let path = folder.join("conditions.yaml");
    fs::write(&path, text).expect("a scenario can be written");
    let (path, out_folder) = (path.display().to_string(), folder.display().to_string());
    let output = reconverge(&["run", &path, "--seeds", "40", "--out", &out_folder]);
    let text = out(&output);
    assert_eq!(output.status.code(), Some(1), "{text}{}", err(&output));
    for want in [
        "✗ each writes once: it does not hold here: r = {",
        "status writes: ",
        "dual-write · buggy · an entry was lost: in ",
        "dual-write · fixed · an entry was lost: in 0 of 40",
        "dual-write · fixed: `it takes a year` came true in none of 40 runs",
    ] {
        assert!(text.contains(want), "no `{want}` in\n{text}");
    }
    assert!(!text.contains("`both write` came true in none"), "{text}");
}

#[test]
fn help_teaches_by_examples() {
    let help = reconverge(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    for want in [
        "Examples:",
        "reconverge replay scenarios/races/dual-write.yaml",
        "Exit codes:",
        "RECONVERGE_SEEDS",
    ] {
        assert!(out(&help).contains(want), "{}", out(&help));
    }
    let script = reconverge(&["completions", "bash"]);
    assert!(out(&script).contains("replay"));
}

/// `RECONVERGE_UPDATE=1 cargo test --test it the_schema_file` writes it anew.
#[test]
fn the_schema_file_is_the_one_that_is_printed() {
    is_printed("scenarios/scenario.schema.json", &["schema"]);
}

/// What a server that was started with these arguments answers to bytes on a connection of their own.
fn served(args: &[&str], requests: &[&str]) -> Vec<String> {
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpStream};

    let server = Server::start(args);
    let address = server
        .said
        .trim()
        .strip_prefix("ready http://")
        .expect("`ready URL`");
    let ask = |request: &&str| {
        let mut stream = TcpStream::connect(address).expect("it listens");
        let sent = stream.write_all(request.as_bytes());
        sent.expect("a request can be sent");
        stream.shutdown(Shutdown::Write).expect("it has an end");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer comes");
        answer
    };
    requests.iter().map(ask).collect()
}

#[test]
fn serve_answers_over_http() {
    let get = "GET /api/v1/namespaces/default HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
    let known = format!("{get}Authorization: Bearer secret\r\n\r\n");
    let unknown = format!("{get}Authorization: Bearer another\r\n\r\n");
    let unsigned = format!("{get}\r\n");
    let requests = [known.as_str(), &unknown, &unsigned];
    for (args, codes) in [
        (&["--token", "secret"][..], ["200", "401", "403"]),
        (
            &["--token", "secret", "--anonymous-admin"],
            ["200", "401", "200"],
        ),
    ] {
        let answers = served(args, &requests);
        for (answer, code) in answers.iter().zip(codes) {
            assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")), "{answer}");
        }
        assert!(answers[0].contains("\"kind\":\"Namespace\""));
    }
}

#[test]
fn a_request_without_its_end_does_nothing() {
    let to = "/api/v1/namespaces HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\nContent-Type: application/json\r\n";
    let body = r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"kept"}}"#;
    let to_one = to.replace("namespaces ", "namespaces/kept ");
    let answers = served(
        &["--token", "secret"],
        &[
            &format!(
                "POST {to}Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ),
            &format!("DELETE {to_one}Content-Length: 500\r\n\r\n{{\"preconditions\":"),
            &format!("DELETE {to_one}Transfer-Encoding: chunked\r\n\r\nZZ\r\n"),
            &format!("GET {to_one}Connection: close\r\n\r\n"),
        ],
    );
    assert!(answers[0].starts_with("HTTP/1.1 201 "), "{}", answers[0]);
    assert!(!answers[1].starts_with("HTTP/1.1 200 "), "{}", answers[1]);
    assert!(!answers[2].starts_with("HTTP/1.1 200 "), "{}", answers[2]);
    assert!(
        answers[3].contains("\"phase\":\"Active\""),
        "{}",
        answers[3]
    );
}

#[test]
fn forks_find_what_threads_find() {
    let folder = folder("isolation");
    let out_folder = folder.display().to_string();
    let found = |isolation: &str| {
        let report = json(&[
            "run",
            "scenarios/races/dual-write.yaml",
            "--seeds",
            "30",
            "--isolation",
            isolation,
            "--format",
            "json",
            "--out",
            &out_folder,
        ]);
        let case = &report["cases"][0];
        (case["violated"].clone(), case["failingRuns"].clone())
    };
    assert_eq!(found("thread"), found("fork"));
}
