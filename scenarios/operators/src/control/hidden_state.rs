//! C2 hidden-state: the operator remembers in memory what it has created.
//!
//! ```text
//!   time   operator                       API server
//!    │     "demo: not in my set"
//!    │     create demo-…      ─────────▶  demo-x7k2p
//!    │     ✗ crash                        (the set is gone, the child is not)
//!    │     ↻ start, "demo: not in my set"
//!    │     create demo-…      ─────────▶  demo-x7k2p, demo-q4d9m
//!    ▼                                     └── every restart makes another
//! ```
//!
//! The memory of a process is not part of the cluster: it is empty after every restart, and it stays
//! as it is when somebody else changes the world. A reconcile has to be a function of what it reads,
//! so that it may run again at any time, in any process, and change nothing when nothing is missing.
//! The fixed twin asks for the child itself. It costs one read, which a cache can serve.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ListParams, ObjectMeta, PostParams},
    runtime::controller::Action,
};

use crate::webapp::{Error, WebApp, beside, control};

const APP_LABEL: &str = "demo.reconverge.dev/app";

/// Creates a child for every object that it does not remember.
pub async fn buggy(client: Client) {
    let created = Arc::new(Mutex::new(BTreeSet::new()));
    control(client, move |app, client| {
        let created = Arc::clone(&created);
        async move {
            let children: Api<ConfigMap> = beside(&app, client)?;
            let remembered = created
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .contains(&app.uid());
            if !remembered {
                children
                    .create(&PostParams::default(), &child(&app))
                    .await?;
                created
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(app.uid()); // WRONG: the next process does not know it.
            }
            Ok(Action::await_change())
        }
    })
    .await;
}

/// Creates a child where there is none.
pub async fn fixed(client: Client) {
    control(client, |app, client| async move {
        let children: Api<ConfigMap> = beside(&app, client)?;
        let of_app = ListParams::default().labels(&format!("{APP_LABEL}={}", app.name_any()));
        if children.list(&of_app).await?.items.is_empty() {
            children
                .create(&PostParams::default(), &child(&app))
                .await?;
        }
        Ok::<_, Error>(Action::await_change())
    })
    .await;
}

fn child(app: &WebApp) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", app.name_any())),
            labels: Some(BTreeMap::from([(APP_LABEL.to_owned(), app.name_any())])),
            owner_references: app.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    }
}
