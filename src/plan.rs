//! A case ready to run: a scenario's variant lowered into the engine's input, with its seeds and what is expected.
//!
//! Owns the hash by which tokens and recordings know a scenario, and the making of a recording. Does not own running
//! many seeds (`exploration`).

use std::path::{Path, PathBuf};

use reports::recording::{FormatVersion, Header, InlinedFile, Recording};
use scenarios::error::{Error, Problem, Result};
use scenarios::expect::Expect;
use scenarios::format::Plans as Said;
use scenarios::load::{self, Case, Files, Names};
use scenarios::quantity::{SeedRange, seeds};
use sim::Isolation;
use sim::operator::Operators;
use sim::run::{Prepared, Run};
use sim::targeted::Pattern;

/// A case ready to run.
#[derive(Clone)]
pub struct Plan {
    /// The case it was lowered from.
    pub case: Case,
    /// The engine's input, accepted by its API server.
    pub prepared: Prepared,
    /// The seeds the file asks for.
    pub seeds: SeedRange,
    /// What the file expects.
    pub expect: Expect,
}

impl Plan {
    /// Lowers a case.
    pub fn new(case: Case, operators: &Operators) -> Result<Self> {
        let setup = scenarios::lower::lower(&case, operators)?;
        let prepared =
            Prepared::new(setup).map_err(|error| scenarios::lower::refused(&case, &error))?;
        Ok(Self {
            prepared,
            seeds: case
                .scenario
                .explore
                .seeds
                .unwrap_or(seeds(scenarios::lower::SEEDS)),
            expect: case.scenario.expect.clone().unwrap_or(Expect::Holds),
            case,
        })
    }

    /// The case's file as the user named it.
    pub fn path(&self) -> &Path {
        &self.case.path
    }

    /// The patterns whose targeted plans are run; all of them unless the file says which.
    pub fn patterns(&self) -> Vec<Pattern> {
        patterns(&self.case)
    }

    /// The hash that tokens carry: of the scenario file, every file it names, and the variant.
    pub fn hash(&self) -> String {
        let mut hash = Fnv::default();
        for source in &self.case.sources {
            hash.add(
                source
                    .path
                    .file_name()
                    .unwrap_or_default()
                    .as_encoded_bytes(),
            );
            hash.add(source.text.as_bytes());
        }
        hash.add(self.case.variant.as_bytes());
        hash.short()
    }

    /// Ties one run of this case up as a recording; `command` is how this program is called.
    pub fn record(&self, seed: u64, run: Run, isolation: Isolation, command: &str) -> Recording {
        let input = match &run.trace.tape.plan {
            Some(plan) => format!("--plan {}", plan.name),
            None => format!("--seed {seed}"),
        };
        let header = Header {
            format: FormatVersion::CURRENT,
            reconverge: crate::VERSION.to_owned(),
            scenario: self.case.scenario.scenario.clone(),
            variant: self.case.variant.clone(),
            scenario_hash: self.hash(),
            files: self
                .case
                .sources
                .iter()
                .map(|source| InlinedFile {
                    path: source.path.display().to_string(),
                    text: source.text.clone(),
                })
                .collect(),
            seed,
            plan: run.trace.tape.plan.clone(),
            isolation: isolation.name().to_owned(),
            replay: self.replay_command_of(&input, command),
            mode: run.trace.tape.mode,
            replicas: run.trace.replicas.clone(),
        };
        Recording {
            header,
            trace: run.trace,
            verdict: run.verdict,
        }
    }

    /// The arguments that name this case and a seed.
    pub fn arguments(&self, seed: u64) -> Vec<std::ffi::OsString> {
        let mut arguments = vec![self.path().as_os_str().to_owned()];
        if self.case.variant != load::NO_VARIANT {
            arguments.extend(["--variant".into(), self.case.variant.clone().into()]);
        }
        arguments.extend(["--seed".into(), seed.to_string().into()]);
        arguments
    }

    /// The one command that replays a seed.
    pub fn replay_command(&self, seed: u64, command: &str) -> String {
        self.replay_command_of(&format!("--seed {seed}"), command)
    }

