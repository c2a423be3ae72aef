//! C11 uid-blind-delete: a delete by name hits the successor of the object that was meant.
//!
//! ```text
//!   time   operator                       API server                 user
//!    │     cache: session expired (uid 1)
//!    │                                    uid 1 is gone        ◀───  delete session
//!    │                                    uid 2, in use        ◀───  create session
//!    │     delete session     ─────────▶  uid 2 is gone
//!    ▼                                     └── the new session is lost
//! ```
//!
//! A name says *where*, a uid says *which*. Between the moment an operator decides and the moment its
//! delete arrives, the object can go and another can take its name; StatefulSets, Jobs and people
//! re-create under the same name all the time. The fix sends the uid it decided about as a
//! precondition: the server answers 409 when the name belongs to another object by then. It costs one
//! line.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, Preconditions},
    runtime::{Controller, controller::Action, watcher},
};

use crate::webapp::{Error, answered};

const EXPIRED: &str = "demo.reconverge.dev/expired";

/// Deletes whatever has the name.
pub async fn buggy(client: Client) {
    run(client, |_| DeleteParams::background()).await; // WRONG: does not say which object is meant.
}

/// Deletes the object that was found to be expired, and no other.
pub async fn fixed(client: Client) {
    run(client, |session| {
        DeleteParams::background().preconditions(Preconditions {
            uid: session.uid(),
            resource_version: None,
        })
    })
    .await;
}

/// Clears away ConfigMaps (sessions) that carry the label `expired`.
async fn run(client: Client, how: fn(&ConfigMap) -> DeleteParams) {
    let sessions = Api::<ConfigMap>::all(client.clone());
    Controller::new(sessions, watcher::Config::default())
        .run(
            move |session, client: Arc<Client>| async move {
                clear(&session, Client::clone(&client), &how(&session)).await
            },
            |_, error: &Error, _| {
                tracing::warn!(%error, "clearing failed");
                Action::requeue(Duration::from_secs(1))
            },
            Arc::new(client),
        )
        .for_each(|_| std::future::ready(()))
        .await;
}

async fn clear(session: &ConfigMap, client: Client, how: &DeleteParams) -> Result<Action, Error> {
    if !session.labels().contains_key(EXPIRED) {
        return Ok(Action::await_change());
    }
    let namespace = session.namespace().ok_or(Error::Incomplete("namespace"))?;
    let sessions: Api<ConfigMap> = Api::namespaced(client, &namespace);
    match sessions.delete(&session.name_any(), how).await {
        Ok(_) => Ok(Action::await_change()),
        // Gone already, or another object by now: the watch will tell.
        Err(error) if answered(&error, 404) || answered(&error, 409) => Ok(Action::await_change()),
        Err(error) => Err(error.into()),
    }
}
