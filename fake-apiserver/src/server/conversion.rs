//! Conversion of custom resources between their versions by a webhook (L9).
//!
//! Owns the ConversionReview, the checks on what comes back, and when the webhook is asked: a write is converted to the
//! storage version and into all other served versions before it is stored, so that lists and watches of each version find
//! their form ready, as the watch caches of a real server do; reads of one object ask anew. Does not own the strategy `None`
//! (`strategy::custom`).
//!
//! Simplifications: forms for other versions are made by the writing request, not by a cache of its own; one that fails then
//! ends the watches of its version and is made when it is next asked for; writes of controllers change metadata only, and
//! the forms follow without a call.
//! Source: apiextensions-apiserver `pkg/apiserver/conversion/webhook_converter.go`.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::create::{from_storage, to_storage};
use super::{Halt, OutCall, Session};
use crate::admission;
use crate::ids::Ids;
use crate::json::{self, CompactString, Value};
use crate::registry::{Resource, api_version};
use crate::schema;
use crate::status::{Status, aggregate, go_quote};
use crate::store::Object;
use crate::strategy::field::{At, Errors};
use crate::strategy::metadata;

const TIMEOUT_SECONDS: i64 = 30;

/// A stored object in the row's version, as a read of this moment gets it.
pub(super) fn live(
    s: &mut Session<'_>,
    row: &Arc<Resource>,
    object: &Object,
) -> Result<Value, Halt> {
    if !row.needs_webhook() {
        return Ok(from_storage(row, object));
    }
    let mut converted = convert(s, row, vec![object.value().clone()])?;
    let mut value = converted.pop().unwrap_or_default();
    let revision = crate::store::itoa(object.revision());
    value.set(&["metadata", "resourceVersion"], revision);
    Ok(value)
}

/// [`live`] without a copy where the stored form is the row's.
pub(super) fn live_ref<'o>(
    s: &mut Session<'_>,
    row: &Arc<Resource>,
    object: &'o Object,
) -> Result<Cow<'o, Value>, Halt> {
    if row.needs_webhook() || row.reshapes() {
        return live(s, row, object).map(Cow::Owned);
    }
    Ok(Cow::Borrowed(object.value()))
}

/// An object of one version as another version of the same kind shows it.
pub(crate) fn between(
    s: &mut Session<'_>,
    value: &Value,
    to: &Arc<Resource>,
) -> Result<Value, Halt> {
    let mut converted = convert(s, to, vec![value.clone()])?
        .pop()
        .unwrap_or_default();
    if let Some(revision) = value.at(&["metadata", "resourceVersion"]) {
        converted.set(&["metadata", "resourceVersion"], revision);
    }
    Ok(converted)
}

/// What goes into the store, and why the writer cannot be shown it.
pub(super) struct Stored {
    /// The object, and its forms in the other served versions.
    pub(super) object: (Value, Vec<(CompactString, Value)>),
    /// It is stored all the same: storage decodes what it has written, and only then fails.
    pub(super) unread: Option<Status>,
}

/// An object to be stored, and its forms in the other served versions.
pub(super) fn for_storage(
    s: &mut Session<'_>,
    row: &Arc<Resource>,
    object: Value,
) -> Result<Stored, Halt> {
    if !row.custom.as_ref().is_some_and(|custom| custom.webhook) {
        return Ok(Stored {
            object: (to_storage(s, row, object), Vec::new()),
            unread: None,
        });
    }
    let stored = match s.core.registry.by_id(row.id).cloned() {
        Some(storage) if row.needs_webhook() => {
            let sent = object.at(&["metadata", "resourceVersion"]).cloned();
            let mut stored = convert(s, &storage, vec![object])?
                .pop()
                .unwrap_or_default();
            if let Some(sent) = sent {
                stored.set(&["metadata", "resourceVersion"], sent);
            }
            stored
        }
        _ => object,
    };
    let rows: Vec<Arc<Resource>> = s
        .core
        .registry
        .rows()
        .filter(|other| other.id == row.id)
        .cloned()
        .collect();
    let mut views = Vec::new();
    let mut unread = None;
    for other in rows.iter().filter(|other| other.needs_webhook()) {
        match convert(s, other, vec![stored.clone()]) {
            Ok(mut converted) => {
                views.extend(converted.pop().map(|view| (other.version.clone(), view)))
            }
            // The answer needs its form; a cache goes without.
            Err(Halt::Failed(status)) if other.version == row.version => unread = Some(status),
            Err(Halt::Failed(_)) => {}
            Err(halt) => return Err(halt),
        }
    }
    let object = (stored, views);
    Ok(Stored { object, unread })
}

