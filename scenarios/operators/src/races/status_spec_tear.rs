//! R2 status-spec-tear: a status computed from the old spec is written as if it were current.
//!
//! ```text
//!   time   operator                       API server                 user
//!    │     read demo          ◀─────────  size 1, generation 1
//!    │     roll out size 1 …              size 2, generation 2 ◀───  edit size: 2
//!    │     get demo           ◀─────────  generation 2        ("to avoid a conflict")
//!    │     put status         ─────────▶  observedGeneration 2, size 1
//!    ▼                                     └── "generation 2 is done", and it is not
//! ```
//!
//! The fresh read is there to make the write succeed; it also stamps the new generation onto work that
//! was done for the old one. Whoever waits for `observedGeneration` (a pipeline, `kubectl wait`) goes
//! on too early. The fix writes the generation the work was done for, under the version it was read
//! at: when the object has changed meanwhile the server answers 409, and the work starts over. It costs
//! that work: a spec that changes faster than it can be rolled out is never reported.

use std::{sync::Arc, time::Duration};

use kube::{Api, Client, ResourceExt, api::PostParams, runtime::controller::Action};

use crate::webapp::{Error, WebApp, WebAppStatus, answered, beside, control};

/// Re-reads the object only to get past the version check.
pub async fn buggy(client: Client) {
    control(client, |app, client| async move {
        if reported(&app) {
            return Ok(Action::await_change());
        }
        let size = roll_out(&app).await;
        let apps: Api<WebApp> = beside(&app, client)?;
        let Some(mut latest) = apps.get_opt(&app.name_any()).await? else {
            return Ok(Action::await_change());
        };
        latest.status = Some(WebAppStatus {
            observed_generation: latest.metadata.generation, // WRONG: this is not the generation that was rolled out.
            size: Some(size),
            ..latest.status.unwrap_or_default()
        });
        report(&apps, &latest).await
    })
    .await;
}

/// Reports the generation that was rolled out, against the version that was read.
pub async fn fixed(client: Client) {
    control(client, |app, client| async move {
        if reported(&app) {
            return Ok(Action::await_change());
        }
        let size = roll_out(&app).await;
        let apps: Api<WebApp> = beside(&app, client)?;
        let mut rolled_out = WebApp::clone(&app);
        rolled_out.status = Some(WebAppStatus {
            observed_generation: app.metadata.generation,
            size: Some(size),
            ..rolled_out.status.unwrap_or_default()
        });
        report(&apps, &rolled_out).await
    })
    .await;
}

fn reported(app: &WebApp) -> bool {
    let status = app.status.as_ref();
    status.and_then(|s| s.observed_generation) == app.metadata.generation
        && status.and_then(|s| s.size) == Some(app.spec.size)
}

/// Stands for the work itself: half a second in which the spec can change.
async fn roll_out(app: &Arc<WebApp>) -> i32 {
    tokio::time::sleep(Duration::from_millis(500)).await;
    app.spec.size
}

async fn report(apps: &Api<WebApp>, app: &WebApp) -> Result<Action, Error> {
    match apps
        .replace_status(&app.name_any(), &PostParams::default(), app)
        .await
    {
        Ok(_) => Ok(Action::await_change()),
        // Stale: the watch will deliver what has changed, or has done so already.
        Err(error) if answered(&error, 409) => Ok(Action::requeue(Duration::from_millis(100))),
        Err(error) if answered(&error, 404) => Ok(Action::await_change()),
        Err(error) => Err(error.into()),
    }
}
