//! C3 state-machine: events move the machine as often as they arrive, and wait for a phase that is over.
//!
//! ```text
//!   time   operator                       API server
//!    │     event 1: started   ─────────▶  phase Running
//!    │     event 2: degraded  ─────────▶  phase Degraded, page-x7k2p
//!    │     ✗ crash, ↻ list all events
//!    │     event 3: recovered ─────────▶  phase Running
//!    │     event 2: degraded  ─────────▶  phase Degraded, page-q4d9m
//!    │     event 1: "Pending?"            Degraded
//!    │     event 1: "Pending?"            Degraded …
//!    ▼                                     └── paged twice, and a reconcile that waits for ever
//! ```
//!
//! Delivery is at least once and in no particular order: a relist brings every event again, two keys
//! are reconciled side by side, a failed one comes late. An event therefore needs an identity and a
//! place in the order, and the machine has to remember how far it has come, in the cluster and
//! together with its phase. Without them nobody can tell an event that is early, for which waiting
//! helps, from one that has had its turn.
//!
//! The fixed twin applies event *n + 1* after event *n* and no other: an earlier one is done already, a
//! later one looks again after 500 ms instead of waiting for ever for what it may have missed. Jumps
//! that the machine does not know (Pending → Degraded) are refused. The page is named after its event,
//! so that a crash between page and phase makes no second one. It costs one object with a version.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
    runtime::{Controller, controller::Action, watcher},
};
use serde_json::json;

use crate::webapp::{Error, answered};

const EVENT: &str = "demo.reconverge.dev/event";
const MACHINE: &str = "machine";

/// Moves the machine with every event, as soon as the phase is the one that the event goes with.
pub async fn buggy(client: Client) {
    control(client, |event, config_maps| async move {
        let kind = text(&event, "kind");
        let next = loop {
            let machine = config_maps.get_opt(MACHINE).await?;
            let phase = machine.as_ref().map_or("Pending", |m| text(m, "phase"));
            if let Some(next) = next(phase, kind) {
                break next;
            }
            tokio::time::sleep(Duration::from_millis(20)).await; // WRONG: that phase may have been long ago.
        };
        if next == "Degraded" {
            let mut page = page();
            page.metadata.generate_name = Some("page-".to_owned()); // WRONG: one page for each delivery.
            config_maps.create(&PostParams::default(), &page).await?;
        }
        let patch = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": MACHINE},
            "data": {"phase": next},
        });
        let params = PatchParams::apply("machine").force();
        config_maps
            .patch(MACHINE, &params, &Patch::Apply(patch))
            .await?;
        Ok(Action::await_change())
    })
    .await;
}

/// Moves the machine with each event once, in order, and only where it may go.
pub async fn fixed(client: Client) {
    control(client, |event, config_maps| async move {
        let number: u64 = text(&event, "number").parse().unwrap_or(0);
        let Some(mut machine) = config_maps.get_opt(MACHINE).await? else {
            let new = machine_at("Pending", 0);
            return match config_maps.create(&PostParams::default(), &new).await {
                Err(error) if !answered(&error, 409) => Err(error.into()),
                _ => Ok(Action::requeue(Duration::ZERO)),
            };
        };
        let done: u64 = text(&machine, "event").parse().unwrap_or(0);
        if number <= done {
            return Ok(Action::await_change()); // A duplicate, or late.
        }
        if number > done + 1 {
            return Ok(Action::requeue(Duration::from_millis(500))); // Too early: look again.
        }
        let phase = text(&machine, "phase");
        let next = next(phase, text(&event, "kind")).unwrap_or_else(|| {
            tracing::warn!(number, phase, "the machine cannot go there: refused");
            phase
        });
        if next == "Degraded" && phase != "Degraded" {
            let mut page = page();
            page.metadata.name = Some(format!("page-{number}"));
            match config_maps.create(&PostParams::default(), &page).await {
                Err(error) if !answered(&error, 409) => return Err(error.into()),
                _ => {}
            }
        }
        machine.data = machine_at(next, number).data;
        // Carries the version of the read: of two workers one is refused.
        match config_maps
            .replace(MACHINE, &PostParams::default(), &machine)
            .await
        {
            Ok(_) => Ok(Action::await_change()),
            Err(error) if answered(&error, 409) => Ok(Action::requeue(Duration::ZERO)),
            Err(error) => Err(error.into()),
        }
    })
    .await;
}

/// Where the machine goes from a phase; nowhere if the event does not fit.
fn next(phase: &str, event: &str) -> Option<&'static str> {
    match (phase, event) {
        ("Pending", "started") | ("Degraded", "recovered") => Some("Running"),
        ("Running", "degraded") => Some("Degraded"),
        _ => None,
    }
}

fn machine_at(phase: &str, event: u64) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(MACHINE.to_owned()),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([
            ("phase".to_owned(), phase.to_owned()),
            ("event".to_owned(), event.to_string()),
        ])),
        ..ConfigMap::default()
    }
}

/// Stands for the page that wakes somebody up.
fn page() -> ConfigMap {
    ConfigMap::default()
}

fn text<'a>(config_map: &'a ConfigMap, key: &str) -> &'a str {
    let data = config_map.data.as_ref();
    data.and_then(|data| data.get(key))
        .map_or("", String::as_str)
}

/// Reconciles every event: a ConfigMap with the label `event`, a number and a kind.
async fn control<F>(
    client: Client,
    reconcile: impl Fn(Arc<ConfigMap>, Api<ConfigMap>) -> F + Send + Sync + 'static,
) where
    F: Future<Output = Result<Action, Error>> + Send + 'static,
{
    let config_maps: Api<ConfigMap> = Api::default_namespaced(client);
    let events = watcher::Config::default().labels(EVENT);
    Controller::new(config_maps.clone(), events)
        .run(
            move |event, config_maps: Arc<Api<ConfigMap>>| {
                reconcile(event, Api::clone(&config_maps))
            },
            |_, error, _| {
                tracing::warn!(%error, "reconcile failed");
                Action::requeue(Duration::from_secs(1))
            },
            Arc::new(config_maps),
        )
        .for_each(|_| std::future::ready(()))
        .await;
}