/// Adds the row's form to the objects of a list, or of a watch that begins, that are without.
pub(super) fn fill(
    s: &mut Session<'_>,
    row: &Arc<Resource>,
    items: &mut [Arc<Object>],
) -> Result<(), Halt> {
    if !row.needs_webhook() {
        return Ok(());
    }
    let missing = |item: &&mut Arc<Object>| item.view(&row.version).is_none();
    let sources: Vec<Value> = items
        .iter_mut()
        .filter(missing)
        .map(|item| item.value().clone())
        .collect();
    if sources.is_empty() {
        return Ok(());
    }
    let converted = convert(s, row, sources)?;
    for (item, view) in items.iter_mut().filter(missing).zip(converted) {
        let views = vec![(row.version.clone(), view)];
        *item = Arc::new(Object::new(item.value().clone(), item.revision()).with_views(views));
    }
    Ok(())
}

/// One object in the version of a row, for the tracking of fields.
pub(super) fn to_version(
    s: &mut Session<'_>,
    to: &Arc<Resource>,
    object: &Value,
) -> Result<Value, Halt> {
    let mut converted = convert(s, to, vec![object.clone()])?;
    Ok(converted.pop().unwrap_or_default())
}

/// Has objects of one version converted to the version of a row.
fn convert(
    s: &mut Session<'_>,
    to: &Arc<Resource>,
    mut objects: Vec<Value>,
) -> Result<Vec<Value>, Halt> {
    let Some(custom) = to.custom.clone() else {
        return Ok(objects);
    };
    for object in &mut objects {
        if to.storage_version.1 != to.version {
            schema::prune(&custom.storage_schema, object);
            schema::default(&custom.storage_schema, object);
        }
        object.remove(&["metadata", "resourceVersion"]);
    }
    let wanted = to.api_version();
    let from = objects
        .first()
        .map(|object| object.str_at(&["apiVersion"]).to_owned())
        .unwrap_or_default();
    if from == wanted {
        return Ok(objects);
    }
    let webhook = Webhook {
        subject: format!("conversion webhook for {from}, Kind={}", to.kind),
        version: review_version(&custom.conversion["webhook"]),
    };
    let uid = s.uid();
    let body = crate::json!({
        "kind": "ConversionReview",
        "apiVersion": (api_version("apiextensions.k8s.io", webhook.version)),
        "request": {"uid": (&uid), "desiredAPIVersion": (wanted), "objects": (Value::Array(objects.clone()))},
        "response": {"uid": "", "convertedObjects": null, "result": {"metadata": {}}}
    });
    let client = &custom.conversion["webhook"]["clientConfig"];
    let (url, refused) = admission::target(s, client, TIMEOUT_SECONDS);
    if let Some(error) = refused {
        return Err(webhook
            .failed(&format!("Post {}: {error}", go_quote(&url)))
            .into());
    }
    let call = OutCall {
        url: url.clone(),
        body: json::to_vec(&body).into(),
        timeout: Duration::from_secs(TIMEOUT_SECONDS as u64),
    };
    let reply = s.call(call)?;
    let answer = admission::reply_body(&url, &reply).map_err(|error| webhook.failed(&error))?;
    let converted = webhook.read(&answer, &uid, objects.len())?;
    let pairs = objects.iter().zip(converted);
    let checked = pairs.enumerate().map(|(i, (original, object))| {
        let mut object = webhook.check(i, original, object, wanted, &to.kind)?;
        schema::prune(&custom.schema, &mut object);
        Ok(object)
    });
    checked
        .collect::<Result<Vec<Value>, Status>>()
        .map_err(Halt::from)
}

fn review_version(webhook: &Value) -> &'static str {
    let versions = webhook.array_at(&["conversionReviewVersions"]).iter();
    let known = versions.filter_map(|version| match version.as_str() {
        Some("v1") => Some("v1"),
        Some("v1beta1") => Some("v1beta1"),
        _ => None,
    });
    known.take(1).next().unwrap_or("v1")
}

struct Webhook {
    subject: String,
    version: &'static str,
}

impl Webhook {
    fn failed(&self, error: &str) -> Status {
        Status::bare(format!("{} failed: {error}", self.subject))
    }

    fn returned(&self, what: &str) -> Status {
        Status::bare(format!("{} returned {what}", self.subject))
    }

