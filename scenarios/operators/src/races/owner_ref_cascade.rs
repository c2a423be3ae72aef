//! R8 owner-ref-cascade: two controllers add themselves to the owners of one child, and one is lost.
//!
//! ```text
//!   time   controller of blue             API server                 controller of green
//!    │     get shared         ─────────▶  owners: none         ◀───  get shared
//!    │     patch [blue]       ─────────▶  owners: blue
//!    │                                    owners: green        ◀───  patch [green]
//!    │                                    user deletes green: the collector takes shared with it
//!    ▼                                     └── and blue, which is alive, stands there without
//! ```
//!
//! A merge patch replaces the list of owner references whole. The garbage collector then acts on what
//! the list says: the child goes with the last owner *named*, not with the last one there is. And the
//! controller that was lost is not even woken: events of the child reach only those it names.
//!
//! The fix is server-side apply. `ownerReferences` is a map keyed by uid in the schema, so each field
//! manager adds its own entry and leaves the others alone. It costs a field manager's name, and saves
//! the read. Where apply is no choice, the patch has to carry the resourceVersion of the read.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
    runtime::controller::Action,
};
use serde_json::json;

use crate::webapp::{Error, WebApp, answered, beside, control};

const SHARED: &str = "shared-settings";

/// Reads the list of owners, adds one, and writes the list back.
pub async fn buggy(client: Client, name: String) {
    control(client, move |app, client| {
        let is_ours = app.name_any() == name;
        async move {
            if is_ours {
                return join(app, client).await;
            }
            Ok(Action::await_change())
        }
    })
    .await;
}

/// Applies one entry of the list.
pub async fn fixed(client: Client, name: String) {
    control(client, move |app, client| {
        let name = name.clone();
        async move {
            if app.name_any() != name {
                return Ok(Action::await_change());
            }
            let owner = app.owner_ref(&()).ok_or(Error::Incomplete("uid"))?;
            let children: Api<ConfigMap> = beside(&app, client)?;
            let patch = json!({
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": SHARED, "ownerReferences": [owner]},
            });
            let params = PatchParams::apply(&name);
            children
                .patch(SHARED, &params, &Patch::Apply(patch))
                .await?;
            Ok(Action::await_change())
        }
    })
    .await;
}

async fn join(app: Arc<WebApp>, client: Client) -> Result<Action, Error> {
    let owner = app.owner_ref(&()).ok_or(Error::Incomplete("uid"))?;
    let children: Api<ConfigMap> = beside(&app, client)?;
    let Some(shared) = children.get_opt(SHARED).await? else {
        let new = ConfigMap {
            metadata: ObjectMeta {
                name: Some(SHARED.to_owned()),
                owner_references: Some(vec![owner]),
                ..ObjectMeta::default()
            },
            ..ConfigMap::default()
        };
        return match children.create(&PostParams::default(), &new).await {
            Ok(_) => Ok(Action::await_change()),
            Err(error) if answered(&error, 409) => Ok(Action::requeue(std::time::Duration::ZERO)),
            Err(error) => Err(error.into()),
        };
    };
    let mut owners = shared.owner_references().to_vec();
    if owners.iter().any(|other| other.uid == owner.uid) {
        return Ok(Action::await_change());
    }
    owners.push(owner);
    let patch = json!({"metadata": {"ownerReferences": owners}}); // WRONG: the whole list, as it was when it was read.
    let written = children
        .patch(SHARED, &PatchParams::default(), &Patch::Merge(patch))
        .await;
    match written {
        Err(error) if !answered(&error, 404) => Err(error.into()),
        _ => Ok(Action::await_change()),
    }
}
