//! `completions`: a completion script for a shell.

use clap_complete::Shell;

use super::{Failure, Output};

/// Example: reconverge completions bash > ~/.local/share/bash-completion/completions/reconverge
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell
    shell: Shell,
}

pub(super) fn completions(
    args: &Args,
    mut command: clap::Command,
    output: &Output,
) -> Result<u8, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "reconverge", &mut script);
    output.out(&String::from_utf8_lossy(&script));
    Ok(0)
}
