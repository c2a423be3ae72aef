//! The list under `properties`: what must hold, by name alone or with parameters.
//!
//! Owns the shapes of an entry, and how it becomes a property of the engine. Does not own which properties there are, nor
//! what can be set in them (`sim::property`).

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value as Json, json};
use sim::property::{BUILTIN, Builtin, PropertySpec, builtin_with};

use crate::de::HINT;
use crate::error::{Error, Problem, Result};
use crate::load::Case;

const FORMS: &str =
    "write its name, or its name with parameters: {bounded-requests: {per: 1m, atMost: 60}}";

/// A property to check: its name, or its name with parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// `no-lost-update`.
    pub name: String,
    /// What is set in it; null where nothing is.
    pub params: Json,
}

impl<'de> Deserialize<'de> for Property {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        from.deserialize_any(Forms)
    }
}

struct Forms;

impl<'de> Visitor<'de> for Forms {
    type Value = Property;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a property's name, or its name with parameters")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> std::result::Result<Property, E> {
        Ok(Property {
            name: name.to_owned(),
            params: Json::Null,
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Property, A::Error> {
        let one = map.next_entry::<String, Map<String, Json>>()?;
        let (name, params) =
            one.ok_or_else(|| A::Error::custom(format!("no property is named{HINT}{FORMS}")))?;
        if let Some(second) = map.next_key::<String>()? {
            let message = format!("`{second}` is one property too many in this entry{HINT}{FORMS}");
            return Err(A::Error::custom(message));
        }
        Ok(Property {
            name,
            params: Json::Object(params),
        })
    }
}

impl JsonSchema for Property {
    fn schema_name() -> Cow<'static, str> {
        "Property".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let name = |builtin: &Builtin| json!({"const": builtin.name, "description": builtin.says});
        let with = |builtin: &Builtin| {
            let parameter = |p: &sim::property::Parameter| {
                let default = match p.default {
                    "" => p.says.to_owned(),
                    default => format!("{}; {default} unless said", p.says),
                };
                (p.name.to_owned(), json!({"description": default}))
            };
            let parameters: Map<String, Json> = builtin.parameters.iter().map(parameter).collect();
            let shape = json!({
                "description": builtin.says,
                "type": "object",
                "properties": parameters,
                "additionalProperties": false,
            });
            (builtin.name.to_owned(), shape)
        };
        let tuned = BUILTIN
            .iter()
            .filter(|builtin| !builtin.parameters.is_empty());
        let shapes: Map<String, Json> = tuned.map(with).collect();
        json_schema!({
            "description": "A property to check: its name, or its name with parameters.",
            "anyOf": [
                {"oneOf": BUILTIN.iter().map(name).collect::<Vec<_>>()},
                {
                    "type": "object",
                    "properties": shapes,
                    "additionalProperties": false,
                    "minProperties": 1,
                    "maxProperties": 1,
                },
            ],
        })
    }
}

/// The engine's property behind entry `i` of a case.
pub(crate) fn lower(case: &Case, i: usize, property: &Property) -> Result<PropertySpec> {
    let index = i.to_string();
    let Some(builtin) = BUILTIN.iter().find(|b| b.name == property.name) else {
        return Err(unknown(case, &["properties", &index], &property.name));
    };
    let known = || {
        builtin
            .parameters
            .iter()
            .map(|p| p.name.to_owned())
            .collect::<Vec<_>>()
    };
    let set = property.params.as_object();
    for key in set.into_iter().flat_map(Map::keys) {
        if !known().contains(key) {
            let problem = Problem::UnknownKey {
                key: key.clone(),
                known: known(),
            };
            return Err(Error::at(
                &case.place(&["properties", &index, builtin.name, key]),
                problem,
            ));
        }
    }
    builtin_with(&property.name, &property.params).map_err(|error| {
        let shown = |p: &sim::property::Parameter| match p.default {
            "" => p.name.to_owned(),
            default => format!("{}: {default}", p.name),
        };
        let forms: Vec<String> = builtin.parameters.iter().map(shown).collect();
        Error::value(
            &case.place(&["properties", &index, builtin.name]),
            error.to_string(),
            format!(
                "its parameters and what they are unless set: {{{}}}",
                forms.join(", ")
            ),
        )
    })
}

/// A name that no property has.
pub(crate) fn unknown(case: &Case, path: &[&str], word: &str) -> Error {
    Error::at(
        &case.place(path),
        Problem::UnknownWord {
            what: "property",
            word: word.to_owned(),
            known: sim::property::names().map(str::to_owned).collect(),
            more: None,
        },
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};

    use sim::operator::Operators;

    use crate::load::{Files, load};

    fn rendered(properties: &str) -> String {
        let text = format!(
            "scenario: s\nversion: 1\nsummary: S.\nexpect: holds\noperators: {{op: {{run: op::run}}}}\nproperties:\n{properties}\n"
        );
        let files = Files::Inlined(BTreeMap::from([(PathBuf::from("s.yaml"), text)]));
        let operators = Operators::new().add("op::run", |_| async {});
        let lowered = load(Path::new("s.yaml"), &files)
            .and_then(|file| crate::lower::lower(&file.cases[0], &operators));
        match lowered {
            Ok(setup) => {
                let names: Vec<_> = setup.properties.iter().map(|p| p.name.as_str()).collect();
                format!("{} force={}", names.join(" "), setup.settle.force)
            }
            Err(error) => error.render(false),
        }
    }

    #[test]
    fn properties_are_named_alone_or_with_parameters() {
        assert_eq!(
            rendered("- idempotent\n- bounded-requests: {per: 1m, atMost: 60}"),
            "no-panic idempotent bounded-requests force=true"
        );
    }

    #[test]
    fn what_does_not_fit_names_its_place_and_a_way_out() {
        let cases = [
            "- bounded-requests: {most: 60}",
            "- bounded-requests: {per: soon}",
            "- bounded-requests: {atMost: 0}",
            "- no-lost-update: {atMost: 0}",
            "- {idempotent: {}, no-panic: {}}",
            "- {}",
            "- 5",
        ];
        let shown = cases.map(rendered).join("\n");
        insta::assert_snapshot!(shown);
        let unknown = rendered("- bounded-request");
        assert!(
            unknown.contains("did you mean `bounded-requests`?"),
            "{unknown}"
        );
    }
}
