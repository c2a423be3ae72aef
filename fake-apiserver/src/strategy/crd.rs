//! CustomResourceDefinitions: the strategy in front of `schema::crd`.
//!
//! Source: apiextensions-apiserver `pkg/registry/customresourcedefinition/strategy.go`.

use super::{Cx, Strategy, keep_status_or_rest};
use crate::json::Value;
use crate::registry::Resource;
use crate::schema::crd;
use crate::status::{Cause, Status};

pub(super) struct Definition;

impl Strategy for Definition {
    fn default(&self, _resource: &Resource, object: &mut Value) {
        crd::default(object);
    }

    fn prepare_create(&self, _cx: &mut Cx<'_>, object: &mut Value) -> Result<(), Status> {
        let status = crd::fresh_status(object);
        object.set(&["status"], status);
        Ok(())
    }

    fn prepare_update(&self, cx: &mut Cx<'_>, new: &mut Value, old: &Value) -> Result<(), Status> {
        keep_status_or_rest(cx, new, old);
        if cx.subresource.is_empty()
            && let Some(storage) = crd::storage_version(new).map(Value::from)
        {
            let stored = new.array_at(&["status", "storedVersions"]);
            if !stored.contains(&storage) {
                let stored: Vec<Value> = stored.iter().cloned().chain([storage]).collect();
                new.set(&["status", "storedVersions"], Value::Array(stored));
            }
        }
        Ok(())
    }

    fn validate_create(&self, cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        cx.warnings.extend(crd::unrecognized_formats(object, None));
        let mut causes: Vec<Cause> = crd::name(object).into_iter().collect();
        causes.extend(crd::validate(object, None));
        causes
    }

    fn validate_update(&self, cx: &mut Cx<'_>, new: &Value, old: &Value) -> Vec<Cause> {
        if cx.subresource == "status" {
            return crd::validate_status(new);
        }
        cx.warnings
            .extend(crd::unrecognized_formats(new, Some(old)));
        crd::validate(new, Some(old))
    }
}
