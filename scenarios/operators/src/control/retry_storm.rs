//! C10 retry-storm: every refused write is sent again at once, and nobody counts.
//!
//! ```text
//!   time   operator                       API server
//!    │     patch a, b, c, …   ─────────▶  500  (a webhook is down)
//!    │     patch a, b, c, …   ─────────▶  500
//!    │     patch a, b, c, …   ─────────▶  500
//!    │                                    the namespace of c is deleted
//!    │     patch a, b         ─────────▶  200  (the webhook is back, and met by the whole herd at once)
//!    │     patch c            ─────────▶  404
//!    ▼     patch c            ─────────▶  404 …
//!           └── for ever: the loop does not know that c is gone
//! ```
//!
//! An inner loop of retries looks like robustness. It is a load generator that runs exactly while the server is
//! in trouble, and it keeps the reconcile, with what it read at its start, in one place all the while: whether
//! there is still anything to do is not asked again. The fixed twin tries a write three times at most, with
//! growing pauses, and only while the process has retries left in a budget that all objects share and that
//! fills up slowly; then the key goes back to the queue, with the delays of the row `rate-limit`, and is
//! dropped there once its object is gone. What that costs is time: an object may be late by the pause that it
//! had reached when the trouble ended.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
    runtime::{Controller, controller::Action, watcher},
};
use serde_json::json;
use tokio::time::Instant;

use super::rate_limit::Limiter;
use crate::webapp::{Error, WebApp, beside};

const ATTEMPTS: u32 = 3;

/// Sends until it is taken.
pub async fn buggy(client: Client) {
    run(client, None).await;
}

/// Sends a few times, within a budget, and leaves the rest to the queue.
pub async fn fixed(client: Client) {
    run(client, Some(Arc::new(Budget::default()))).await;
}

/// The retries that all objects together may make: ten to begin with, and one more every second.
#[derive(Default)]
struct Budget {
    spent: Mutex<Option<Instant>>,
}

impl Budget {
    const TOKEN: Duration = Duration::from_secs(1);
    const BURST: u32 = 10;

    /// Takes one retry out of the budget, if there is one.
    fn take(&self, now: Instant) -> bool {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let full = spent.unwrap_or(now).max(now) + Self::TOKEN;
        let has_some = full <= now + Self::TOKEN * Self::BURST;
        if has_some {
            *spent = Some(full);
        }
        has_some
    }
}

async fn run(client: Client, budget: Option<Arc<Budget>>) {
    let limiter = Arc::new(Limiter::default());
    let after_failure = Arc::clone(&limiter);
    Controller::new(
        Api::<WebApp>::all(client.clone()),
        watcher::Config::default(),
    )
    .run(
        move |app, client: Arc<Client>| {
            let (budget, limiter) = (budget.clone(), Arc::clone(&limiter));
            async move {
                configure(&app, Client::clone(&client), budget.as_deref()).await?;
                Ok(limiter.forget(&app))
            }
        },
        move |app, error: &Error, _| {
            tracing::warn!(%error, "reconcile failed");
            Action::requeue(after_failure.delay(&app, Instant::now()))
        },
        Arc::new(client),
    )
    .for_each(|_| std::future::ready(()))
    .await;
}

async fn configure(app: &WebApp, client: Client, budget: Option<&Budget>) -> Result<(), Error> {
    let settings: Api<ConfigMap> = beside(app, client)?;
    let name = format!("{}-settings", app.name_any());
    let patch = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "ownerReferences": app.controller_owner_ref(&()).map(|o| vec![o])},
        "data": {"size": app.spec.size.to_string()},
    });
    let params = PatchParams::apply("webapp").force();
    let mut failed = 0;
    loop {
        let written = settings.patch(&name, &params, &Patch::Apply(&patch)).await;
        let Err(error) = written else {
            return Ok(());
        };
        failed += 1;
        let Some(budget) = budget else {
            continue; // WRONG: at once, for ever, and every object on its own account.
        };
        if failed == ATTEMPTS || !budget.take(Instant::now()) {
            return Err(error.into());
        }
        tokio::time::sleep(Duration::from_millis(200) * 2_u32.pow(failed)).await;
    }
}
