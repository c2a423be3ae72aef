//! One run, from a setup and a seed or tape to its history and verdict.
//!
//! Owns where a run lives: on a fresh thread of this process. std's hash keys and `rand`'s generator are made once per
//! thread, so a thread serves one run.

use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use fake_apiserver::server::ApiServer;

use crate::entropy::{self, Simulated};
use crate::isolation::{self, Isolation};
use crate::property::PropertySpec;
use crate::property::reference::Reference;
use crate::schedule::Input;
use crate::setup::Setup;
use crate::trace::{Fingerprint, Trace};
use crate::verdict::Verdict;
use crate::whereabouts::{Place, Whereabouts};
use crate::world::{SetupError, World};
use crate::{panics, spans};

/// So often a run is made again because an exit in it met one of another thread: that takes a moment, and hardly happens
/// twice.
const REFUSED_MAX: usize = 100;

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
    base: Arc<ApiServer>,
    /// The fault-free run, made when the first property wants to compare with it.
    reference: Arc<OnceLock<Result<Reference, String>>>,
}

impl Prepared {
    /// Creates the setup's objects; an error names the object that the API server refuses.
    pub fn new(setup: Setup) -> Result<Prepared, SetupError> {
        let base = Arc::new(crate::world::base(&setup)?);
        Ok(Prepared {
            setup: Arc::new(setup),
            base,
            reference: Arc::default(),
        })
    }

    /// The fault-free run, if a property compares with it: made once, before any run that is compared.
    pub(crate) fn reference(
        &self,
        isolation: Isolation,
        limit: Duration,
    ) -> Option<&Result<Reference, String>> {
        let wanted = |property: &PropertySpec| property.needs.reference;
        self.setup.properties.iter().any(wanted).then(|| {
            self.reference.get_or_init(|| {
                // Properties only read: without them it is the same run, and with them it would wait for itself.
                let mut plain = Setup::clone(&self.setup);
                plain.properties.clear();
                plain.settle.force = false;
                let plain = Prepared {
                    setup: Arc::new(plain),
                    ..self.clone()
                };
                let operators: Vec<String> = self
                    .setup
                    .operators
                    .iter()
                    .flat_map(|of| std::iter::repeat_n(of.name.clone(), of.replicas as usize))
                    .collect();
                let made = isolation::make_twice(&plain, isolation, limit);
                Reference::read(made, &self.base, &operators)
            })
        })
    }

    /// The setup.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Runs it once.
    pub fn run(&self, input: &Input, options: RunOptions) -> Run {
        self.direct(input, options, |_| ())
    }

    /// Runs it once, unless that takes longer than `limit` on the wall clock; then it is told where it was last, if any
    /// replica ever ran. The thread of a run that is stuck is left behind: nothing can stop it.
    #[expect(
        clippy::disallowed_methods,
        reason = "a run that may get stuck lives on a thread that may be left behind"
    )]
    pub fn run_within(
        &self,
        input: &Input,
        options: RunOptions,
        limit: Duration,
    ) -> Result<Run, Option<Place>> {
        self.reference(Isolation::Thread, limit);
        let mut place = None;
        for _ in 0..REFUSED_MAX {
            let whereabouts = Arc::new(Whereabouts::own());
            let (sender, receiver) = std::sync::mpsc::sync_channel(1);
            let (prepared, input) = (self.clone(), input.clone());
            let noted = Some(whereabouts.clone());
            let thread = std::thread::spawn(move || {
                let _ = sender.send(prepared.simulate(&input, options, noted, |_| ()));
            });
            match receiver.recv_timeout(limit) {
                Ok(Some(run)) => return Ok(run),
                Ok(None) => place = whereabouts.read(),
                Err(RecvTimeoutError::Timeout) => return Err(whereabouts.read()),
                Err(RecvTimeoutError::Disconnected) => match thread.join() {
                    Ok(()) => return Err(None),
                    Err(payload) => std::panic::resume_unwind(payload),
                },
            }
        }
        Err(place)
    }

    /// Runs it once, noting where it is for whoever watches over this process.
    pub(crate) fn run_watched(&self, input: &Input, whereabouts: Arc<Whereabouts>) -> Run {
        self.on_thread(input, RunOptions::default(), Some(whereabouts), |_| ())
    }

    /// Runs it once, with `script` saying what happens first; the rest follows from the input.
    pub fn direct(
        &self,
        input: &Input,
        options: RunOptions,
        script: impl FnOnce(&mut World<'_>) + Send,
    ) -> Run {
        self.on_thread(input, options, None, script)
    }

    fn on_thread(
        &self,
        input: &Input,
        options: RunOptions,
        whereabouts: Option<Arc<Whereabouts>>,
        script: impl FnOnce(&mut World<'_>) + Send,
    ) -> Run {
        self.reference(Isolation::Thread, Duration::MAX);
        let run = || self.simulate(input, options, whereabouts, script);
        std::thread::scope(|scope| match scope.spawn(run).join() {
            Ok(run) => run.expect("no other thread of this process exits at the same moment"),
            Err(payload) => std::panic::resume_unwind(payload),
        })
    }

    /// Runs it on this thread, which has run nothing before; none if it has to be made again.
    fn simulate(
        &self,
        input: &Input,
        options: RunOptions,
        whereabouts: Option<Arc<Whereabouts>>,
        script: impl FnOnce(&mut World<'_>),
    ) -> Option<Run> {
        panics::install();
        let _simulated = Simulated::enter(input.seed());
        panics::capture_backtraces(options.backtraces);
        let asked = &self.setup.telemetry;
        spans::begin(options.logs || asked.logs, asked.spans);
        let base = self.base.copy();
        let run = spans::observe(|| {
            let reference = self.reference(Isolation::Thread, Duration::MAX);
            let mut world = World::new(&self.setup, input, base, whereabouts, reference);
            script(&mut world);
            world.run();
            let (trace, verdict, diverged) = world.into_parts();
            Run {
                trace,
                verdict,
                diverged,
            }
        });
        (!entropy::exit_refused()).then_some(run)
    }
}
