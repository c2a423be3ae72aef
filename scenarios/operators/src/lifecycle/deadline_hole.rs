//! D1 deadline-hole: the timeout begins after the wait.
//!
//! ```text
//!   time   reconcile                              API server
//!    │     GET settings             ─────────▶    accepts the request
//!    │     (no head yet: nothing                  … does not answer
//!    │      limits this wait)                     … for a minute, or for ever
//!    │     head                     ◀─────────
//!    │     timeout(10 s, body)
//!    ▼      └── ten seconds, counted from a minute later
//! ```
//!
//! Reading the body is the part of a call that one sees oneself wait for, so that is where the timeout is
//! put. But a server that has accepted a connection and says nothing has not sent a head either, and the
//! `await` on the request itself has no limit: the worker is gone, and with the controller's default of
//! one reconcile per object the object is gone with it. The fixed twin puts the timeout around the whole
//! call, and around the write that follows. It costs a second try, and care: a call that was cut off may
//! have been carried out, so what is written must bear being written again.

use std::{sync::Arc, time::Duration};

use futures::AsyncReadExt;
use kube::{
    Api, Client, ResourceExt,
    api::{GetParams, Patch, PatchParams, Request},
    runtime::controller::Action,
};
use serde_json::json;
use tokio::time::timeout;

use crate::webapp::{Error, WebApp, answered, beside, control};

const LIMIT: Duration = Duration::from_secs(10);

/// Limits how long the body may take.
pub async fn buggy(client: Client) {
    control(client, |app, client| async move {
        let mut body = Box::pin(client.request_stream(settings()?).await?); // WRONG: the head may never come.
        let mut text = String::new();
        match timeout(LIMIT, body.read_to_string(&mut text)).await {
            Ok(read) => read.map_err(kube::Error::ReadEvents)?,
            Err(_) => return Ok(Action::requeue(LIMIT)),
        };
        roll_out(&app, client, &text).await
    })
    .await;
}

/// Limits how long all of it may take: both calls, from the first byte sent to the last one read.
pub async fn fixed(client: Client) {
    control(client, |app, client| async move {
        let all = async {
            let mut body = Box::pin(client.request_stream(settings()?).await?);
            let mut text = String::new();
            let read = body.read_to_string(&mut text).await;
            read.map_err(kube::Error::ReadEvents)?;
            roll_out(&app, client.clone(), &text).await
        };
        match timeout(LIMIT, all).await {
            Ok(done) => done,
            Err(_) => Ok(Action::requeue(LIMIT)),
        }
    })
    .await;
}

/// Asks for the settings as they are, to read them piece by piece: they may be large.
fn settings() -> Result<http::Request<Vec<u8>>, Error> {
    let path = "/api/v1/namespaces/default/configmaps";
    let request = Request::new(path).get("settings", &GetParams::default());
    request.map_err(|error| kube::Error::BuildRequest(error).into())
}

/// Writes the size that the settings allow into the status.
async fn roll_out(app: &Arc<WebApp>, client: Client, settings: &str) -> Result<Action, Error> {
    let settings: serde_json::Value = serde_json::from_str(settings).unwrap_or_default();
    let most = settings
        .pointer("/data/most")
        .and_then(|most| most.as_str());
    let most = most.and_then(|most| most.parse().ok()).unwrap_or(i32::MAX);
    let size = app.spec.size.min(most);
    if app.status.as_ref().and_then(|status| status.size) == Some(size) {
        return Ok(Action::await_change());
    }
    let apps: Api<WebApp> = beside(app, client)?;
    let status = Patch::Merge(json!({"status": {"size": size}}));
    match apps
        .patch_status(&app.name_any(), &PatchParams::default(), &status)
        .await
    {
        Ok(_) => Ok(Action::await_change()),
        Err(error) if answered(&error, 404) => Ok(Action::await_change()),
        Err(error) => Err(error.into()),
    }
}
