//! What goes into a run: plain data and the operators' functions.
//!
//! Owns the input types of the engine. Knows no file format: the scenario reader lowers a file into a [`Setup`], and
//! the `Sim` builder makes one in code.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use crate::actors::stages::{ClaimStages, Pace, PodFailure, PodFault, PodStages};
use crate::operator::OperatorFn;
use crate::property::PropertySpec;
pub use crate::service::{ServiceKind, ServiceSetup};
pub use crate::telemetry::Telemetry;
use crate::time::{DurationRange, SimTime, SkewRange};

/// Everything a run depends on besides its seed or tape.
#[derive(Clone)]
pub struct Setup {
    /// The scenario's name, shown in reports.
    pub name: String,
    /// Number of API servers over the one store; replica `n` talks to server `n % servers` first.
    pub servers: u32,
    /// CustomResourceDefinitions, created and established before the run begins.
    pub crds: Vec<Value>,
    /// Objects that are there when the run begins, created in this order (a namespace they need is made first).
    /// A `status` in them is stored too.
    pub objects: Vec<Value>,
    /// Controllers that run beside the operators, no two of one name.
    pub actors: Vec<Actor>,
    /// The operators under test.
    pub operators: Vec<OperatorSetup>,
    /// The ranges latencies are drawn from.
    pub timing: Timing,
    /// What the users of the cluster do, in order of time.
    pub workload: Vec<WorkloadStep>,
    /// The external systems that operators call.
    pub services: Vec<ServiceSetup>,
    /// What is captured of operators' telemetry.
    pub telemetry: Telemetry,
    /// What may go wrong.
    pub faults: FaultPlan,
    /// What must hold.
    pub properties: Vec<PropertySpec>,
    /// When the world counts as settled.
    pub settle: Settle,
    /// When the run ends.
    pub until: Until,
    /// Which of the two ways of time is used.
    pub mode: Mode,
}

impl Default for Setup {
    fn default() -> Self {
        Setup {
            name: String::new(),
            servers: 1,
            crds: Vec::new(),
            objects: Vec::new(),
            actors: vec![Actor::GarbageCollector, Actor::Namespaces],
            operators: Vec::new(),
            timing: Timing::default(),
            workload: Vec::new(),
            services: Vec::new(),
            telemetry: Telemetry::default(),
            faults: FaultPlan::default(),
            properties: Vec::new(),
            settle: Settle::default(),
            until: Until::Settled,
            mode: Mode::Portfolio,
        }
    }
}

/// A controller that runs beside the operators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Actor {
    /// Deletes dependents whose owners are gone, and works off foreground and orphan deletions.
    GarbageCollector,
    /// Empties namespaces that are being deleted and removes their finalizer.
    Namespaces,
    /// Scheduler and kubelet: Pods are bound, start, become Ready, end, fail and stop.
    Pods(PodStages),
    /// Pods for ReplicaSets.
    ReplicaSets(Pace),
    /// ReplicaSets for Deployments, rolled over.
    Deployments(Pace),
    /// Pods with ordinals, and their claims.
    StatefulSets(Pace),
    /// Pods that do a job.
    Jobs(Pace),
    /// Claims are bound.
    PersistentVolumeClaims(ClaimStages),
    /// Endpoints and EndpointSlices of Services.
    Endpoints(Pace),
}

impl Actor {
    /// Its name in scenario files.
    pub fn name(&self) -> &'static str {
        match self {
            Actor::GarbageCollector => "garbage-collector",
            Actor::Namespaces => "namespaces",
            Actor::Pods(_) => "pods",
            Actor::ReplicaSets(_) => "replicasets",
            Actor::Deployments(_) => "deployments",
            Actor::StatefulSets(_) => "statefulsets",
            Actor::Jobs(_) => "jobs",
            Actor::PersistentVolumeClaims(_) => "persistentvolumeclaims",
            Actor::Endpoints(_) => "endpoints",
        }
    }

    /// The stand-ins for all workloads, each as it is without further words.
    pub fn workloads() -> Vec<Actor> {
        vec![
            Actor::Pods(PodStages::default()),
            Actor::ReplicaSets(Pace::default()),
            Actor::Deployments(Pace::default()),
            Actor::StatefulSets(Pace::default()),
            Actor::Jobs(Pace::default()),
            Actor::PersistentVolumeClaims(ClaimStages::default()),
            Actor::Endpoints(Pace::default()),
        ]
    }
}

