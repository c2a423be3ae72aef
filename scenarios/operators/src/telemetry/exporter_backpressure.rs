//! T3 exporter-backpressure: the collector is slow, and the operator keeps everything for it.
//!
//! ```text
//!   events       export queue, unbounded        collector (1 batch a second)
//!     30  ──▶    30                             ■
//!    300  ──▶    290                            ■ ■ ■ ■
//!      …         out of memory: the operator is the outage that it reports
//!
//!   events       queue of 64                    what is still taken in
//!                0 … 54   (≤ 85 %)              everything
//!                55 …     (over 85 %)           no debug spans; then every second one; then errors alone
//!                                               (how long reconciles take is counted all the while)
//! ```
//!
//! Telemetry must not hold up the work and must not outgrow it. A queue without an end does the one; a bounded queue that
//! is waited for does the other: every reconcile stands still while the collector does. The fixed twin's queue has an
//! end, and it says what is given up first: what is worth least. Errors go last, and durations never: they are a sum and
//! a count among the metrics, which take no more room however many there are. That is the price: in trouble one sees less.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
    runtime::controller::Action,
};
use serde_json::{Value, json};
use sim::{service::ServiceClient, telemetry::Metrics};
use tokio::{sync::Notify, time::Instant};

use crate::webapp::{Error, WebApp, beside, control};

const CAPACITY: usize = 64;
const HIGH: usize = CAPACITY * 85 / 100;

/// What a span is worth.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    Debug,
    Work,
    Error,
}

/// What becomes of a span for which there is no room.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WhenFull {
    Grow,
    Wait,
    Drop,
}

#[derive(Default)]
struct Queue {
    spans: VecDeque<Value>,
    offered: u64,
    /// How many reconciles there were, and how long they took in all.
    reconciles: (u64, Duration),
}

#[derive(Clone)]
struct Exporter {
    queue: Arc<Mutex<Queue>>,
    filled: Arc<Notify>,
    room: Arc<Notify>,
    when_full: WhenFull,
}

impl Exporter {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A reconcile is over.
    fn count(&self, took: Duration) {
        let mut queue = self.lock();
        let (count, sum) = queue.reconciles;
        queue.reconciles = (count + 1, sum + took);
    }

    async fn offer(&self, worth: Worth, span: Value) {
        if self.when_full == WhenFull::Wait {
            loop {
                let room = self.room.notified();
                if self.lock().spans.len() < CAPACITY {
                    break;
                }
                room.await; // WRONG: the reconcile stands still for as long as the collector does.
            }
        }
        let mut queue = self.lock();
        queue.offered += 1;
        if self.when_full == WhenFull::Drop {
            let halved = queue.offered.is_multiple_of(2);
            let taken = match queue.spans.len() {
                ..HIGH => true,
                HIGH..60 => worth > Worth::Debug,
                60..62 => worth > Worth::Debug && halved || worth == Worth::Error,
                62..CAPACITY => worth == Worth::Error,
                _ => false,
            };
            if !taken {
                return;
            }
        } // WRONG without it: whatever the collector does not take stays here.
        queue.spans.push_back(span);
        self.filled.notify_one();
    }
}

/// Keeps everything.
pub async fn buggy(client: Client, collector: ServiceClient, metrics: Metrics) {
    run(client, collector, metrics, WhenFull::Grow).await;
}

/// Keeps what there is room for, and waits for room.
pub async fn blocking(client: Client, collector: ServiceClient, metrics: Metrics) {
    run(client, collector, metrics, WhenFull::Wait).await;
}

/// Keeps what there is room for, the most valuable first.
pub async fn fixed(client: Client, collector: ServiceClient, metrics: Metrics) {
    run(client, collector, metrics, WhenFull::Drop).await;
}

async fn run(client: Client, collector: ServiceClient, metrics: Metrics, when_full: WhenFull) {
    let exporter = Exporter {
        queue: Arc::default(),
        filled: Arc::default(),
        room: Arc::default(),
        when_full,
    };
    let shown = exporter.clone();
    metrics.register(move || {
        let queue = shown.lock();
        let (length, took) = (
            "webapp_exporter_queue_spans",
            "webapp_controller_reconcile_seconds",
        );
        let (count, sum) = queue.reconciles;
        format!(
            "# TYPE {length} gauge\n{length} {}\n# TYPE {took} summary\n{took}_sum {}\n{took}_count {count}\n",
            queue.spans.len(),
            sum.as_secs_f64()
        )
    });
    let reconciles = exporter.clone();
    let apps = control(client, move |app, client| {
        roll_out(app, client, reconciles.clone())
    });
    futures::join!(apps, export(collector, exporter));
}

async fn roll_out(app: Arc<WebApp>, client: Client, exporter: Exporter) -> Result<Action, Error> {
    let began = Instant::now();
    for step in 0..4 {
        let name = format!("{} step {step}", app.name_any());
        exporter.offer(Worth::Debug, json!({"name": name})).await;
    }
    let apps: Api<WebApp> = beside(&app, client)?;
    let patch = Patch::Merge(json!({"status": {"size": app.spec.size}}));
    let written = apps
        .patch_status(&app.name_any(), &PatchParams::default(), &patch)
        .await;
    let worth = match written {
        Ok(_) => Worth::Work,
        Err(_) => Worth::Error,
    };
    let span = json!({"name": app.name_any()});
    exporter.offer(worth, span).await;
    exporter.count(began.elapsed());
    written?;
    Ok(Action::await_change())
}

/// Sends eight spans at a time.
async fn export(collector: ServiceClient, exporter: Exporter) {
    loop {
        let batch: Vec<Value> = {
            let mut queue = exporter.lock();
            let count = queue.spans.len().min(8);
            queue.spans.drain(..count).collect()
        };
        exporter.room.notify_waiters();
        if batch.is_empty() {
            exporter.filled.notified().await;
            continue;
        }
        let spans = json!({"batch": batch});
        loop {
            match collector.request("POST", "/v1/traces", spans.clone()).await {
                Ok(reply) if reply.is_success() => break,
                _ => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        }
    }
}
