//! R9 same-key-twice: a work queue without dedupe hands one key to two workers at once.
//!
//! ```text
//!   time   worker 0                       API server                 worker 1
//!    │     take demo                                                 take demo   (a second event)
//!    │     list children      ─────────▶  none                 ◀───  list children
//!    │     create demo-…      ─────────▶  demo-x7k2p
//!    │                                    demo-q4d9m           ◀───  create demo-…
//!    ▼                                     └── one object, one replica, two children
//! ```
//!
//! A reconcile is written as if it were alone with its object. What makes that true is the queue: in
//! client-go and in kube's own `Controller`, a key that waits already is not added again, and a key
//! that is being worked on waits until its worker is done. A loop over a plain channel keeps neither
//! promise, and a burst of events on one object is enough to show it.
//!
//! The fix costs two sets of keys, and no throughput: other keys still run side by side.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ListParams, ObjectMeta, PostParams},
    runtime::{WatchStreamExt, watcher},
};
use tokio::sync::Notify;
use tracing::Instrument;

use crate::webapp::{Error, WebApp};

const APP_LABEL: &str = "demo.reconverge.dev/app";

/// Queues every event as it comes.
pub async fn buggy(client: Client) {
    run(client, false).await;
}

/// Queues a key once, and not while it is being worked on.
pub async fn fixed(client: Client) {
    run(client, true).await;
}

/// Namespace and name.
type Key = (String, String);

/// The keys that wait for a worker.
#[derive(Default)]
struct Queue {
    keys: Mutex<Keys>,
    added: Notify,
    dedupes: bool,
}

#[derive(Default)]
struct Keys {
    waiting: VecDeque<Key>,
    /// Being worked on now.
    processing: BTreeSet<Key>,
    /// Added while they were being worked on.
    dirty: BTreeSet<Key>,
}

impl Queue {
    fn add(&self, key: Key) {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if self.dedupes {
            if keys.processing.contains(&key) {
                keys.dirty.insert(key);
                return;
            }
            if keys.waiting.contains(&key) {
                return;
            }
        } // WRONG without it: the key may wait twice, or be with another worker already.
        keys.waiting.push_back(key);
        self.added.notify_one();
    }

    async fn take(&self) -> Key {
        loop {
            let added = self.added.notified();
            {
                let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(key) = keys.waiting.pop_front() {
                    keys.processing.insert(key.clone());
                    return key;
                }
            }
            added.await;
        }
    }

    fn done(&self, key: &Key) {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.processing.remove(key);
        if keys.dirty.remove(key) {
            keys.waiting.push_back(key.clone());
            self.added.notify_one();
        }
    }
}

async fn run(client: Client, dedupes: bool) {
    let queue = Arc::new(Queue {
        dedupes,
        ..Queue::default()
    });
    let apps = Api::<WebApp>::all(client.clone());
    let informer = watcher(apps, watcher::Config::default())
        .default_backoff()
        .touched_objects()
        .for_each(|app| {
            if let Ok(app) = app {
                queue.add((app.namespace().unwrap_or_default(), app.name_any()));
            }
            std::future::ready(())
        });
    futures::join!(
        informer,
        work(Arc::clone(&queue), client.clone()),
        work(Arc::clone(&queue), client.clone()),
    );
}

/// One worker: takes a key, reconciles it, and puts it back after a second if that failed.
async fn work(queue: Arc<Queue>, client: Client) {
    loop {
        let key = queue.take().await;
        let (namespace, name) = &key;
        let span = tracing::info_span!("reconciling object", object.ref = %format_args!("WebApp.{name}.{namespace}"));
        let result = reconcile(&key, client.clone()).instrument(span).await;
        queue.done(&key);
        if let Err(error) = result {
            tracing::warn!(%error, "reconcile failed");
            let queue = Arc::clone(&queue);
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                queue.add(key);
            });
        }
    }
}

/// Sees to it that the object has one child. Right, as long as it is alone with its key.
async fn reconcile((namespace, name): &Key, client: Client) -> Result<(), Error> {
    let apps: Api<WebApp> = Api::namespaced(client.clone(), namespace);
    let Some(app) = apps.get_opt(name).await? else {
        return Ok(());
    };
    let children: Api<ConfigMap> = Api::namespaced(client, namespace);
    let of_app = ListParams::default().labels(&format!("{APP_LABEL}={name}"));
    if children.list(&of_app).await?.items.is_empty() {
        let child = ConfigMap {
            metadata: ObjectMeta {
                generate_name: Some(format!("{name}-")),
                labels: Some(BTreeMap::from([(APP_LABEL.to_owned(), name.clone())])),
                owner_references: app.controller_owner_ref(&()).map(|owner| vec![owner]),
                ..ObjectMeta::default()
            },
            ..ConfigMap::default()
        };
        children.create(&PostParams::default(), &child).await?;
    }
    Ok(())
}
