//! The conformance test: recorded answers of a real API server, played against [`fake_apiserver::ApiServer`] in process.
//!
//! Virtual time, no sockets. The recordings stand beside this file, one packed file a folder (`cases/FOLDER.jsonl.gz`).
//! Prints exchanges right and all per folder; fails on any difference that `known-differences.txt` does not list,
//! and on any listed one that has come right.
//!
//! ```text
//! cargo test -p fake-apiserver --test conformance                    everything
//! cargo test -p fake-apiserver --test conformance -- watch/ gc/      cases whose name contains one of these; prints their differences
//! CONFORMANCE_SHOW=all …                                             differences uncut
//! CONFORMANCE_SHOW=top …                                             the commonest differences, counted
//! CONFORMANCE_KNOWN=write …                                          writes the list of known differences and the table in docs/fidelity.md
//! CONFORMANCE_PACK=FOLDER …                                          packs recordings (FOLDER/area/case.json) into cases/, then stops
//! ```

mod in_process;
mod known;
mod report;

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;

use fake_apiserver::conform::case::{self, Case};
use fake_apiserver::conform::compare::Difference;
use fake_apiserver::conform::doc::Doc;
use fake_apiserver::conform::play::{Report, Wrong, play};

use known::Known;

/// Deep bodies are parsed and compared by recursion.
const STACK_BYTES: usize = 64 << 20;

fn main() -> ExitCode {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    if let Some(from) = std::env::var_os("CONFORMANCE_PACK") {
        return match case::pack(Path::new(&from), &home.join("cases")) {
            Ok(count) => say(&format!("{count} cases packed\n"), ExitCode::SUCCESS),
            Err(error) => say(&format!("{error}\n"), ExitCode::FAILURE),
        };
    }
    let arguments = Arguments::read();
    let mut cases = match case::read(&home.join("cases")) {
        Ok(cases) => cases,
        Err(error) => return say(&format!("{error}\n"), ExitCode::FAILURE),
    };
    cases.retain(|case| arguments.wants(&case.name));
    if arguments.list {
        let lines: String = cases
            .iter()
            .map(|case| format!("{}: test\n", case.name))
            .collect();
        return say(&lines, ExitCode::SUCCESS);
    }
    if arguments.ignored {
        return ExitCode::SUCCESS;
    }
    let reports = play_all(&cases);
    conclude(&arguments, &reports, &home)
}

fn conclude(arguments: &Arguments, reports: &[Report], home: &Path) -> ExitCode {
    let list = home.join("known-differences.txt");
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/fidelity.md");
    let text = std::fs::read_to_string(&list).unwrap_or_default();
    let known = match Known::parse(&text) {
        Ok(known) => known,
        Err(error) => return say(&format!("{}: {error}\n", list.display()), ExitCode::FAILURE),
    };
    let whole = arguments.filters.is_empty();
    if whole && std::env::var("CONFORMANCE_KNOWN").is_ok_and(|v| v == "write") {
        let fresh = known.renewed(reports);
        let written = std::fs::write(&list, fresh.render())
            .and_then(|()| report::write_table(&docs, &fresh.table()));
        let tally = report::tally(reports);
        return match written {
            Ok(()) => say(
                &format!("{tally}{} known differences written\n", fresh.places.len()),
                ExitCode::SUCCESS,
            ),
            Err(error) => say(&format!("{error}\n"), ExitCode::FAILURE),
        };
    }
    let verdict = report::verdict(reports, &known);
    let mut out = String::new();
    if std::env::var("CONFORMANCE_SHOW").is_ok_and(|v| v == "top") {
        out.push_str(&report::commonest(reports));
    } else if !whole || std::env::var_os("CONFORMANCE_SHOW").is_some() {
        out.push_str(&report::differences(reports));
    }
    out.push_str(&report::tally(reports));
    out.push_str(&verdict.text);
    let mut right = verdict.holds;
    if whole && let Err(problem) = report::check_table(&docs, &known.table()) {
        out.push_str(&problem);
        right = false;
    }
    say(
        &out,
        if right {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        },
    )
}

/// Plays every case on a server of its own, on as many threads as there are cores; reports are in the order of the cases.
fn play_all(cases: &[Case]) -> Vec<Report> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let next = Mutex::new(0..cases.len());
    let reports: Mutex<Vec<(usize, Report)>> = Mutex::new(Vec::new());
    std::panic::set_hook(Box::new(|_| {}));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let work = || {
                while let Some(index) = next.lock().ok().and_then(|mut range| range.next()) {
                    let report = play_one(&cases[index]);
                    if let Ok(mut reports) = reports.lock() {
                        reports.push((index, report));
                    }
                }
            };
            std::thread::Builder::new()
                .stack_size(STACK_BYTES)
                .spawn_scoped(scope, work)
                .expect("a thread");
        }
    });
    let _ = std::panic::take_hook();
    let mut reports = reports.into_inner().unwrap_or_default();
    reports.sort_by_key(|(index, _)| *index);
    reports.into_iter().map(|(_, report)| report).collect()
}

fn play_one(case: &Case) -> Report {
    let played = catch_unwind(AssertUnwindSafe(|| {
        play(case, &mut in_process::InProcess::new(case))
    }));
    played.unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|s| s.to_string()));
        let what = format!("panic: {}", text.unwrap_or_default());
        // Nothing after a panic was compared: every exchange of the case counts as wrong.
        let wrong = case
            .steps
            .iter()
            .enumerate()
            .filter(|(_, step)| step.is_exchange());
        let wrong = wrong.map(|(i, _)| Wrong {
            step: Some(i),
            what: what.clone(),
            differences: vec![Difference::new(
                "exchange",
                None,
                Some(Doc::String(what.clone())),
            )],
        });
        let exchanges = case.steps.iter().filter(|s| s.is_exchange()).count();
        Report {
            case: case.name.clone(),
            exchanges,
            wrong: wrong.collect(),
        }
    })
}

/// What `cargo test` and nextest pass on.
struct Arguments {
    filters: Vec<String>,
    exact: bool,
    list: bool,
    ignored: bool,
}

impl Arguments {
    fn read() -> Arguments {
        let mut arguments = Arguments {
            filters: Vec::new(),
            exact: false,
            list: false,
            ignored: false,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--list" => arguments.list = true,
                "--exact" => arguments.exact = true,
                "--ignored" => arguments.ignored = true,
                "--format" | "--test-threads" | "--color" | "--skip" | "--logfile" | "-Z" => {
                    drop(words.next())
                }
                word if word.starts_with('-') => {}
                word => arguments.filters.push(word.to_string()),
            }
        }
        arguments
    }

    fn wants(&self, case: &str) -> bool {
        let matches = |filter: &String| {
            if self.exact {
                case == filter
            } else {
                case.contains(filter.as_str())
            }
        };
        self.filters.is_empty() || self.filters.iter().any(matches)
    }
}

fn say(text: &str, code: ExitCode) -> ExitCode {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    code
}
