//! R7 informer-lag: a cache that has not seen the operator's own create is taken for the truth.
//!
//! ```text
//!   time   operator                       API server                 its Job cache
//!    │     create job demo-1  ─────────▶  demo-1 runs                (empty)
//!    │     status.job = demo-1 ────────▶
//!    │     reconcile: "demo-1 is recorded, but not in the cache:     (empty)
//!    │                 it must have died, clear its remains"
//!    │     delete job demo-1  ─────────▶  demo-1 is killed           (empty)
//!    ▼                                     └── a running backup      demo-1 added
//! ```
//!
//! Two watches are two streams: the WebApp's own status change may arrive before the Job that it
//! speaks of. Absence from a cache is not absence. The fixed twin asks the API server itself before it
//! takes the Job for dead: if it is there, the cache is behind, and there is nothing to clear away; if
//! it is not, there is nothing left to clear away either. It costs a read whenever status and cache
//! disagree.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::StreamExt;
use k8s_openapi::api::{
    batch::v1::{Job, JobSpec},
    core::v1::{Container, PodSpec, PodTemplateSpec},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams},
    runtime::{
        WatchStreamExt,
        controller::Action,
        reflector::{self, ObjectRef, Store},
        watcher,
    },
};
use serde_json::json;

use crate::webapp::{Error, WebApp, answered, beside, control};

/// Believes its cache, and clears away a Job that it cannot see.
pub async fn buggy(client: Client) {
    run(client, false).await;
}

/// Asks the API server before it clears anything away.
pub async fn fixed(client: Client) {
    run(client, true).await;
}

async fn run(client: Client, looks_first: bool) {
    let (jobs, writer) = reflector::store::<Job>();
    let informer = reflector::reflector(
        writer,
        watcher(Api::<Job>::all(client.clone()), watcher::Config::default()),
    )
    .default_backoff()
    .for_each(|_| std::future::ready(()));
    let apps = control(client, move |app, client| {
        back_up(app, client, jobs.clone(), looks_first)
    });
    futures::join!(informer, apps);
}

async fn back_up(
    app: Arc<WebApp>,
    client: Client,
    cache: Store<Job>,
    looks_first: bool,
) -> Result<Action, Error> {
    // Not before the first list is in: a cache that is still empty says nothing at all.
    if cache.wait_until_ready().await.is_err() {
        return Ok(Action::await_change());
    }
    let jobs: Api<Job> = beside(&app, client.clone())?;
    let namespace = app.namespace().ok_or(Error::Incomplete("namespace"))?;

    let Some(name) = app.status.as_ref().and_then(|s| s.job.clone()) else {
        return start(&app, client, &jobs).await;
    };
    if cache
        .get(&ObjectRef::<Job>::new(&name).within(&namespace))
        .is_some()
    {
        return Ok(Action::await_change());
    }

    // The recorded Job is not in the cache: it died, or the cache has not heard of it yet.
    let remains = if looks_first {
        match jobs.get_opt(&name).await? {
            Some(_) => return Ok(Action::requeue(Duration::from_secs(1))),
            None => None,
        }
    } else {
        Some(DeleteParams::background()) // WRONG: decided from the cache alone.
    };
    if let Some(how) = remains {
        match jobs.delete(&name, &how).await {
            Ok(_) => {}
            Err(error) if answered(&error, 404) => {}
            Err(error) => return Err(error.into()),
        }
    }
    start(&app, client, &jobs).await
}

/// Creates the Job, then records its name; a crash in between finds the Job by its fixed name.
async fn start(app: &WebApp, client: Client, jobs: &Api<Job>) -> Result<Action, Error> {
    let name = format!("{}-backup", app.name_any());
    match jobs.create(&PostParams::default(), &job(app, &name)).await {
        Ok(_) => {}
        Err(error) if answered(&error, 409) => {}
        Err(error) => return Err(error.into()),
    }
    let apps: Api<WebApp> = beside(app, client)?;
    let patch = json!({"status": {"job": name}});
    match apps
        .patch_status(
            &app.name_any(),
            &PatchParams::default(),
            &Patch::Merge(patch),
        )
        .await
    {
        Ok(_) => Ok(Action::await_change()),
        Err(error) if answered(&error, 404) => Ok(Action::await_change()),
        Err(error) => Err(error.into()),
    }
}

fn job(app: &WebApp, name: &str) -> Job {
    Job {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(BTreeMap::from([("app".to_owned(), app.name_any())])),
            owner_references: app.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            template: PodTemplateSpec {
                spec: Some(PodSpec {
                    restart_policy: Some("Never".to_owned()),
                    containers: vec![Container {
                        name: "backup".to_owned(),
                        image: Some("registry.example/backup:1".to_owned()),
                        ..Container::default()
                    }],
                    ..PodSpec::default()
                }),
                ..PodTemplateSpec::default()
            },
            ..JobSpec::default()
        }),
        ..Job::default()
    }
}
