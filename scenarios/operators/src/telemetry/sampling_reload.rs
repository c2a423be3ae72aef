//! T4 sampling-reload: the sampler is swapped in the middle of a trace.
//!
//! ```text
//!   time   reconcile (trace 7a…)               policy      kept by asking at each span's end
//!    │     root begins                         keep none
//!    │       child: PATCH status ──▶ …
//!    │                                         keep all    (a user changes it)
//!    │       … ◀── 200, child ends                         child of 7a…
//!    │                                         keep none
//!    ▼     root ends                                       ✗ a child without its parent
//! ```
//!
//! Whether a trace is kept is one decision, taken when it begins and inherited by its spans. And a trace in which something
//! failed is kept whatever the policy says: it is the one that will be looked for. It costs a little patience: a new policy
//! is heeded by the traces that begin after it.

use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
    runtime::{
        WatchStreamExt,
        controller::Action,
        reflector::{self, Store},
        watcher,
    },
};
use serde_json::{Value, json};
use sim::gate::Transport;
use sim::service::ServiceClient;
use tokio::sync::mpsc;

use super::trace::{self, Context};
use crate::webapp::{Error, WebApp, beside, control};

/// Asks the policy at the end of each span.
pub async fn buggy(client: Client, transport: Transport, collector: ServiceClient) {
    run(client, transport, collector, false).await;
}

/// Asks it at the beginning of the trace, and keeps failures.
pub async fn fixed(client: Client, transport: Transport, collector: ServiceClient) {
    run(client, transport, collector, true).await;
}

#[derive(Clone)]
struct Tracer {
    policy: Store<ConfigMap>,
    transport: Transport,
    ended: mpsc::UnboundedSender<Vec<Value>>,
    once: bool,
}

impl Tracer {
    /// What the policy says now.
    fn keeps(&self) -> bool {
        let maps = self.policy.state();
        let keep = maps.iter().find_map(|map| map.data.as_ref()?.get("keep"));
        keep.is_none_or(|keep| keep == "all")
    }
}

fn span(context: &Context, parent: Option<&Context>, failed: bool) -> Value {
    json!({
        "trace": context.trace, "span": context.span,
        "parent": parent.map(|parent| &parent.span), "error": failed,
    })
}

async fn run(client: Client, transport: Transport, collector: ServiceClient, once: bool) {
    let (policy, writer) = reflector::store::<ConfigMap>();
    let maps = Api::<ConfigMap>::all(client.clone());
    let informer = reflector::reflector(writer, watcher(maps, watcher::Config::default()))
        .default_backoff()
        .for_each(|_| std::future::ready(()));
    let (ended, batches) = mpsc::unbounded_channel();
    let tracer = Tracer {
        policy,
        transport,
        ended,
        once,
    };
    let apps = control(client, move |app, _| roll_out(app, tracer.clone()));
    futures::join!(informer, apps, export(collector, batches));
}

async fn roll_out(app: Arc<WebApp>, tracer: Tracer) -> Result<Action, Error> {
    if app.status.as_ref().and_then(|status| status.size) == Some(app.spec.size) {
        return Ok(Action::await_change());
    }
    let root = Context::root();
    let decided = tracer.keeps();
    let call = root.child();
    let client = trace::client(&tracer.transport, "default", &call);
    let apps: Api<WebApp> = beside(&app, client)?;
    let patch = Patch::Merge(json!({"status": {"size": app.spec.size}}));
    let written = apps
        .patch_status(&app.name_any(), &PatchParams::default(), &patch)
        .await;
    let failed = written.is_err();
    let mut batch = Vec::new();
    if tracer.once {
        if decided || failed {
            batch.push(span(&call, Some(&root), failed));
            batch.push(span(&root, None, failed));
        }
    } else {
        // WRONG: each span asks for itself, and no policy keeps failures.
        if tracer.keeps() {
            batch.push(span(&call, Some(&root), failed));
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await; // The rest of the work.
        if tracer.keeps() {
            batch.push(span(&root, None, failed));
        }
    }
    if !batch.is_empty() {
        let _ = tracer.ended.send(batch);
    }
    written?;
    Ok(Action::await_change())
}

/// Sends batches, each until it is taken.
async fn export(collector: ServiceClient, mut batches: mpsc::UnboundedReceiver<Vec<Value>>) {
    while let Some(batch) = batches.recv().await {
        let spans = json!({"spans": batch});
        loop {
            match collector.request("POST", "/v1/traces", spans.clone()).await {
                Ok(reply) if reply.is_success() => break,
                _ => tokio::time::sleep(std::time::Duration::from_secs(1)).await,
            }
        }
    }
}
