//! A5 relist-storm: a watch that expires is answered with a list at once, and so is the list that fails.
//!
//! ```text
//!   time   operator                       API server
//!    │     watch from @20      ─────────▶ 410 Expired: the history is compacted
//!    │     list                ─────────▶ 500
//!    │     list                ─────────▶ 500
//!    │     list                ─────────▶ every object there is
//!    │     watch from @31      ─────────▶ 410 Expired
//!    ▼     list                ─────────▶  … from every operator of the cluster at once
//! ```
//!
//! A list is the most expensive thing to ask for, and a server that expires watches is usually one that is in
//! trouble already. A loop of one's own that lists and watches has to pause between two tries, longer each time.
//! The fixed twin leaves the loop to `watcher`, which begins a relist with a fresh resourceVersion, and its
//! pauses to `default_backoff` (0.8 s, doubled up to 30 s, forgotten after two minutes without an error).
//! It costs up to 30 s until a server that is well again is noticed.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, Patch, PatchParams, WatchEvent, WatchParams},
    runtime::{WatchStreamExt, watcher},
};
use serde_json::json;

use crate::webapp::{Error, WebApp, answered, beside};

/// Lists, watches, and begins again at once when either ends.
pub async fn buggy(client: Client) {
    let apps = Api::<WebApp>::all(client.clone());
    loop {
        let Ok(list) = apps.list(&ListParams::default()).await else {
            continue; // WRONG: no pause, neither here nor below.
        };
        let from = list.metadata.resource_version.unwrap_or_default();
        for app in list.items {
            roll_out(&app, &client).await;
        }
        let Ok(events) = apps.watch(&WatchParams::default(), &from).await else {
            continue;
        };
        let mut events = events.boxed();
        while let Ok(Some(event)) = events.try_next().await {
            match event {
                WatchEvent::Added(app) | WatchEvent::Modified(app) => {
                    roll_out(&app, &client).await;
                }
                WatchEvent::Error(_) => break,
                WatchEvent::Deleted(_) | WatchEvent::Bookmark(_) => {}
            }
        }
    }
}

/// Leaves the loop to `watcher`, and pauses longer after each error.
pub async fn fixed(client: Client) {
    let apps = Api::<WebApp>::all(client.clone());
    let mut seen = watcher(apps, watcher::Config::default())
        .default_backoff()
        .applied_objects()
        .boxed();
    while let Some(next) = seen.next().await {
        match next {
            Ok(app) => roll_out(&app, &client).await,
            Err(error) => tracing::warn!(%error, "watch failed"),
        }
    }
}

/// The work on one object, again until it is done.
async fn roll_out(app: &WebApp, client: &Client) {
    while let Err(error) = write_size(app, client).await {
        tracing::warn!(%error, "reconcile failed");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn write_size(app: &WebApp, client: &Client) -> Result<(), Error> {
    let size = Some(app.spec.size);
    if app
        .status
        .as_ref()
        .is_some_and(|status| status.size == size)
    {
        return Ok(());
    }
    let apps: Api<WebApp> = beside(app, client.clone())?;
    let patch = Patch::Merge(json!({"status": {"size": size}}));
    match apps
        .patch_status(&app.name_any(), &PatchParams::default(), &patch)
        .await
    {
        Ok(_) => Ok(()),
        Err(error) if answered(&error, 404) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
