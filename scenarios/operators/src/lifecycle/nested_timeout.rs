//! D2 nested-timeout: a limit for each step, and none for their sum.
//!
//! ```text
//!   time   reconcile: "25 s at most"         API server
//!    │     step 1: timeout(15 s)  ─────────▶ slow: 11 s
//!    │       ok: 11 s have passed
//!    │     step 2: timeout(15 s)  ─────────▶ slow: 12 s
//!    │       ok: 23 s have passed
//!    │     step 3: timeout(15 s)  ─────────▶ slow: 14 s
//!    ▼       37 s have passed                 └── looked at when it is too late
//! ```
//!
//! A timeout that starts anew with every step says nothing about the whole: n steps take n timeouts. A check
//! between the steps does not help, because nothing is checked while a step waits. The fixed twin works
//! out one deadline when it begins and hands it down: whatever waits, waits until then and no longer. Its
//! steps have less time the later they are, and a reconcile that ran out of time begins again from what
//! it has written so far.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
    runtime::controller::Action,
};
use serde_json::json;
use tokio::time::{Instant, timeout, timeout_at};

use crate::webapp::{Error, WebApp, answered, beside, control};

const WHOLE: Duration = Duration::from_secs(25);
const STEP: Duration = Duration::from_secs(15);

/// Gives each step the time that one may take, and looks at the clock in between.
pub async fn buggy(client: Client) {
    control(client, |app, client| async move {
        let began = Instant::now();
        for step in STEPS {
            if began.elapsed() > WHOLE {
                return Ok(Action::requeue(WHOLE));
            }
            match timeout(STEP, do_step(step, &app, &client)).await {
                // WRONG: the whole has no limit.
                Ok(done) => done?,
                Err(_) => return Ok(Action::requeue(WHOLE)),
            }
        }
        Ok(Action::await_change())
    })
    .await;
}

/// Gives each step what is left of the whole.
pub async fn fixed(client: Client) {
    control(client, |app, client| async move {
        let deadline = Instant::now() + WHOLE;
        for step in STEPS {
            match timeout_at(deadline, do_step(step, &app, &client)).await {
                Ok(done) => done?,
                Err(_) => return Ok(Action::requeue(WHOLE)),
            }
        }
        Ok(Action::await_change())
    })
    .await;
}

#[derive(Clone, Copy)]
enum Step {
    Look(&'static str),
    Report,
}

const STEPS: [Step; 4] = [
    Step::Look("quota"),
    Step::Look("network"),
    Step::Look("disk"),
    Step::Report,
];

async fn do_step(step: Step, app: &Arc<WebApp>, client: &Client) -> Result<(), Error> {
    match step {
        Step::Look(name) => {
            let maps: Api<ConfigMap> = beside(app, client.clone())?;
            if let Some(found) = maps.get_opt(name).await? {
                tracing::debug!(name = found.name_any(), "it is there");
            }
        }
        Step::Report => {
            if app.status.as_ref().and_then(|status| status.size) == Some(app.spec.size) {
                return Ok(());
            }
            let apps: Api<WebApp> = beside(app, client.clone())?;
            let status = Patch::Merge(json!({"status": {"size": app.spec.size}}));
            let name = app.name_any();
            match apps
                .patch_status(&name, &PatchParams::default(), &status)
                .await
            {
                Ok(_) => {}
                Err(error) if answered(&error, 404) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}
