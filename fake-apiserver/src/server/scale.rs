//! `/scale`: a Scale made of its parent, and back (S5, F9).
//!
//! Owns where replicas and selectors of a kind are, and the way of a change through the parent. The change itself is that of
//! an update of the parent; admission sees the Scale (AD12).

use std::sync::Arc;

use super::update::{self, Change};
use super::{Answer, Halt, Session, body, create, managed, patch};
use crate::apply::{self, SCALE_VERSION};
use crate::json::{Map, Value};
use crate::registry::Resource;
use crate::request::media::{BodyType, patch_type};
use crate::request::{WriteOptions, options};
use crate::schema::{self, Schema, Schemas};
use crate::status::{Cause, Status};
use crate::store::Object;

/// Where a row keeps what a Scale shows.
struct Paths {
    replicas: Vec<String>,
    status_replicas: Vec<String>,
    /// Of a string in the status (custom resources).
    selector: Option<Vec<String>>,
}

impl Paths {
    fn of(row: &Resource) -> Paths {
        let path = |text: &str| -> Vec<String> {
            let parts = text.split('.').filter(|part| !part.is_empty());
            parts.map(str::to_owned).collect()
        };
        let Some(custom) = &row.custom else {
            return Paths {
                replicas: path("spec.replicas"),
                status_replicas: path("status.replicas"),
                selector: None,
            };
        };
        let scale = &custom.version["subresources"]["scale"];
        let selector = scale.str_at(&["labelSelectorPath"]);
        Paths {
            replicas: path(scale.str_at(&["specReplicasPath"])),
            status_replicas: path(scale.str_at(&["statusReplicasPath"])),
            selector: (!selector.is_empty()).then(|| path(selector)),
        }
    }
}

fn at<'v>(value: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, key| value.get(key))
}

fn scale_schema() -> &'static Schema {
    Schemas::builtin()
        .kind("autoscaling", "v1", "Scale")
        .expect("Scale is a built-in type")
}

/// The Scale of an object.
fn scale_of(row: &Resource, paths: &Paths, parent: &Value) -> Value {
    let mut metadata = Map::new();
    for field in [
        "creationTimestamp",
        "name",
        "namespace",
        "resourceVersion",
        "uid",
    ] {
        if let Some(value) = parent.at(&["metadata", field]) {
            metadata.insert(field, value);
        }
    }
    let number = |path: &[String]| at(parent, path).and_then(Value::as_i64).unwrap_or(0);
    let mut spec = Map::new();
    if number(&paths.replicas) != 0 {
        spec.insert("replicas", number(&paths.replicas));
    }
    let mut status = Map::new();
    status.insert("replicas", number(&paths.status_replicas));
    let selector = match &paths.selector {
        Some(path) => at(parent, path).and_then(Value::as_str).map(str::to_owned),
        None if row.is_custom() => None,
        None => Some(selector_text(&parent["spec"]["selector"])),
    };
    if let Some(selector) = selector.filter(|text| !text.is_empty()) {
        status.insert("selector", selector);
    }
    let mut scale = Map::new();
    scale.insert("apiVersion", SCALE_VERSION);
    scale.insert("kind", "Scale");
    scale.insert("metadata", Value::Object(metadata));
    scale.insert("spec", Value::Object(spec));
    scale.insert("status", Value::Object(status));
    Value::Object(scale)
}

/// The Scale of a parent on its way through admission; `owned` with the managedFields that a mutating webhook sees.
pub(super) fn admitted(s: &Session<'_>, row: &Resource, parent: &Value, owned: bool) -> Value {
    let mut scale = scale_of(row, &Paths::of(row), parent);
    let stored = parent.at(&["metadata", "managedFields"]);
    if owned && !row.is_custom() {
        let mut entries = apply::to_scale(stored, &|version| replicas_path(s, row, version));
        for entry in entries
            .iter_mut()
            .filter(|entry| entry.get("time").is_none())
        {
            // That of the request under way.
            entry.set(&["time"], s.now.rfc3339());
        }
        if !entries.is_empty() {
            scale.set(&["metadata", "managedFields"], Value::Array(entries));
        }
    }
    scale
}

/// What admission made of a Scale, back in its parent.
pub(super) fn put_back(row: &Resource, parent: &mut Value, scale: &Value) {
    let paths = Paths::of(row);
    let path: Vec<&str> = paths.replicas.iter().map(String::as_str).collect();
    parent.set(&path, scale.i64_at(&["spec", "replicas"]).unwrap_or(0));
}

