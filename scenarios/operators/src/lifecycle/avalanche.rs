//! L3 avalanche: a task per reconcile, past the queue that would have bounded them.
//!
//! ```text
//!   time   users               controller                         tasks
//!    │     create app-1        reconcile app-1: spawn(provision)   1
//!    │     create app-2        reconcile app-2: spawn(provision)   2
//!    │     …                   …
//!    │     create app-1000     reconcile app-1000: spawn          1000   ─▶ 1,000 calls at once
//!    ▼     SIGTERM             the controller stops               1000   └── all of them still run
//! ```
//!
//! A reconcile that spawns its work and returns has told the controller that it is done. The queue is
//! empty, so the next object is taken at once; the same object is taken again while its first task still
//! runs; and no concurrency limit, no backoff and no shutdown knows of any of it. The number of tasks is
//! that of the objects: here 1,000 at once, in life all there are whenever the operator starts. The fixed twin does
//! the work in the reconcile and says how many may run at once. The last object then waits its turn,
//! which is the price: a queue in front of the work, instead of a crowd in it.

use std::{pin::pin, sync::Arc, time::Duration};

use futures::{StreamExt, future::select};
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
    runtime::{
        Controller,
        controller::{Action, Config},
        watcher,
    },
};
use serde_json::json;
use sim::operator::Shutdown;

use crate::webapp::{Error, WebApp, answered, beside};

/// Spawns the work and is done.
pub async fn buggy(client: Client, shutdown: Shutdown) {
    run(
        client,
        shutdown,
        Config::default(),
        |app, client| async move {
            if is_provisioned(&app) {
                return Ok(Action::await_change());
            }
            tokio::spawn(provision(app, client)); // WRONG: the queue takes this for the end of the work.
            Ok(Action::await_change())
        },
    )
    .await;
}

/// Does the work where the controller counts it.
pub async fn fixed(client: Client, shutdown: Shutdown) {
    let eight = Config::default().concurrency(8);
    run(client, shutdown, eight, |app, client| async move {
        if is_provisioned(&app) {
            return Ok(Action::await_change());
        }
        provision(app, client).await
    })
    .await;
}

async fn run<R, F>(client: Client, shutdown: Shutdown, config: Config, reconcile: R)
where
    R: Fn(Arc<WebApp>, Client) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Action, Error>> + Send + 'static,
{
    let apps = Api::<WebApp>::all(client.clone());
    let reconcile = Arc::new(reconcile);
    let controller = Controller::new(apps, watcher::Config::default())
        .with_config(config)
        .run(
            move |app, client: Arc<Client>| reconcile(app, Client::clone(&client)),
            |_, error, _| {
                tracing::warn!(%error, "reconcile failed");
                Action::requeue(Duration::from_secs(1))
            },
            Arc::new(client),
        )
        .for_each(|_| std::future::ready(()));
    select(pin!(controller), pin!(shutdown.requested())).await;
}

fn is_provisioned(app: &WebApp) -> bool {
    app.status.as_ref().and_then(|status| status.size) == Some(app.spec.size)
}

/// What takes a while: a disk, a certificate, a DNS record.
async fn provision(app: Arc<WebApp>, client: Client) -> Result<Action, Error> {
    tokio::time::sleep(Duration::from_secs(5)).await;
    let apps: Api<WebApp> = beside(&app, client)?;
    let status = Patch::Merge(json!({"status": {"size": app.spec.size}}));
    match apps
        .patch_status(&app.name_any(), &PatchParams::default(), &status)
        .await
    {
        Ok(_) => Ok(Action::await_change()),
        Err(error) if answered(&error, 404) => Ok(Action::await_change()),
        Err(error) => Err(error.into()),
    }
}
