//! C4 rate-limit: a key that failed is taken up again at once, as long as its dependency is missing.
//!
//! ```text
//!   time      operator                    API server
//!    0.000    get credentials  ────────▶  404
//!    0.020    get credentials  ────────▶  404
//!    0.040    get credentials  ────────▶  404
//!    …        50 times a second, for each object that waits
//!    ▼         └── and all that happens is that the API server has less time for everybody
//! ```
//!
//! A failure that will last is not mended by asking again. client-go's work queue therefore takes the
//! longer of two delays: an exponential one for the key, which begins at 5 ms, and one from a bucket
//! that all keys share, 10 retries a second with a burst of 100. (Its longest pause is 1,000 s; here it
//! is 30 s.) kube leaves the choice to `error_policy`, and `requeue(Duration::ZERO)` is accepted like
//! any other.
//!
//! The fix costs a map of failures that must be emptied on success, and up to 30 s until a late
//! dependency is noticed; where that is too long, watch the dependency.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
    runtime::{Controller, controller::Action, watcher},
};
use serde_json::json;
use tokio::time::Instant;

use crate::webapp::{Error, WebApp, beside};

/// Tries again at once.
pub async fn buggy(client: Client) {
    run(client, |outcome| match outcome {
        Outcome::Done(_) => Action::await_change(),
        Outcome::Failed(_) => Action::requeue(Duration::ZERO), // WRONG: what failed a moment ago fails again.
    })
    .await;
}

/// Waits longer after each failure of a key, and lets all keys share one bucket.
pub async fn fixed(client: Client) {
    let limiter = Limiter::default();
    run(client, move |outcome| match outcome {
        Outcome::Done(app) => limiter.forget(app),
        Outcome::Failed(app) => Action::requeue(limiter.delay(app, Instant::now())),
    })
    .await;
}

/// How a reconcile ended.
enum Outcome<'a> {
    Done(&'a WebApp),
    Failed(&'a WebApp),
}

/// The delays of client-go's default work queue, with a shorter longest one.
#[derive(Default)]
pub(super) struct Limiter {
    failures: Mutex<BTreeMap<String, u32>>,
    /// When the shared bucket is full again.
    full_at: Mutex<Option<Instant>>,
}

impl Limiter {
    const FIRST: Duration = Duration::from_millis(5);
    const LONGEST: Duration = Duration::from_secs(30);
    /// Ten tokens a second, a hundred in the bucket.
    const TOKEN: Duration = Duration::from_millis(100);
    const BURST: u32 = 100;

    /// How long the next attempt has to wait.
    pub(super) fn delay(&self, app: &WebApp, now: Instant) -> Duration {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = failures.entry(app.name_any()).or_default();
        let own = (Self::FIRST * 2_u32.pow((*failed).min(20))).min(Self::LONGEST);
        *failed += 1;

        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let full = full_at.unwrap_or(now).max(now) + Self::TOKEN;
        *full_at = Some(full);
        own.max(full.saturating_duration_since(now + Self::TOKEN * Self::BURST))
    }

    /// The key has succeeded: its next failure is its first.
    pub(super) fn forget(&self, app: &WebApp) -> Action {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.remove(&app.name_any());
        Action::await_change()
    }
}

async fn run(client: Client, next: impl Fn(Outcome<'_>) -> Action + Send + Sync + 'static) {
    let next = Arc::new(next);
    let after_failure = Arc::clone(&next);
    Controller::new(
        Api::<WebApp>::all(client.clone()),
        watcher::Config::default(),
    )
    .run(
        move |app, client: Arc<Client>| {
            let next = Arc::clone(&next);
            async move {
                configure(&app, Client::clone(&client)).await?;
                Ok(next(Outcome::Done(&app)))
            }
        },
        move |app, error: &Error, _| {
            tracing::warn!(%error, "reconcile failed");
            after_failure(Outcome::Failed(&app))
        },
        Arc::new(client),
    )
    .for_each(|_| std::future::ready(()))
    .await;
}

/// Copies an application's user name from its credentials, which somebody else has to create.
async fn configure(app: &WebApp, client: Client) -> Result<(), Error> {
    let secrets: Api<Secret> = beside(app, client.clone())?;
    let credentials = secrets
        .get(&format!("{}-credentials", app.name_any()))
        .await?;
    let user = credentials.data.unwrap_or_default().remove("user");
    let user = String::from_utf8_lossy(&user.unwrap_or_default().0).into_owned();

    let settings: Api<ConfigMap> = beside(app, client)?;
    let name = format!("{}-settings", app.name_any());
    let patch = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "ownerReferences": app.controller_owner_ref(&()).map(|o| vec![o])},
        "data": {"user": user},
    });
    let params = PatchParams::apply("webapp").force();
    settings.patch(&name, &params, &Patch::Apply(patch)).await?;
    Ok(())
}
