//! One run, from a setup and a seed or tape to its history and verdict.
//!
//! Owns where a run lives: on a fresh thread of this process. std's hash keys and `rand`'s generator are made once per
//! thread, so a thread serves one run.

use std::sync::Arc;

use fake_apiserver::server::ApiServer;

use crate::entropy::Simulated;
use crate::schedule::Input;
use crate::setup::Setup;
use crate::trace::{Fingerprint, Trace};
use crate::verdict::Verdict;
use crate::world::{SetupError, World};
use crate::{panics, spans};

/// How a run is made, besides what it depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// Keep what operators log.
    pub logs: bool,
    /// Resolve the backtraces of panics: costs more than the run.
    pub backtraces: bool,
}

/// A finished run.
#[derive(Clone, Debug)]
pub struct Run {
    /// What happened.
    pub trace: Trace,
    /// What the properties said.
    pub verdict: Verdict,
    /// A tape did not fit what happened: the setup or the operator is another one than when it was recorded.
    pub diverged: bool,
}

impl Run {
    /// Equal fingerprints: equal runs.
    pub fn fingerprint(&self) -> Fingerprint {
        self.trace.fingerprint()
    }
}

/// A setup whose API server has everything in it: made once, copied for each run.
#[derive(Clone)]
pub struct Prepared {
    setup: Arc<Setup>,
}

impl Prepared {
    /// Creates the setup's objects; an error names the object that the API server refuses.
    pub fn new(setup: Setup) -> Result<Prepared, SetupError> {
        crate::world::base(&setup)?;
        Ok(Prepared {
            setup: Arc::new(setup),
        })
    }

    /// The setup.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    fn base(&self) -> Result<ApiServer, SetupError> {
        crate::world::base(&self.setup)
    }

    /// Runs it once.
    pub fn run(&self, input: &Input, options: RunOptions) -> Run {
        self.direct(input, options, |_| ())
    }

    /// Runs it once, with `script` saying what happens first; the rest follows from the input.
    pub fn direct(
        &self,
        input: &Input,
        options: RunOptions,
        script: impl FnOnce(&mut World<'_>) + Send,
    ) -> Run {
        on_fresh_thread(input.seed(), || {
            panics::capture_backtraces(options.backtraces);
            spans::begin(options.logs);
            let base = self
                .base()
                .expect("the setup was accepted when it was prepared");
            spans::observe(|| {
                let mut world = World::new(&self.setup, input, base);
                script(&mut world);
                world.run();
                let (trace, verdict, diverged) = world.into_parts();
                Run {
                    trace,
                    verdict,
                    diverged,
                }
            })
        })
    }
}

/// Runs `body` on a thread that has run nothing before it.
#[expect(
    clippy::disallowed_methods,
    reason = "a run lives on a thread of its own"
)]
fn on_fresh_thread<T: Send>(seed: u64, body: impl FnOnce() -> T + Send) -> T {
    panics::install();
    crate::entropy::warm_up();
    let simulate = || {
        let _simulated = Simulated::enter(seed);
        body()
    };
    std::thread::scope(|scope| match scope.spawn(simulate).join() {
        Ok(value) => value,
        Err(payload) => std::panic::resume_unwind(payload),
    })
}
