//! Column definitions: a data file for built-in kinds, `additionalPrinterColumns` for custom resources (H13).
//!
//! Source: kubernetes `pkg/printers/internalversion`, apiextensions `registry/customresource/tableconvertor`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::json::{CompactString, Map, Value};

/// One column of a Table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Header.
    pub name: CompactString,
    /// `string`, `integer`, `number`, `boolean`, `date`.
    pub kind: CompactString,
    /// `name` for the name column, mostly empty.
    pub format: CompactString,
    /// 0 is shown always, 1 with `-o wide`.
    pub priority: i64,
    /// What the column says.
    pub description: CompactString,
    /// Where a custom resource holds the value; empty for built-in kinds.
    pub json_path: CompactString,
}

/// Columns by group and kind.
type Kinds = BTreeMap<&'static str, BTreeMap<&'static str, Vec<Column>>>;

static BUILTIN: LazyLock<Kinds> = LazyLock::new(read);

/// The columns of a built-in kind; kinds without any of their own show name and creation time.
pub fn builtin(group: &str, kind: &str) -> &'static [Column] {
    let group = if kind == "Event" { "" } else { group };
    let table: &'static Kinds = &BUILTIN;
    let find = |group: &str, kind: &str| table.get(group)?.get(kind);
    find(group, kind)
        .or_else(|| find("", ""))
        .map_or(&[], Vec::as_slice)
}

/// True if the kind has columns of its own.
pub fn has_own(group: &str, kind: &str) -> bool {
    let group = if kind == "Event" { "" } else { group };
    BUILTIN
        .get(group)
        .is_some_and(|kinds| kinds.contains_key(kind))
}

/// The columns of a custom resource: Name, then those declared, else Age.
pub fn custom(version: &Value) -> Vec<Column> {
    let default = builtin("", "");
    let mut columns = vec![default[0].clone()];
    let declared = version.array_at(&["additionalPrinterColumns"]);
    for column in declared {
        let json_path = CompactString::from(column.str_at(&["jsonPath"]));
        let described = column.str_at(&["description"]);
        let description = match described {
            "" => CompactString::from(format!(
                "Custom resource definition column (in JSONPath format): {json_path}"
            )),
            text => CompactString::from(text),
        };
        columns.push(Column {
            name: column.str_at(&["name"]).into(),
            kind: column.str_at(&["type"]).into(),
            format: column.str_at(&["format"]).into(),
            priority: column.i64_at(&["priority"]).unwrap_or(0),
            description,
            json_path,
        });
    }
    if declared.is_empty() {
        let age = Column {
            name: "Age".into(),
            json_path: ".metadata.creationTimestamp".into(),
            ..default[1].clone()
        };
        columns.push(age);
    }
    columns
}

/// A column as the Table shows it.
pub fn definition(column: &Column) -> Value {
    let mut map = Map::new();
    map.insert("name", column.name.clone());
    map.insert("type", column.kind.clone());
    map.insert("format", column.format.clone());
    map.insert("description", column.description.clone());
    map.insert("priority", column.priority);
    Value::Object(map)
}

fn read() -> Kinds {
    let mut shared: BTreeMap<&str, &str> = BTreeMap::new();
    let mut kinds = Kinds::new();
    let mut current = ("", "");
    let text = include_str!("../../data/columns.tsv");
    for line in text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
    {
        if let Some(kind) = line.strip_prefix("= ") {
            current = kind.split_once('/').unwrap_or_default();
            continue;
        }
        let fields: Vec<&str> = line.split('\t').collect();
        match fields.as_slice() {
            [alias, description] => drop(shared.insert(alias, description)),
            [name, kind, format, priority, description] => {
                let description = shared.get(description).copied().unwrap_or(description);
                let columns = kinds
                    .entry(current.0)
                    .or_default()
                    .entry(current.1)
                    .or_default();
                columns.push(Column {
                    name: (*name).into(),
                    kind: (*kind).into(),
                    format: (*format).into(),
                    priority: i64::from(*priority == "1"),
                    description: description.replace("\\n", "\n").into(),
                    json_path: CompactString::default(),
                });
            }
            _ => unreachable!("data/columns.tsv: a line has two or five fields: {line}"),
        }
    }
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn h13_kinds_without_columns_show_name_and_creation_time() {
        let names = |columns: &[Column]| {
            columns
                .iter()
                .map(|c| c.name.to_string())
                .collect::<Vec<_>>()
                .join(",")
        };
        assert_eq!(
            names(builtin("rbac.authorization.k8s.io", "Role")),
            "Name,Created At"
        );
        assert_eq!(
            names(builtin("coordination.k8s.io", "Lease")),
            "Name,Holder,Age"
        );
        assert_eq!(
            names(builtin("events.k8s.io", "Event")),
            names(builtin("", "Event"))
        );
    }

    #[test]
    fn h13_custom_columns_replace_age() {
        let names = |columns: Vec<Column>| {
            columns
                .iter()
                .map(|c| c.name.to_string())
                .collect::<Vec<_>>()
                .join(",")
        };
        assert_eq!(names(custom(&json!({}))), "Name,Age");
        let declared = json!({"additionalPrinterColumns": [{"name": "Color", "type": "string", "jsonPath": ".spec.color"}]});
        assert_eq!(names(custom(&declared)), "Name,Color");
    }
}
