//! The state a run starts from: CRDs established, objects created, controllers at rest.
//!
//! The objects are made by requests to the server itself, before time begins, so that they have all that a server gives
//! them. Their uids are the same in every run of a setup.

use bytes::Bytes;
use fake_apiserver::ids::SeededIds;
use fake_apiserver::registry::Resource;
use fake_apiserver::server::{ApiServer, Config, Cx, Output, RequestId, ServerId, WebhookReply};
use serde_json::Value;

use super::requests::StatusHead;
use super::timestamp;
use crate::property::{Property, builtin};
use crate::setup::{Actor, Setup};
use crate::time::SimTime;

/// The API server did not take an object of the setup.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the API server refuses {what}: {message}")]
pub struct SetupError {
    /// The object.
    pub what: String,
    /// The server's message; what to change in the object.
    pub message: String,
}

/// The properties of a setup, made anew; `no-panic` is always among them.
pub(super) fn properties(setup: &Setup) -> Vec<(String, Box<dyn Property>)> {
    let always = builtin("no-panic")
        .filter(|spec| setup.properties.iter().all(|other| other.name != spec.name));
    setup
        .properties
        .iter()
        .chain(&always)
        .map(|spec| (spec.name.clone(), (spec.make)()))
        .collect()
}

/// A server with everything in it.
pub(crate) fn base(setup: &Setup) -> Result<ApiServer, SetupError> {
    let config = Config {
        servers: setup.servers.max(1),
        garbage_collector: setup.actors.contains(&Actor::GarbageCollector),
        namespace_controller: setup.actors.contains(&Actor::Namespaces),
        // History is not compacted behind the scheduler's back.
        compaction_seconds: 0,
        check_watches: true,
        began: timestamp(SimTime::ZERO),
        ..Config::default()
    };
    let mut begin = Begin {
        server: ApiServer::new(&config),
        ids: SeededIds::new(0x0073_6574_7570),
    };
    for crd in &setup.crds {
        begin.create(crd)?;
        begin.settle();
    }
    // What is there when a run begins was not reviewed: nobody serves a webhook yet.
    let (reviewers, reviewed): (Vec<&Value>, Vec<&Value>) = setup
        .objects
        .iter()
        .partition(|object| text(object, "/kind").ends_with("WebhookConfiguration"));
    for object in reviewed.into_iter().chain(reviewers) {
        begin.namespace(object)?;
        begin.create(object)?;
    }
    begin.settle();
    Ok(begin.server)
}

/// Why a call of a webhook fails while the objects of a setup are made; a hint for who reads it in a [`SetupError`].
const NOBODY: &str =
    "nobody serves webhooks before the run begins; write the object in its storage version";

struct Begin {
    server: ApiServer,
    ids: SeededIds,
}

impl Begin {
    fn settle(&mut self) {
        let mut cx = Cx {
            now: timestamp(SimTime::ZERO),
            ids: &mut self.ids,
        };
        self.server.settle(&mut cx);
    }

    /// Makes the namespace that an object is in.
    fn namespace(&mut self, object: &Value) -> Result<(), SetupError> {
        let name = text(object, "/metadata/namespace");
        if name.is_empty() {
            return Ok(());
        }
        let namespace = serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        match self.request(http::Method::POST, "/api/v1/namespaces", &namespace) {
            (201 | 409, _) => Ok(()),
            (_, body) => Err(refused(&namespace, &body)),
        }
    }

    fn create(&mut self, object: &Value) -> Result<(), SetupError> {
        let (group, version) = group_version(text(object, "/apiVersion"));
        let kind = text(object, "/kind");
        let Some(row) = self
            .server
            .registry()
            .find_kind(group, version, kind)
            .cloned()
        else {
            let message = format!(
                "no kind {kind:?} in version {:?}; list its CustomResourceDefinition under crds",
                text(object, "/apiVersion")
            );
            return Err(SetupError {
                what: what(object),
                message,
            });
        };
        let path = collection_path(&row, text(object, "/metadata/namespace"));
        let (status, created) = self.request(http::Method::POST, &path, object);
        if status != 201 {
            return Err(refused(object, &created));
        }
        match object.get("status") {
            Some(wanted) if row.has_status() => self.write_status(&path, object, &created, wanted),
            _ => Ok(()),
        }
    }

    fn write_status(
        &mut self,
        path: &str,
        object: &Value,
        created: &Bytes,
        wanted: &Value,
    ) -> Result<(), SetupError> {
        let mut whole: Value = serde_json::from_slice(created).unwrap_or_default();
        whole["status"] = wanted.clone();
        let name = text(&whole, "/metadata/name").to_owned();
        match self.request(http::Method::PUT, &format!("{path}/{name}/status"), &whole) {
            (200, _) => Ok(()),
            (_, body) => Err(refused(object, &body)),
        }
    }

    fn request(&mut self, method: http::Method, path: &str, body: &Value) -> (u16, Bytes) {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("{path}?fieldManager=setup"))
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Bytes::from(body.to_string()));
        let Ok(request) = request else {
            return (
                400,
                Bytes::from_static(b"{\"message\":\"its names do not make a path\"}"),
            );
        };
        let mut cx = Cx {
            now: timestamp(SimTime::ZERO),
            ids: &mut self.ids,
        };
        let mut outputs = self
            .server
            .submit(&mut cx, ServerId(0), RequestId(0), request);
        loop {
            let next = outputs
                .into_iter()
                .find(|output| matches!(output, Output::Reply { .. } | Output::Call { .. }));
            match next {
                Some(Output::Reply { response, .. }) => {
                    return (response.status().as_u16(), response.into_body());
                }
                // L9: forms in other versions are made when they are asked for.
                Some(Output::Call { call, .. }) => {
                    let reply = WebhookReply::Failed(NOBODY.to_owned());
                    outputs = self.server.answer(&mut cx, call, reply);
                }
                _ => unreachable!("a create is answered, or calls a webhook"),
            }
        }
    }
}

fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn what(object: &Value) -> String {
    format!(
        "{} {:?}",
        text(object, "/kind"),
        text(object, "/metadata/name")
    )
}

fn refused(object: &Value, body: &Bytes) -> SetupError {
    let head: StatusHead = serde_json::from_slice(body).unwrap_or_default();
    SetupError {
        what: what(object),
        message: head.message,
    }
}

/// Group and version of an `apiVersion`.
pub(super) fn group_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

/// The path of a kind's collection; the namespace of a namespaced kind is `default` unless named.
pub(super) fn collection_path(row: &Resource, namespace: &str) -> String {
    let prefix = if row.group.is_empty() {
        "/api".to_owned()
    } else {
        format!("/apis/{}", row.group)
    };
    let namespace = if namespace.is_empty() {
        "default"
    } else {
        namespace
    };
    if row.namespaced {
        format!(
            "{prefix}/{}/namespaces/{namespace}/{}",
            row.version, row.plural
        )
    } else {
        format!("{prefix}/{}/{}", row.version, row.plural)
    }
}
