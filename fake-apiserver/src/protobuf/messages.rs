//! The field numbers of the built-in types, read lazily from `data/protobuf.txt` (its format: `data/pack_protobuf.py`).
//!
//! Types, and whether a zero value is told from none, stand in the schemas.

use std::sync::OnceLock;

static TEXT: &str = include_str!("../../data/protobuf.txt");

/// A message: its fields in order of their numbers.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) columns: Vec<Column>,
}

/// A field.
#[derive(Debug)]
pub(super) struct Column {
    /// Its JSON name, or that of the type whose fields stand in its place.
    pub(super) name: &'static str,
    pub(super) number: u32,
    /// A message of its own on the wire whose fields stand in the parent's JSON object.
    pub(super) embedded: bool,
}

struct Row {
    name: &'static str,
    columns: &'static str,
    message: OnceLock<Message>,
}

/// The message of a type, by its OpenAPI name.
pub(super) fn named(name: &str) -> Option<&'static Message> {
    static TABLE: OnceLock<Vec<Row>> = OnceLock::new();
    let rows = TABLE.get_or_init(|| {
        let row = |line: &'static str| {
            let (name, columns) = line.split_once(' ').unwrap_or((line, ""));
            Row {
                name,
                columns,
                message: OnceLock::new(),
            }
        };
        TEXT.lines().map(row).collect()
    });
    let at = rows.binary_search_by(|row| row.name.cmp(name)).ok()?;
    Some(rows[at].message.get_or_init(|| read(rows[at].columns)))
}

fn read(columns: &'static str) -> Message {
    let column = |text: &'static str| {
        let (name, number) = text.rsplit_once('=')?;
        Some(Column {
            name: name.trim_start_matches('~'),
            number: number.parse().ok()?,
            embedded: name.starts_with('~'),
        })
    };
    let mut columns: Vec<Column> = columns.split(' ').filter_map(column).collect();
    columns.sort_by_key(|column| column.number);
    Message { columns }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Schemas;

    #[test]
    fn every_column_names_a_field_or_a_message() {
        for line in TEXT.lines() {
            let (name, columns) = line.split_once(' ').unwrap_or((line, ""));
            let message = named(name).expect("a row is found by its name");
            assert_eq!(
                message.columns.len(),
                columns.split(' ').filter(|text| !text.is_empty()).count(),
                "{name}"
            );
            let schema = Schemas::builtin().named(name);
            for column in &message.columns {
                let known = match (column.embedded, schema) {
                    (true, _) => named(column.name).is_some(),
                    (false, Some(schema)) => schema.field(column.name).is_some(),
                    // The embedded type itself has no schema; whoever embeds it knows its fields.
                    (false, None) => true,
                };
                assert!(known, "{name}: {}", column.name);
            }
        }
    }
}
