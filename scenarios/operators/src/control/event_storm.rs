//! C5 event-storm: one reconcile for every event, of a burst of thousands.
//!
//! ```text
//!   time   events of demo                 queue                      operator
//!    │     12,000 a second    ─────────▶  demo demo demo demo …      reconcile demo (size 1)
//!    │                                    demo demo demo … … …       reconcile demo (size 1)
//!    │     (over)                         demo demo demo … …         reconcile demo (size 2)
//!    ▼                                     └── minutes of work about a state that is long gone
//! ```
//!
//! A reconcile looks at the state, not at the event; of a thousand events about one object only the
//! fact that there were some matters. A channel of events keeps every one of them: it grows with the
//! burst, and the last state waits behind all the others.
//!
//! kube's `Controller` queues keys, each once, and with a debounce of 500 ms a key that keeps changing
//! is taken up when it has been quiet for that long. What it reads then is the last state, so nothing
//! is missed. It costs half a second on every change, also on a single one.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, channel::mpsc};
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

/// Queues events.
pub async fn buggy(client: Client) {
    let apps = Api::<WebApp>::all(client.clone());
    let (queue, mut events) = mpsc::unbounded(); // WRONG: every event waits here, however many there are.
    let informer = watcher(apps, watcher::Config::default())
        .default_backoff()
        .applied_objects()
        .for_each(|app| {
            if let Ok(app) = app {
                // Nobody listens any more once the worker has stopped.
                drop(queue.unbounded_send(app));
            }
            std::future::ready(())
        });
    let worker = async {
        while let Some(app) = events.next().await {
            let span =
                tracing::info_span!("reconciling object", object.ref = %ObjectRef::from_obj(&app));
            while let Err(error) = render(&app, client.clone()).instrument(span.clone()).await {
                tracing::warn!(%error, "reconcile failed");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    };
    futures::join!(informer, worker);
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
