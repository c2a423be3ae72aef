//! T5 tenant-mixing: a shared label set tells one tenant's work to another.
//!
//! ```text
//!   time   reconcile of a/shop (tenant red)      reconcile of b/shop (tenant blue)
//!    │     labels.tenant = red
//!    │     PATCH status  ──▶ …                   labels.tenant = blue
//!    │     … ◀── 200                             PATCH status ──▶ …
//!    ▼     reconciles_total{namespace="a",tenant="blue"} += 1
//! ```
//!
//! "The current tenant" is global state, and a reconcile that awaits is interrupted by another. The fixed twin makes its
//! labels from its own object. It costs making them anew in each reconcile.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
};

use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
    runtime::controller::Action,
};
use serde_json::json;
use sim::telemetry::Metrics;

use crate::webapp::{Error, WebApp, beside, control};

/// What is counted, and the labels that are in force.
#[derive(Default)]
struct Counters {
    tenant: String,
    reconciles: BTreeMap<(String, String), u64>,
}

type Shared = Arc<Mutex<Counters>>;

/// Counts under the labels that are in force.
pub async fn buggy(client: Client, metrics: Metrics) {
    run(client, metrics, false).await;
}

/// Counts under labels of its own.
pub async fn fixed(client: Client, metrics: Metrics) {
    run(client, metrics, true).await;
}

async fn run(client: Client, metrics: Metrics, scoped: bool) {
    let counters = Shared::default();
    let shown = counters.clone();
    metrics.register(move || render(&shown));
    control(client, move |app, client| {
        roll_out(app, client, counters.clone(), scoped)
    })
    .await;
}

fn tenant_of(app: &WebApp) -> String {
    app.labels().get("tenant").cloned().unwrap_or_default()
}

async fn roll_out(
    app: Arc<WebApp>,
    client: Client,
    counters: Shared,
    scoped: bool,
) -> Result<Action, Error> {
    lock(&counters).tenant = tenant_of(&app);
    let apps: Api<WebApp> = beside(&app, client)?;
    let status = json!({"status": {"size": app.spec.size}});
    let patch = Patch::Merge(status);
    apps.patch_status(&app.name_any(), &PatchParams::default(), &patch)
        .await?;
    let mut counters = lock(&counters);
    let tenant = if scoped {
        tenant_of(&app)
    } else {
        counters.tenant.clone() // WRONG: another reconcile may have begun while this one waited.
    };
    let series = (app.namespace().unwrap_or_default(), tenant);
    *counters.reconciles.entry(series).or_default() += 1;
    Ok(Action::await_change())
}

fn lock(counters: &Shared) -> std::sync::MutexGuard<'_, Counters> {
    counters.lock().unwrap_or_else(PoisonError::into_inner)
}

fn render(counters: &Shared) -> String {
    let mut text = "# TYPE webapp_controller_reconciles_total counter\n".to_owned();
    for ((namespace, tenant), count) in &lock(counters).reconciles {
        let labels = format!("namespace=\"{namespace}\",tenant=\"{tenant}\"");
        let _ = writeln!(
            text,
            "webapp_controller_reconciles_total{{{labels}}} {count}"
        );
    }
    text
}
