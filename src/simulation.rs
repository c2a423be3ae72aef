//! [`Sim`]: a simulation written in a test.
//!
//! Owns the builder's words and the panics of `assert_holds`: findings are data everywhere else. Does not own running
//! (`sim`, `exploration`) nor reports.

use std::path::PathBuf;
use std::time::Duration;

use reports::recording::{FormatVersion, Header, InlinedFile, Recording};
use reports::{Colors, failure};
use scenarios::load::{self, Case, Files};
use scenarios::quantity::SeedRange;
use serde::Serialize;
use serde_json::Value;
use sim::Isolation;
use sim::isolation::Lost;
use sim::operator::{IntoOperatorResult, OperatorContext, OperatorFn, Operators, operator};
use sim::property::{BuiltinError, PropertySpec, View};
use sim::run::{Prepared, Run};
use sim::setup::{
    Action, Actor, Fault, Mode, OperatorSetup, ServiceSetup, Setup, Telemetry, Timing, WorkloadStep,
};
use sim::targeted::{Pattern, TargetedPlan};
use sim::visible;

use crate::exploration::{Exploration, Judgement, Options, compare, explore, run_twice, with_logs};
use crate::plan::{self, Fnv};
use crate::rerun;
use crate::targeted::{self, TEST_PLANS, Targeted};

/// A simulation: a cluster, operators, what happens to them, and what must hold.
///
/// ```no_run
/// use reconverge::prelude::*;
///
/// # async fn run(_: kube::Client) {}
/// Sim::scenario("scenarios/races/dual-write.yaml")
///     .variant("fixed")
///     .operator("webapp", 2, |cx| run(cx.client))
///     .explore(seeds(0..1_000))
///     .assert_holds();
/// ```
#[derive(Clone)]
#[must_use = "a simulation does nothing until it is explored, run or replayed"]
pub struct Sim {
    setup: Setup,
    options: Options,
    /// The file it begins with, and the variant that was asked for.
    file: Option<(PathBuf, Option<String>)>,
    registry: Operators,
    operators: Vec<(String, u32, OperatorFn)>,
    /// The patterns whose plans are run, and how many plans at most; none was said: those of the file, or all.
    patterns: Option<Vec<Pattern>>,
    plans_at_most: usize,
}

