//! `list`: the scenarios there are, one row per variant.

use std::path::PathBuf;

use scenarios::expect::Expect;
use scenarios::load::{self, Files};
use serde_json::json;

use super::{Failure, Format, Output, Program, paths, table};

#[derive(Debug, clap::Args)]
#[command(after_help = "Example: reconverge list scenarios --format json")]
pub(super) struct Args {
    /// Scenario files, or folders that are searched
    paths: Vec<PathBuf>,
    /// Lists the built-in properties instead, with what can be set in each
    #[arg(long, conflicts_with = "paths")]
    properties: bool,
    /// How the list is printed
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

pub(super) fn list(program: &Program, args: &Args, output: &Output) -> Result<u8, Failure> {
    if args.properties {
        properties(args, output);
        return Ok(0);
    }
    let mut rows = table::table(
        output.colors,
        &["scenario", "variant", "engine", "expects", "summary"],
    );
    let mut cases = Vec::new();
    for path in load::find(&paths(&args.paths, program))? {
        for (i, case) in load::load(&path, &Files::Disk)?
            .cases
            .into_iter()
            .enumerate()
        {
            let scenario = &case.scenario;
            let engine = scenario.engine.name();
            let expects = scenario.expect.as_ref().map_or(String::new(), expects);
            // What all variants share is said once.
            let (name, summary) = match i {
                0 => (scenario.scenario.as_str(), scenario.summary.as_str()),
                _ => ("", ""),
            };
            rows.add_row([name, &case.variant, engine, &expects, summary].map(table::words));
            cases.push(json!({
                "file": case.path.display().to_string(),
                "scenario": scenario.scenario,
                "variant": case.variant,
                "engine": engine,
                "expects": expects,
                "summary": scenario.summary,
                "source": scenario.source,
            }));
        }
    }
    match args.format {
        Format::Text => output.painted(&table::text(&rows)),
        Format::Json => output.json(&json!({"version": 1, "cases": cases})),
    }
    Ok(0)
}

fn properties(args: &Args, output: &Output) {
    let headers = ["property", "says", "does not see", "parameters"];
    let mut rows = table::table(output.colors, &headers);
    let mut list = Vec::new();
    for builtin in sim::property::BUILTIN {
        let parameter = |p: &sim::property::Parameter| match p.default {
            "" => p.name.to_owned(),
            default => format!("{}: {default}", p.name),
        };
        let parameters: Vec<String> = builtin.parameters.iter().map(parameter).collect();
        let parameters = parameters.join(", ");
        rows.add_row([builtin.name, builtin.says, builtin.unseen, &parameters]);
        list.push(json!({
            "name": builtin.name,
            "says": builtin.says,
            "doesNotSee": builtin.unseen,
            "parameters": parameters,
        }));
    }
    match args.format {
        Format::Text => output.painted(&table::text(&rows)),
        Format::Json => output.json(&json!({"version": 1, "properties": list})),
    }
}

/// An expected verdict in a few words.
pub(super) fn expects(expect: &Expect) -> String {
    match expect {
        Expect::Holds => "holds".to_owned(),
        Expect::Violates(properties) => format!("violates {}", properties.join(", ")),
    }
}
