//! A2 version-migration: objects are rewritten through the old version while users write the new one.
//!
//! ```text
//!   time   migrator                       API server                 user, through v1
//!    │     read shop (v1alpha1) ◀───────  size: 3
//!    │                                    size: 3, window: night ◀── set window: night
//!    │     patch shop (v1alpha1) ───────▶ size: 3
//!    ▼     size: 3, migrated               └── the window is gone
//! ```
//!
//! After the storage version has moved to v1, every object is written once more so that no old form stays in
//! storage. Without a conversion an object has the same fields under both names; but whatever is written
//! through v1alpha1 is cut down to what v1alpha1 knows, a patch of one label as well. The old type does not show
//! what is lost, and without a resourceVersion nobody notices. The fixed twin never holds the object in a type:
//! it sends back exactly what it read, through v1, with its resourceVersion. A conflict is good news: somebody else
//! has written the object, which stores it anew as well, and what is left to do shows at the next look. It costs the
//! type: the compiler no longer knows the fields.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use kube::{
    Api, Client, CustomResource, ResourceExt,
    api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
    runtime::{Controller, controller::Action, watcher},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::webapp::{Error, answered};

const MIGRATED: &str = "demo.reconverge.dev/stored-as";

/// A shop as v1alpha1 knows it.
#[derive(CustomResource, Clone, Debug, Deserialize, Serialize)]
#[kube(
    group = "demo.reconverge.dev",
    version = "v1alpha1",
    kind = "Shop",
    namespaced,
    schema = "disabled"
)]
pub struct ShopSpec {
    /// How large it is.
    pub size: i32,
}

/// Writes each object back through the old version.
pub async fn buggy(client: Client) {
    let shops = Api::<Shop>::all(client.clone());
    Controller::new(shops, watcher::Config::default())
        .run(
            |shop, client: Arc<Client>| async move {
                if shop.labels().contains_key(MIGRATED) {
                    return Ok(Action::await_change());
                }
                let shops: Api<Shop> = Api::namespaced(
                    Client::clone(&client),
                    &shop.namespace().ok_or(Error::Incomplete("namespace"))?,
                );
                let patch = json!({
                    "metadata": {"labels": {MIGRATED: "v1"}},
                    "spec": shop.spec,
                });
                let patch = Patch::Merge(patch); // WRONG: written as v1alpha1, which has no window, and whatever came in between.
                let (name, as_is) = (shop.name_any(), PatchParams::default());
                match shops.patch(&name, &as_is, &patch).await {
                    Err(error) if answered(&error, 404) => Ok(Action::await_change()),
                    Err(error) => Err(error.into()),
                    Ok(_) => Ok(Action::await_change()),
                }
            },
            |_, error: &Error, _| again(error),
            Arc::new(client),
        )
        .for_each(|_| std::future::ready(()))
        .await;
}

/// Writes each object back as it was read, through the new version, if nobody else has written it.
pub async fn fixed(client: Client) {
    let kind = GroupVersionKind::gvk("demo.reconverge.dev", "v1", "Shop");
    let resource = ApiResource::from_gvk(&kind);
    let shops = Api::<DynamicObject>::all_with(client.clone(), &resource);
    Controller::new_with(shops, watcher::Config::default(), resource.clone())
        .run(
            move |shop, client: Arc<Client>| {
                let resource = resource.clone();
                async move {
                    if shop.labels().contains_key(MIGRATED) {
                        return Ok(Action::await_change());
                    }
                    let namespace = shop.namespace().ok_or(Error::Incomplete("namespace"))?;
                    let shops = Api::<DynamicObject>::namespaced_with(
                        Client::clone(&client),
                        &namespace,
                        &resource,
                    );
                    let mut whole = DynamicObject::clone(&shop);
                    whole
                        .labels_mut()
                        .insert(MIGRATED.to_owned(), "v1".to_owned());
                    let name = shop.name_any();
                    match shops.replace(&name, &PostParams::default(), &whole).await {
                        Ok(_) => Ok(Action::await_change()),
                        Err(error) if answered(&error, 404) => Ok(Action::await_change()),
                        // The newer object is on its way here.
                        Err(error) if answered(&error, 409) => {
                            Ok(Action::requeue(Duration::from_secs(1)))
                        }
                        Err(error) => Err(error.into()),
                    }
                }
            },
            |_, error: &Error, _| again(error),
            Arc::new(client),
        )
        .for_each(|_| std::future::ready(()))
        .await;
}

fn again(error: &Error) -> Action {
    tracing::warn!(%error, "migration failed");
    Action::requeue(Duration::from_secs(1))
}
