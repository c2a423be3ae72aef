//! C5 event-storm: one reconcile for every event, of a burst of thousands.
//!
//! ```text
//!   time   events of demo                 operator                   API server
//!    │     12,000 a second    ─────────▶  a task for each:
//!    │                                    reconcile demo (size 1) ─▶
//!    │                                    reconcile demo (size 1) ─▶
//!    │                                    reconcile demo (size 2) ─▶ hundreds of writes at once,
//!    │                                    reconcile demo (size 1) ─▶ in whatever order they arrive
//!    ▼                                     └── the load grows with the burst, and the last state may lose
//! ```
//!
//! A reconcile looks at the state, not at the event; of a thousand events about one object only the
//! fact that there were some matters. A task for each keeps every one of them, and nothing says stop:
//! tasks, memory and requests grow with whatever the cluster throws at the process. And nobody tells a
//! task that its object is gone: those whose namespace is deleted in the middle of it try for ever.
//!
//! kube's `Controller` queues keys, each once and never beside itself, and with a debounce of 500 ms a
//! key that keeps changing is taken up when it has been quiet for that long. What it reads then is the
//! last state, so nothing is missed; a key whose object is gone is dropped. It costs half a second on
//! every change, also on a single one.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
    runtime::{
        Config, Controller, WatchStreamExt, controller::Action, reflector::ObjectRef, watcher,
    },
};
use serde_json::json;
use tracing::Instrument;

use crate::webapp::{Error, WebApp, beside};

/// Works on every event at once.
pub async fn buggy(client: Client) {
    let apps = Api::<WebApp>::all(client.clone());
    let mut events = watcher(apps, watcher::Config::default())
        .default_backoff()
        .touched_objects()
        .boxed();
    while let Some(event) = events.next().await {
        let Ok(app) = event else { continue };
        let client = client.clone();
        let span =
            tracing::info_span!("reconciling object", object.ref = %ObjectRef::from_obj(&app));
        let work = async move {
            while let Err(error) = render(&app, client.clone()).await {
                tracing::warn!(%error, "reconcile failed");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        tokio::spawn(work.instrument(span)); // WRONG: as many at once as there are events.
    }
}

/// Queues keys, each once, and waits until a key has been quiet for half a second.
pub async fn fixed(client: Client) {
    Controller::new(
        Api::<WebApp>::all(client.clone()),
        watcher::Config::default(),
    )
    .with_config(Config::default().debounce(Duration::from_millis(500)))
    .run(
        |app, client: Arc<Client>| async move {
            render(&app, Client::clone(&client)).await?;
            Ok(Action::await_change())
        },
        |_, error: &Error, _| {
            tracing::warn!(%error, "reconcile failed");
            Action::requeue(Duration::from_secs(1))
        },
        Arc::new(client),
    )
    .for_each(|_| std::future::ready(()))
    .await;
}

/// Writes the size where the application reads it.
async fn render(app: &WebApp, client: Client) -> Result<(), Error> {
    let settings: Api<ConfigMap> = beside(app, client)?;
    let name = format!("{}-settings", app.name_any());
    let patch = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "ownerReferences": app.controller_owner_ref(&()).map(|o| vec![o])},
        "data": {"size": app.spec.size.to_string()},
    });
    let params = PatchParams::apply("webapp").force();
    settings.patch(&name, &params, &Patch::Apply(patch)).await?;
    Ok(())
}
