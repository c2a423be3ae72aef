//! D3 false-timeout: a wait that was cancelled is taken for one that took too long.
//!
//! ```text
//!   time   replica 0, leader              API server             replica 1
//!    │     wait for the build, 5 min ──▶  watch …
//!    │     (stands still for 20 s)        the lease runs out
//!    │                                    holder = replica 1 ◀── takes the lease, waits for the build
//!    │     not the leader any more:
//!    │       the wait is cancelled
//!    │     "the build is stuck!"
//!    ▼     create recovery-…      ─────▶  └── the build was never late, and somebody else is in charge
//! ```
//!
//! A wait can end in three ways: what was waited for came, the time ran out, or nobody wants to know any
//! more. The second and the third both arrive as an `Err`, and one arm for all errors makes a recovery of
//! every change of leadership. The fixed twin gives the two endings two names: it recovers after a real
//! timeout, and after a cancellation it does nothing at all, since whatever there is to do is the next
//! leader's. It costs an error type with a variant for each ending.

use std::{pin::pin, sync::Arc, time::Duration};

use futures::future::{join, select};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
    runtime::wait::await_condition,
};
use tokio::time::{sleep, timeout};

use crate::{
    lease::{Seat, Terms, campaign},
    webapp::answered,
};

const LIMIT: Duration = Duration::from_secs(300);

/// Why a wait ended without what it was for.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("it took too long")]
    Late,
    #[error("somebody else leads")]
    Deposed,
    #[error(transparent)]
    Api(#[from] kube::runtime::wait::Error),
}

/// Recovers from every error.
pub async fn buggy(client: Client, identity: String) {
    run(client, identity, |_| true).await; // WRONG: also from one that says "not yours any more".
}

/// Recovers from a timeout.
pub async fn fixed(client: Client, identity: String) {
    run(client, identity, |ended| matches!(ended, Ended::Late)).await;
}

async fn run(client: Client, identity: String, needs_recovery: fn(&Ended) -> bool) {
    let seat = Seat::new(identity);
    let election = campaign(client.clone(), seat.clone(), Terms::default());
    join(election, lead(client, seat, needs_recovery)).await;
}

async fn lead(client: Client, seat: Arc<Seat>, needs_recovery: fn(&Ended) -> bool) {
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    loop {
        until(|| seat.is_held()).await;
        match build(&maps, &seat).await {
            Ok(()) => {
                make(&maps, named("release")).await;
                until(|| !seat.is_held()).await;
            }
            Err(ended) => {
                tracing::warn!(%ended, "no build");
                if needs_recovery(&ended) {
                    make(&maps, generated("recovery-")).await;
                }
                sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// Waits for the build, as long as this replica leads.
async fn build(maps: &Api<ConfigMap>, seat: &Seat) -> Result<(), Ended> {
    let built = await_condition(maps.clone(), "build", |map: Option<&ConfigMap>| {
        let data = map.and_then(|map| map.data.as_ref());
        data.is_some_and(|data| data.contains_key("done"))
    });
    let deposed = until(|| !seat.is_held());
    match select(pin!(timeout(LIMIT, built)), pin!(deposed)).await {
        futures::future::Either::Left((Ok(built), _)) => Ok(built.map(drop)?),
        futures::future::Either::Left((Err(_), _)) => Err(Ended::Late),
        futures::future::Either::Right(_) => Err(Ended::Deposed),
    }
}

async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        sleep(Duration::from_millis(500)).await;
    }
}

async fn make(maps: &Api<ConfigMap>, metadata: ObjectMeta) {
    let map = ConfigMap {
        metadata,
        ..ConfigMap::default()
    };
    match maps.create(&PostParams::default(), &map).await {
        Ok(_) => {}
        Err(error) if answered(&error, 409) => {}
        Err(error) => tracing::warn!(%error, "it was not made"),
    }
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    }
}

fn generated(prefix: &str) -> ObjectMeta {
    ObjectMeta {
        generate_name: Some(prefix.to_owned()),
        ..ObjectMeta::default()
    }
}
