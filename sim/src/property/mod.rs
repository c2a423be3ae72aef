//! What must hold: the trait, and the built-in properties by name.
//!
//! Invariant: properties only read. Removing them all leaves the fingerprint of a run unchanged.

use std::fmt;
use std::sync::Arc;

/// A property by name, made anew for each run.
#[derive(Clone)]
pub struct PropertySpec {
    /// `no-lost-update`, or the name given to a closure.
    pub name: String,
    pub(crate) make: Arc<dyn Fn() -> Box<dyn Property> + Send + Sync>,
}

impl PropertySpec {
    /// A property made by the given function at the start of each run.
    pub fn new(
        name: impl Into<String>,
        make: impl Fn() -> Box<dyn Property> + Send + Sync + 'static,
    ) -> Self {
        PropertySpec {
            name: name.into(),
            make: Arc::new(make),
        }
    }
}

impl fmt::Debug for PropertySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PropertySpec").field(&self.name).finish()
    }
}

/// Watches one run.
pub trait Property {}
