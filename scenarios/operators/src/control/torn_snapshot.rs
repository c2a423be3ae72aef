//! C7 torn-snapshot: a reconcile reads two maps while a refresh replaces them one after the other.
//!
//! ```text
//!   time   refresh                        the two maps               reconcile of demo
//!    │                                    zone a, weight 10
//!    │     get catalog v2
//!    │     zones := v2        ─────────▶  zone b, weight 10    ◀───  read zones, read weights
//!    │     get weights-v2                                            write "zone b, weight 10"
//!    │     weights := v2      ─────────▶  zone b, weight 20          remember: v2 is written
//!    │     wake all                                                  v2? done already
//!    ▼                                     └── zone b with zone a's weight, until a restart
//! ```
//!
//! Each map is consistent in itself, and each lock is held correctly; the *pair* is not. And because
//! the version travels with the first map, the torn pair passes for the new version: the reconcile
//! that would mend it finds nothing to do. The fixed twin builds the new snapshot aside and swaps one
//! pointer, so that every reader has all of one version or all of another. It costs an allocation for
//! each refresh, and the readers no longer wait for a lock.
//!
//! What the memory model allows on top of this is the loom twin's affair.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use crate::webapp::{Error, WebApp, beside};
use futures::{
    StreamExt,
    channel::mpsc::{UnboundedSender, unbounded},
};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
    runtime::{Controller, WatchStreamExt, controller::Action, watcher},
};
use serde_json::json;

/// Two maps, each behind a lock of its own.
pub async fn buggy(client: Client) {
    run::<TwoMaps>(client).await;
}

/// One snapshot behind one pointer.
pub async fn fixed(client: Client) {
    run::<OneSnapshot>(client).await;
}

/// Which zone each application is in, and from which version of the catalog that is.
#[derive(Clone, Default)]
struct Zones {
    version: String,
    by_app: BTreeMap<String, String>,
}

/// How much traffic each application gets in its zone.
type Weights = BTreeMap<String, String>;

/// Where reconciles find the catalog.
trait Catalog: Default + Send + Sync + 'static {
    /// Fetches what a new version names and puts it in place.
    fn refresh(
        &self,
        zones: Zones,
        weights: impl Future<Output = Result<Weights, Error>> + Send,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Both maps, as a reconcile needs them.
    fn read(&self) -> (Zones, Weights);
}

#[derive(Default)]
struct TwoMaps {
    zones: RwLock<Zones>,
    weights: RwLock<Weights>,
}

impl Catalog for TwoMaps {
    async fn refresh(
        &self,
        zones: Zones,
        weights: impl Future<Output = Result<Weights, Error>> + Send,
    ) -> Result<(), Error> {
        *self.zones.write().unwrap_or_else(PoisonError::into_inner) = zones; // WRONG: seen before its weights are there.
        let weights = weights.await?;
        *self.weights.write().unwrap_or_else(PoisonError::into_inner) = weights;
        Ok(())
    }

    fn read(&self) -> (Zones, Weights) {
        let zones = self.zones.read().unwrap_or_else(PoisonError::into_inner);
        let weights = self.weights.read().unwrap_or_else(PoisonError::into_inner);
        (zones.clone(), weights.clone())
    }
}

#[derive(Default)]
struct OneSnapshot {
    current: RwLock<Arc<(Zones, Weights)>>,
}

impl Catalog for OneSnapshot {
    async fn refresh(
        &self,
        zones: Zones,
        weights: impl Future<Output = Result<Weights, Error>> + Send,
    ) -> Result<(), Error> {
        let next = Arc::new((zones, weights.await?));
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }

    fn read(&self) -> (Zones, Weights) {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        (**current).clone()
    }
}

async fn run<C: Catalog>(client: Client) {
    let catalog = Arc::new(C::default());
    let (wake, woken) = unbounded();
    let refresher = follow(Arc::clone(&catalog), client.clone(), wake);
    let rendered = Arc::new(Mutex::new(BTreeMap::new()));
    let apps = Controller::new(
        Api::<WebApp>::all(client.clone()),
        watcher::Config::default(),
    )
    .reconcile_all_on(woken)
    .run(
        move |app, client: Arc<Client>| {
            let (catalog, rendered) = (Arc::clone(&catalog), Arc::clone(&rendered));
            async move { render(&app, Client::clone(&client), &*catalog, &rendered).await }
        },
        |_, error: &Error, _| {
            tracing::warn!(%error, "reconcile failed");
            Action::requeue(Duration::from_secs(1))
        },
        Arc::new(client),
    )
    .for_each(|_| std::future::ready(()));
    futures::join!(refresher, apps);
}

/// Follows the catalog: the ConfigMap `catalog` says who is where, `weights-VERSION` how much each gets there.
async fn follow<C: Catalog>(catalog: Arc<C>, client: Client, wake: UnboundedSender<()>) {
    let config_maps: Api<ConfigMap> = Api::default_namespaced(client);
    let only = watcher::Config::default().fields("metadata.name=catalog");
    let mut versions = watcher(config_maps.clone(), only)
        .default_backoff()
        .touched_objects()
        .boxed();
    while let Some(version) = versions.next().await {
        let Ok(Some(mut by_app)) = version.map(|found| found.data) else {
            continue;
        };
        let version = by_app.remove("version").unwrap_or_default();
        let name = format!("weights-{version}");
        let weights = async { Ok(config_maps.get(&name).await?.data.unwrap_or_default()) };
        match catalog.refresh(Zones { version, by_app }, weights).await {
            // Nobody waits for it once the controller has stopped.
            Ok(()) => drop(wake.unbounded_send(())),
            Err(error) => tracing::warn!(%error, "refresh failed"),
        }
    }
}

/// Writes an application's route, once for each version of the catalog.
async fn render<C: Catalog>(
    app: &WebApp,
    client: Client,
    catalog: &C,
    rendered: &Mutex<BTreeMap<String, String>>,
) -> Result<Action, Error> {
    let name = app.name_any();
    let (zones, weights) = catalog.read();
    let (Some(zone), Some(weight)) = (zones.by_app.get(&name), weights.get(&name)) else {
        return Ok(Action::await_change());
    };
    let known = |all: &BTreeMap<String, String>| all.get(&name) == Some(&zones.version);
    if known(&rendered.lock().unwrap_or_else(PoisonError::into_inner)) {
        return Ok(Action::await_change());
    }
    let routes: Api<ConfigMap> = beside(app, client)?;
    let route = format!("{name}-route");
    let patch = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": route, "ownerReferences": app.controller_owner_ref(&()).map(|o| vec![o])},
        "data": {"zone": zone, "weight": weight},
    });
    let params = PatchParams::apply("router").force();
    routes.patch(&route, &params, &Patch::Apply(patch)).await?;
    let mut rendered = rendered.lock().unwrap_or_else(PoisonError::into_inner);
    rendered.insert(name, zones.version);
    Ok(Action::await_change())
}
