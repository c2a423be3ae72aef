//! C12 own-create-unseen: replicas are counted in a cache that has not seen the operator's own creates.
//!
//! ```text
//!   time   operator                       API server                 its cache
//!    │     size 2, cache: none
//!    │     create demo-…      ─────────▶  demo-x7k2p                 (empty)
//!    │     create demo-…      ─────────▶  demo-q4d9m                 (empty)
//!    │     reconcile: size 2, cache: none                            (empty)
//!    │     create demo-…      ─────────▶  demo-m2v8c
//!    ▼                                     └── more than two          demo-x7k2p added …
//! ```
//!
//! A cache is behind its server, and most of all behind the operator's own writes of a moment ago.
//! The ReplicaSet controller met this first and keeps *expectations*: it remembers which creates it
//! is still waiting to see, and does not count before it has seen them. The memory is only ever a
//! reason to wait, so that losing it in a crash loses nothing: a new process begins with a fresh list.
//!
//! The fix costs one set per object, and as much delay as the cache lags.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ObjectMeta, PostParams},
    runtime::{
        WatchStreamExt,
        controller::Action,
        reflector::{self, Store},
        watcher,
    },
};

use crate::webapp::{Error, WebApp, beside, control};

/// Counts in the cache and creates what is missing.
pub async fn buggy(client: Client) {
    run(client, false).await;
}

/// Counts only when the cache has seen all that this process created.
pub async fn fixed(client: Client) {
    run(client, true).await;
}

/// The names of created children that the cache has not shown yet, by the uid of their owner.
type Expectations = Arc<Mutex<BTreeMap<String, BTreeSet<String>>>>;

async fn run(client: Client, expects: bool) {
    let (cache, writer) = reflector::store::<ConfigMap>();
    let workers = Api::<ConfigMap>::all(client.clone());
    let informer = reflector::reflector(writer, watcher(workers, watcher::Config::default()))
        .default_backoff()
        .for_each(|_| std::future::ready(()));
    let expectations = Expectations::default();
    let apps = async {
        // Not before the first list is in: a cache that is still empty says nothing at all.
        if cache.wait_until_ready().await.is_ok() {
            control(client, move |app, client| {
                let expectations = expects.then(|| Arc::clone(&expectations));
                scale(app, client, cache.clone(), expectations)
            })
            .await;
        }
    };
    futures::join!(informer, apps);
}

async fn scale(
    app: Arc<WebApp>,
    client: Client,
    cache: Store<ConfigMap>,
    expectations: Option<Expectations>,
) -> Result<Action, Error> {
    let uid = app.uid().ok_or(Error::Incomplete("uid"))?;
    let workers: BTreeSet<String> = cache
        .state()
        .iter()
        .filter(|worker| worker.owner_references().iter().any(|o| o.uid == uid))
        .map(|worker| worker.name_any())
        .collect();
    if let Some(expectations) = &expectations {
        let mut all = expectations.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = all.entry(uid.clone()).or_default();
        waiting.retain(|name| !workers.contains(name));
        if !waiting.is_empty() {
            return Ok(Action::requeue(Duration::from_secs(1)));
        }
    } // WRONG without it: what is missing in the cache may have been created already.

    let wanted = usize::try_from(app.spec.size).unwrap_or(0);
    let children: Api<ConfigMap> = beside(&app, client)?;
    for _ in workers.len()..wanted {
        let worker = children
            .create(&PostParams::default(), &worker(&app))
            .await?;
        if let Some(expectations) = &expectations {
            let mut all = expectations.lock().unwrap_or_else(PoisonError::into_inner);
            all.entry(uid.clone())
                .or_default()
                .insert(worker.name_any());
        }
    }
    Ok(Action::await_change())
}

/// A ConfigMap stands for a worker here: what matters is how many there are.
fn worker(app: &WebApp) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", app.name_any())),
            owner_references: app.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    }
}
