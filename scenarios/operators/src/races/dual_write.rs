//! R5 dual-write: two replicas read the same status, and the slower writer silently wins.
//!
//! ```text
//!   time   replica 0                      API server                 replica 1
//!    │     get demo           ─────────▶  acknowledgedBy: []   ◀───  get demo
//!    │     patch [r0]         ─────────▶  [r0]          @11
//!    │                                    [r1]          @12    ◀───  patch [r1]
//!    ▼                                     └── r0's entry is gone, and nobody was told
//! ```
//!
//! Every replica adds its own name to a list in the status. A merge patch (RFC 7386) replaces a list
//! whole, so each write also decides about the entries that it did not see. Without a
//! `resourceVersion` the API server has no way to know that the list was computed from an older
//! object, and re-applies the patch to whatever is stored (rule D8).
//!
//! The fix costs one field in the patch and one more reconcile when two writers meet: the server
//! answers 409 Conflict, and the loser starts again from what is true by then.

use std::sync::Arc;

use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
    runtime::controller::Action,
};
use serde_json::json;

use crate::webapp::{Error, WebApp, answered, beside, control};

/// Merge-patches the status without saying which version it was computed from.
pub async fn buggy(client: Client, identity: String) {
    control(client, move |app, client| {
        acknowledge(app, client, identity.clone(), false)
    })
    .await;
}

/// The same patch, bound to the version it was computed from; a conflict is tried again.
pub async fn fixed(client: Client, identity: String) {
    control(client, move |app, client| {
        acknowledge(app, client, identity.clone(), true)
    })
    .await;
}

async fn acknowledge(
    app: Arc<WebApp>,
    client: Client,
    identity: String,
    guarded: bool,
) -> Result<Action, Error> {
    let apps: Api<WebApp> = beside(&app, client)?;
    let Some(live) = apps.get_opt(&app.name_any()).await? else {
        return Ok(Action::await_change());
    };
    let mut names = live
        .status
        .as_ref()
        .and_then(|s| s.acknowledged_by.clone())
        .unwrap_or_default();
    if names.contains(&identity) {
        return Ok(Action::await_change());
    }
    names.push(identity);

    let mut patch = json!({"status": {"acknowledgedBy": names}});
    if guarded {
        patch["metadata"] = json!({"resourceVersion": live.resource_version()});
    } // WRONG without it: the list may replace entries that were added since the read.
    let written = apps
        .patch_status(
            &live.name_any(),
            &PatchParams::default(),
            &Patch::Merge(patch),
        )
        .await;
    match written {
        Ok(_) => Ok(Action::await_change()),
        Err(error) if answered(&error, 409) => Ok(Action::requeue(std::time::Duration::ZERO)),
        Err(error) if answered(&error, 404) => Ok(Action::await_change()),
        Err(error) => Err(error.into()),
    }
}
