//! T7 readiness-lies: ready before the cache has synced.
//!
//! ```text
//!   time   operator                               API server                     user
//!    │     serves /validate: "ready"
//!    │     GET configmaps (the quotas) ────────▶
//!    │                                  ◀──────── review of "huge" ◀──────────── create huge
//!    │     quota? the cache is empty: "none" ───▶ allowed ─────────────────────▶ huge exists
//!    ▼     (the list arrives: size ≤ 3)
//! ```
//!
//! An empty cache says nothing: not even that there is nothing. A webhook must not be an endpoint of its Service before its
//! first list is in. The fixed twin waits for it and only then serves; until then the API server's failure policy decides,
//! which is what it is for. It costs the requests that this policy refuses meanwhile.

use bytes::Bytes;
use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api,
    runtime::{
        WatchStreamExt,
        reflector::{self, Store},
        watcher,
    },
};
use serde_json::{Value, json};
use sim::OperatorContext;

/// Serves at once.
pub async fn buggy(cx: OperatorContext) {
    run(cx, false).await;
}

/// Serves once its cache has synced.
pub async fn fixed(cx: OperatorContext) {
    run(cx, true).await;
}

async fn run(cx: OperatorContext, waits: bool) {
    let (quotas, writer) = reflector::store::<ConfigMap>();
    let maps = Api::<ConfigMap>::all(cx.client.clone());
    let only = watcher::Config::default().labels("quota");
    let informer = reflector::reflector(writer, watcher(maps, only))
        .default_backoff()
        .for_each(|_| std::future::ready(()));
    let serving = async {
        if waits && quotas.wait_until_ready().await.is_err() {
            return;
        } // WRONG without it: "ready" is said while the cache is empty.
        let quotas = quotas.clone();
        let served = cx.serve_webhook("/validate", move |request| {
            let review = review(request.body(), &quotas);
            async move { http::Response::new(Bytes::from(review.to_string())) }
        });
        if let Err(error) = served.await {
            tracing::error!(%error, "no webhook is served");
        }
    };
    futures::join!(informer, serving);
}

/// The answer to an AdmissionReview: no WebApp is larger than its namespace's quota.
fn review(body: &Bytes, quotas: &Store<ConfigMap>) -> Value {
    let review: Value = serde_json::from_slice(body).unwrap_or_default();
    let request = &review["request"];
    let quota = quotas
        .state()
        .iter()
        .filter(|map| map.metadata.namespace.as_deref() == request["namespace"].as_str())
        .find_map(|map| map.data.as_ref()?.get("size")?.parse::<i64>().ok());
    let size = request["object"]["spec"]["size"].as_i64().unwrap_or(0);
    let allowed = quota.is_none_or(|quota| size <= quota);
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "response": {"uid": request["uid"], "allowed": allowed,
            "status": {"message": "larger than the namespace's quota"}},
    })
}
