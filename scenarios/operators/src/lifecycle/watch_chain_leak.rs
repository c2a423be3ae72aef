//! L2 watch-chain-leak: each reconnect leaves the task of the old connection behind.
//!
//! ```text
//!   time   supervisor               follower 1                     follower 2
//!    │     spawn follower 1         watch …
//!    │                              the connection breaks:
//!    │     "reconnect!"      ◀────  its stream is over, but its
//!    │     spawn follower 2         ticker is not                  watch …
//!    │                              tick, tick, tick …             the connection breaks
//!    ▼     spawn follower 3         tick, tick …                   tick, tick …   └── a task more each time
//! ```
//!
//! A task ends when its future does, not when its purpose has. The follower waits for two things, and
//! only one of them can end; the supervisor, who could end it, has let go of its handle. Watches break
//! all day, so the number of tasks grows with the age of the process. In the fixed twin one owner holds
//! the one follower there is: before it begins another it ends the old one and waits until it is gone.
//! It costs the moments in between, in which nobody follows.

use std::{pin::pin, sync::Arc, time::Duration};

use futures::{StreamExt, TryStreamExt, future::select};
use kube::{
    Api, Client, ResourceExt,
    api::{WatchEvent, WatchParams},
};
use sim::operator::Shutdown;
use tokio::{sync::Notify, task::JoinHandle};

use crate::webapp::WebApp;

/// Begins a new follower and lets go of the old one.
pub async fn buggy(client: Client, shutdown: Shutdown) {
    supervise(client, shutdown, false).await;
}

/// Ends the old follower before it begins another.
pub async fn fixed(client: Client, shutdown: Shutdown) {
    supervise(client, shutdown, true).await;
}

async fn supervise(client: Client, shutdown: Shutdown, one_owner: bool) {
    let broken = Arc::new(Notify::new());
    loop {
        let follower = tokio::spawn(follow(client.clone(), broken.clone()));
        select(pin!(broken.notified()), pin!(shutdown.clone().requested())).await;
        if shutdown.is_requested() {
            return end(follower).await;
        }
        if one_owner {
            end(follower).await;
        } else {
            drop(follower); // WRONG: a task does not end with its handle.
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn end(follower: JoinHandle<()>) {
    follower.abort();
    // It has been cancelled, which is what was asked for.
    let _ = follower.await;
}

/// Follows the WebApps over one connection, and says now and then how many changes it has seen.
async fn follow(client: Client, broken: Arc<Notify>) {
    let apps = Api::<WebApp>::all(client);
    let mut ticker = tokio::time::interval(Duration::from_secs(30));
    let mut seen = 0_u32;
    let mut events = match apps.watch(&WatchParams::default(), "0").await {
        Ok(events) => Some(events.boxed()),
        Err(error) => {
            tracing::warn!(%error, "no connection");
            broken.notify_one();
            None
        }
    };
    loop {
        let next = async {
            match &mut events {
                Some(events) => events.try_next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            event = next => match event {
                Ok(Some(WatchEvent::Error(status))) => {
                    tracing::warn!(%status, "the watch is refused");
                    events = None;
                    broken.notify_one();
                }
                Ok(Some(event)) => {
                    seen += 1;
                    if let WatchEvent::Added(app) | WatchEvent::Modified(app) = event {
                        tracing::debug!(name = app.name_any(), "changed");
                    }
                }
                Ok(None) | Err(_) => {
                    events = None;
                    broken.notify_one();
                }
            },
            _ = ticker.tick() => tracing::debug!(seen, "still here"),
        }
    }
}
