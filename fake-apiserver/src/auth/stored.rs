//! Roles and bindings as they stand in the store.

use super::rbac::Grants;
use crate::json::Value;
use crate::registry::ResourceId;
use crate::server::{Authorization, Core};
use crate::store::Key;
use std::ops::ControlFlow;

/// The stored roles and bindings of a cluster.
pub struct Stored<'s> {
    core: &'s Core,
}

impl<'s> Stored<'s> {
    /// Those of this cluster.
    pub fn new(core: &'s Core) -> Stored<'s> {
        Stored { core }
    }

    fn id(&self, plural: &str) -> Option<ResourceId> {
        let row = self
            .core
            .registry
            .find("rbac.authorization.k8s.io", "v1", plural)?;
        Some(row.id)
    }
}

impl Grants for Stored<'_> {
    fn each(&self, plural: &str, namespace: &str, each: &mut dyn FnMut(&Value) -> ControlFlow<()>) {
        let Some(id) = self.id(plural) else { return };
        let store = &self.core.store;
        if namespace.is_empty() {
            for (_, object) in store.objects(id) {
                if each(object.value()).is_break() {
                    return;
                }
            }
            return;
        }
        for (_, object) in store.in_namespace(id, namespace) {
            if each(object.value()).is_break() {
                return;
            }
        }
    }

    fn role(&self, plural: &str, namespace: &str, name: &str) -> Option<Value> {
        let found = self
            .core
            .store
            .get(self.id(plural)?, &Key::new(namespace, name))?;
        Some(found.value().clone())
    }

    fn open(&self) -> bool {
        self.core.config.authorization == Authorization::AlwaysAllow
    }
}
