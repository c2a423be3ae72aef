//! The face of a run in a test: build a setup in code, explore it, replay one run, direct one by hand.

use std::fmt::Write as _;
use std::future::Future;
use std::ops::Range;

use serde::Serialize;

use crate::explore::{Exploration, ExploreOptions, explore};
use crate::operator::{IntoOperatorResult, OperatorContext, operator};
use crate::property::{PropertySpec, View, always, builtin, eventually, sometimes};
use crate::run::{Prepared, Run, RunOptions};
use crate::schedule::Input;
use crate::setup::{FaultPlan, OperatorSetup, Setup, Timing, WorkloadStep};
use crate::world::World;

/// The seeds of an exploration. `RECONVERGE_SEEDS=N` in the environment makes it the first N of them, or more.
pub fn seeds(range: Range<u64>) -> Range<u64> {
    let asked = std::env::var("RECONVERGE_SEEDS")
        .ok()
        .and_then(|count| count.parse::<u64>().ok());
    match asked {
        Some(count) => range.start..range.start.saturating_add(count),
        None => range,
    }
}

/// A simulation in the making.
#[derive(Clone)]
pub struct Sim {
    setup: Setup,
    options: ExploreOptions,
}

impl Sim {
    /// An empty cluster with one API server.
    pub fn new(name: impl Into<String>) -> Sim {
        Sim::from_setup(Setup {
            name: name.into(),
            ..Setup::default()
        })
    }

    /// A simulation of a setup that was made elsewhere.
    pub fn from_setup(setup: Setup) -> Sim {
        Sim {
            setup,
            options: ExploreOptions::default(),
        }
    }

    /// A CustomResourceDefinition, as `WebApp::crd()` gives it.
    ///
    /// # Panics
    /// If it does not serialise.
    #[must_use]
    pub fn crd(mut self, crd: impl Serialize) -> Sim {
        self.setup.crds.push(json(crd));
        self
    }

    /// An object that is there from the beginning: a type of kube's or `serde_json::json!`.
    ///
    /// # Panics
    /// If it does not serialise.
    #[must_use]
    pub fn object(mut self, object: impl Serialize) -> Sim {
        self.setup.objects.push(json(object));
        self
    }

    /// An operator and how many replicas of it run; they are called `NAME-0`, `NAME-1`, ….
    #[must_use]
    pub fn operator<F, Fut>(mut self, name: impl Into<String>, replicas: u32, run: F) -> Sim
    where
        F: Fn(OperatorContext) -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: IntoOperatorResult,
    {
        self.setup.operators.push(OperatorSetup {
            name: name.into(),
            replicas,
            namespace: "default".to_owned(),
            run: operator(run),
        });
        self
    }

    /// Something a user does; steps are done in the order of their times.
    #[must_use]
    pub fn step(mut self, step: WorkloadStep) -> Sim {
        self.setup.workload.push(step);
        self.setup.workload.sort_by_key(|step| step.at);
        self
    }

    /// What may go wrong.
    #[must_use]
    pub fn faults(mut self, faults: FaultPlan) -> Sim {
        self.setup.faults = faults;
        self
    }

    /// How many API servers share the store.
    #[must_use]
    pub fn servers(mut self, servers: u32) -> Sim {
        self.setup.servers = servers;
        self
    }

    /// The ranges latencies are drawn from.
    #[must_use]
    pub fn timing(mut self, timing: Timing) -> Sim {
        self.setup.timing = timing;
        self
    }

