//! A1 malformed-object: one object that does not decode stops the work on all the others.
//!
//! ```text
//!   time   user                           API server                 operator
//!    │     create fleet odd   ─────────▶  odd: containers: [null]
//!    │                                    good, odd             ───▶ list: cannot decode
//!    │     edit fleet good    ─────────▶  good: a new image          list again: cannot decode
//!    │                                                               list again: cannot decode …
//!    ▼                                     └── nobody works on good any more
//! ```
//!
//! The server accepts what its schema lets through, and a schema is easily looser than a Rust type. A typed
//! list fails as a whole when one object in it does not decode; asked again it fails again. The fixed twin
//! decodes each object by itself (`DeserializeGuard`), reports the bad one in its status, and
//! goes on. It also pauses after an error, so that a server in trouble is not asked in a tight loop. It costs a
//! wrapper around the type wherever it is watched, and somebody has to read that status.

use std::{collections::BTreeMap, fmt::Debug, time::Duration};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, CustomResource, Resource, ResourceExt,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
    core::{DeserializeGuard, NamespaceResourceScope},
    runtime::{WatchStreamExt, watcher},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::json;

use crate::webapp::{Error, answered};

/// What runs together. The schema that the server has (`scenarios/crds/fleet.yaml`) is looser.
#[derive(CustomResource, Clone, Debug, Deserialize, Serialize)]
#[kube(
    group = "demo.reconverge.dev",
    version = "v1",
    kind = "Fleet",
    namespaced,
    schema = "disabled"
)]
pub struct FleetSpec {
    /// The containers of the fleet.
    pub containers: Vec<FleetContainer>,
}

/// A container of a fleet.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct FleetContainer {
    /// What it runs.
    pub image: String,
}

/// Watches typed objects: the first that does not decode is the last that is seen.
pub async fn buggy(client: Client) {
    let fleets = Api::<Fleet>::all(client.clone());
    let mut seen = watcher(fleets, watcher::Config::default())
        .applied_objects()
        .boxed();
    loop {
        match seen.try_next().await {
            Ok(Some(fleet)) => list_images(&fleet, &client).await,
            Ok(None) => return,
            // WRONG: one object that does not decode is an error of the whole stream, now and each time it is asked again.
            Err(error) => tracing::warn!(%error, "watch failed"),
        }
    }
}

/// Decodes each object by itself and reports those that are bad.
pub async fn fixed(client: Client) {
    let fleets = Api::<DeserializeGuard<Fleet>>::all(client.clone());
    let mut seen = watcher(fleets, watcher::Config::default())
        .default_backoff()
        .applied_objects()
        .boxed();
    while let Some(next) = seen.next().await {
        match next {
            Ok(DeserializeGuard(Ok(fleet))) => list_images(&fleet, &client).await,
            Ok(DeserializeGuard(Err(bad))) => report(&bad.metadata, &bad.error, &client).await,
            Err(error) => tracing::warn!(%error, "watch failed"),
        }
    }
}

/// The work on one object, again until it is done.
async fn list_images(fleet: &Fleet, client: &Client) {
    while let Err(error) = write_images(fleet, client).await {
        tracing::warn!(%error, "reconcile failed");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn write_images(fleet: &Fleet, client: &Client) -> Result<(), Error> {
    let lists: Api<ConfigMap> = beside(&fleet.metadata, client)?;
    let name = format!("{}-images", fleet.name_any());
    let images: Vec<&str> = fleet
        .spec
        .containers
        .iter()
        .map(|c| c.image.as_str())
        .collect();
    let data = BTreeMap::from([("images".to_owned(), images.join(" "))]);
    let list = ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            owner_references: fleet.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        data: Some(data.clone()),
        ..ConfigMap::default()
    };
    match lists.create(&PostParams::default(), &list).await {
        Ok(_) => return Ok(()),
        Err(error) if answered(&error, 409) => {}
        Err(error) => return Err(error.into()),
    }
    let Some(mut found) = lists.get_opt(&name).await? else {
        return Ok(());
    };
    if found.data.as_ref() != Some(&data) {
        found.data = Some(data);
        lists.replace(&name, &PostParams::default(), &found).await?;
    }
    Ok(())
}

/// Tells the owner of a bad object what is wrong with it.
async fn report(bad: &ObjectMeta, error: &str, client: &Client) {
    let told = async {
        let fleets: Api<DeserializeGuard<Fleet>> = beside(bad, client)?;
        let name = bad.name.clone().ok_or(Error::Incomplete("name"))?;
        let patch = Patch::Merge(json!({"status": {"problem": error}}));
        fleets
            .patch_status(&name, &PatchParams::default(), &patch)
            .await?;
        Ok::<(), Error>(())
    };
    if let Err(error) = told.await {
        tracing::warn!(%error, "the problem could not be told");
    }
}

fn beside<K>(of: &ObjectMeta, client: &Client) -> Result<Api<K>, Error>
where
    K: Resource<Scope = NamespaceResourceScope> + DeserializeOwned + Clone + Debug,
    K::DynamicType: Default,
{
    let namespace = of
        .namespace
        .as_deref()
        .ok_or(Error::Incomplete("namespace"))?;
    Ok(Api::namespaced(client.clone(), namespace))
}
