//! D5 shared-config: two clients are made from one configuration, and each changes it for itself.
//!
//! ```text
//!   time   worker of team-a                configuration            worker of team-b
//!    │     namespace = team-a      ─────▶  team-a
//!    │     ask for the version …
//!    │                                     team-b            ◀────  namespace = team-b
//!    │     make the client         ◀─────  team-b
//!    ▼     write the report                 └── of team-a, into the namespace of team-b
//! ```
//!
//! "Set it, then use it" is two steps, and between them lies an await. Each step is safe, the lock is held
//! whenever the configuration is touched, and still the one worker goes out under the other's name: with its
//! namespace here, in life with its token, its proxy or its host as well. The fixed twin copies the
//! configuration before it changes anything. A configuration is a value; whoever wants another one makes one.
//! It costs a copy for each client.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::future::join;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;

/// Where a client works.
#[derive(Clone, Default)]
struct Config {
    namespace: String,
}

/// Changes what both share.
pub async fn buggy(client: Client) {
    let shared = Arc::new(Mutex::new(Config::default()));
    let worker = |team: &'static str| {
        let (client, config) = (client.clone(), shared.clone());
        async move {
            settings(&client, team).await;
            let change = |config: &Mutex<Config>| {
                let mut config = config.lock().unwrap_or_else(PoisonError::into_inner);
                config.namespace = team.to_owned();
            };
            change(&config); // WRONG: the other worker's too.
            let _ = client.apiserver_version().await;
            let used = config
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            report(client, used, team).await;
        }
    };
    join(worker("team-a"), worker("team-b")).await;
}

/// Changes a copy of its own.
pub async fn fixed(client: Client) {
    let template = Config::default();
    let worker = |team: &'static str| {
        let (client, mut config) = (client.clone(), template.clone());
        async move {
            settings(&client, team).await;
            config.namespace = team.to_owned();
            let _ = client.apiserver_version().await;
            report(client, config, team).await;
        }
    };
    join(worker("team-a"), worker("team-b")).await;
}

/// Reads what the team has set, which takes as long as it takes.
async fn settings(client: &Client, team: &str) {
    let maps = Api::<ConfigMap>::namespaced(client.clone(), team);
    if let Err(error) = maps.get_opt("settings").await {
        tracing::warn!(%error, team, "no settings");
    }
}

/// Says in the report of its namespace who is at work there, again and again.
async fn report(client: Client, config: Config, team: &str) {
    let maps = Api::<ConfigMap>::namespaced(client, &config.namespace);
    let patch = Patch::Merge(json!({"data": {"writtenBy": team}}));
    loop {
        let written = maps.patch("report", &PatchParams::default(), &patch).await;
        if let Err(error) = written {
            tracing::warn!(%error, team, "no report");
        }
        tokio::time::sleep(Duration::from_secs(20)).await;
    }
}
