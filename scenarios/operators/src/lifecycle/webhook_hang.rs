//! D4 webhook-hang: the API server has given up, and the webhook works on.
//!
//! ```text
//!   time   API server                      webhook
//!    │     review 1 (timeout 2 s)  ────▶   spawn(judge): the policy is not there yet, ask again in 5 s …
//!    │     gives up, admits it             … ask again in 5 s …
//!    │     review 2                ────▶   spawn(judge): …
//!    │     gives up                        …
//!    ▼     review 40                       40 tasks ask for one policy, for callers long gone
//! ```
//!
//! An HTTP server ends the handler of a request whose client has gone, by dropping its future. What the
//! handler has spawned is not part of that future: the handle is dropped, the task is not. So the one thing
//! that keeps a slow webhook bounded, the caller's timeout, is taken away. The fixed twin does the work in
//! the handler itself. It then has no more to do than there are callers who wait, and whatever it holds is
//! given back when they leave; work that must outlive its caller belongs into a queue of its own.

use std::{pin::pin, time::Duration};

use bytes::Bytes;
use futures::future::select;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use serde_json::{Value, json};
use sim::operator::OperatorContext;

/// Gives the work to a task that nobody ends.
pub async fn buggy(cx: OperatorContext) {
    serve(cx, |client, request| async move {
        let judged = tokio::spawn(judge(client)); // WRONG: it outlives the caller.
        answer(&request, judged.await.unwrap_or(true))
    })
    .await;
}

/// Does the work as long as somebody waits for it.
pub async fn fixed(cx: OperatorContext) {
    serve(cx, |client, request| async move {
        let allowed = judge(client).await;
        answer(&request, allowed)
    })
    .await;
}

async fn serve<H, F>(cx: OperatorContext, review: H)
where
    H: Fn(Client, http::Request<Bytes>) -> F + Send + Sync + 'static,
    F: Future<Output = http::Response<Bytes>> + Send + 'static,
{
    let client = cx.client.clone();
    let webhook = cx.serve_webhook("/validate", move |request| review(client.clone(), request));
    select(pin!(webhook), pin!(cx.shutdown.clone().requested())).await;
}

/// Says what the policy says, as soon as there is one.
async fn judge(client: Client) -> bool {
    let maps = Api::<ConfigMap>::default_namespaced(client);
    loop {
        if let Ok(Some(policy)) = maps.get_opt("policy").await {
            let data = policy.data.unwrap_or_default();
            return data.get("deny").is_none_or(|deny| deny != "all");
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}

fn answer(request: &http::Request<Bytes>, allowed: bool) -> http::Response<Bytes> {
    let review: Value = serde_json::from_slice(request.body()).unwrap_or_default();
    let answer = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {"uid": review["request"]["uid"], "allowed": allowed},
    });
    http::Response::new(Bytes::from(answer.to_string()))
}
