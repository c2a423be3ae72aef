//! T6 alert-once: an alert is sent twice, or not at all.
//!
//! ```text
//!   time   operator                        pager                       API server
//!    │     POST "demo is too large"  ───▶  taken, somebody is woken
//!    │     ✗ dies
//!    │     starts again: status says nothing of an alert ◀───────────  (unchanged)
//!    │     POST "demo is too large"  ───▶  taken, woken again
//!    ▼     status.observedGeneration = 2 ────────────────────────────▶  recorded
//!
//!    │     POST "demo is too large"  ───▶  429, Retry-After: 30
//!    ▼     "sent", status.observedGeneration = 2: nobody is ever woken
//! ```
//!
//! Sending and recording are two systems: between them lies a crash. The object is the outbox: as long as its status
//! does not record its generation, an alert is owed. The fixed twin makes a second sending harmless (an idempotency
//! key made of uid and generation, the same after every restart), records only what was taken, and waits as long as
//! a 429 asks it to. It costs a pager that knows such keys, and another reconcile for each refusal.

use std::{sync::Arc, time::Duration};

use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
    runtime::controller::Action,
};
use serde_json::json;
use sim::service::ServiceClient;

use crate::webapp::{Error, WebApp, answered, beside, control};

/// Sends, then records, whatever became of it.
pub async fn buggy(client: Client, pager: ServiceClient) {
    control(client, move |app, client| {
        watch_over(app, client, pager.clone(), false)
    })
    .await;
}

/// Sends under a key until the alert is taken, then records.
pub async fn fixed(client: Client, pager: ServiceClient) {
    control(client, move |app, client| {
        watch_over(app, client, pager.clone(), true)
    })
    .await;
}

async fn watch_over(
    app: Arc<WebApp>,
    client: Client,
    pager: ServiceClient,
    careful: bool,
) -> Result<Action, Error> {
    let recorded = app.status.as_ref().and_then(|s| s.observed_generation);
    if app.spec.size <= 5 || recorded == app.metadata.generation {
        return Ok(Action::await_change());
    }
    let name = format!("{} is too large: {}", app.name_any(), app.spec.size);
    let alert = json!({"name": name});
    if careful {
        let generation = app.metadata.generation.unwrap_or_default();
        let key = format!("{}-{generation}", app.uid().unwrap_or_default());
        match pager.keyed(key).request("POST", "/alerts", alert).await {
            Ok(reply) if reply.is_success() => {}
            Ok(reply) => {
                let pause = reply.retry_after.unwrap_or(Duration::from_secs(5));
                return Ok(Action::requeue(pause));
            }
            Err(_) => return Ok(Action::requeue(Duration::from_secs(5))),
        }
    } else if let Err(error) = pager.request("POST", "/alerts", alert).await {
        // WRONG: a lost reply is no lost alert, and a refusal (429) comes as a reply.
        tracing::warn!(%error, "the pager cannot be reached");
        return Ok(Action::requeue(Duration::from_secs(5)));
    }
    let apps: Api<WebApp> = beside(&app, client)?;
    let status = json!({"status": {"observedGeneration": app.metadata.generation}});
    let patch = Patch::Merge(status);
    match apps
        .patch_status(&app.name_any(), &PatchParams::default(), &patch)
        .await
    {
        Err(error) if !answered(&error, 404) => Err(error.into()),
        _ => Ok(Action::await_change()),
    }
}