/// A label selector, or the plain map of a ReplicationController, as a string.
fn selector_text(selector: &Value) -> String {
    let mut parts: Vec<(String, String)> = Vec::new();
    let labels = match selector.get("matchLabels") {
        Some(labels) => Some(labels),
        None if selector.get("matchExpressions").is_some() => None,
        None => Some(selector),
    };
    for (key, value) in labels.and_then(Value::as_object).into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        parts.push((key.to_owned(), format!("{key}={value}")));
    }
    for expression in selector.array_at(&["matchExpressions"]) {
        let key = expression.str_at(&["key"]);
        let values = expression.array_at(&["values"]).iter();
        let mut values: Vec<&str> = values.filter_map(Value::as_str).collect();
        values.sort_unstable();
        let values = values.join(",");
        let text = match expression.str_at(&["operator"]) {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.to_owned(),
            _ => format!("!{key}"),
        };
        parts.push((key.to_owned(), text));
    }
    parts.sort();
    let parts: Vec<String> = parts.into_iter().map(|(_, text)| text).collect();
    parts.join(",")
}

fn existing(s: &Session<'_>, row: &Resource) -> Result<Arc<Object>, Status> {
    update::live(s, row)
        .ok_or_else(|| Status::not_found(&row.group, &row.plural, &s.request.info.name))
}

/// GET.
pub(super) fn get(s: &mut Session<'_>, row: Arc<Resource>) -> Result<Answer, Halt> {
    let parent = create::from_storage(&row, &*existing(s, &row)?);
    let paths = Paths::of(&row);
    if row.is_custom() && at(&parent, &paths.replicas).is_none() {
        let path = paths.replicas.join(".");
        let why = format!("the spec replicas field \".{path}\" does not exist");
        return Err(Status::internal(why).into());
    }
    let value = scale_of(&row, &paths, &parent);
    let code = 200;
    Ok(Answer::Value { row, value, code })
}

/// PUT.
pub(super) fn update(s: &mut Session<'_>, row: Arc<Resource>) -> Result<Answer, Halt> {
    let options = WriteOptions::read(&s.request.query, "UpdateOptions")?;
    body::check_media_type(s, &row)?;
    let mut scale = body::part(s, &row, options.field_validation).map_err(|why| {
        if row.is_custom() {
            // Whatever is wrong, the message is to name a type that the server of custom resources does not know.
            let scale = "no kind is registered for the type v1.Scale in scheme \"pkg/runtime/scheme.go:111\"";
            return Status::bad_request(scale);
        }
        why
    })?;
    body::check_place(s, &row, &mut scale)?;
    let existing = existing(s, &row)?;
    update::check_uid(&row, &existing, &scale, options.dry_run)?;
    let manager = options.manager(s.request.header(http::header::USER_AGENT));
    let parent = create::from_storage(&row, &existing);
    let write = Write {
        row,
        existing,
        parent,
        options: &options,
        options_kind: "UpdateOptions",
    };
    let live = write.live(s);
    managed::track_scale(s, scale_schema(), &live, &mut scale, &manager);
    write.store(s, scale)
}

/// PATCH, apply included.
pub(super) fn patch(s: &mut Session<'_>, row: Arc<Resource>) -> Result<Answer, Halt> {
    let kind = patch_type(
        s.request.header(http::header::CONTENT_TYPE),
        row.is_custom(),
    )?;
    let options = WriteOptions::read_patch(&s.request.query, kind == BodyType::Apply)?;
    let manager = options.manager(s.request.header(http::header::USER_AGENT));
    let existing = existing(s, &row)?;
    let parent = create::from_storage(&row, &existing);
    let write = Write {
        row,
        existing,
        parent,
        options: &options,
        options_kind: "PatchOptions",
    };
    let live = write.live(s);
    let scale = match patch::of_body(kind) {
        Some(kind) => {
            let patched = crate::patch::patch(kind, &live, &s.request.body, scale_schema())?;
            let mut scale = decoded(s, &write.row, &live, patched, options.field_validation)?;
            body::check_place(s, &write.row, &mut scale)?;
            managed::track_scale(s, scale_schema(), &live, &mut scale, &manager);
            scale
        }
        None => write.applied(s, &live, &manager)?,
    };
    write.store(s, scale)
}