impl Sim {
    /// An empty cluster.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            setup: Setup {
                name: name.into(),
                ..Setup::default()
            },
            options: Options::default(),
            file: None,
            registry: Operators::new(),
            operators: Vec::new(),
            patterns: None,
            plans_at_most: TEST_PLANS,
        }
    }

    /// What a scenario file says; [`Sim::variant`] chooses a variant where there are several.
    pub fn scenario(path: impl Into<PathBuf>) -> Self {
        let mut sim = Self::new("");
        sim.file = Some((path.into(), None));
        sim
    }

    /// The variant of the scenario file.
    pub fn variant(mut self, name: impl Into<String>) -> Self {
        if let Some((_, variant)) = &mut self.file {
            *variant = Some(name.into());
        }
        self
    }

    /// The operators that the scenario file names.
    pub fn operators(mut self, operators: Operators) -> Self {
        self.registry = self.registry.merge(operators);
        self
    }

    /// An operator under test with so many replicas; in a scenario, instead of the file's operator of that name.
    pub fn operator<F, Fut>(mut self, name: impl Into<String>, replicas: u32, run: F) -> Self
    where
        F: Fn(OperatorContext) -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: IntoOperatorResult,
    {
        self.operators.push((name.into(), replicas, operator(run)));
        self
    }

    /// A CustomResourceDefinition, established before the run begins.
    pub fn crd(mut self, crd: impl Serialize) -> Self {
        self.setup.crds.push(json(crd));
        self
    }

    /// An object that exists when the run begins.
    pub fn object(mut self, object: impl Serialize) -> Self {
        self.setup.objects.push(json(object));
        self
    }

    /// What acts beside the operators: the garbage collector and the namespace controller unless said otherwise, and
    /// whatever is added here. `Actor::workloads()` stands in for all controllers of workloads.
    pub fn actors(mut self, actors: impl IntoIterator<Item = Actor>) -> Self {
        for actor in actors {
            self.setup
                .actors
                .retain(|other| other.name() != actor.name());
            self.setup.actors.push(actor);
        }
        self
    }

    /// How many API servers share the store.
    pub fn servers(mut self, servers: u32) -> Self {
        self.setup.servers = servers;
        self
    }

    /// How long messages travel.
    pub fn timing(mut self, timing: Timing) -> Self {
        self.setup.timing = timing;
        self
    }

    /// How schedules are made.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.setup.mode = mode;
        self
    }

    /// A step of the workload.
    pub fn step(mut self, step: WorkloadStep) -> Self {
        self.setup.workload.push(step);
        self
    }

    /// An external system that operators call by its name.
    pub fn service(mut self, service: ServiceSetup) -> Self {
        self.setup.services.push(service);
        self
    }

    /// What is captured of the operators' telemetry.
    pub fn telemetry(mut self, telemetry: Telemetry) -> Self {
        self.setup.telemetry = telemetry;
        self
    }

    /// One kind of fault more; no more than `at_most` faults strike in one run.
    pub fn fault(mut self, at_most: u32, fault: Fault) -> Self {
        self.setup.faults.at_most = at_most;
        self.setup.faults.from.push(fault);
        self
    }

    /// What runs share; without this, the default of `sim::Isolation`.
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.options.isolation = isolation;
        self
    }

    /// A run that takes longer than this on the wall clock is given up; 60 s without this.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.options.limit = limit;
        self
    }

    /// The patterns whose targeted plans go before the seeds: all of them without this, or what the scenario file says;
    /// none for an empty list. A plan forces one thing at one point that the unperturbed run shows: a crash after a write,
    /// a lost reply, late or coalesced events, a restart onto an old state.
    pub fn plans(mut self, patterns: impl IntoIterator<Item = Pattern>) -> Self {
        self.patterns = Some(patterns.into_iter().collect());
        self
    }

    /// How many plans are run at most, evenly spread over all; 60 without this, as with scenario files under `cargo test`.
    pub fn plans_at_most(mut self, plans: usize) -> Self {
        self.plans_at_most = plans;
        self
    }

    /// A built-in property, by name.
    ///
    /// # Panics
    /// If there is none of that name.
    pub fn property(self, name: &str) -> Self {
        self.property_with(name, Value::Null)
    }

    /// A built-in property with parameters, as `json!({"per": "1m", "atMost": 60})`.
    ///
    /// # Panics
    /// If there is none of that name, or its parameters do not fit.
    pub fn property_with(mut self, name: &str, parameters: Value) -> Self {
        match sim::property::builtin_with(name, &parameters) {
            Ok(property) => {
                self.setup.settle.force |= property.needs.forced;
                self.setup.properties.push(property);
            }
            Err(BuiltinError::Unknown(_)) => {
                let known: Vec<_> = sim::property::all_names().collect();
                panic!(
                    "no property is called `{name}`; known are: {}",
                    known.join(", ")
                );
            }
            Err(error) => panic!("{error}"),
        }
        self
    }

    /// Must be true in every state.
    pub fn always(
        self,
        name: &str,
        holds: impl Fn(&View<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.push(sim::property::always(name, holds))
    }

    /// Must be true once the system has settled.
    pub fn eventually(
        self,
        name: &str,
        holds: impl Fn(&View<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.push(sim::property::eventually(name, holds))
    }

    /// Must be true in some state of at least one run of an exploration.
    pub fn sometimes(
        self,
        name: &str,
        holds: impl Fn(&View<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.push(sim::property::sometimes(name, holds))
    }

    fn push(mut self, property: PropertySpec) -> Self {
        self.setup.properties.push(property);
        self
    }

    /// Runs every targeted plan, then every seed. A single seed is run alone.
    ///
    /// # Panics
    /// If the scenario file is wrong.
    pub fn explore(&self, seeds: SeedRange) -> Explored {
        let ready = self.ready();
        let list: Vec<u64> = seeds.iter().collect();
        let plans = match list.len() {
            0 | 1 => Targeted::default(),
            _ => ready.plans(self.plans_at_most),
        };
        let found = ready.explore(&list);
        Explored {
            ready,
            found,
            plans,
        }
    }

    /// Runs one seed.
    ///
    /// # Panics
    /// If the scenario file is wrong, or the engine fails.
    pub fn run(&self, seed: u64) -> Run {
        self.ready().run_twice(seed).0
    }

    /// Runs the seed or the plan that a token names, and nothing else: `v1.9f3a07c1.42`, `v1.9f3a07c1.crash-3`.
    ///
    /// # Panics
    /// If the token is of another simulation: then this one has changed since.
    pub fn replay(&self, token: &str) -> Explored {
        let ready = self.ready();
        let parts = token
            .strip_prefix("v1.")
            .and_then(|rest| rest.split_once('.'));
        let Some((hash, input)) = parts else {
            panic!("`{token}` is no token: one looks like v1.9f3a07c1.42");
        };
        assert!(
            hash == ready.hash,
            "the token {token} is of another simulation, or of another version of this one, whose hash is {}; \
             to run the seed regardless, use .run(SEED)",
            ready.hash
        );
        let (found, plans) = match input.parse::<u64>() {
            Ok(seed) => (ready.explore(&[seed]), Targeted::default()),
            Err(_) => (Exploration::default(), ready.plan(input)),
        };
        Explored {
            ready,
            found,
            plans,
        }
    }

    /// Lowers the file, if there is one, and adds what was said in code.
    fn ready(&self) -> Ready {
        let mut files = Vec::new();
        let mut variant = String::new();
        let mut patterns = Pattern::ALL.to_vec();
        let mut setup = match &self.file {
            None => Setup {
                operators: self.operators.iter().map(setup_of).collect(),
                ..self.setup.clone()
            },
            Some((path, wanted)) => {
                let case = case(path, wanted.as_deref());
                let setup = self.lower(&case);
                variant = case.variant.clone();
                patterns = plan::patterns(&case);
                files = case
                    .sources
                    .iter()
                    .map(|s| InlinedFile {
                        path: s.path.display().to_string(),
                        text: s.text.clone(),
                    })
                    .collect();
                setup
            }
        };
        if self.file.is_some() {
            let code = self.setup.clone();
            setup.crds.extend(code.crds);
            setup.objects.extend(code.objects);
            setup.workload.extend(code.workload);
            setup.workload.sort_by_key(|step| step.at);
            setup.properties.extend(code.properties);
            setup.faults.at_most = setup.faults.at_most.max(code.faults.at_most);
            setup.faults.from.extend(code.faults.from);
            setup.settle.force |= code.settle.force;
        } else if let Some(no_panic) = sim::property::builtin("no-panic") {
            setup.properties.insert(0, no_panic);
        }
        let hash = hash(&setup, &files, &variant);
        let prepared = match Prepared::new(setup) {
            Ok(prepared) => prepared,
            Err(error) => panic!("{error}"),
        };
        Ready {
            prepared,
            options: self.options,
            patterns: self.patterns.clone().unwrap_or(patterns),
            files,
            variant,
            hash,
        }
    }

    fn lower(&self, case: &Case) -> Setup {
        let mut case = case.clone();
        let mut registry = self.registry.clone();
        for (name, replicas, run) in &self.operators {
            let run = run.clone();
            let registered = format!("{name} (in code)");
            registry = registry.add(registered.clone(), move |cx| run(cx));
            let operator = case.scenario.operators.entry(name.clone());
            let operator = operator.or_insert_with(|| scenarios::format::Operator {
                run: String::new(),
                replicas: 1,
                namespace: None,
            });
            operator.run = registered;
            operator.replicas = *replicas;
        }
        match scenarios::lower::lower(&case, &registry) {
            Ok(setup) => setup,
            Err(error) => panic!("{}", error.render(false)),
        }
    }
}

fn json(object: impl Serialize) -> Value {
    match serde_json::to_value(object) {
        Ok(json) => json,
        Err(error) => panic!("an object must serialise: {error}"),
    }
}

fn case(path: &std::path::Path, variant: Option<&str>) -> Case {
    let file = match load::load(path, &Files::Disk) {
        Ok(file) => file,
        Err(error) => panic!("{}", error.render(false)),
    };
    let known: Vec<_> = file.cases.iter().map(|c| c.variant.clone()).collect();
    let chosen = match variant {
        Some(name) => file.cases.into_iter().find(|c| c.variant == name),
        None => file.cases.into_iter().next(),
    };
    match chosen {
        Some(case) => case,
        None => panic!(
            "{} has no such variant; it has: {}",
            path.display(),
            known.join(", ")
        ),
    }
}

fn setup_of((name, replicas, run): &(String, u32, OperatorFn)) -> OperatorSetup {
    OperatorSetup {
        name: name.clone(),
        replicas: *replicas,
        namespace: "default".to_owned(),
        run: run.clone(),
    }
}

/// The hash that tokens carry. What is code (operators, closures) counts by its name.
fn hash(setup: &Setup, files: &[InlinedFile], variant: &str) -> String {
    let mut hash = Fnv::default();
    for file in files {
        hash.add(file.text.as_bytes());
    }
    hash.add(variant.as_bytes());
    hash.add(setup.name.as_bytes());
    for object in setup.crds.iter().chain(&setup.objects) {
        hash.add(canonical(object).as_bytes());
    }
    for operator in &setup.operators {
        hash.add(format!("{} {}", operator.name, operator.replicas).as_bytes());
    }
    for property in &setup.properties {
        hash.add(property.name.as_bytes());
    }
    for step in &setup.workload {
        hash.add(format!("{} {}", step.at, action(&step.action)).as_bytes());
    }
    let plain = (
        setup.servers,
        &setup.actors,
        &setup.timing,
        &setup.faults,
        &setup.mode,
    );
    hash.add(format!("{plain:?} {:?} {:?}", setup.settle, setup.until).as_bytes());
    hash.short()
}

/// A step of the workload as text.
fn action(action: &Action) -> String {
    match action {
        Action::Create { object } => format!("create {}", canonical(object)),
        Action::Replace { object } => format!("replace {}", canonical(object)),
        Action::Patch {
            target,
            subresource,
            patch,
            body,
        } => format!("{target:?} {subresource:?} {patch:?} {}", canonical(body)),
        // No JSON in these.
        other => format!("{other:?}"),
    }
}

/// JSON with sorted keys, whatever features `serde_json` was built with.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let sorted: std::collections::BTreeMap<_, _> = map.iter().collect();
            let fields: Vec<_> = sorted
                .iter()
                .map(|(k, v)| format!("{k:?}:{}", canonical(v)))
                .collect();
            format!("{{{}}}", fields.join(","))
        }
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(canonical).collect();
            format!("[{}]", items.join(","))
        }
        plain => plain.to_string(),
    }
}

