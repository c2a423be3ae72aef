//! A4 namespace-teardown: children are created again, for ever, in a namespace that is going away.
//!
//! ```text
//!   time   operator                       API server                 namespace controller
//!    │                                    shop is terminating   ◀───  (a user deletes it)
//!    │                                    demo-settings is gone ◀───  delete everything in shop
//!    │     create demo-settings ───────▶  403 NamespaceTerminating
//!    │     create demo-settings ───────▶  403 NamespaceTerminating
//!    ▼     create demo-settings ───────▶   … long after demo and shop themselves are gone: 404
//! ```
//!
//! In a terminating namespace nothing can be created, and nothing will change that: the refusal is final, not
//! a hiccup. A loop inside the reconcile that waits for success cannot even learn that its object is
//! gone, and holds a worker. The fixed twin tells this refusal by its cause (`NamespaceTerminating`) and is done;
//! any other error goes back to the controller, which tries again at its own pace and looks at the object first.
//! It costs a list of refusals that are final, which grows with the API.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ObjectMeta, PostParams},
    runtime::controller::Action,
};

use crate::webapp::{Error, WebApp, answered, beside, control};

/// Creates the child until it is created.
pub async fn buggy(client: Client) {
    control(client, |app, client| async move {
        let children: Api<ConfigMap> = beside(&app, client)?;
        let child = settings(&app);
        // WRONG: a refusal that is final is taken for a hiccup.
        while let Err(error) = children.create(&PostParams::default(), &child).await {
            if answered(&error, 409) {
                break;
            }
            tracing::warn!(%error, "the child could not be created");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Action::await_change())
    })
    .await;
}

/// Ends when the namespace does.
pub async fn fixed(client: Client) {
    control(client, ensure).await;
}

async fn ensure(app: Arc<WebApp>, client: Client) -> Result<Action, Error> {
    let children: Api<ConfigMap> = beside(&app, client)?;
    match children
        .create(&PostParams::default(), &settings(&app))
        .await
    {
        Ok(_) => Ok(Action::await_change()),
        Err(error) if answered(&error, 409) => Ok(Action::await_change()),
        Err(error) if is_going(&error) => Ok(Action::await_change()),
        Err(error) => Err(error.into()),
    }
}

/// The namespace is being torn down, or is gone.
fn is_going(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else {
        return false;
    };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let terminating = causes
        .filter(|cause| cause.reason == "NamespaceTerminating")
        .count()
        > 0;
    status.code == 403 && terminating || status.code == 404
}

fn settings(app: &WebApp) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(format!("{}-settings", app.name_any())),
            owner_references: app.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([("owner".to_owned(), app.name_any())])),
        ..ConfigMap::default()
    }
}
