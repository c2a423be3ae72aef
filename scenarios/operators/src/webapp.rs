//! The custom resource the teaching operators reconcile, and the wiring they share.
//!
//! Owns the `WebApp` kind (`scenarios/crds/webapp.yaml` is generated from it), the error type and the
//! few lines that connect a reconcile function to `kube::runtime::Controller`. The races live in the
//! operators' own files.

use std::{future::Future, sync::Arc, time::Duration};

use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, CustomResource, Resource, ResourceExt,
    core::NamespaceResourceScope,
    runtime::{Controller, controller::Action, watcher},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// What the user of the operator asks for.
#[derive(CustomResource, Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "demo.reconverge.dev",
    version = "v1",
    kind = "WebApp",
    namespaced,
    status = "WebAppStatus"
)]
#[serde(rename_all = "camelCase")]
pub struct WebAppSpec {
    /// How large the application should be.
    pub size: i32,
}

/// What the operator reports back.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebAppStatus {
    /// The generation of the spec that the other fields were computed from.
    pub observed_generation: Option<i64>,
    /// The size that has been rolled out.
    pub size: Option<i32>,
    /// The replicas of the operator that have seen this object, one entry each.
    pub acknowledged_by: Option<Vec<String>>,
    /// The Job that runs the current backup.
    pub job: Option<String>,
}

/// Why a reconcile did not finish.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused, or could not be reached; the controller tries again.
    #[error(transparent)]
    Api(#[from] kube::Error),
    /// The object has no namespace: it was not read from a cluster.
    #[error("the object carries no {0}")]
    Incomplete(&'static str),
    /// A system outside the cluster refused, or could not be reached.
    #[error("the cloud: {0}")]
    Cloud(String),
}

/// Reconciles every `WebApp`, and again when a ConfigMap that one of them owns changes.
///
/// A failed reconcile is tried again after a second, as most operators do.
pub async fn control<R, F>(client: Client, reconcile: R)
where
    R: Fn(Arc<WebApp>, Client) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Action, Error>> + Send + 'static,
{
    let apps = Api::<WebApp>::all(client.clone());
    let children = Api::<ConfigMap>::all(client.clone());
    let reconcile = Arc::new(reconcile);
    Controller::new(apps, watcher::Config::default())
        .owns(children, watcher::Config::default())
        .run(
            move |app, client: Arc<Client>| reconcile(app, Client::clone(&client)),
            |_, error, _| {
                tracing::warn!(%error, "reconcile failed");
                Action::requeue(Duration::from_secs(1))
            },
            Arc::new(client),
        )
        .for_each(|_| std::future::ready(()))
        .await;
}

/// The API for objects of kind `K` beside `app`.
pub fn beside<K>(app: &WebApp, client: Client) -> Result<Api<K>, Error>
where
    K: Resource<Scope = NamespaceResourceScope> + DeserializeOwned + Clone + std::fmt::Debug,
    K::DynamicType: Default,
{
    let namespace = app.namespace().ok_or(Error::Incomplete("namespace"))?;
    Ok(Api::namespaced(client, &namespace))
}

/// Whether the server answered with this HTTP status.
pub fn answered(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::CustomResourceExt;

    /// The scenarios register the CRD from a file; it must be the one the operators were built with.
    /// `RECONVERGE_UPDATE=1 cargo test -p reconverge-operators` writes it anew.
    #[test]
    fn the_crd_file_is_the_derived_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../crds/webapp.yaml");
        let derived = serde_json::to_value(WebApp::crd()).expect("a CRD serialises");
        if std::env::var_os("RECONVERGE_UPDATE").is_some() {
            let text = serde_saphyr::to_string(&derived).expect("a CRD serialises");
            std::fs::write(path, text).expect("the file can be written");
        }
        let text = std::fs::read_to_string(path).expect("scenarios/crds/webapp.yaml is there");
        let on_file: serde_json::Value = serde_saphyr::from_str(&text).expect("it is YAML");
        assert_eq!(
            on_file, derived,
            "run with RECONVERGE_UPDATE=1 to write the file anew"
        );
    }
}
