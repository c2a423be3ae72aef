//! C9 lease-failover: a leader that has been deposed meanwhile finishes what it began.
//!
//! ```text
//!   time   replica 0                      API server                 replica 1
//!    │     leads; reads size 2
//!    │     at work …          (paused, or the network holds its write)
//!    │                                    lease: replica 1     ◀───  15 s without a renewal
//!    │                                    size 3 rolled out    ◀───  leads; reads size 3
//!    │     patch size 2       ─────────▶  size 2 rolled out
//!    ▼                                     └── the old leader's word is the last
//! ```
//!
//! "I lead" is true when it is asked, not when the write arrives: nothing stops a process from
//! standing still between the two, and nothing stops a request from travelling for that long. A lease
//! cannot fence writes by itself, since the API server does not look at it when another object is
//! written.
//!
//! The fixed twin asks again right before the write, which makes the window small, and lets the write
//! carry the version it was computed from, which closes it for the object: whatever the new leader
//! has changed since, the server answers 409. It costs one field.

use std::{sync::Arc, time::Duration};

use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
    runtime::controller::Action,
};
use serde_json::json;

use crate::{
    lease::{Seat, Terms, campaign},
    webapp::{Error, WebApp, answered, beside, control},
};

/// Asks once, before the work.
pub async fn buggy(client: Client, identity: String) {
    run(client, identity, false).await;
}

/// Asks again before the write, and writes only over what it has seen.
pub async fn fixed(client: Client, identity: String) {
    run(client, identity, true).await;
}

async fn run(client: Client, identity: String, is_fenced: bool) {
    let seat = Seat::new(identity);
    let election = campaign(client.clone(), Arc::clone(&seat), Terms::default());
    let apps = control(client, move |app, client| {
        roll_out(app, client, Arc::clone(&seat), is_fenced)
    });
    futures::join!(election, apps);
}

async fn roll_out(
    app: Arc<WebApp>,
    client: Client,
    seat: Arc<Seat>,
    is_fenced: bool,
) -> Result<Action, Error> {
    let again = Ok(Action::requeue(Duration::from_secs(2)));
    if !seat.is_held() {
        return again;
    }
    if app.status.as_ref().and_then(|s| s.size) == Some(app.spec.size) {
        return again;
    }
    // Stands for the work itself, step by step.
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(250)).await;
    }

    let mut patch = json!({"status": {"size": app.spec.size}});
    if is_fenced {
        if !seat.is_held() {
            return again;
        }
        patch["metadata"] = json!({"resourceVersion": app.resource_version()});
    } // WRONG without it: five seconds ago it led, and that is all it knows.
    let apps: Api<WebApp> = beside(&app, client)?;
    let written = apps
        .patch_status(
            &app.name_any(),
            &PatchParams::default(),
            &Patch::Merge(patch),
        )
        .await;
    match written {
        Err(error) if !answered(&error, 409) && !answered(&error, 404) => Err(error.into()),
        _ => again,
    }
}
