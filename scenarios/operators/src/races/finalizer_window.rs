//! R6 finalizer-window: the cleanup outside the cluster is slow, and by its end the object may be gone.
//!
//! ```text
//!   time   operator                cloud                API server             user
//!    │     POST backup   ───────▶  backup taken         demo is terminating
//!    │     ✗ crash, ↻
//!    │     POST backup   ───────▶  a second backup
//!    │     DELETE volume ───────▶  deleting …
//!    │     GET volume, again and again                  demo is gone    ◀───  drops the finalizer
//!    │     drop finalizer ────────────────────────────▶ 404
//!    │     drop finalizer ────────────────────────────▶ 404 …
//!    ▼      └── a second backup that nobody pays attention to, and a loop without an end
//! ```
//!
//! A finalizer makes deletion a conversation that can be cut off at any word: the process may die
//! between two steps, and whoever grows tired of waiting may take the finalizer off by hand. So each
//! step must bear being done again, and "it is gone" must be an answer, since it is what was wanted.
//!
//! The fixed twin sends the object's uid as the idempotency key of the backup, asks once per reconcile
//! whether the volume is gone instead of waiting inside one, and takes 404 for done. It costs up to
//! two seconds at the end of a deletion.

use std::{sync::Arc, time::Duration};

use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
    runtime::controller::Action,
};
use serde_json::{Value, json};
use sim::service::{Reply, ServiceClient};

use crate::webapp::{Error, WebApp, answered, control};

const CLEANUP: &str = "demo.reconverge.dev/cleanup";

/// Does each step once more when it is not sure, and waits for an object that is gone.
pub async fn buggy(client: Client, cloud: ServiceClient) {
    control(client, move |app, client| {
        let cloud = cloud.clone();
        async move {
            if app.metadata.deletion_timestamp.is_none() {
                return ensure(&app, client, &cloud).await;
            }
            if !app.finalizers().iter().any(|f| f == CLEANUP) {
                return Ok(Action::await_change());
            }
            let backup = json!({"of": app.name_any()});
            call(&cloud, "POST", "/backups", backup).await?; // WRONG: a second attempt makes a second backup.
            let volume = volume(&app);
            call(&cloud, "DELETE", &volume, Value::Null).await?;
            while call(&cloud, "GET", &volume, Value::Null).await?.status != 404 {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            while let Err(error) = drop_finalizer(&app, client.clone()).await {
                tracing::warn!(%error, "the finalizer is still there"); // WRONG: or the object is not.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Ok(Action::await_change())
        }
    })
    .await;
}

/// Does each step so that it may be done again, and is done when the object is gone.
pub async fn fixed(client: Client, cloud: ServiceClient) {
    control(client, move |app, client| {
        let cloud = cloud.clone();
        async move {
            if app.metadata.deletion_timestamp.is_none() {
                return ensure(&app, client, &cloud).await;
            }
            if !app.finalizers().iter().any(|f| f == CLEANUP) {
                return Ok(Action::await_change());
            }
            let once = cloud.keyed(app.uid().unwrap_or_default());
            call(&once, "POST", "/backups", json!({"of": app.name_any()})).await?;
            let volume = volume(&app);
            call(&cloud, "DELETE", &volume, Value::Null).await?;
            if call(&cloud, "GET", &volume, Value::Null).await?.status != 404 {
                return Ok(Action::requeue(Duration::from_secs(2)));
            }
            match drop_finalizer(&app, client).await {
                Err(error) if answered(&error, 404) => Ok(Action::await_change()),
                Err(error) if answered(&error, 409) => Ok(Action::requeue(Duration::ZERO)),
                Err(error) => Err(error.into()),
                Ok(()) => Ok(Action::await_change()),
            }
        }
    })
    .await;
}

fn volume(app: &WebApp) -> String {
    format!("/volumes/{}", app.name_any())
}

/// First the finalizer, then the volume it stands for.
async fn ensure(app: &Arc<WebApp>, client: Client, cloud: &ServiceClient) -> Result<Action, Error> {
    if !app.finalizers().iter().any(|f| f == CLEANUP) {
        let mut finalizers = app.finalizers().to_vec();
        finalizers.push(CLEANUP.to_owned());
        return match patch_finalizers(app, client, &finalizers).await {
            Err(error) if answered(&error, 409) => Ok(Action::requeue(Duration::from_millis(100))),
            Err(error) if !answered(&error, 404) => Err(error.into()),
            _ => Ok(Action::await_change()),
        };
    }
    call(cloud, "PUT", &volume(app), json!({"size": app.spec.size})).await?;
    Ok(Action::await_change())
}

async fn drop_finalizer(app: &WebApp, client: Client) -> Result<(), kube::Error> {
    let mut rest = app.finalizers().to_vec();
    rest.retain(|finalizer| finalizer != CLEANUP);
    patch_finalizers(app, client, &rest).await
}

async fn patch_finalizers(
    app: &WebApp,
    client: Client,
    finalizers: &[String],
) -> Result<(), kube::Error> {
    let namespace = app.namespace().unwrap_or_default();
    let apps: Api<WebApp> = Api::namespaced(client, &namespace);
    let patch = json!({"metadata": {
        "finalizers": finalizers,
        "resourceVersion": app.resource_version(),
    }});
    apps.patch(
        &app.name_any(),
        &PatchParams::default(),
        &Patch::Merge(patch),
    )
    .await?;
    Ok(())
}

/// A call of the cloud that was answered, with 404 as an answer among others.
async fn call(
    cloud: &ServiceClient,
    method: &str,
    path: &str,
    body: Value,
) -> Result<Reply, Error> {
    let reply = cloud.request(method, path, body).await;
    let reply = reply.map_err(|error| Error::Cloud(error.to_string()))?;
    if reply.is_success() || reply.status == 404 {
        return Ok(reply);
    }
    Err(Error::Cloud(format!("{method} {path}: {}", reply.status)))
}
