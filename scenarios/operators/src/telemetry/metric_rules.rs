//! T2 metric-rules: a metric per object, under names that nobody can guess.
//!
//! ```text
//!   objects      buggy                                       fixed
//!      1         ReconcileCount{app="app-1"}                 webapp_controller_reconciles_total{result="done"}
//!     60         60 series                                    (the same one)
//!  1,000         1,000 series, for every operator that        (the same one)
//!                does so: the monitoring system is the outage
//! ```
//!
//! A label's values multiply the series: an object's name is no label. Names follow
//! `namespace_subsystem_name_unit`, with `_total` for what only grows, so that a query can be written without looking.
//! It costs the answer to "which object?": for that there are logs and traces.

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

type Counts = Arc<Mutex<BTreeMap<String, u64>>>;

/// A series for every object.
pub async fn buggy(client: Client, metrics: Metrics) {
    run(client, metrics, "ReconcileCount", |app| {
        format!("app=\"{}\"", app.name_any()) // WRONG: as many series as there will ever be names.
    })
    .await;
}

/// A series for every result.
pub async fn fixed(client: Client, metrics: Metrics) {
    run(
        client,
        metrics,
        "webapp_controller_reconciles_total",
        |_| "result=\"done\"".to_owned(),
    )
    .await;
}

async fn run(client: Client, metrics: Metrics, name: &'static str, labels: fn(&WebApp) -> String) {
    let counts = Counts::default();
    let shown = counts.clone();
    metrics.register(move || render(name, &shown));
    control(client, move |app, client| {
        roll_out(app, client, counts.clone(), labels)
    })
    .await;
}

async fn roll_out(
    app: Arc<WebApp>,
    client: Client,
    counts: Counts,
    labels: fn(&WebApp) -> String,
) -> Result<Action, Error> {
    if app.status.as_ref().and_then(|status| status.size) != Some(app.spec.size) {
        let apps: Api<WebApp> = beside(&app, client)?;
        let patch = Patch::Merge(json!({"status": {"size": app.spec.size}}));
        apps.patch_status(&app.name_any(), &PatchParams::default(), &patch)
            .await?;
    }
    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    *counts.entry(labels(&app)).or_default() += 1;
    Ok(Action::await_change())
}

fn render(name: &str, counts: &Counts) -> String {
    let mut text = format!("# TYPE {name} counter\n");
    for (labels, count) in &*counts.lock().unwrap_or_else(PoisonError::into_inner) {
        let _ = writeln!(text, "{name}{{{labels}}} {count}");
    }
    text
}
