//! A2 version-migration: in a roll-over one replica rewrites objects as v1alpha1, and the other as v1.
//!
//! ```text
//!   time   replica 0, still old        API server                       replica 1, new     user, through v1
//!    │     read shop (v1alpha1)  ◀───  size: 3
//!    │                                 size: 3, window: night                         ◀──  set window: night
//!    │     patch shop (v1alpha1) ───▶  size: 3, stored as v1alpha1
//!    │                                  └── the window is gone
//!    │                                 size: 3, stored as v1       ◀──  "v1alpha1? not mine"
//!    │     "v1? not mine"        ───▶  size: 3, stored as v1alpha1
//!    ▼                                 … for as long as the roll-over takes
//! ```
//!
//! After the storage version has moved to v1, every object is written once more so that no old form stays in
//! storage. Without a conversion an object has the same fields under both names; but whatever is written through
//! v1alpha1 is cut down to what v1alpha1 knows, a patch of one label as well. The old type does not show what is
//! lost, and without a resourceVersion nobody notices. And since each version takes its own for the one to have,
//! two of them never come to an end.
//!
//! The fixed twin never holds the object in a type: it sends back exactly what it read, through v1 whatever it was
//! built with, with its resourceVersion. There is one version to migrate to, and an object that has it is done. A
//! conflict is good news: somebody else has written the object, which stores it anew as well, and what is left to
//! do shows at the next look. It costs the type: the compiler no longer knows the fields.

use std::{fmt::Debug, sync::Arc, time::Duration};

use futures::StreamExt;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams},
    core::{GroupVersionKind, NamespaceResourceScope},
    runtime::{Controller, controller::Action, watcher},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::webapp::{Error, answered};

const MIGRATED: &str = "demo.reconverge.dev/stored-as";

/// A migration goes gently about it: so long before each write.
const PACE: Duration = Duration::from_millis(500);

mod v1alpha1 {
    /// A shop as v1alpha1 knows it.
    #[derive(kube::CustomResource, Clone, Debug, serde::Deserialize, serde::Serialize)]
    #[kube(
        group = "demo.reconverge.dev",
        version = "v1alpha1",
        kind = "Shop",
        namespaced,
        schema = "disabled"
    )]
    pub(super) struct ShopSpec {
        /// How large it is.
        pub(super) size: i32,
    }
}

mod v1 {
    /// A shop as v1 knows it.
    #[derive(kube::CustomResource, Clone, Debug, serde::Deserialize, serde::Serialize)]
    #[kube(
        group = "demo.reconverge.dev",
        version = "v1",
        kind = "Shop",
        namespaced,
        schema = "disabled"
    )]
    pub(super) struct ShopSpec {
        /// How large it is.
        pub(super) size: i32,
        /// When it is open.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub(super) window: Option<String>,
    }
}

/// Writes each object back in the version that the replica was built with: the first replica is still an old one.
pub async fn buggy(client: Client, identity: String) {
    match identity.ends_with("-0") {
        true => store_as::<v1alpha1::Shop>(client, |shop| json!(shop.spec)).await,
        false => store_as::<v1::Shop>(client, |shop| json!(shop.spec)).await,
    }
}

async fn store_as<K>(client: Client, spec: fn(&K) -> Value)
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    Controller::new(Api::<K>::all(client.clone()), watcher::Config::default())
        .run(
            move |shop: Arc<K>, client: Arc<Client>| async move {
                let version = K::version(&()).into_owned();
                if shop.labels().get(MIGRATED) == Some(&version) {
                    return Ok(Action::await_change());
                }
                let namespace = shop.namespace().ok_or(Error::Incomplete("namespace"))?;
                let shops: Api<K> = Api::namespaced(Client::clone(&client), &namespace);
                let patch = json!({
                    "metadata": {"labels": {MIGRATED: version}},
                    "spec": spec(&shop),
                });
                tokio::time::sleep(PACE).await;
                let patch = Patch::Merge(patch); // WRONG: written as a version that may not know all of it, over whatever came in between.
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
pub async fn fixed(client: Client, _identity: String) {
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
                    tokio::time::sleep(PACE).await;
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