/// A simulation that can be run.
#[derive(Clone)]
struct Ready {
    prepared: Prepared,
    options: Options,
    patterns: Vec<Pattern>,
    files: Vec<InlinedFile>,
    variant: String,
    hash: String,
}

impl Ready {
    /// Runs the targeted plans, or so many of them.
    fn plans(&self, at_most: usize) -> Targeted {
        let choose = |all: &[TargetedPlan]| targeted::thinned(all, at_most);
        let (prepared, options) = (&self.prepared, &self.options);
        match targeted::run(prepared, &self.patterns, options, choose, &mut || true) {
            Ok(found) => found,
            Err(error) => panic!("{error}"),
        }
    }

    /// Runs the plan of that name.
    fn plan(&self, name: &str) -> Targeted {
        let all = match targeted::plans_of(&self.prepared, &Pattern::ALL, &self.options) {
            Ok(all) => all,
            Err(error) => panic!("{error}"),
        };
        let Some(plan) = all.iter().find(|plan| plan.name == name) else {
            panic!(
                "this simulation has no plan `{name}`, but {} others",
                all.len()
            );
        };
        let one = std::slice::from_ref(plan);
        match targeted::explore(&self.prepared, one, &self.options, &mut || true) {
            Ok(found) => found,
            Err(error) => panic!("{error}"),
        }
    }

