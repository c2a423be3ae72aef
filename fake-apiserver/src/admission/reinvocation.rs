//! Which mutating plugins are asked a second time (AD5c).
//!
//! Behaviour: apiserver `admission/plugin/webhook/mutating/reinvocationcontext.go`.

use crate::json::Value;
use std::collections::BTreeSet;

/// What one mutating plugin remembers between the two rounds.
#[derive(Debug, Default)]
pub(super) struct Reinvocation {
    invoked: BTreeSet<String>,
    repeat: BTreeSet<String>,
    last: Option<Value>,
    wanted: bool,
}

impl Reinvocation {
    /// A second round begins: if others changed the object since, all are to be asked again.
    pub(super) fn begin_again(&mut self, object: &Value) {
        if self.last.as_ref().is_some_and(|last| last != object) {
            self.require();
        }
    }

    /// One was invoked that may be asked again.
    pub(super) fn invoked(&mut self, id: &str) {
        self.invoked.insert(id.to_owned());
    }

    /// The object was changed: those invoked before are to be asked again.
    pub(super) fn changed(&mut self) {
        self.require();
        self.wanted = true;
    }

    /// Whether one may be asked in the second round.
    pub(super) fn may_repeat(&self, id: &str) -> bool {
        self.repeat.contains(id)
    }

    /// The plugin is done with the object for this round.
    pub(super) fn end(&mut self, object: &Value) {
        self.last = Some(object.clone());
    }

    /// Whether a second round is needed.
    pub(super) fn wanted(&self) -> bool {
        self.wanted
    }

    fn require(&mut self) {
        self.repeat.append(&mut self.invoked);
    }
}
