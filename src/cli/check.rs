//! `check`: reads scenario files and everything they name, as far as that goes without running them.

use std::path::PathBuf;

use scenarios::load::{self, Files, Names};
use serde_json::json;
use sim::operator::Operators;

use super::output::error_json;
use super::{Failure, Format, Output, Program, paths};
use crate::plan;

#[derive(Debug, clap::Args)]
#[command(after_help = "Example: reconverge check scenarios")]
pub(super) struct Args {
    /// Scenario files, or folders that are searched
    paths: Vec<PathBuf>,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

pub(super) fn check(
    program: &Program,
    operators: &Operators,
    args: &Args,
    output: &Output,
) -> Result<u8, Failure> {
    let (mut cases, mut elsewhere) = (0, 0);
    let mut wrong = Vec::new();
    let files = load::find(&paths(&args.paths, program))?;
    let mut names = Names::default();
    for path in &files {
        let read = plan::cases(path, &Files::Disk, operators).and_then(|read| {
            read.all().try_for_each(|case| names.take(case))?;
            Ok(read)
        });
        match read {
            Ok(read) => {
                cases += read.plans.len();
                elsewhere += read.elsewhere.len();
            }
            Err(error) => {
                wrong.push(error_json(&error, Some(path)));
                if args.format == Format::Text {
                    output.error(&error.into());
                }
            }
        }
    }
    match args.format {
        Format::Text if wrong.is_empty() => {
            let more = match elsewhere {
                0 => String::new(),
                n => format!(" and {n} of other engines"),
            };
            output.out(&format!(
                "{}, {}{more}: all good\n",
                counted(files.len(), "file"),
                counted(cases, "case")
            ));
        }
        Format::Text => output.note(&format!(
            "{} of {} files are wrong\n",
            wrong.len(),
            files.len()
        )),
        Format::Json => output.json(&json!({
            "version": 1,
            "files": files.len(),
            "cases": cases,
            "elsewhere": elsewhere,
            "errors": wrong,
        })),
    }
    Ok(if wrong.is_empty() { 0 } else { 2 })
}

/// `1 file`, `2 files`
fn counted(n: usize, what: &str) -> String {
    match n {
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    }
}
