//! `conform`: judges any API server by recorded answers of a real one.
//!
//! Owns which cases are played and how the result is shown; the judge itself is `fake_apiserver::conform`.

use std::path::PathBuf;

use fake_apiserver::conform::case::{self, Case};
use fake_apiserver::conform::http::{Error as HttpError, Http, needs_webhook};
use fake_apiserver::conform::play::{Report, play};
use fake_apiserver::conform::recorded;
use fake_apiserver::conform::tally::by_folder;
use serde_json::json;

use super::interrupt::{self, Interrupt};
use super::{Failure, Format, Output, table};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  echo usertoken,alice,alice,dev > tokens.csv
  reconverge serve --http --listen 127.0.0.1:8001 --token admin --token-file tokens.csv
  reconverge conform --server http://127.0.0.1:8001 --token admin

  kubectl proxy --port 8001 & reconverge conform --server http://127.0.0.1:8001 --only watch/

Cases make namespaces and CustomResourceDefinitions of their own names and leave them behind: play
them against a throw-away cluster. What the user alice of the group dev asks for carries the token
`usertoken`, which the server must know. Left out are cases that need a webhook, or more than a plain
server has.")]
pub(super) struct Args {
    /// The server, over plain HTTP (`kubectl proxy` gives a cluster that face)
    #[arg(long, value_name = "URL")]
    server: String,
    /// The bearer token of an administrator
    #[arg(long)]
    token: Option<String>,
    /// Recordings, or folders of them; those that come with reconverge unless given
    cases: Vec<PathBuf>,
    /// Only cases whose name contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Only every N-th case, from the I-th: one server each, in parallel
    #[arg(long, value_name = "I/N", value_parser = shard)]
    shard: Option<(usize, usize)>,
    /// How the table is printed
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

/// The token of the user alice in the recordings.
const USER_TOKEN: &str = "usertoken";

fn shard(text: &str) -> Result<(usize, usize), String> {
    let parsed = text
        .split_once('/')
        .and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
    parsed
        .filter(|(i, n)| (1..=*n).contains(i))
        .ok_or_else(|| "not of the form I/N with 1 ≤ I ≤ N".to_owned())
}

pub(super) fn conform(args: &Args, output: &Output) -> Result<u8, Failure> {
    let interrupt = Interrupt::listen();
    let cases = cases(args)?;
    let mut target = Http::connect(&args.server, args.token.as_deref()).map_err(|error| {
        let help = match error {
            HttpError::Token => "--token is the bearer token of an administrator",
            _ => "is the server running, and is it plain HTTP?",
        };
        Failure::usage(error.to_string(), help)
    })?;
    // What is asked as somebody else needs that user; an answer that fails to come is told by the cases.
    if matches!(target.knows(USER_TOKEN), Ok(false)) {
        output.note(&format!(
            "note: the server does not know the token `{USER_TOKEN}`; what alice of the group dev asks for will differ\n  \
             help: give the server a token file with the line {USER_TOKEN},alice,alice,dev\n"
        ));
    }
    let mut reports = Vec::new();
    let mut left_out = 0;
    for case in cases.iter().take_while(|_| !interrupt.seen()) {
        if needs_webhook(case) || !case.needs.is_empty() {
            left_out += 1;
            continue;
        }
        target.reset();
        let report = play(case, &mut target);
        if args.format == Format::Text {
            output.out(&differences(&report));
        }
        reports.push(report);
    }
    match args.format {
        Format::Text => output.painted(&summary(&reports, output)),
        Format::Json => output.json(&as_json(&reports, interrupt.seen())),
    }
    if left_out > 0 {
        output.note(&format!(
            "{left_out} cases left out: they need a webhook, or more than a plain server has\n"
        ));
    }
    if interrupt.seen() {
        output.note(&format!(
            "interrupted by Ctrl-C: {} of {} cases were looked at\n",
            reports.len() + left_out,
            cases.len()
        ));
        return Ok(interrupt::CODE);
    }
    Ok(u8::from(
        reports.iter().any(|report| !report.wrong.is_empty()),
    ))
}

fn cases(args: &Args) -> Result<Vec<Case>, Failure> {
    let mut cases = Vec::new();
    for path in &args.cases {
        let read = case::read(path).map_err(|error| {
            Failure::usage(
                error.to_string(),
                "a recording is JSON, a packed folder ends in .jsonl.gz",
            )
        })?;
        cases.extend(read);
    }
    if args.cases.is_empty() {
        cases = recorded::cases();
    }
    if let Some(only) = &args.only {
        cases.retain(|case| case.name.contains(only.as_str()));
    }
    if let Some((i, n)) = args.shard {
        let mut at = 0;
        cases.retain(|_| {
            at += 1;
            (at - 1) % n == i - 1
        });
    }
    match cases.is_empty() {
        true => Err(Failure::usage(
            "there is no case to play",
            "--only takes a part of a name, as `watch/`",
        )),
        false => Ok(cases),
    }
}

fn differences(report: &Report) -> String {
    let mut out = String::new();
    if !report.wrong.is_empty() {
        out.push_str(&format!("✗ {}\n", report.case));
    }
    for wrong in report.wrong.iter().take(6) {
        let step = wrong.step.map_or("end".to_owned(), |step| step.to_string());
        out.push_str(&format!("    step {step}: {}\n", wrong.what));
        for difference in wrong.differences.iter().take(6) {
            out.push_str(&format!("        {difference}\n"));
        }
    }
    out
}

fn summary(reports: &[Report], output: &Output) -> String {
    let mut rows = table::table(
        output.colors,
        &[
            "folder",
            "right",
            "of",
            "but for wording",
            "whole cases",
            "of",
        ],
    );
    for (name, tally) in by_folder(reports) {
        let counts = [
            tally.right,
            tally.exchanges,
            tally.wording,
            tally.whole,
            tally.cases,
        ];
        let mut row = vec![table::words(name)];
        row.extend(counts.map(table::number));
        rows.add_row(row);
    }
    table::text(&rows)
}

fn as_json(reports: &[Report], interrupted: bool) -> serde_json::Value {
    let cases = reports.iter().map(|report| {
        let wrong = report.wrong.iter().map(|wrong| {
            let differences: Vec<String> = wrong.differences.iter().map(ToString::to_string).collect();
            json!({"step": wrong.step, "what": wrong.what, "wording": wrong.is_wording(), "differences": differences})
        });
        json!({"case": report.case, "exchanges": report.exchanges, "wrong": wrong.collect::<Vec<_>>()})
    });
    json!({"version": 1, "interrupted": interrupted, "cases": cases.collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_checked() {
        assert_eq!(shard("2/3"), Ok((2, 3)));
        assert!(shard("0/3").is_err() && shard("4/3").is_err() && shard("x").is_err());
    }
}
