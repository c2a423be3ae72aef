//! T1 lost-trace: the context ends at a queue, and nobody can say why an object was written.
//!
//! ```text
//!   reconcile c1 (trace 7a…)        queue            worker                     API server
//!     a write is to be done  ─────▶ [write]
//!     reconcile ends                        ─────▶   PATCH configmap  ───────▶  who? why?
//!
//!     with its span and context ──▶ [write, c1, 7a…] PATCH, traceparent 7a… ─▶  c1, because WebApp demo changed
//!                                                    annotation traceparent ──▶ the next operator goes on with it
//! ```
//!
//! Context follows the task, not the value: what goes through a channel has to take it along. The fixed twin sends the span
//! and the trace context with the work, puts both on the request, and leaves the context on the object for whoever
//! reconciles that next. It costs some sixty bytes with each piece of work, each request and each object.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
    runtime::{Controller, controller::Action, watcher},
};
use serde_json::json;
use sim::gate::Transport;
use tokio::sync::mpsc;
use tracing::{Instrument, Span};

use super::trace::{self, Context};
use crate::webapp::{Error, WebApp, control};

const TRACEPARENT: &str = "traceparent";

/// A write that is to be done.
struct Work {
    app: Arc<WebApp>,
    context: Option<(Span, Context)>,
}

/// Queues the work alone.
pub async fn buggy(transport: Transport, namespace: String) {
    run(transport, namespace, false).await;
}

/// Queues the work with what it is done for.
pub async fn fixed(transport: Transport, namespace: String) {
    run(transport, namespace, true).await;
}

async fn run(transport: Transport, namespace: String, carries: bool) {
    let reader = sim::gate::client(transport.clone(), &namespace);
    let (queue, mut work) = mpsc::unbounded_channel::<Work>();
    let apps = control(reader.clone(), move |app, _| {
        let context = carries.then(|| (Span::current(), Context::root()));
        let queued = queue.send(Work { app, context }); // WRONG without the context.
        async move {
            let _ = queued;
            Ok(Action::await_change())
        }
    });
    let worker = async {
        while let Some(Work { app, context }) = work.recv().await {
            let (reconcile, client) = match &context {
                Some((span, context)) => {
                    (span.clone(), trace::client(&transport, &namespace, context))
                }
                None => (Span::none(), reader.clone()),
            };
            let step = tracing::info_span!(parent: &reconcile, "write", app = app.name_any());
            let context = context.map(|(_, context)| context);
            // What is logged about the write belongs into the span as much as the write itself.
            let done = async {
                if let Err(error) = write(&app, client, context.as_ref()).await {
                    tracing::warn!(%error, "not written");
                }
            };
            done.instrument(step).await;
        }
    };
    let next = next_operator(
        reader.clone(),
        transport.clone(),
        namespace.clone(),
        carries,
    );
    futures::join!(apps, worker, next);
}

/// One ConfigMap for each WebApp.
async fn write(app: &WebApp, client: Client, context: Option<&Context>) -> Result<(), Error> {
    let namespace = app.namespace().ok_or(Error::Incomplete("namespace"))?;
    let mut map = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": app.name_any(), "labels": {"app": app.name_any()}},
        "data": {"size": app.spec.size.to_string()},
    });
    if let Some(context) = context {
        map["metadata"]["annotations"] = json!({TRACEPARENT: context.header()});
    }
    let maps = Api::<ConfigMap>::namespaced(client, &namespace);
    let params = PatchParams::apply("webapp").force();
    maps.patch(&app.name_any(), &params, &Patch::Apply(map))
        .await?;
    Ok(())
}

/// Another operator: it stamps the ConfigMaps, in the trace that it finds on them.
async fn next_operator(client: Client, transport: Transport, namespace: String, carries: bool) {
    let maps = Api::<ConfigMap>::all(client.clone());
    let only = watcher::Config::default().labels("app");
    let stamp = move |map: Arc<ConfigMap>, _: Arc<()>| {
        let found = map.annotations().get(TRACEPARENT);
        let context = found.and_then(|header| Context::read(header));
        let client = match context.filter(|_| carries) {
            Some(context) => trace::client(&transport, &namespace, &context.child()),
            None => client.clone(),
        };
        stamp(map, client)
    };
    Controller::new(maps, only)
        .run(
            stamp,
            |_, _: &Error, _| Action::requeue(Duration::from_secs(1)),
            Arc::new(()),
        )
        .for_each(|_| std::future::ready(()))
        .await;
}

async fn stamp(map: Arc<ConfigMap>, client: Client) -> Result<Action, Error> {
    let size = map.data.as_ref().and_then(|data| data.get("size").cloned());
    if map.labels().get("stamped") == size.as_ref() {
        return Ok(Action::await_change());
    }
    let namespace = map.namespace().ok_or(Error::Incomplete("namespace"))?;
    let maps = Api::<ConfigMap>::namespaced(client, &namespace);
    let patch = Patch::Merge(json!({"metadata": {"labels": {"stamped": size}}}));
    maps.patch(&map.name_any(), &PatchParams::default(), &patch)
        .await?;
    Ok(Action::await_change())
}
