//! L1 worker-without-stop: a background loop that nobody told to stop.
//!
//! ```text
//!   time   main                         sweeper (spawned)
//!    │     spawn(sweeper)               list, sleep 10 s, list, sleep 10 s …
//!    │     SIGTERM: the controller
//!    │       stops, main returns
//!    ▼                                  list, sleep 10 s …   └── who still waits for it?
//! ```
//!
//! A `JoinHandle` that is dropped does not end its task: it only lets go of it. In a process of its own
//! the task dies with the process, in the middle of whatever it was doing; in a test, or where several
//! operators share a process, it goes on for ever. The fixed twin gives the loop the same signal that
//! main waits for, and main waits for the loop: nothing is cut off, and nothing is left. What that costs
//! is the time of one sweep at the end.

use std::{pin::pin, time::Duration};

use futures::future::select;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams},
    runtime::controller::Action,
};
use sim::operator::Shutdown;

use crate::webapp::control;

const EVERY: Duration = Duration::from_secs(10);

/// Spawns the sweeper and forgets it.
pub async fn buggy(client: Client, shutdown: Shutdown) {
    tokio::spawn(sweep_for_ever(client.clone())); // WRONG: nobody stops it, nobody waits for it.
    until(shutdown, client).await;
}

/// Tells the sweeper when to stop, and waits until it has.
pub async fn fixed(client: Client, shutdown: Shutdown) {
    let stop = shutdown.clone();
    let sweeper = {
        let client = client.clone();
        tokio::spawn(async move {
            while !stop.is_requested() {
                sweep(&client).await;
                let pause = pin!(tokio::time::sleep(EVERY));
                select(pause, pin!(stop.clone().requested())).await;
            }
        })
    };
    until(shutdown, client).await;
    if let Err(error) = sweeper.await {
        tracing::warn!(%error, "the sweeper did not end well");
    }
}

/// The operator proper: it has nothing to do with the sweeper.
async fn until(shutdown: Shutdown, client: Client) {
    let apps = pin!(control(client, |_, _| async { Ok(Action::await_change()) }));
    select(apps, pin!(shutdown.requested())).await;
}

async fn sweep_for_ever(client: Client) {
    loop {
        sweep(&client).await;
        tokio::time::sleep(EVERY).await;
    }
}

/// Deletes what has been marked as expired.
async fn sweep(client: &Client) {
    let maps = Api::<ConfigMap>::default_namespaced(client.clone());
    let expired = ListParams::default().labels("demo.reconverge.dev/expired=yes");
    let Ok(found) = maps.list(&expired).await else {
        return;
    };
    for map in found {
        if let Err(error) = maps.delete(&map.name_any(), &DeleteParams::default()).await {
            tracing::warn!(%error, "an expired ConfigMap stays");
        }
    }
}
