//! The verdict a case expects: `expect: holds`, or `expect: {violates: [no-lost-update]}`.

use schemars::JsonSchema;
use serde::Deserialize;

/// The verdict a case expects.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Expect {
    /// No property fails in any run.
    Holds,
    /// Each of these properties fails in at least one run, and no other property in any.
    Violates(Vec<String>),
}

impl Expect {
    /// The properties that must fail.
    pub fn violated(&self) -> &[String] {
        match self {
            Self::Holds => &[],
            Self::Violates(properties) => properties,
        }
    }
}