/// One operator and how many replicas of it run.
#[derive(Clone)]
pub struct OperatorSetup {
    /// Its name in the scenario; replicas are called `NAME-0`, `NAME-1`, ….
    pub name: String,
    /// How many run at once.
    pub replicas: u32,
    /// The namespace its pods are in.
    pub namespace: String,
    /// Starts a replica.
    pub run: OperatorFn,
}

/// The two ways of time, and the mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Latencies are drawn per message and the earliest message is next.
    Timed,
    /// Any message in flight may be next; time passes when chosen, or when nothing else can happen.
    Controlled,
    /// Seed 0 is the unperturbed run (shortest latencies, no fault); even seeds are timed, odd ones controlled.
    #[default]
    Portfolio,
}

/// Ranges of latencies.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Timing {
    /// From an operator to the API server, and again for the reply.
    pub request: DurationRange,
    /// From the API server's watch cache to the operator.
    pub watch: DurationRange,
    /// From the store to an API server's watch cache.
    pub cache: DurationRange,
    /// From the moment a controller of the control plane has something to do until it does it.
    pub chore: DurationRange,
    /// From the moment an API server could tell a watch how far it has come until it sends the bookmark; a real one does
    /// so about once a minute. In both ways of time.
    pub bookmark: DurationRange,
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            request: DurationRange::ms(1, 20),
            watch: DurationRange::ms(1, 50),
            cache: DurationRange::ms(0, 5),
            chore: DurationRange::ms(1, 200),
            bookmark: DurationRange::ms(1_000, 60_000),
        }
    }
}

/// Names an object in the cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Target {
    /// `v1`, `apps/v1`, `example.com/v1`.
    pub api_version: String,
    /// `ConfigMap`.
    pub kind: String,
    /// Empty for cluster-scoped kinds.
    pub namespace: String,
    /// The object's name.
    pub name: String,
}

/// One act of the cluster's users.
#[derive(Clone, Debug)]
pub struct WorkloadStep {
    /// Not before this time.
    pub at: SimTime,
    /// What is done.
    pub action: Action,
}

/// What a user does. The request goes straight to an API server; a refusal is an event, not an error.
#[derive(Clone, Debug)]
pub enum Action {
    /// POST of the object.
    Create {
        /// With `apiVersion`, `kind` and `metadata`.
        object: Value,
    },
    /// PATCH.
    Patch {
        /// The object.
        target: Target,
        /// `status`, `scale`; none for the object itself.
        subresource: Option<String>,
        /// The type of patch.
        patch: PatchType,
        /// Its body.
        body: Value,
    },
    /// PUT of a whole object.
    Replace {
        /// With `apiVersion`, `kind` and `metadata`; without a resourceVersion it replaces whatever is there.
        object: Value,
    },
    /// DELETE.
    Delete {
        /// The object.
        target: Target,
        /// `Background`, `Foreground`, `Orphan`; none for the kind's default.
        propagation_policy: Option<String>,
    },
    /// Stops all replicas of an operator gracefully and starts them again after the given time.
    Restart {
        /// The operator's name.
        operator: String,
        /// Until they start again.
        down: Duration,
    },
}

/// The type of a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PatchType {
    /// RFC 6902.
    Json,
    /// RFC 7386.
    Merge,
    /// Strategic merge patch.
    Strategic,
    /// Server-side apply, as the field manager `workload`, forced.
    Apply,
}

/// What may go wrong in a run, and how much of it.
#[derive(Clone, Debug, Default)]
pub struct FaultPlan {
    /// No more than this many faults in one run.
    pub at_most: u32,
    /// The faults to draw from.
    pub from: Vec<Fault>,
}

