//! D6 stalls: a reconcile is silent, and the question is what it waits for.
//!
//! ```text
//!   wait      reconcile                        who makes it wait
//!   api       get settings … … …               the API server answers late
//!   channel   send(job) … … …                  the worker behind the channel is not done with the last one
//!   lock      state.lock() … … …               another reconcile holds it over an await
//!   pause     … … …                            the whole process: nothing in it runs
//! ```
//!
//! All four look alike from outside: nothing happens. They differ in who has to be made faster, and a
//! report that says "slow" helps nobody. Here each is provoked alone, and the property names it with its
//! owner. There is no fixed twin for a slow server or a stalled machine; what an operator can do is to wait
//! for nothing it does not need, and for the rest no longer than a bound, and to say so: `bounded` leaves the
//! lock before it awaits, takes a full channel for an answer, and comes back later.

use std::{sync::Arc, time::Duration};

use futures::future::join;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client, ResourceExt, runtime::controller::Action};
use tokio::{
    sync::{Mutex, mpsc},
    time::timeout,
};

use crate::webapp::{Error, WebApp, beside, control};

const BOUND: Duration = Duration::from_millis(45);

/// Asks the API server and waits for as long as it takes.
pub async fn api(client: Client) {
    control(client, |app, client| async move {
        look(&app, &client).await?;
        Ok(Action::await_change())
    })
    .await;
}

/// Hands its work to a worker that takes one job at a time.
pub async fn channel(client: Client) {
    let (jobs, mut queue) = mpsc::channel::<Arc<WebApp>>(1);
    let worker = {
        let client = client.clone();
        async move {
            while let Some(app) = queue.recv().await {
                for _ in 0..5 {
                    if let Err(error) = look(&app, &client).await {
                        tracing::warn!(%error, "the job failed");
                    }
                }
            }
        }
    };
    let apps = control(client, move |app, _| {
        let jobs = jobs.clone();
        async move {
            // Waits for room: three jobs are more than the channel and the worker hold.
            for _ in 0..3 {
                let _ = jobs.send(app.clone()).await;
            }
            Ok(Action::await_change())
        }
    });
    join(worker, apps).await;
}

/// Holds a lock over its calls, and with it every other reconcile.
pub async fn lock(client: Client) {
    let state = Arc::new(Mutex::new(0_u32));
    control(client, move |app, client| {
        let state = state.clone();
        async move {
            let mut seen = state.lock().await;
            for _ in 0..5 {
                look(&app, &client).await?;
            }
            *seen += 1;
            Ok(Action::await_change())
        }
    })
    .await;
}

/// Waits for little, never long, and says so.
pub async fn bounded(client: Client) {
    let state = Arc::new(Mutex::new(0_u32));
    let (jobs, mut queue) = mpsc::channel::<Arc<WebApp>>(8);
    let worker = async move {
        while let Some(app) = queue.recv().await {
            tracing::debug!(name = app.name_any(), "done");
        }
    };
    let apps = control(client, move |app, client| {
        let (state, jobs) = (state.clone(), jobs.clone());
        async move {
            match timeout(BOUND, look(&app, &client)).await {
                Ok(looked) => looked?,
                Err(_) => {
                    tracing::warn!(bound = ?BOUND, "the API server keeps us waiting: later");
                    return Ok(Action::requeue(Duration::from_secs(5)));
                }
            }
            *state.lock().await += 1;
            if jobs.try_send(app).is_err() {
                tracing::warn!("the worker is busy: later");
                return Ok(Action::requeue(Duration::from_secs(5)));
            }
            Ok(Action::await_change())
        }
    });
    join(worker, apps).await;
}

async fn look(app: &Arc<WebApp>, client: &Client) -> Result<(), Error> {
    let maps: Api<ConfigMap> = beside(app, client.clone())?;
    let found = maps.get_opt("settings").await?;
    tracing::debug!(found = found.is_some(), "looked");
    Ok(())
}