    fn explore(&self, seeds: &[u64]) -> Exploration {
        match explore(&self.prepared, seeds, &self.options, &mut || true) {
            Ok(found) => found,
            Err(error) => panic!("{error}"),
        }
    }

    fn run_twice(&self, seed: u64) -> (Run, Run) {
        match run_twice(&self.prepared, seed, &self.options) {
            Ok(runs) => runs,
            Err(error) => panic!("seed {seed} gave no run: {error}"),
        }
    }

    fn record(&self, seed: u64, run: Run) -> Recording {
        Recording {
            header: Header {
                format: FormatVersion::CURRENT,
                reconverge: crate::VERSION.to_owned(),
                scenario: self.prepared.setup().name.clone(),
                variant: self.variant.clone(),
                scenario_hash: self.hash.clone(),
                files: self.files.clone(),
                seed,
                plan: run.trace.tape.plan.clone(),
                isolation: self.options.isolation.name().to_owned(),
                replay: String::new(),
                mode: run.trace.tape.mode,
                replicas: run.trace.replicas.clone(),
            },
            trace: run.trace,
            verdict: run.verdict,
        }
    }
}

/// What an exploration in a test showed.
#[must_use = "say what is expected: assert_holds() or assert_violates(…)"]
pub struct Explored {
    ready: Ready,
    found: Exploration,
    plans: Targeted,
}

