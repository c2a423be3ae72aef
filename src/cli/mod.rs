//! The command line: the same in our own program and, after `--`, in a user's `tests/scenarios.rs`.
//!
//! Owns the arguments, what goes to which stream, and the exit codes: 0 as expected, 1 an unexpected verdict, 2 bad usage
//! or a bad file, 3 not deterministic, 4 a fault of ours, 130 stopped by Ctrl-C. Results go to standard output, progress and errors to
//! standard error. Does not own what a subcommand shows (`reports`, and the modules beside this one).

mod catalogue;
mod check;
mod completions;
#[cfg(feature = "cli")]
mod conform;
mod figures;
mod interrupt;
mod list;
mod output;
mod progress;
mod rates_file;
mod replay;
mod results;
mod run;
mod schema;
#[cfg(feature = "cli")]
mod serve;
mod table;
mod twins;

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use sim::operator::Operators;

pub(crate) use output::{Failure, Output};

use crate::log_filter::{self, LogFilter};

/// What this program is called with: `reconverge`, or `cargo test --test scenarios --`.
#[derive(Clone, Debug)]
pub struct Program {
    /// The command that calls it again, for replay commands.
    pub command: String,
    /// The folder that is taken when no path is given.
    pub folder: PathBuf,
}

/// Finds races in Kubernetes operators, and replays them.
///
/// A scenario file describes a cluster, the operators under test, what happens to them and what must hold.
/// Each of its variants is run with many seeds; a seed decides every order and every delay, so that a failing
/// run can be replayed byte for byte.
#[derive(Debug, Parser)]
#[command(name = "reconverge", version, arg_required_else_help = true, max_term_width = 110, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  reconverge run scenarios/races                     every scenario under a folder, with a table
  reconverge run scenarios/races/dual-write.yaml --seeds 0..10000
  reconverge replay scenarios/races/dual-write.yaml --variant buggy --seed 7
  reconverge check scenarios                         read all files, run nothing

Environment:
  RECONVERGE_SEED     run this one seed, unless an argument says otherwise
  RECONVERGE_SEEDS    the seeds to run, as 0..1000 or 200
  RECONVERGE_LOG      which log lines of operators are shown, as warn or my_operator=info
  NO_COLOR            no colours

Exit codes: 0 as expected, 1 unexpected verdict, 2 bad usage or file, 3 not deterministic, 4 a fault of reconverge,
  130 stopped by Ctrl-C";

#[derive(Debug, Subcommand)]
enum Command {
    /// Explores all variants of scenario files; prints a table and the first failing run of each
    Run(run::Args),
    /// Runs one seed again and prints its timeline; writes a recording
    Replay(replay::Args),
    /// Runs the twins that must hold with many seeds, for long, and says what that proves; goes on where it was stopped
    Twins(twins::Args),
    /// Prints the catalogue as a document: what each scenario shows and how often it fails
    Catalogue(catalogue::Args),
    /// Lists scenarios and their variants
    List(list::Args),
    /// Reads scenario files and everything they name; runs nothing
    Check(check::Args),
    /// Prints the JSON Schema of scenario files, for editors
    Schema,
    /// Serves the fake API server over HTTP on a loopback address
    #[cfg(feature = "cli")]
    Serve(serve::Args),
    /// Plays recorded answers of a real API server against another one and tells every difference
    #[cfg(feature = "cli")]
    Conform(conform::Args),
    /// Prints a completion script for a shell
    Completions(completions::Args),
}

impl Command {
    fn format(&self) -> Format {
        match self {
            Command::Run(args) => args.format,
            Command::Replay(args) => args.format,
            Command::Twins(args) => args.format,
            Command::List(args) => args.format,
            Command::Check(args) => args.format,
            #[cfg(feature = "cli")]
            Command::Conform(args) => args.format,
            #[cfg(feature = "cli")]
            Command::Serve(_) => Format::Text,
            Command::Catalogue(_) | Command::Schema | Command::Completions(_) => Format::Text,
        }
    }
}

