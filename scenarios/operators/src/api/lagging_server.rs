//! A6 lagging-server: after a reconnect to another API server the cache goes back in time.
//!
//! ```text
//!   time   operator                       API server 0      API server 1 (lags)      user
//!    │     cache: vol is released    ◀──  released           released
//!    │     cache: vol is bound       ◀──  bound              released         ◀───  takes it again
//!    │     (connection breaks)
//!    │     list, RV 0  ──────────────────────────────────▶   released
//!    │     "released for 10 s"
//!    ▼     delete vol  ──────────────────────────────────▶   a volume in use is gone
//! ```
//!
//! A list at resourceVersion 0 takes whatever the server's cache holds, however old: after a reconnect that may
//! be older than what the operator has already seen. The fixed twin lists with the default semantics (not older
//! than the moment it asks), looks once more before it destroys anything, and deletes exactly the version it
//! looked at: a precondition lets the server be the judge of what happened in between. It costs a list from
//! storage for each reconnect, and a read for each delete.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, Preconditions},
    runtime::{Controller, controller::Action, watcher},
};

use crate::webapp::{Error, answered};

const STATE: &str = "demo.reconverge.dev/state";
/// How long a released volume is kept.
const KEPT: Duration = Duration::from_secs(10);

/// Takes whatever a server's cache holds, and deletes by name.
pub async fn buggy(client: Client) {
    let any = watcher::Config::default().any_semantic(); // WRONG: resourceVersion 0 may go back in time.
    run(client, any, false).await;
}

/// Reads what is so now, and deletes only that.
pub async fn fixed(client: Client) {
    run(client, watcher::Config::default(), true).await;
}

async fn run(client: Client, listing: watcher::Config, looks_again: bool) {
    let volumes = Api::<ConfigMap>::all(client.clone());
    Controller::new(volumes, listing.labels(STATE))
        .run(
            move |volume, client: Arc<Client>| sweep(volume, client, looks_again),
            |_, error: &Error, _| {
                tracing::warn!(%error, "reconcile failed");
                Action::requeue(Duration::from_secs(1))
            },
            Arc::new(client),
        )
        .for_each(|_| std::future::ready(()))
        .await;
}

fn is_released(volume: &ConfigMap) -> bool {
    volume
        .labels()
        .get(STATE)
        .is_some_and(|state| state == "released")
}

async fn sweep(
    volume: Arc<ConfigMap>,
    client: Arc<Client>,
    looks_again: bool,
) -> Result<Action, Error> {
    if !is_released(&volume) {
        return Ok(Action::await_change());
    }
    // How long it has been released stands in the object, so that a restart does not begin to count anew.
    let released: Option<jiff::Timestamp> = volume
        .annotations()
        .get("demo.reconverge.dev/released-at")
        .and_then(|time| time.parse().ok());
    let age = released.map(|time| jiff::Timestamp::now().duration_since(time).unsigned_abs());
    if let Some(left) = age.and_then(|age| KEPT.checked_sub(age)) {
        return Ok(Action::requeue(left + Duration::from_secs(1)));
    }
    let namespace = volume.namespace().ok_or(Error::Incomplete("namespace"))?;
    let volumes: Api<ConfigMap> = Api::namespaced(Client::clone(&client), &namespace);
    let name = volume.name_any();
    let mut how = DeleteParams::default();
    if looks_again {
        match volumes.get_opt(&name).await? {
            Some(now) if is_released(&now) => {
                how = how.preconditions(Preconditions {
                    uid: now.uid(),
                    resource_version: now.resource_version(),
                });
            }
            _ => return Ok(Action::await_change()),
        }
    }
    match volumes.delete(&name, &how).await {
        Ok(_) => Ok(Action::await_change()),
        // Gone already; or taken again since, which the watch will tell.
        Err(error) if answered(&error, 404) || answered(&error, 409) => {
            Ok(Action::requeue(Duration::from_secs(5)))
        }
        Err(error) => Err(error.into()),
    }
}
