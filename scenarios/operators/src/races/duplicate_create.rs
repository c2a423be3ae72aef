//! R1 duplicate-create: two replicas see no child, and each creates one.
//!
//! ```text
//!   time   replica 0                      API server                 replica 1
//!    │     list children      ─────────▶  none                 ◀───  list children
//!    │     create demo-…      ─────────▶  demo-x7k2p
//!    │                                    demo-q4d9m           ◀───  create demo-…
//!    ▼                                     └── two children, both owned, neither will go
//! ```
//!
//! "Look, then create" is not atomic. With `generateName` the server gives each request a name of its
//! own, so nothing refuses the second one; the same happens with one replica when the reply to its
//! create is lost and it tries again. A name derived from the owner makes the server the judge: the
//! second create answers 409 AlreadyExists, which is success as long as the child is ours. It costs a
//! name that nobody else may have thought of.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ListParams, ObjectMeta, PostParams},
    runtime::controller::Action,
};

use crate::webapp::{Error, WebApp, answered, beside, control};

const APP_LABEL: &str = "demo.reconverge.dev/app";

/// Lists the children and, seeing none, lets the server invent a name.
pub async fn buggy(client: Client) {
    control(client, |app, client| async move {
        let children: Api<ConfigMap> = beside(&app, client)?;
        let of_app = ListParams::default().labels(&format!("{APP_LABEL}={}", app.name_any()));
        if children.list(&of_app).await?.items.is_empty() {
            let mut child = desired(&app);
            child.metadata.generate_name = Some(format!("{}-", app.name_any())); // WRONG: every call makes another.
            children.create(&PostParams::default(), &child).await?;
        }
        Ok(Action::await_change())
    })
    .await;
}

/// Gives the child a name that follows from its owner, and takes AlreadyExists for success.
pub async fn fixed(client: Client) {
    control(client, ensure).await;
}

async fn ensure(app: Arc<WebApp>, client: Client) -> Result<Action, Error> {
    let children: Api<ConfigMap> = beside(&app, client)?;
    let mut child = desired(&app);
    let name = format!("{}-settings", app.name_any());
    child.metadata.name = Some(name.clone());

    let found = match children.get_opt(&name).await? {
        Some(found) => found,
        None => match children.create(&PostParams::default(), &child).await {
            Ok(created) => created,
            Err(error) if answered(&error, 409) => {
                return Ok(Action::requeue(std::time::Duration::ZERO));
            }
            Err(error) => return Err(error.into()),
        },
    };
    if found.data != child.data {
        child.metadata.resource_version = found.resource_version();
        match children
            .replace(&name, &PostParams::default(), &child)
            .await
        {
            Err(error) if answered(&error, 409) => {
                return Ok(Action::requeue(std::time::Duration::ZERO));
            }
            other => other?,
        };
    }
    Ok(Action::await_change())
}

fn desired(app: &WebApp) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            labels: Some(BTreeMap::from([(APP_LABEL.to_owned(), app.name_any())])),
            owner_references: app.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([("owner".to_owned(), app.name_any())])),
        ..ConfigMap::default()
    }
}
