//! What is code per kind: one short module a kind or family behind the trait [`Strategy`], as in the real server's registry.
//!
//! Owns defaulting beyond the schema, preparation and validation of writes, name rules, selectable fields, versions that
//! differ in shape. Does not own the order in which these are called (`server`) nor what data can tell (`registry::Facts`).

pub mod addresses;
pub mod admission_policies;
pub mod aggregation;
pub mod autoscaler_versions;
pub mod autoscalers;
pub mod builtin;
pub mod certificates;
pub mod claims;
pub mod config;
pub mod crd;
pub mod cron;
pub mod custom;
pub mod deprecations;
pub mod diff;
pub mod endpoints;
pub mod events;
pub mod field;
pub mod flow_control;
pub mod internal;
pub mod jobs;
pub mod metadata;
pub mod names;
pub mod networking;
pub mod nodes;
pub mod pods;
pub mod quantity;
pub mod quotas;
pub mod rbac;
pub mod scheduling;
pub mod service_addresses;
pub mod services;
pub mod storage;
pub mod volume_sources;
pub mod webhook_configurations;
pub mod workloads;

pub use builtin::of;
use builtin::{domain_prefixed_path, validate_metadata};

use crate::ids::Ids;
use crate::json::{CompactString, Value};
use crate::registry::Resource;
use crate::request::User;
use crate::status::{Cause, Status};
use crate::store::Store;
use crate::time::Timestamp;

use names::Names;

/// What a strategy may look at and draw from while one write is prepared.
pub struct Cx<'a> {
    /// The time of the request.
    pub now: Timestamp,
    /// uids, suffixes, numbers.
    pub ids: &'a mut dyn Ids,
    /// The stored objects of all resources, as of now.
    pub store: &'a Store,
    /// The row written through.
    pub resource: &'a Resource,
    /// The subresource written through, "" = the object itself.
    pub subresource: &'a str,
    /// The writer.
    pub user: &'a User,
    /// Nothing will be stored.
    pub dry_run: bool,
    /// `Warning` header texts of the answer.
    pub warnings: &'a mut Vec<String>,
}

/// Behaviour of a kind. The defaults suit a kind with `spec` and `status` and nothing special.
///
/// Objects are handed in the version of the row, `apiVersion` and `kind` included.
pub trait Strategy: Send + Sync {
    /// Defaults beyond those of the schema table, after decoding and after mutating admission.
    fn default(&self, _resource: &Resource, _object: &mut Value) {}

    /// Brings a decoded object into the form the server keeps (quantities, null values, renamed fields).
    fn canonicalize(&self, _resource: &Resource, _object: &mut Value) {}

    /// Before validation of a create: uid, creation time and name are set. Resets what a client may not set.
    fn prepare_create(&self, cx: &mut Cx<'_>, object: &mut Value) -> Result<(), Status> {
        reset_status(cx, object);
        Ok(())
    }

    /// Before validation of an update. The default keeps the status through the main endpoint and everything but status
    /// and metadata through `/status`.
    fn prepare_update(&self, cx: &mut Cx<'_>, new: &mut Value, old: &Value) -> Result<(), Status> {
        if cx.resource.has_status() {
            keep_status_or_rest(cx, new, old);
        }
        Ok(())
    }

    /// Field errors of a new object, beyond the schema and the metadata.
    fn validate_create(&self, _cx: &mut Cx<'_>, _object: &Value) -> Vec<Cause> {
        Vec::new()
    }

    /// Field errors of a changed object, beyond the schema and the metadata.
    fn validate_update(&self, _cx: &mut Cx<'_>, _new: &Value, _old: &Value) -> Vec<Cause> {
        Vec::new()
    }

    /// Field errors of a changed object as if it were new, those of its metadata first: how the check of a change begins for
    /// many kinds.
    fn validate_anew(&self, cx: &mut Cx<'_>, new: &Value, old: &Value) -> field::Errors {
        let mut errors = field::Errors::default();
        validate_metadata(&mut errors, cx, new, old);
        errors.causes.extend(self.validate_create(cx, new));
        errors
    }

    /// Warnings about an object that is valid. `old` is the one it replaces, through the main endpoint.
    fn warnings(&self, _out: &mut Vec<String>, _new: &Value, _old: Option<&Value>) {}

    /// The format of object names.
    fn names(&self) -> Names {
        Names::Subdomain
    }

