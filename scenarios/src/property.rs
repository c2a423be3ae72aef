//! The list under `properties`: what must hold, by name alone, with parameters, or as a condition in CEL.
//!
//! Owns the shapes of an entry, and how it becomes a property of the engine. Does not own which properties there are, nor
//! what can be set in them (`sim::property`).

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{DeserializeSeed, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value as Json, json};
use sim::property::cel::When;
use sim::property::{BUILTIN, Builtin, PropertySpec, builtin_with};

use crate::de::HINT;
use crate::error::{Error, Problem, Result};
use crate::load::Case;

const FORMS: &str = "write its name, or its name with parameters: {bounded-requests: {per: 1m, atMost: 60}}, or a condition: \
                     {always: \"size is kept\", cel: \"…\"}";

/// The keys of a condition.
const CONDITION: [&str; 4] = ["always", "eventually", "sometimes", "cel"];

/// A property to check: its name, its name with parameters, or a condition in CEL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// `no-lost-update`, or the name given to a condition.
    pub name: String,
    /// What is set in it; null where nothing is.
    pub params: Json,
    /// The condition, if it is one.
    pub condition: Option<Condition>,
}

/// A condition in CEL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// When it must hold.
    pub when: When,
    /// The expression.
    pub cel: String,
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
            condition: None,
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Property, A::Error> {
        let name = map
            .next_key::<String>()?
            .ok_or_else(|| A::Error::custom(format!("no property is named{HINT}{FORMS}")))?;
        if CONDITION.contains(&name.as_str()) {
            return condition(name, map);
        }
        let params = map.next_value::<Map<String, Json>>()?;
        if let Some(second) = map.next_key::<String>()? {
            let message = format!("`{second}` is one property too many in this entry{HINT}{FORMS}");
            return Err(A::Error::custom(message));
        }
        Ok(Property {
            name,
            params: Json::Object(params),
            condition: None,
        })
    }
}

/// Reads `{always: NAME, cel: EXPRESSION}`, of which the first key has been read.
fn condition<'de, A: MapAccess<'de>>(
    first: String,
    mut map: A,
) -> std::result::Result<Property, A::Error> {
    let (mut named, mut cel) = (None, None);
    let mut key = Some(first);
    while let Some(word) = key {
        let text = map.next_value::<String>()?;
        let when = match word.as_str() {
            "always" => Some(When::Always),
            "eventually" => Some(When::Eventually),
            "sometimes" => Some(When::Sometimes),
            _ => None,
        };
        match when {
            None => cel = Some(text),
            Some(when) if named.is_none() => named = Some((when, text)),
            Some(_) => {
                let message = format!(
                    "a condition is one of always, eventually and sometimes{HINT}write another entry for the other"
                );
                return Err(A::Error::custom(message));
            }
        }
        key = map.next_key_seed(ConditionKey)?;
    }
    let (when, name) = named.ok_or_else(|| {
        A::Error::custom(format!(
            "this condition has no name{HINT}add one of always, eventually and sometimes: {{always: \"size is kept\", cel: …}}"
        ))
    })?;
    let cel = cel.ok_or_else(|| A::Error::missing_field("cel"))?;
    Ok(Property {
        name,
        params: Json::Null,
        condition: Some(Condition { when, cel }),
    })
}

/// A key of a condition; another one is complained about where it stands.
struct ConditionKey;

impl<'de> DeserializeSeed<'de> for ConditionKey {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> std::result::Result<String, D::Error> {
        let word = String::deserialize(from)?;
        match CONDITION.contains(&word.as_str()) {
            true => Ok(word),
            false => Err(D::Error::unknown_field(&word, &CONDITION)),
        }
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
        let condition = |word: &str, says: &str| {
            json!({
                "type": "object",
                "properties": {
                    word: {"type": "string", "description": format!("The name of a condition that {says}.")},
                    "cel": {"type": "string", "description": "The condition, in CEL."},
                },
                "required": [word, "cel"],
                "additionalProperties": false,
            })
        };
        json_schema!({
            "description": "A property to check: its name, its name with parameters, or a condition in CEL.",
            "anyOf": [
                {"oneOf": BUILTIN.iter().map(name).collect::<Vec<_>>()},
                {
                    "type": "object",
                    "properties": shapes,
                    "additionalProperties": false,
                    "minProperties": 1,
                    "maxProperties": 1,
                },
                condition("always", "must hold after everything that happens"),
                condition("eventually", "must hold once the world has settled, and from then on"),
                condition("sometimes", "must come true in at least one run"),
            ],
        })
    }
}

