//! R3 finalizer-vs-cleanup: the finalizer goes before the cleanup it stands for is done.
//!
//! ```text
//!   time   operator                       API server                 volume agent
//!    │                                    demo is terminating
//!    │     delete child       ─────────▶  child is terminating ────▶ flushing, 2 s …
//!    │     drop finalizer     ─────────▶  demo is gone
//!    │                                                               where to? ask demo: 404
//!    ▼                                    child stays               (keeps its finalizer)
//!                                          └── data that nobody can place, and that never goes
//! ```
//!
//! A delete call only *asks*: with a finalizer of its own the child lives on until another party is done with
//! it, and that party may need the owner for it. The owner's finalizer promises that nothing of it is left, so
//! it may go only when a read shows no child any more. The fix polls every 5 s (a missed watch event costs five
//! seconds, not a leak) and never creates the child while its owner is terminating.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams},
    runtime::{Controller, controller::Action, watcher},
};
use serde_json::json;

use crate::webapp::{Error, WebApp, answered, beside, control};

const CLEANUP: &str = "demo.reconverge.dev/cleanup";
const FLUSH: &str = "demo.reconverge.dev/flush";

/// Takes the accepted delete call for the finished cleanup.
pub async fn buggy(client: Client) {
    let apps = control(client.clone(), |app, client| async move {
        if app.metadata.deletion_timestamp.is_none() {
            return ensure(app, client).await;
        }
        let children: Api<ConfigMap> = beside(&app, client.clone())?;
        delete(&children, &child_name(&app)).await?;
        drop_finalizer(&app, client).await // WRONG: the child may still be there.
    });
    futures::join!(apps, volume_agent(client));
}

/// Deletes, and drops the finalizer only after a read has shown that nothing is left.
pub async fn fixed(client: Client) {
    let apps = control(client.clone(), |app, client| async move {
        if app.metadata.deletion_timestamp.is_none() {
            return ensure(app, client).await;
        }
        let children: Api<ConfigMap> = beside(&app, client.clone())?;
        match children.get_opt(&child_name(&app)).await? {
            None => drop_finalizer(&app, client).await,
            Some(child) => {
                if child.metadata.deletion_timestamp.is_none() {
                    delete(&children, &child_name(&app)).await?;
                }
                Ok(Action::requeue(Duration::from_secs(5)))
            }
        }
    });
    futures::join!(apps, volume_agent(client));
}

fn child_name(app: &WebApp) -> String {
    format!("{}-data", app.name_any())
}

async fn ensure(app: Arc<WebApp>, client: Client) -> Result<Action, Error> {
    let apps: Api<WebApp> = beside(&app, client.clone())?;
    if !app.finalizers().iter().any(|f| f == CLEANUP) {
        let mut finalizers = app.finalizers().to_vec();
        finalizers.push(CLEANUP.to_owned());
        let patch = json!({"metadata": {
            "finalizers": finalizers,
            "resourceVersion": app.resource_version(),
        }});
        let added = apps
            .patch(
                &app.name_any(),
                &PatchParams::default(),
                &Patch::Merge(patch),
            )
            .await;
        return settle(added, Action::await_change());
    }

    let children: Api<ConfigMap> = beside(&app, client)?;
    if children.get_opt(&child_name(&app)).await?.is_none() {
        // The cache may be behind: a child that is created for an owner on its way out is a leak.
        let live = apps.get_opt(&app.name_any()).await?;
        if live.is_none_or(|live| live.metadata.deletion_timestamp.is_some()) {
            return Ok(Action::await_change());
        }
        let child = ConfigMap {
            metadata: ObjectMeta {
                name: Some(child_name(&app)),
                finalizers: Some(vec![FLUSH.to_owned()]),
                owner_references: app.controller_owner_ref(&()).map(|owner| vec![owner]),
                ..ObjectMeta::default()
            },
            ..ConfigMap::default()
        };
        return settle(
            children.create(&PostParams::default(), &child).await,
            Action::await_change(),
        );
    }
    Ok(Action::await_change())
}

async fn delete(children: &Api<ConfigMap>, name: &str) -> Result<(), Error> {
    match children.delete(name, &DeleteParams::default()).await {
        Ok(_) => Ok(()),
        Err(error) if answered(&error, 404) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn drop_finalizer(app: &WebApp, client: Client) -> Result<Action, Error> {
    let apps: Api<WebApp> = beside(app, client)?;
    if !app.finalizers().iter().any(|f| f == CLEANUP) {
        return Ok(Action::await_change());
    }
    let rest: Vec<_> = app.finalizers().iter().filter(|f| *f != CLEANUP).collect();
    let patch =
        json!({"metadata": {"finalizers": rest, "resourceVersion": app.resource_version()}});
    let dropped = apps
        .patch(
            &app.name_any(),
            &PatchParams::default(),
            &Patch::Merge(patch),
        )
        .await;
    settle(dropped, Action::await_change())
}

/// Conflicts are tried again at once; what is gone needs nothing more.
fn settle<T>(result: Result<T, kube::Error>, done: Action) -> Result<Action, Error> {
    match result {
        Ok(_) => Ok(done),
        Err(error) if answered(&error, 409) => Ok(Action::requeue(Duration::from_millis(100))),
        Err(error) if answered(&error, 404) => Ok(Action::await_change()),
        Err(error) => Err(error.into()),
    }
}

/// The other party: it holds a finalizer on every child and needs two seconds, and the child's owner, to let go.
async fn volume_agent(client: Client) {
    Controller::new(
        Api::<ConfigMap>::all(client.clone()),
        watcher::Config::default(),
    )
    .run(
        |child, client: Arc<Client>| async move { flush(&child, Client::clone(&client)).await },
        |_, error: &Error, _| {
            tracing::warn!(%error, "flush failed");
            Action::requeue(Duration::from_secs(1))
        },
        Arc::new(client),
    )
    .for_each(|_| std::future::ready(()))
    .await;
}

async fn flush(child: &ConfigMap, client: Client) -> Result<Action, Error> {
    let flushed = !child.finalizers().iter().any(|f| f == FLUSH);
    if flushed || child.metadata.deletion_timestamp.is_none() {
        return Ok(Action::await_change());
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let namespace = child.namespace().ok_or(Error::Incomplete("namespace"))?;
    // Where the data goes stands in the owner.
    let apps: Api<WebApp> = Api::namespaced(client.clone(), &namespace);
    let owner = child.owner_references().first();
    let owner = owner.ok_or(Error::Incomplete("owner"))?;
    if apps.get_opt(&owner.name).await?.is_none() {
        tracing::warn!("whose data is this?");
        return Ok(Action::requeue(Duration::from_secs(30)));
    }
    let children: Api<ConfigMap> = Api::namespaced(client, &namespace);
    let rest: Vec<_> = child.finalizers().iter().filter(|f| *f != FLUSH).collect();
    let patch =
        json!({"metadata": {"finalizers": rest, "resourceVersion": child.resource_version()}});
    let dropped = children
        .patch(
            &child.name_any(),
            &PatchParams::default(),
            &Patch::Merge(patch),
        )
        .await;
    settle(dropped, Action::await_change())
}
