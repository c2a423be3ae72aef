//! Everything that happened: the closed enum [`Event`] and the ids it speaks of.
//!
//! Owns the vocabulary of a trace. An event says what happened in the world, never what somebody thinks of it: that is
//! a [`Finding`](crate::verdict::Finding).

use std::fmt;

use fake_apiserver::json::CompactString;
use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $inner:ty, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

id!(
    /// A replica, counted over all operators; its name is in [`Trace::replicas`](crate::trace::Trace::replicas).
    ReplicaId, u32, "r"
);
id!(
    /// A request, counted over the run.
    RequestId, u64, "q"
);
id!(
    /// A watch, counted over the run.
    WatchId, u64, "w"
);
id!(
    /// A reconcile, counted over the run.
    ReconcileId, u64, "c"
);
id!(
    /// A call of a webhook by the API server, counted over the run.
    CallId, u64, "k"
);
id!(
    /// A record of the trace, counted over the run.
    StepId, u64, "#"
);
id!(
    /// A revision of the store: ours, ordered; clients see it as an opaque resourceVersion.
    Revision, u64, "@"
);
id!(
    /// A body in [`Trace::bodies`](crate::trace::Trace::bodies), by its hash.
    BodyId, u64, "b"
);

/// Names an object by its resource, as URLs do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectKey {
    /// API group; empty for the core group.
    pub group: CompactString,
    /// Plural name: `configmaps`.
    pub resource: CompactString,
    /// Empty for cluster-scoped objects.
    pub namespace: CompactString,
    /// The object's name.
    pub name: CompactString,
}

/// `configmaps/default/a`; `nodes/n1`.
impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{}/{}", self.resource, self.name)
        } else {
            write!(f, "{}/{}/{}", self.resource, self.namespace, self.name)
        }
    }
}

/// What a request asks for, read off its method and path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Call {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: CompactString,
    /// API group; empty for the core group.
    pub group: CompactString,
    /// Plural name; empty for paths that are not resources.
    pub resource: CompactString,
    /// Empty where there is none.
    pub namespace: CompactString,
    /// Empty for lists and creates by collection.
    pub name: CompactString,
    /// `status`, `scale`; empty for the object itself.
    pub subresource: CompactString,
}

impl Call {
    /// Whether it may change something.
    pub fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }

    /// The object, if the call names one.
    pub fn key(&self) -> Option<ObjectKey> {
        (!self.name.is_empty() && !self.resource.is_empty()).then(|| ObjectKey {
            group: self.group.clone(),
            resource: self.resource.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        })
    }
}

/// `patch webapps/default/demo status`.
impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        for part in [&self.namespace, &self.name] {
            if !part.is_empty() {
                write!(f, "/{part}")?;
            }
        }
        if !self.subresource.is_empty() {
            write!(f, " {}", self.subresource)?;
        }
        Ok(())
    }
}

/// Who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Who {
    /// A replica of an operator.
    Replica(ReplicaId),
    /// A user of the cluster: the workload.
    Workload,
    /// A controller of the control plane.
    ControlPlane,
    /// The world itself: set-up, faults.
    World,
}

/// What happened to an object in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// It was created.
    Created,
    /// It was changed.
    Updated,
    /// It is gone.
    Deleted,
}

/// One change of one object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Change {
    /// The revision of the store that the change made.
    pub revision: Revision,
    /// The object.
    pub object: ObjectKey,
    /// Its uid: two objects of one name are two objects.
    pub uid: String,
    /// What happened.
    pub kind: ChangeKind,
    /// The object afterwards; for a deletion, as it was last.
    pub body: BodyId,
    /// The fields that changed, as JSON pointers, in order; without `resourceVersion` and `managedFields`. Empty for
    /// creations and deletions.
    pub fields: Vec<String>,
}

/// Where the world knows the base of a write from (design: "base of a write").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BaseSource {
    /// The write carries a resourceVersion.
    Carried,
    /// The newest version its reconcile read.
    Read,
    /// What the replica's cache held when the reconcile began.
    Cache,
}

