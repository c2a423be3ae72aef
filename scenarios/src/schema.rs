//! The JSON Schema of the scenario file, for editors.
//!
//! Generated from `format`, so that it cannot fall behind. A variant is described as the file itself with nothing
//! required.

use serde_json::{Value as Json, json};

use crate::format::Scenario;

/// The schema, as a JSON document (draft 2020-12).
pub fn schema() -> Json {
    let mut root = schemars::schema_for!(Scenario).to_value();
    let mut partial = root["properties"].clone();
    if let Some(properties) = partial.as_object_mut() {
        properties.remove("scenario");
        properties.remove("variants");
    }
    root["title"] = json!("Reconverge scenario");
    root["properties"]["variants"]["additionalProperties"] = json!({
        "description": "A merge patch (RFC 7386) over the file.",
        "type": "object",
        "properties": partial,
        "additionalProperties": false,
    });
    root
}