/// How a result is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Text for people.
    #[default]
    Text,
    /// JSON for programs.
    Json,
}

/// The names of the subcommands: a test binary asks whether its first argument is one.
pub(crate) fn subcommands() -> Vec<String> {
    let mut command = Arguments::command();
    command.build();
    command
        .get_subcommands()
        .map(|c| c.get_name().to_owned())
        .collect()
}

/// Runs the command line and gives the exit code. `args` begins with the program's name.
pub fn run(
    program: &Program,
    operators: &Operators,
    args: impl IntoIterator<Item = OsString>,
) -> ExitCode {
    let called = without_empty_variables(Arguments::command())
        .try_get_matches_from(args)
        .and_then(|matches| {
            let mut arguments = Arguments::from_arg_matches(&matches)?;
            if let (Command::Run(args), Some((_, given))) =
                (&mut arguments.command, matches.subcommand())
            {
                args.prefer_typed(given)?;
            }
            Ok(arguments)
        });
    let arguments = match called {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version come this way too, for standard output and with exit code 0.
            let code = if error.use_stderr() { 2 } else { 0 };
            return match error.print() {
                Ok(()) => ExitCode::from(code),
                Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::from(code),
                Err(_) => ExitCode::from(2),
            };
        }
    };
    let output = Output::new();
    // Said before any work is done, like all bad usage.
    if let Err(message) = LogFilter::from_env() {
        let failure = Failure::usage(message, log_filter::FORM);
        output.end(&failure, arguments.command.format());
        return ExitCode::from(failure.code());
    }
    let result = match &arguments.command {
        Command::Run(args) => run::run(program, operators, args, &output),
        Command::Replay(args) => replay::replay(program, operators, args, &output),
        Command::Twins(args) => twins::twins(program, operators, args, &output),
        Command::Catalogue(args) => catalogue::catalogue(program, operators, args, &output),
        Command::List(args) => list::list(program, args, &output),
        Command::Check(args) => check::check(program, operators, args, &output),
        Command::Schema => schema::schema(&output),
        #[cfg(feature = "cli")]
        Command::Serve(args) => serve::serve(args, &output),
        #[cfg(feature = "cli")]
        Command::Conform(args) => conform::conform(args, &output),
        Command::Completions(args) => completions::completions(args, Arguments::command(), &output),
    };
    let result = match output.failure() {
        Some(failure) => Err(failure),
        None => result,
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            output.end(&failure, arguments.command.format());
            ExitCode::from(failure.code())
        }
    }
}

/// A variable that is empty is one that is not set.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let empty = |arg: &clap::Arg| {
        let value = arg.get_env().and_then(std::env::var_os);
        value.is_some_and(|value| value.is_empty())
    };
    command.mut_subcommands(|sub| {
        sub.mut_args(|arg| match empty(&arg) {
            true => arg.env(None::<&'static str>),
            false => arg,
        })
    })
}

/// Prints an error about a scenario file to standard error.
pub(crate) fn report(error: &scenarios::error::Error) {
    let colors = Output::new();
    colors.scenario_error(error);
}

/// How our own program was called, so that the commands it prints work where it was called from: after `cargo run`
/// nobody has a `reconverge` on the path.
pub fn own_command() -> String {
    let by_cargo =
        std::env::var_os("CARGO").is_some() && std::env::var_os("CARGO_PKG_NAME").is_some();
    match (by_cargo, cfg!(debug_assertions)) {
        (false, _) => "reconverge".to_owned(),
        (true, false) => "cargo run --release --".to_owned(),
        (true, true) => "cargo run --".to_owned(),
    }
}

/// The paths of the user, or the program's own folder.
fn paths(given: &[PathBuf], program: &Program) -> Vec<PathBuf> {
    match given.is_empty() {
        true => vec![program.folder.clone()],
        false => given.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }
}