impl Explored {
    /// The counts.
    pub fn exploration(&self) -> &Exploration {
        &self.found
    }

    /// What the targeted plans showed.
    pub fn plans(&self) -> &Targeted {
        &self.plans
    }

    /// The recording of the failing run of the lowest seed, else of the first plan, if any run failed.
    pub fn first_failure(&self) -> Option<Recording> {
        let of_plan = || self.plans.first_failure.clone().map(|(_, run)| (0, run));
        let (seed, run) = self.found.first_failure.clone().or_else(of_plan)?;
        let run = with_logs(&self.ready.prepared, seed, run);
        Some(self.ready.record(seed, run))
    }

    /// Panics with the failure block unless every property held in every run, under each plan and with each seed.
    #[track_caller]
    pub fn assert_holds(self) {
        self.assert(&scenarios::expect::Expect::Holds);
    }

    /// Panics unless this property failed in at least one run, and no other with any seed. What else fails under a plan
    /// is not judged: plans aim at weaknesses that a test may not be about.
    #[track_caller]
    pub fn assert_violates(self, property: &str) {
        self.assert(&scenarios::expect::Expect::Violates(vec![
            property.to_owned(),
        ]));
    }

    #[track_caller]
    fn assert(self, expect: &scenarios::expect::Expect) {
        let mut message = String::new();
        for (seed, fault) in &self.found.faults {
            message.push_str(&format!("fault of reconverge at seed {seed}: {fault}\n"));
        }
        for mismatch in &self.found.mismatches {
            message.push_str(&format!(
                "seed {} is not deterministic, {}\n",
                mismatch.seed, mismatch.difference
            ));
        }
        for (plan, difference) in &self.plans.mismatches {
            message.push_str(&format!("plan {plan} is not deterministic, {difference}\n"));
        }
        let by_seeds = self.expected_of_seeds(expect);
        let judgement = self.found.judge(&by_seeds, self.found.runs <= 1);
        if let Judgement::Unexpected(reasons) = judgement.and(self.plans.reasons(expect)) {
            for reason in reasons {
                message.push_str(&format!("{reason}\n"));
            }
        }
        let stuck = |lost: &Lost| matches!(lost, Lost::Stuck { .. });
        let mut lost = self.found.lost.values().chain(&self.plans.unmade);
        if lost.any(stuck) && self.ready.options.isolation == Isolation::Thread {
            message.push_str(rerun::IN_A_TEST);
            message.push('\n');
        }
        if message.is_empty() {
            return;
        }
        if let Some(recording) = self.first_failure() {
            message.push('\n');
            message.push_str(&failure(&recording, Colors::Off));
        }
        panic!("{}", visible::text(&message));
    }

    /// What the seeds must show: a property that is expected to fail may have failed under a plan alone.
    fn expected_of_seeds(&self, expect: &scenarios::expect::Expect) -> scenarios::expect::Expect {
        let by_plan =
            |property: &String| self.plans.failing.values().any(|of| of.contains(property));
        let by_seed = |property: &String| self.found.violated.contains_key(property);
        let wanted = expect.violated().iter();
        let left: Vec<String> = wanted
            .filter(|property| by_seed(property) || !by_plan(property))
            .cloned()
            .collect();
        match left.is_empty() {
            true => scenarios::expect::Expect::Holds,
            false => scenarios::expect::Expect::Violates(left),
        }
    }
}

/// Runs a seed twice and panics, naming the first difference, unless both runs are the same.
///
/// # Panics
/// If the runs differ.
pub fn assert_deterministic(sim: &Sim, seed: u64) {
    let (first, second) = sim.ready().run_twice(seed);
    if let Some(mismatch) = compare(seed, &first, &second) {
        panic!("seed {seed} is not deterministic, {}", mismatch.difference);
    }
}