/// One kind of fault with its parameters. An empty list or `None` means: any.
#[derive(Clone, Debug)]
pub enum Fault {
    /// A replica dies: with everything it ever spawned, and with what it had in flight.
    Crash {
        /// Only replicas of this operator.
        operator: Option<String>,
        /// When.
        after: CrashPoint,
        /// How long until it is started again.
        restart: DurationRange,
    },
    /// The server does what was asked and the reply never arrives: the client sees a broken connection.
    LoseReply {
        /// Which requests.
        on: RequestFilter,
    },
    /// The server does what was asked and its reply takes long: it has accepted the request and does not answer.
    StallReply {
        /// Which requests.
        on: RequestFilter,
        /// For how long.
        lasting: DurationRange,
    },
    /// The server answers with an error without doing anything.
    Refuse {
        /// Which requests.
        on: RequestFilter,
        /// 409, 429, 500, 503 or 504.
        status: u16,
        /// `retryAfterSeconds`, for 429 and 503.
        retry_after_s: Option<u32>,
    },
    /// A request travels longer than others.
    Delay {
        /// Which requests.
        on: RequestFilter,
        /// How much longer.
        lasting: DurationRange,
    },
    /// A watch connection breaks; the client may resume it.
    DropWatch {
        /// Only watches of this kind.
        kind: Option<String>,
        /// Only replicas of this operator.
        operator: Option<String>,
    },
    /// A watch ends with the ERROR event 410 Expired; the client must list again.
    ExpireWatch {
        /// Only watches of this kind.
        kind: Option<String>,
        /// Only replicas of this operator.
        operator: Option<String>,
    },
    /// A watch connection stays open and says nothing.
    SilenceWatch {
        /// Only watches of this kind.
        kind: Option<String>,
        /// Only replicas of this operator.
        operator: Option<String>,
        /// For how long; then what was held back arrives.
        lasting: DurationRange,
    },
    /// An API server's watch cache stops following the store.
    Lag {
        /// Only the cache of this kind.
        kind: Option<String>,
        /// Only this server.
        server: Option<u32>,
        /// For how long.
        lasting: DurationRange,
    },
    /// A replica does not run (a garbage collection, a stalled virtual machine); its timers are overdue when it wakes.
    Pause {
        /// Only replicas of this operator.
        operator: Option<String>,
        /// For how long.
        lasting: DurationRange,
    },
    /// A replica's wall clock jumps.
    ClockSkew {
        /// Only replicas of this operator.
        operator: Option<String>,
        /// By how much.
        by: SkewRange,
    },
}

impl Fault {
    /// The fault's name in scenario files and reports.
    pub fn name(&self) -> &'static str {
        match self {
            Fault::Crash { .. } => "crash",
            Fault::LoseReply { .. } => "lose-reply",
            Fault::StallReply { .. } => "stall-reply",
            Fault::Refuse { .. } => "refuse",
            Fault::Delay { .. } => "delay",
            Fault::DropWatch { .. } => "drop-watch",
            Fault::ExpireWatch { .. } => "expire-watch",
            Fault::SilenceWatch { .. } => "silence-watch",
            Fault::Lag { .. } => "lag",
            Fault::Pause { .. } => "pause",
            Fault::ClockSkew { .. } => "clock-skew",
        }
    }
}

/// Where a crash may strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CrashPoint {
    /// Right after any of its writes took effect, before the reply.
    AnyWrite,
    /// Right after any of its requests was answered by the server, before the reply.
    AnyRequest,
    /// Right after a watch event or a reply reached it.
    AnyDelivery,
}

/// Picks requests. Empty lists mean: any; a filter that names no webhook and no service picks requests to the API server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestFilter {
    /// `get`, `list`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verbs: Vec<String>,
    /// Kinds, such as `ConfigMap`.
    pub kinds: Vec<String>,
    /// Operators, by name.
    pub operators: Vec<String>,
    /// Calls of webhooks instead of requests of operators: by path, such as `/validate`; `*` is any.
    pub webhooks: Vec<String>,
    /// Calls of services instead of requests to the API server: by name; `*` is any.
    pub services: Vec<String>,
}

/// When a world counts as settled: faults off, workload done, no message in flight, every cache caught up, and for
/// `window` no write changed an object other than Leases, Events and the fields named under `noise`.
#[derive(Clone, Debug)]
pub struct Settle {
    /// How long nothing may change; raised to the longest requeue seen, at most to `window_max`.
    pub window: Duration,
    /// The cap of the raised window.
    pub window_max: Duration,
    /// Not settled this long after the last fault and workload step: `converges` fires.
    pub bound: Duration,
    /// Fields whose change does not count, as JSON pointers: `/status/lastSeen`.
    pub noise: Vec<String>,
    /// Once settled, make every replica reconcile everything again: its watches expire, then it is restarted. The
    /// property `idempotent` judges what that writes and needs it.
    pub force: bool,
}

impl Default for Settle {
    fn default() -> Self {
        Settle {
            window: Duration::from_secs(60),
            window_max: Duration::from_secs(600),
            bound: Duration::from_secs(900),
            noise: Vec::new(),
            force: false,
        }
    }
}

/// When a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// When the world has settled, or at the bound.
    Settled,
    /// At this time.
    Time(SimTime),
}
