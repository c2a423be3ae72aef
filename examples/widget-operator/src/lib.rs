//! A small operator as a user of Reconverge would have one: nothing in it knows of the simulation.
//!
//! For every `Widget` it keeps one ConfigMap with the widget's colour and reports what it did in the
//! status. [`run`] is the whole operator: it takes a `kube::Client` and never returns.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, CustomResource, Resource, ResourceExt,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
    runtime::{Controller, controller::Action, watcher},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// What the user asks for.
#[derive(CustomResource, Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "example.com",
    version = "v1",
    kind = "Widget",
    namespaced,
    status = "WidgetStatus"
)]
pub struct WidgetSpec {
    /// The colour to paint the widget in.
    pub colour: String,
}

/// What the operator reports.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WidgetStatus {
    /// The generation of the spec that has been painted.
    pub observed_generation: Option<i64>,
}

impl Widget {
    /// Whether the newest spec has been painted.
    pub fn is_ready(&self) -> bool {
        let observed = self
            .status
            .as_ref()
            .and_then(|status| status.observed_generation);
        observed.is_some() && observed == self.metadata.generation
    }
}

/// Why a reconcile did not finish.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused, or could not be reached.
    #[error(transparent)]
    Api(#[from] kube::Error),
    /// The object was not read from a cluster.
    #[error("the widget carries no namespace")]
    NoNamespace,
}

/// Runs the operator until its client goes away.
pub async fn run(client: Client) {
    let widgets = Api::<Widget>::all(client.clone());
    let paints = Api::<ConfigMap>::all(client.clone());
    Controller::new(widgets, watcher::Config::default())
        .owns(paints, watcher::Config::default())
        .run(
            reconcile,
            |_, error, _| {
                tracing::warn!(%error, "reconcile failed");
                Action::requeue(Duration::from_secs(1))
            },
            Arc::new(client),
        )
        .for_each(|_| std::future::ready(()))
        .await;
}

async fn reconcile(cached: Arc<Widget>, client: Arc<Client>) -> Result<Action, Error> {
    let namespace = cached.namespace().ok_or(Error::NoNamespace)?;
    let widgets = Api::<Widget>::namespaced(Client::clone(&client), &namespace);
    // The cache may be old: a replica that paints by it undoes what the other has just done.
    let Some(widget) = widgets.get_opt(&cached.name_any()).await? else {
        return Ok(Action::await_change());
    };
    let paints = Api::<ConfigMap>::namespaced(Client::clone(&client), &namespace);
    let painted = match paint(&widget, &paints).await {
        Err(kube::Error::Api(status)) if status.code == 409 => false, // someone was quicker: look again
        other => other.map(|()| true)?,
    };
    if !painted {
        return Ok(Action::requeue(Duration::from_secs(1)));
    }
    if !widget.is_ready() {
        let patch = json!({
            "metadata": {"resourceVersion": widget.resource_version()},
            "status": {"observedGeneration": widget.metadata.generation},
        });
        let reported = widgets
            .patch_status(
                &widget.name_any(),
                &PatchParams::default(),
                &Patch::Merge(patch),
            )
            .await;
        match reported {
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            other => drop(other?),
        }
    }
    Ok(Action::requeue(Duration::from_secs(300)))
}

/// Creates or updates the ConfigMap, bound to the version that was read.
async fn paint(widget: &Widget, paints: &Api<ConfigMap>) -> Result<(), kube::Error> {
    let name = format!("{}-paint", widget.name_any());
    let mut wanted = ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            owner_references: widget.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(
            "colour".to_owned(),
            widget.spec.colour.clone(),
        )])),
        ..ConfigMap::default()
    };
    match paints.get_opt(&name).await? {
        None => drop(paints.create(&PostParams::default(), &wanted).await?),
        Some(found) if found.data == wanted.data => {}
        Some(found) => {
            wanted.metadata.resource_version = found.resource_version();
            paints
                .replace(&name, &PostParams::default(), &wanted)
                .await?;
        }
    }
    Ok(())
}
