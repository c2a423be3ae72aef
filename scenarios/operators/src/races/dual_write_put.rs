//! R5 dual-write, with PUT: an unconditional replace of a ConfigMap loses the other replica's entry.
//!
//! ```text
//!   time   replica 0                      API server                 replica 1
//!    │     get ledger         ─────────▶  {}            @10    ◀───  get ledger
//!    │     put {r0: seen}     ─────────▶  {r0}          @11
//!    │                                    {r1}          @12    ◀───  put {r1: seen}, no version
//!    ▼                                     └── accepted: ConfigMaps allow unconditional updates
//! ```
//!
//! Several replicas keep one ledger in a ConfigMap. Clearing `resourceVersion` before a PUT "makes the
//! conflicts go away": for a ConfigMap the API server then overwrites whatever is stored (rule D5).
//! The fix keeps the version that was read, and treats 409 as the order to read again. It costs whoever
//! comes second another read and another write.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ObjectMeta, PostParams},
    runtime::controller::Action,
};

use crate::webapp::{Error, WebApp, answered, beside, control};

/// Replaces the ledger with its `resourceVersion` cleared.
pub async fn buggy(client: Client, identity: String) {
    control(client, move |app, client| {
        enter(app, client, identity.clone(), false)
    })
    .await;
}

/// Replaces exactly the version that was read; a conflict is tried again.
pub async fn fixed(client: Client, identity: String) {
    control(client, move |app, client| {
        enter(app, client, identity.clone(), true)
    })
    .await;
}

async fn enter(
    app: Arc<WebApp>,
    client: Client,
    identity: String,
    guarded: bool,
) -> Result<Action, Error> {
    let ledgers: Api<ConfigMap> = beside(&app, client)?;
    let name = format!("{}-ledger", app.name_any());
    let Some(mut ledger) = ledgers.get_opt(&name).await? else {
        let empty = ConfigMap {
            metadata: ObjectMeta {
                name: Some(name),
                owner_references: app.controller_owner_ref(&()).map(|owner| vec![owner]),
                ..ObjectMeta::default()
            },
            ..ConfigMap::default()
        };
        return match ledgers.create(&PostParams::default(), &empty).await {
            Ok(_) => Ok(Action::requeue(Duration::ZERO)),
            Err(error) if answered(&error, 409) => Ok(Action::requeue(Duration::ZERO)),
            Err(error) => Err(error.into()),
        };
    };

    let size = app.spec.size.to_string();
    let entries = ledger.data.get_or_insert_default();
    if entries.get(&identity) == Some(&size) {
        return Ok(Action::await_change());
    }
    entries.insert(identity, size);
    if !guarded {
        ledger.metadata.resource_version = None; // WRONG: "overwrite whatever is there by now".
    }
    match ledgers
        .replace(&name, &PostParams::default(), &ledger)
        .await
    {
        Ok(_) => Ok(Action::await_change()),
        Err(error) if answered(&error, 409) => Ok(Action::requeue(Duration::ZERO)),
        Err(error) => Err(error.into()),
    }
}