    fn replay_command_of(&self, input: &str, command: &str) -> String {
        let path = quoted(&self.path().to_string_lossy());
        match self.case.variant.as_str() {
            load::NO_VARIANT => format!("{command} replay {path} {input}"),
            variant => {
                let variant = quoted(variant);
                format!("{command} replay {path} --variant {variant} {input}")
            }
        }
    }
}

/// A word as a shell takes it for that word and nothing else.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// The patterns of targeted plans that a case wants; all of them unless its file says which.
pub(crate) fn patterns(case: &Case) -> Vec<Pattern> {
    let pattern = |said: &Said| match said {
        Said::Intermediate => Pattern::Intermediate,
        Said::Stale => Pattern::Stale,
        Said::Unobserved => Pattern::Unobserved,
    };
    match &case.scenario.explore.plans {
        Some(said) => said.iter().map(pattern).collect(),
        None => Pattern::ALL.to_vec(),
    }
}

/// The cases of a scenario file.
pub struct Cases {
    /// Those that the simulator runs, lowered.
    pub plans: Vec<Plan>,
    /// Those of other engines, which are only listed.
    pub elsewhere: Vec<Case>,
}

impl Cases {
    /// The cases of both kinds.
    pub fn all(&self) -> impl Iterator<Item = &Case> {
        self.plans
            .iter()
            .map(|plan| &plan.case)
            .chain(&self.elsewhere)
    }
}

/// Reads a scenario file and lowers all its variants that the simulator runs.
pub fn cases(path: &Path, files: &Files, operators: &Operators) -> Result<Cases> {
    let file = load::load(path, files)?;
    let (here, elsewhere): (Vec<Case>, Vec<Case>) = file
        .cases
        .into_iter()
        .partition(|case| case.scenario.engine == scenarios::format::Engine::Sim);
    let plans = here.into_iter().map(|case| Plan::new(case, operators));
    Ok(Cases {
        plans: plans.collect::<Result<_>>()?,
        elsewhere,
    })
}

/// Reads the scenario files that `paths` name, files or folders, each under a name of its own.
pub fn read(paths: &[PathBuf], operators: &Operators) -> Result<Vec<Cases>> {
    let mut names = Names::default();
    let mut all = Vec::new();
    for path in load::find(paths)? {
        let cases = cases(&path, &Files::Disk, operators)?;
        cases.all().try_for_each(|case| names.take(case))?;
        all.push(cases);
    }
    Ok(all)
}

/// The plan of one variant; without a name, of the only one.
pub fn plan(
    path: &Path,
    variant: Option<&str>,
    files: &Files,
    operators: &Operators,
) -> Result<Plan> {
    let file = load::load(path, files)?;
    let known: Vec<String> = file.cases.iter().map(|c| c.variant.clone()).collect();
    let start = scenarios::source::Place::start(&file.source);
    let wanted = match variant {
        Some(name) => name,
        None if known.len() == 1 => &known[0],
        None => {
            return Err(Error::value(
                &start,
                format!("this scenario has {} variants", known.len()),
                format!("choose one with --variant: {}", known.join(", ")),
            ));
        }
    };
    match file.cases.iter().find(|c| c.variant == wanted) {
        Some(case) => Plan::new(case.clone(), operators),
        None => Err(Error::at(
            &start,
            Problem::UnknownWord {
                what: "variant",
                word: wanted.to_owned(),
                known,
                more: None,
            },
        )),
    }
}

/// FNV-1a: short, stable, and no secret is kept by it.
pub(crate) struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    /// Adds a part; parts do not run into each other.
    pub(crate) fn add(&mut self, part: &[u8]) {
        for byte in part.iter().chain(&(part.len() as u64).to_le_bytes()) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// Eight hexadecimal digits.
    pub(crate) fn short(&self) -> String {
        format!("{:08x}", (self.0 >> 32) ^ (self.0 & 0xffff_ffff))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_is_printed_can_be_pasted() {
        for (word, want) in [
            ("races/dual-write.yaml", "races/dual-write.yaml"),
            ("", "''"),
            ("buggy; reboot", "'buggy; reboot'"),
            ("it's", r"'it'\''s'"),
        ] {
            assert_eq!(quoted(word), want);
        }
    }
}