fn decoded(
    s: &mut Session<'_>,
    row: &Resource,
    live: &Value,
    patched: crate::patch::Patched,
    validation: options::FieldValidation,
) -> Result<Value, Status> {
    let refuse = |why: &str| patched.undecodable(scale_schema(), live, why);
    if let Some(part) = row
        .part("scale")
        .filter(|_| !row.is_custom() && !patched.is_strategic())
    {
        if patched.value.str_at(&["apiVersion"]).is_empty() {
            return Err(body::unnamed(s));
        }
        patch::check_type(s, &part, &patched.value).map_err(|why| refuse(&why))?;
    }
    let decoded =
        schema::decode(scale_schema(), patched.value.clone()).map_err(|why| refuse(&why))?;
    patch::report(s, &patched, &decoded.unknown, validation, refuse)?;
    Ok(decoded.value)
}

/// A change of a Scale on its way into the parent.
struct Write<'o> {
    row: Arc<Resource>,
    existing: Arc<Object>,
    parent: Value,
    options: &'o WriteOptions,
    options_kind: &'static str,
}

impl Write<'_> {
    /// The Scale as it is, with its managedFields.
    fn live(&self, s: &Session<'_>) -> Value {
        let mut live = scale_of(&self.row, &Paths::of(&self.row), &self.parent);
        let stored = self.parent.at(&["metadata", "managedFields"]);
        let entries = apply::to_scale(stored, &|version| replicas_path(s, &self.row, version));
        if !entries.is_empty() {
            live.set(&["metadata", "managedFields"], Value::Array(entries));
        }
        live
    }

    fn applied(&self, s: &mut Session<'_>, live: &Value, manager: &str) -> Result<Value, Status> {
        let applied = patch::applied(s, self.options.field_validation)?;
        patch::check_applied_type(&applied, SCALE_VERSION, "Scale")?;
        let custom = self.row.is_custom();
        let not_custom = "request to convert CR to an invalid group/version: autoscaling/v1";
        if custom && live.at(&["metadata", "managedFields"]).is_none() {
            return Err(Status::bare(format!(
                "failed to create manager for existing fields: failed to convert live object (/; autoscaling/v1, Kind=Scale) to proper version: {not_custom}"
            )));
        }
        let force = self.options.force == Some(true);
        let scale = managed::apply_scale(s, scale_schema(), live, &applied, manager, force)?;
        if custom && scale["spec"] != live["spec"] {
            return Err(Status::bare(format!(
                "failed to convert new object ({}) to proper version: {not_custom}",
                apply::object_text(&applied)
            )));
        }
        Ok(scale)
    }

    /// Puts the replicas into the parent and stores it.
    fn store(self, s: &mut Session<'_>, scale: Value) -> Result<Answer, Halt> {
        let paths = Paths::of(&self.row);
        let replicas = scale.i64_at(&["spec", "replicas"]).unwrap_or(0);
        if !self.row.is_custom() && replicas < 0 {
            let cause = Cause::invalid(
                "spec.replicas",
                &replicas.into(),
                "must be greater than or equal to 0",
            );
            let name = self.existing.name();
            return Err(Status::invalid("autoscaling", "Scale", name, vec![cause]).into());
        }
        let mut object = self.parent;
        let path: Vec<&str> = paths.replicas.iter().map(String::as_str).collect();
        object.set(&path, replicas);
        apply::to_parent(
            &mut object,
            scale.at(&["metadata", "managedFields"]),
            self.row.api_version(),
            &|version| replicas_path(s, &self.row, version),
        );
        let sent = scale.str_at(&["metadata", "resourceVersion"]);
        if update::parse_revision(sent)? != 0 {
            object.set(&["metadata", "resourceVersion"], sent);
        }
        let change = Change {
            row: self.row.clone(),
            subresource: "scale",
            existing: self.existing,
            object,
            options: self.options,
            options_kind: self.options_kind,
        };
        Ok(match update::store(s, change)? {
            Answer::Stored { row, object, code } => {
                let mut parent = create::from_storage(&row, &object);
                let revision = crate::store::itoa(object.revision());
                parent.set(&["metadata", "resourceVersion"], revision);
                let value = scale_of(&row, &paths, &parent);
                Answer::Value { row, value, code }
            }
            other => other,
        })
    }
}

/// Where a version of the row keeps its replicas; `None` if there is no such version.
fn replicas_path(s: &Session<'_>, row: &Resource, api_version: &str) -> Option<Vec<String>> {
    let (group, version) = crate::registry::split_api_version(api_version);
    let other = s.core.registry.find(group, version, &row.plural)?;
    (other.id == row.id).then(|| Paths::of(other).replicas)
}