    /// Must hold after everything that happens.
    #[must_use]
    pub fn always(
        self,
        name: impl Into<String>,
        holds: impl Fn(&View<'_>) -> bool + Send + Sync + 'static,
    ) -> Sim {
        self.with(always(name, holds))
    }

    /// Must hold once the world has settled.
    #[must_use]
    pub fn eventually(
        self,
        name: impl Into<String>,
        holds: impl Fn(&View<'_>) -> bool + Send + Sync + 'static,
    ) -> Sim {
        self.with(eventually(name, holds))
    }

    /// Must come true in at least one run.
    #[must_use]
    pub fn sometimes(
        self,
        name: impl Into<String>,
        holds: impl Fn(&View<'_>) -> bool + Send + Sync + 'static,
    ) -> Sim {
        self.with(sometimes(name, holds))
    }

    /// A built-in property, by name.
    ///
    /// # Panics
    /// If there is none of that name; the message lists them.
    #[must_use]
    pub fn property(mut self, name: &str) -> Sim {
        let known = || crate::property::names().collect::<Vec<_>>().join(", ");
        let spec =
            builtin(name).unwrap_or_else(|| panic!("no property {name:?}; there are {}", known()));
        // Whether everything is reconciled once more is part of what the run does.
        self.setup.settle.force |= name == "idempotent";
        self.with(spec)
    }

    fn with(mut self, spec: PropertySpec) -> Sim {
        self.setup.properties.push(spec);
        self
    }

    /// How explorations are made.
    #[must_use]
    pub fn options(mut self, options: ExploreOptions) -> Sim {
        self.options = options;
        self
    }

    /// The setup, to change what has no method here.
    pub fn setup_mut(&mut self) -> &mut Setup {
        &mut self.setup
    }

    /// The setup.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    fn prepared(&self) -> Prepared {
        Prepared::new(self.setup.clone())
            .unwrap_or_else(|error| panic!("{}: {error}", self.setup.name))
    }

    /// Makes the runs of these seeds.
    ///
    /// # Panics
    /// If the API server refuses an object of the setup, or runs cannot be isolated as asked.
    pub fn explore(&self, seeds: Range<u64>) -> Exploration {
        let explored = explore(&self.prepared(), seeds, &self.options, &|_| ());
        explored.unwrap_or_else(|error| panic!("{}: {error}", self.setup.name))
    }

    /// Makes one run: of a seed, or of a tape.
    ///
    /// # Panics
    /// If the API server refuses an object of the setup.
    pub fn run(&self, input: impl Into<Input>) -> Run {
        self.prepared().run(
            &input.into(),
            RunOptions {
                logs: true,
                backtraces: true,
            },
        )
    }

    /// Makes one run of which `script` says what happens first; the rest follows from the seed.
    ///
    /// # Panics
    /// If the API server refuses an object of the setup, or the script panics.
    pub fn direct(&self, seed: u64, script: impl FnOnce(&mut World<'_>) + Send) -> Run {
        let options = RunOptions {
            logs: true,
            backtraces: true,
        };
        self.prepared().direct(&Input::Seed(seed), options, script)
    }
}

impl Exploration {
    /// Panics unless everything holds: with each broken property, its first seed and what was found.
    ///
    /// # Panics
    /// See above.
    #[track_caller]
    pub fn assert_holds(&self) {
        assert!(self.holds(), "{}", self.failure());
    }

    /// What is wrong, for people.
    pub fn failure(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        for (name, broken) in &self.broken {
            let _ = writeln!(
                text,
                "{}: {name} is broken in {} of {} runs; seed {}, at {}: {}",
                self.name,
                broken.runs,
                self.runs,
                broken.seed,
                broken.finding.at,
                broken.finding.message
            );
        }
        for (name, (runs, why)) in &self.inconclusive {
            let _ = writeln!(
                text,
                "{}: {name} could not be judged in {runs} of {} runs: {why}",
                self.name, self.runs
            );
        }
        for name in &self.unreached {
            let _ = writeln!(
                text,
                "{}: {name} came true in none of {} runs",
                self.name, self.runs
            );
        }
        for mismatch in &self.mismatches {
            let _ = writeln!(
                text,
                "{}: seed {} is not deterministic; the first difference is\n  {:?}\n  {:?}",
                self.name, mismatch.seed, mismatch.first, mismatch.second
            );
        }
        text
    }
}

fn json(value: impl Serialize) -> serde_json::Value {
    serde_json::to_value(value).expect("an object of Kubernetes serialises")
}