/// The engine's property behind entry `i` of a case.
pub(crate) fn lower(case: &Case, i: usize, property: &Property) -> Result<PropertySpec> {
    let index = i.to_string();
    if let Some(condition) = &property.condition {
        return crate::cel::lower(case, i, &property.name, condition);
    }
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

/// The names of a case's conditions.
fn conditions(case: &Case) -> impl Iterator<Item = String> {
    let all = case.scenario.properties.iter();
    all.filter(|property| property.condition.is_some())
        .map(|property| property.name.clone())
}

/// A name that no property has.
pub(crate) fn unknown(case: &Case, path: &[&str], word: &str) -> Error {
    Error::at(
        &case.place(path),
        Problem::UnknownWord {
            what: "property",
            word: word.to_owned(),
            known: sim::property::all_names()
                .map(str::to_owned)
                .chain(conditions(case))
                .collect(),
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

    /// `RECONVERGE_UPDATE=1 cargo test -p reconverge-scenarios the_table` writes it anew.
    #[test]
    fn the_table_of_properties_is_the_one_in_the_docs() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/properties.md");
        let text = std::fs::read_to_string(&path).expect("the document is there");
        let (before, rest) = text.split_once(BEGIN).expect("the table begins");
        let (_, after) = rest.split_once(END).expect("the table ends");
        let want = format!("{before}{BEGIN}\n{}{END}{after}", table());
        if std::env::var_os("RECONVERGE_UPDATE").is_some() {
            std::fs::write(&path, &want).expect("the document can be written");
        } else {
            assert!(text == want, "run this test with RECONVERGE_UPDATE=1");
        }
    }

    const BEGIN: &str = "<!-- table of sim::property::BUILTIN -->";
    const END: &str = "<!-- end of the table -->";

    fn table() -> String {
        let mut table =
            "| property | says | does not see | parameters |\n|---|---|---|---|\n".to_owned();
        for builtin in sim::property::BUILTIN {
            let parameter = |p: &sim::property::Parameter| match p.default {
                "" => format!("`{}`: {}", p.name, p.says),
                default => format!("`{}: {default}`: {}", p.name, p.says),
            };
            let parameters: Vec<String> = builtin.parameters.iter().map(parameter).collect();
            table.push_str(&format!(
                "| `{}` | {} | {} | {} |\n",
                builtin.name,
                builtin.says,
                builtin.unseen,
                parameters.join("; ")
            ));
        }
        table
    }

    #[test]
    fn conditions_are_named() {
        assert_eq!(
            rendered(
                "- {always: kept, cel: 'writes.size() < 9'}\n- eventually: there\n  cel: |-\n    objects.ConfigMap\n      .exists(m, m.metadata.name == 'a')"
            ),
            "no-panic kept there force=false"
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
            "- {always: size is kept}",
            "- {cel: 'true'}",
            "- {always: a, cel: 'true', sel: b}",
            "- {always: a, eventually: b, cel: 'true'}",
            "- {always: no-panic, cel: 'true'}",
            "- {always: a, cel: 'true'}\n- {sometimes: a, cel: 'true'}",
            "- always: named\n  cel: objects.ConfigMap.all(m, m.metadata.nam != '')",
            "- always: quoted\n  cel: \"objects.ConfigMpa.all(m, true)\"",
            "- eventually: several lines\n  cel: |\n    replicas.all(r,\n      r.runing)",
            "- eventually: folded\n  cel: >-\n    replicas.all(r,\n      r.running ==\n    'yes')",
            "- {always: a, cel: 'replicas.all(r, r.running'}",
            "- {always: a, cel: 'write.size() < 3'}",
            "- {always: a, cel: writes.size()}",
            "- {always: a, cel: 'writes.all(a, writes.all(b, writes.all(c, a == b || b == c)))'}",
            "- {always: a, cel: \"effects.all(e, e.kind != 'deleted')\"}",
            "- always: a\n  cel: |\n    replicas.size() > 0 &&\n      logs.all(l, l.level != 'WARN')",
            "- {always: a, cel: 'spans.all(s, s.ended)'}",
            "- {always: a, cel: 'metrics.all(m, m.value < 3.0)'}",
            "- {always: a, cel: 'metrics.all(m, m.valeu < 3.0)'}",
        ];
        let shown = cases.map(rendered).join("\n");
        insta::assert_snapshot!(shown);
        // A request has a `replica`, a write has none.
        let other = rendered("- {always: a, cel: \"writes.all(w, w.replica != '')\"}");
        let fields = "the fields here are at, by, fields, name, namespace, operator, resource,";
        assert!(other.contains(fields), "{other}");
        let unknown = rendered("- bounded-request");
        assert!(
            unknown.contains("did you mean `bounded-requests`?"),
            "{unknown}"
        );
    }
}