    // The response of a review, as a list of objects.
    fn read(&self, body: &[u8], uid: &str, wanted: usize) -> Result<Vec<Value>, Status> {
        const GROUP: &str = "apiextensions.k8s.io";
        const KIND: &str = "ConversionReview";
        let wanted_type = (GROUP, self.version, KIND);
        let review = admission::decode_review(body, wanted_type, &admission::CONVERSION_REVIEW)
            .map_err(|error| self.failed(&error))?;
        // The older review is taken as it comes.
        let checked = self.version == "v1";
        let (expected, answered) = (
            format!("{GROUP}/{}, Kind={KIND}", self.version),
            admission::answered_type(&review),
        );
        if checked && answered != expected {
            return Err(self.failed(&format!(
                "expected webhook response of {expected}, got {answered}"
            )));
        }
        let Some(response) = review
            .get("response")
            .filter(|response| response.is_object())
        else {
            return Err(self.failed("no response provided"));
        };
        let got = response.str_at(&["uid"]);
        if checked && got != uid {
            return Err(self.failed(&format!(
                "expected response.uid={}, got {}",
                go_quote(uid),
                go_quote(got)
            )));
        }
        let status = response.str_at(&["result", "status"]);
        if status != "Success" {
            let message = response.str_at(&["result", "message"]);
            return Err(match message {
                "" => self.failed(&format!(
                    "response.result.status was '{status}', not 'Success'"
                )),
                message => self.failed(message),
            });
        }
        let objects = response.array_at(&["convertedObjects"]);
        if objects.len() != wanted {
            return Err(self.returned(&format!("{} objects, expected {wanted}", objects.len())));
        }
        for object in objects {
            if object.is_null() {
                return Err(Status::bare("unexpected end of JSON input"));
            }
            if object.str_at(&["kind"]).is_empty() {
                let text = json::to_string(object);
                return Err(Status::bare(format!(
                    "Object 'Kind' is missing in '{text}'"
                )));
            }
        }
        Ok(objects.to_vec())
    }

    // Type, name, namespace and uid stay; of the metadata only labels and annotations may change.
    fn check(
        &self,
        i: usize,
        original: &Value,
        mut object: Value,
        version: &str,
        kind: &str,
    ) -> Result<Value, Status> {
        let wrong = |what: &str, wanted: &str, got: &str| {
            self.returned(&format!(
                "invalid object at index {i}: invalid {what} (expected {wanted}, received {got})"
            ))
        };
        if object.str_at(&["apiVersion"]) != version {
            return Err(wrong(
                "groupVersion",
                version,
                object.str_at(&["apiVersion"]),
            ));
        }
        if object.str_at(&["kind"]) != kind {
            return Err(wrong("kind", kind, object.str_at(&["kind"])));
        }
        for (field, word) in [("name", "name"), ("namespace", "namespace"), ("uid", "UID")] {
            let (before, after) = (
                original.str_at(&["metadata", field]),
                object.str_at(&["metadata", field]),
            );
            if before != after {
                return Err(self.returned(&format!(
                    "invalid object: must have the same {word}: {before} != {after}"
                )));
            }
        }
        self.check_texts(&object["metadata"])?;
        let mut metadata = original["metadata"].clone();
        for field in ["labels", "annotations"] {
            match object.at(&["metadata", field]).filter(|map| !map.is_null()) {
                Some(map) => metadata.set(&[field], map),
                None => drop(metadata.remove(&[field])),
            }
        }
        object.set(&["metadata"], metadata);
        Ok(object)
    }

    fn check_texts(&self, found: &Value) -> Result<(), Status> {
        let invalid = |text: &str| self.returned(&format!("invalid metadata: {text}"));
        let go_type = |value: &Value| match value {
            Value::Null => "<nil>",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int64",
            Value::UInt(_) | Value::Float(_) => "float64",
            Value::String(_) => "string",
            Value::Array(_) => "[]interface {}",
            Value::Object(_) => "map[string]interface {}",
        };
        let root = At::named("metadata", found);
        for field in ["labels", "annotations"] {
            let map = match found.get(field) {
                None | Some(Value::Null) => continue,
                Some(Value::Object(map)) => map,
                Some(other) => {
                    let kind = go_type(other);
                    return Err(invalid(&format!(
                        "invalid metadata.{field} of type {kind} in converted object"
                    )));
                }
            };
            if let Some((key, value)) = map.iter().find(|(_, value)| !value.is_string()) {
                let kind = go_type(value);
                return Err(invalid(&format!(
                    "metadata.{field}[{key}] must be a string, but is {kind} in converted object"
                )));
            }
            let mut errors = Errors::default();
            match field {
                "labels" => metadata::labels(&mut errors, &root.field("labels")),
                // The server's own slip of the path.
                _ => metadata::annotations(
                    &mut errors,
                    &root.field_as("annotation", &found["annotations"]),
                ),
            }
            if !errors.is_empty() {
                return Err(invalid(&aggregate(&errors.causes)));
            }
        }
        Ok(())
    }
}