    /// Whether a change bumps the generation (kinds that have one). Not asked for `/status`.
    fn changes_generation(&self, new: &Value, old: &Value) -> bool {
        !field::semantically_equal(&new["spec"], &old["spec"])
    }

    /// After validation, just before storing: takes what must be unique (cluster IPs, node ports).
    fn allocate(
        &self,
        _cx: &mut Cx<'_>,
        _new: &mut Value,
        _old: Option<&Value>,
    ) -> Result<(), Status> {
        Ok(())
    }

    /// Whether the first write after a creation is a real one even if it changes nothing: what decoding filled in on the way
    /// back was not stored (D7).
    fn first_write_counts(&self, _created: &Value) -> bool {
        false
    }

    /// Seconds an object is given before it goes (Pods, G8); `None` = it goes at once. May look at the request's value.
    fn grace_seconds(&self, _object: &Value, _asked: Option<i64>) -> Option<i64> {
        None
    }

    /// Warnings of a DELETE without a propagation policy.
    fn delete_warnings(&self, _explicit_policy: bool) -> Vec<String> {
        Vec::new()
    }

    /// The value of a selectable field, `None` if the kind has no such field. `metadata.name` and `metadata.namespace`
    /// are not asked for.
    fn field(&self, _resource: &Resource, _object: &Value, _name: &str) -> Option<CompactString> {
        None
    }

    /// Whether the kind can be selected by this field, or the message of the 400.
    fn check_field(&self, resource: &Resource, name: &str) -> Result<(), String> {
        default_check_field(resource, name)
    }

    /// Rewrites a stored object into the shape of another version (or group) of the same objects, both directions.
    fn convert(&self, _object: &mut Value, _to: &Resource) {}
}

/// H10a: kinds without fields of their own know name and namespace only.
pub fn default_check_field(resource: &Resource, name: &str) -> Result<(), String> {
    match name {
        "metadata.name" => Ok(()),
        "metadata.namespace" => Ok(()),
        _ if resource.is_custom() => Err(format!("field label not supported: {name}")),
        _ => Err(format!(
            "{} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
            crate::status::go_quote(name)
        )),
    }
}

/// S6: a status begins as the zero of its type, whatever the client sent.
pub fn reset_status(cx: &Cx<'_>, object: &mut Value) {
    let resource = cx.resource;
    if let Some(map) = object.as_object_mut().filter(|_| resource.has_status()) {
        let field = resource.schema.and_then(|schema| schema.field("status"));
        match field.filter(|field| field.is_written()) {
            Some(field) => drop(map.insert("status", crate::schema::zero(field.schema()))),
            None => drop(map.remove("status")),
        }
    }
}

/// S1, S2: through the main endpoint the status stays; through `/status` only status and metadata change.
pub fn keep_status_or_rest(cx: &Cx<'_>, new: &mut Value, old: &Value) {
    match cx.subresource {
        "" => restore(new, old, "status"),
        "status" => {
            let (status, metadata) = (new.get("status").cloned(), new.get("metadata").cloned());
            let mut kept = old.clone();
            for (key, value) in [("status", status), ("metadata", metadata)] {
                match (value, kept.make_object()) {
                    (Some(value), map) => drop(map.insert(key, value)),
                    (None, map) => drop(map.remove(key)),
                }
            }
            *new = kept;
        }
        _ => {}
    }
}

/// As [`keep_status_or_rest`], for kinds whose `/status` takes nothing of the metadata either: only managedFields move.
pub fn keep_status_or_all(cx: &Cx<'_>, new: &mut Value, old: &Value) {
    let managed = new.at(&["metadata", "managedFields"]).cloned();
    keep_status_or_rest(cx, new, old);
    if cx.subresource == "status" {
        restore(new, old, "metadata");
        match managed {
            Some(managed) => new.set(&["metadata", "managedFields"], managed),
            None => drop(new.remove(&["metadata", "managedFields"])),
        }
    }
}

/// Sets a top-level field back to what it was.
pub fn restore(new: &mut Value, old: &Value, key: &str) {
    match old.get(key) {
        Some(value) => drop(new.make_object().insert(key, value)),
        None => drop(new.make_object().remove(key)),
    }
}

/// The strategy of custom resources.
pub fn custom() -> &'static dyn Strategy {
    &custom::Custom
}