/// The version of the object that a writer had seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Base {
    /// The version.
    pub revision: Revision,
    /// How the world knows.
    pub source: BaseSource,
}

/// Why a watch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WatchEnd {
    /// The server closed it: its timeout.
    Closed,
    /// The connection broke: a fault.
    Dropped,
    /// The server said 410 Expired: a fault, or history was compacted away.
    Expired,
    /// The client went away.
    Cancelled,
}

/// What happened outside the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EffectKind {
    /// Something was made.
    Created,
    /// It was changed.
    Changed,
    /// Its deletion began.
    Deleted,
    /// It is gone: the cleanup that its deletion began is over.
    CleanedUp,
    /// An alert or a batch was taken.
    Accepted,
}

/// One thing that a call changed in an external system.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Effect {
    /// What happened.
    pub kind: EffectKind,
    /// To what: `volumes/data`, `volumes/*` for a resource that the service named, an alert's name, a batch's path.
    pub object: String,
    /// The idempotency key of the call that did it.
    pub key: Option<String>,
}

/// The phase a run is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Workload and faults are on: what must never happen is looked for.
    Safety,
    /// Both are done: what must happen in the end is waited for.
    Liveness,
    /// The world has settled.
    Settled,
    /// Every replica was made to reconcile everything once more.
    Forced,
    /// The run is over.
    Done,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum Event {
    /// The run entered a phase.
    PhaseBegan {
        /// Which.
        phase: Phase,
    },
    /// A replica's process started.
    ReplicaStarted {
        /// Which.
        replica: ReplicaId,
        /// 1 for the first start.
        incarnation: u32,
    },
    /// A replica died with everything it ever spawned.
    ReplicaCrashed {
        /// Which.
        replica: ReplicaId,
        /// What killed it.
        why: String,
    },
    /// A replica's main function returned, or the process exited.
    ReplicaEnded {
        /// Which.
        replica: ReplicaId,
        /// The error it ended with.
        error: Option<String>,
    },
    /// A replica was told to stop.
    ShutdownRequested {
        /// Which.
        replica: ReplicaId,
    },
    /// A replica that had stopped gracefully left tasks behind.
    TasksLeaked {
        /// Which.
        replica: ReplicaId,
        /// How many.
        tasks: u32,
        /// Where they were spawned: `src/widget.rs:12:5`; empty where tokio does not tell.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        spawned_at: Vec<String>,
    },
    /// A replica has more tasks at once than it ever had: told at 32 and each doubling.
    TasksGrew {
        /// Which.
        replica: ReplicaId,
        /// How many.
        tasks: u32,
    },
    /// A replica stopped running for a while.
    ReplicaPaused {
        /// Which.
        replica: ReplicaId,
        /// For how long, in microseconds.
        for_us: u64,
    },
    /// A paused replica runs again.
    ReplicaResumed {
        /// Which.
        replica: ReplicaId,
    },
    /// A replica's wall clock jumped.
    ClockSkewed {
        /// Which.
        replica: ReplicaId,
        /// Its offset from the master clock now, in microseconds.
        offset_us: i64,
    },
    /// A panic inside an operator.
    Panicked {
        /// Which replica.
        replica: ReplicaId,
        /// The panic's message.
        message: String,
        /// `file:line:column`.
        location: String,
    },
    /// An operator blocked its thread.
    Blocked {
        /// Which replica.
        replica: ReplicaId,
        /// For how long, in microseconds.
        for_us: u64,
    },
    /// An operator started a thread of its own, which the simulation does not control.
    ThreadSpawned {
        /// Which replica.
        replica: ReplicaId,
    },
    /// kube's controller began to reconcile an object.
    ReconcileStarted {
        /// Which replica.
        replica: ReplicaId,
        /// The reconcile.
        reconcile: ReconcileId,
        /// The object, as kube names it.
        object: String,
        /// Why, as kube gives it.
        reason: String,
    },
    /// It ended.
    ReconcileEnded {
        /// Which replica.
        replica: ReplicaId,
        /// The reconcile.
        reconcile: ReconcileId,
    },
    /// A replica sent a request.
    RequestSent {
        /// Which replica.
        replica: ReplicaId,
        /// The request.
        request: RequestId,
        /// The reconcile it belongs to, where the tracing span tells.
        reconcile: Option<ReconcileId>,
        /// The API server it goes to.
        server: u32,
        /// What it asks for.
        call: Call,
        /// Its query string, as sent.
        query: String,
        /// Its body.
        body: Option<BodyId>,
        /// The version of the object its writer had seen.
        base: Option<Base>,
        /// The webhook call in whose handler it was sent, where the tracing span tells.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        webhook: Option<CallId>,
        /// The W3C `traceparent` it carries.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        traceparent: Option<String>,
    },
    /// A request was carried out by the API server.
    RequestCommitted {
        /// Who asked.
        replica: ReplicaId,
        /// The request.
        request: RequestId,
        /// The HTTP status.
        status: u16,
        /// The `reason` of a refusal.
        reason: String,
        /// What changed in the store.
        changes: Vec<Change>,
    },
    /// The gate answered in the server's place: a fault.
    RequestRefused {
        /// Who asked.
        replica: ReplicaId,
        /// The request.
        request: RequestId,
        /// The HTTP status.
        status: u16,
    },
    /// The reply reached the replica.
    ReplyDelivered {
        /// Which replica.
        replica: ReplicaId,
        /// The request.
        request: RequestId,
        /// The HTTP status.
        status: u16,
        /// Its resourceVersion: of the object, or of the list.
        revision: Option<Revision>,
    },
    /// The reply will never arrive: a fault.
    ReplyLost {
        /// Which replica.
        replica: ReplicaId,
        /// The request.
        request: RequestId,
    },
    /// The reply takes long: a fault.
    ReplyStalled {
        /// Which replica.
        replica: ReplicaId,
        /// The request.
        request: RequestId,
        /// For how long, in microseconds.
        for_us: u64,
    },
    /// The client gave up waiting, or died.
    RequestCancelled {
        /// Which replica.
        replica: ReplicaId,
        /// The request.
        request: RequestId,
        /// Whether the server had carried it out already.
        committed: bool,
    },
    /// A replica's metrics were scraped.
    MetricsScraped {
        /// Which replica.
        replica: ReplicaId,
        /// The text.
        body: BodyId,
    },
    /// A replica called a simulated service.
    ServiceCalled {
        /// Which replica.
        replica: ReplicaId,
        /// The call, counted with the requests.
        request: RequestId,
        /// The reconcile it belongs to, where the tracing span tells.
        reconcile: Option<ReconcileId>,
        /// The service.
        service: String,
        /// The HTTP method.
        method: String,
        /// The path.
        path: String,
        /// The header `Idempotency-Key`.
        key: Option<String>,
        /// Its body.
        body: Option<BodyId>,
        /// The webhook call in whose handler it was sent.
        webhook: Option<CallId>,
        /// The W3C `traceparent` it carries.
        traceparent: Option<String>,
    },
    /// The service has done what it was asked, or refused it.
    ServiceCommitted {
        /// Who asked.
        replica: ReplicaId,
        /// The call.
        request: RequestId,
        /// The service.
        service: String,
        /// The HTTP status.
        status: u16,
        /// The answer.
        body: BodyId,
        /// What changed there.
        effects: Vec<Effect>,
    },
    /// A service did something by itself.
    ServiceWorked {
        /// The service.
        service: String,
        /// What changed there.
        effects: Vec<Effect>,
    },
    /// A message of a replica travels longer than others: a fault.
    RequestDelayed {
        /// Which replica.
        replica: ReplicaId,
        /// The request.
        request: RequestId,
        /// How much longer, in microseconds.
        for_us: u64,
    },
    /// A call of a webhook travels longer than others: a fault.
    WebhookDelayed {
        /// The call.
        webhook: CallId,
        /// How much longer, in microseconds.
        for_us: u64,
    },
    /// The API server calls a webhook: the call is on its way to whoever serves the address.
    WebhookCalled {
        /// The call.
        webhook: CallId,
        /// The request it is called for; none where a controller of the control plane acts.
        request: Option<RequestId>,
        /// The address, without the query.
        url: String,
        /// The review.
        body: BodyId,
        /// How long the server waits, in microseconds.
        timeout_us: u64,
    },
    /// The call reached a replica; its handler began.
    WebhookDelivered {
        /// The replica that serves the address.
        replica: ReplicaId,
        /// The call.
        webhook: CallId,
    },
    /// The handler has answered; the answer is on its way.
    WebhookReplied {
        /// The replica.
        replica: ReplicaId,
        /// The call.
        webhook: CallId,
        /// The HTTP status.
        status: u16,
        /// The answer.
        body: Option<BodyId>,
    },
    /// The network answered in the handler's place: a fault.
    WebhookRefused {
        /// The call.
        webhook: CallId,
        /// The HTTP status.
        status: u16,
    },
    /// The handler's answer will never arrive: a fault.
    WebhookReplyLost {
        /// The replica.
        replica: ReplicaId,
        /// The call.
        webhook: CallId,
    },
    /// The answer reached the API server.
    WebhookAnswered {
        /// The call.
        webhook: CallId,
        /// The HTTP status.
        status: u16,
    },
    /// The call came to nothing.
    WebhookFailed {
        /// The call.
        webhook: CallId,
        /// Why, as the API server reports it.
        why: String,
    },
    /// A watch is open; its request's reply carried the head.
    WatchOpened {
        /// Which replica.
        replica: ReplicaId,
        /// The request that asked for it.
        request: RequestId,
        /// The watch.
        watch: WatchId,
        /// What it watches.
        call: Call,
    },
    /// An event of a watch reached the replica.
    WatchDelivered {
        /// Which replica.
        replica: ReplicaId,
        /// The watch.
        watch: WatchId,
        /// `ADDED`, `MODIFIED`, `DELETED`, `BOOKMARK`, `ERROR`.
        kind: String,
        /// The object.
        object: Option<ObjectKey>,
        /// Its resourceVersion.
        revision: Option<Revision>,
    },
    /// The last event that a watch brought of an object reached the replica once more: in the forced reconcile.
    WatchRedelivered {
        /// Which replica.
        replica: ReplicaId,
        /// The watch.
        watch: WatchId,
        /// `ADDED`, `MODIFIED`, `DELETED`.
        kind: String,
        /// The object.
        object: ObjectKey,
        /// Its resourceVersion.
        revision: Revision,
    },
    /// A watch ended.
    WatchEnded {
        /// Which replica.
        replica: ReplicaId,
        /// The watch.
        watch: WatchId,
        /// Why.
        why: WatchEnd,
    },
    /// A watch fell silent: a fault.
    WatchSilenced {
        /// Which replica.
        replica: ReplicaId,
        /// The watch.
        watch: WatchId,
        /// For how long, in microseconds.
        for_us: u64,
    },
    /// A silent watch speaks again.
    WatchUnsilenced {
        /// The watch.
        watch: WatchId,
    },
    /// A watch cache stopped following the store: a fault.
    CacheLagged {
        /// Which server.
        server: u32,
        /// Which resource; empty for all.
        resource: String,
        /// For how long, in microseconds.
        for_us: u64,
    },
    /// It follows again.
    CacheCaughtUp {
        /// Which server.
        server: u32,
        /// Which resource; empty for all.
        resource: String,
    },
    /// A controller of the control plane did something.
    ChoreDone {
        /// What.
        chore: String,
        /// What changed in the store.
        changes: Vec<Change>,
    },
    /// A stand-in for a controller of workloads, or for a node, took a step.
    ActorActed {
        /// Which, by its name in scenario files: `deployments`.
        actor: String,
        /// What it did.
        what: String,
        /// The HTTP status; 0 where the answer is still to come.
        status: u16,
        /// The server's message, for refusals.
        message: String,
        /// What changed in the store.
        changes: Vec<Change>,
    },
    /// A step of the workload was done.
    WorkloadDone {
        /// Its number, from 0.
        #[serde(rename = "workload_step")]
        step: u32,
        /// What it did.
        what: String,
        /// The HTTP status, 0 where it made no request.
        status: u16,
        /// The server's message, for refusals.
        message: String,
        /// What changed in the store.
        changes: Vec<Change>,
    },
}

