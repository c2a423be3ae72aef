//! A3 webhook-side-effects: a webhook files a ticket for each call, and the server calls more than once.
//!
//! ```text
//!   time   user                  API server                      webhook
//!    │     set size 3  ───────▶  @20, may I? size 3  ─────────▶  file ticket resize-x7k2p
//!    │     (another) ─────────▶  @21: an annotation
//!    │                           @20 is not the newest any more:
//!    │                           @21, may I? size 3  ─────────▶  file ticket resize-q4d9m
//!    ▼                           @22: size 3                      └── one change, two tickets
//! ```
//!
//! A call of a webhook is a question, not an event: the server asks again when the object has changed under the
//! request, when another webhook has changed it, and for dry runs; and a request that was asked about may still
//! fail. The fixed twin names the ticket after what it is for, so that the second question finds the first
//! one's ticket, and files none for a dry run. (The `uid` of a review is that of the call, not of the user's
//! request: a retry has another.) It costs the difference between two changes to the same size: they share a
//! ticket.

use bytes::Bytes;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use serde::{Deserialize, Serialize};

use crate::webapp::{WebApp, answered};

/// An AdmissionReview as it is asked.
#[derive(Deserialize)]
struct Question {
    request: Asked,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    uid: String,
    #[serde(default)]
    dry_run: bool,
    object: WebApp,
    old_object: WebApp,
}

/// An AdmissionReview as it is answered.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    api_version: &'static str,
    kind: &'static str,
    response: Verdict,
}

#[derive(Serialize)]
struct Verdict {
    uid: String,
    allowed: bool,
}

/// Files a ticket whenever it is asked.
pub async fn buggy(client: Client, call: http::Request<Bytes>) -> http::Response<Bytes> {
    review(client, call, false).await
}

/// Files one ticket a change, however often it is asked.
pub async fn fixed(client: Client, call: http::Request<Bytes>) -> http::Response<Bytes> {
    review(client, call, true).await
}

async fn review(client: Client, call: http::Request<Bytes>, named: bool) -> http::Response<Bytes> {
    let Ok(Question { request }) = serde_json::from_slice(call.body()) else {
        let mut bad = http::Response::new(Bytes::new());
        *bad.status_mut() = http::StatusCode::BAD_REQUEST;
        return bad;
    };
    let size = request.object.spec.size;
    let asks = size != request.old_object.spec.size;
    let filed = match (asks, named) {
        (false, _) => true,
        (true, false) => {
            let ticket = ObjectMeta {
                generate_name: Some("resize-".to_owned()), // WRONG: a new ticket for each call.
                ..ObjectMeta::default()
            };
            file(&client, &request.object, ticket).await
        }
        (true, true) if request.dry_run => true,
        (true, true) => {
            let ticket = ObjectMeta {
                name: Some(format!("resize-to-{size}")),
                ..ObjectMeta::default()
            };
            file(&client, &request.object, ticket).await
        }
    };
    let answer = Answer {
        api_version: "admission.k8s.io/v1",
        kind: "AdmissionReview",
        response: Verdict {
            uid: request.uid,
            allowed: filed,
        },
    };
    http::Response::new(serde_json::to_vec(&answer).unwrap_or_default().into())
}

/// Whether the ticket is there afterwards.
async fn file(client: &Client, app: &WebApp, ticket: ObjectMeta) -> bool {
    let namespace = app.metadata.namespace.as_deref().unwrap_or("default");
    let tickets: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let ticket = ConfigMap {
        metadata: ticket,
        ..ConfigMap::default()
    };
    match tickets.create(&PostParams::default(), &ticket).await {
        Ok(_) => true,
        Err(error) => answered(&error, 409),
    }
}