impl Event {
    /// What changed in the store by it.
    pub fn changes(&self) -> &[Change] {
        match self {
            Event::RequestCommitted { changes, .. }
            | Event::ChoreDone { changes, .. }
            | Event::ActorActed { changes, .. }
            | Event::WorkloadDone { changes, .. } => changes,
            _ => &[],
        }
    }

    /// What changed in external systems by it, with the service.
    pub fn effects(&self) -> Option<(&str, &[Effect])> {
        match self {
            Event::ServiceCommitted {
                service, effects, ..
            }
            | Event::ServiceWorked { service, effects } => Some((service, effects)),
            _ => None,
        }
    }

    /// Who did it, or to whom it happened.
    pub fn who(&self) -> Who {
        match self {
            Event::PhaseBegan { .. }
            | Event::ServiceWorked { .. }
            | Event::WatchUnsilenced { .. }
            | Event::CacheLagged { .. }
            | Event::CacheCaughtUp { .. } => Who::World,
            Event::ChoreDone { .. }
            | Event::ActorActed { .. }
            | Event::WebhookCalled { .. }
            | Event::WebhookRefused { .. }
            | Event::WebhookDelayed { .. }
            | Event::WebhookAnswered { .. }
            | Event::WebhookFailed { .. } => Who::ControlPlane,
            Event::WorkloadDone { .. } => Who::Workload,
            Event::ReplicaStarted { replica, .. }
            | Event::ReplicaCrashed { replica, .. }
            | Event::ReplicaEnded { replica, .. }
            | Event::ShutdownRequested { replica }
            | Event::TasksLeaked { replica, .. }
            | Event::TasksGrew { replica, .. }
            | Event::ReplicaPaused { replica, .. }
            | Event::ReplicaResumed { replica }
            | Event::ClockSkewed { replica, .. }
            | Event::Panicked { replica, .. }
            | Event::Blocked { replica, .. }
            | Event::ThreadSpawned { replica }
            | Event::ReconcileStarted { replica, .. }
            | Event::ReconcileEnded { replica, .. }
            | Event::RequestSent { replica, .. }
            | Event::RequestCommitted { replica, .. }
            | Event::RequestRefused { replica, .. }
            | Event::ReplyDelivered { replica, .. }
            | Event::ReplyLost { replica, .. }
            | Event::ReplyStalled { replica, .. }
            | Event::RequestCancelled { replica, .. }
            | Event::RequestDelayed { replica, .. }
            | Event::MetricsScraped { replica, .. }
            | Event::ServiceCalled { replica, .. }
            | Event::ServiceCommitted { replica, .. }
            | Event::WebhookDelivered { replica, .. }
            | Event::WebhookReplied { replica, .. }
            | Event::WebhookReplyLost { replica, .. }
            | Event::WatchOpened { replica, .. }
            | Event::WatchDelivered { replica, .. }
            | Event::WatchRedelivered { replica, .. }
            | Event::WatchEnded { replica, .. }
            | Event::WatchSilenced { replica, .. } => Who::Replica(*replica),
        }
    }
}
