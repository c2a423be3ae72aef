//! JSON for people: two spaces, as Go's `json.Indent` (A17).

use super::{Value, write, write_string};

/// Appends a value, indented by two spaces a level; empty objects and lists stay on one line.
pub fn write_pretty(value: &Value, out: &mut Vec<u8>) {
    indented(value, 0, out);
}

fn indented(value: &Value, depth: usize, out: &mut Vec<u8>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push(b'{');
            for (i, (key, value)) in map.iter().enumerate() {
                line(i > 0, depth + 1, out);
                write_string(key, out);
                out.extend_from_slice(b": ");
                indented(value, depth + 1, out);
            }
            line(false, depth, out);
            out.push(b'}');
        }
        Value::Array(items) if !items.is_empty() => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                line(i > 0, depth + 1, out);
                indented(item, depth + 1, out);
            }
            line(false, depth, out);
            out.push(b']');
        }
        other => write(other, out),
    }
}

fn line(comma: bool, depth: usize, out: &mut Vec<u8>) {
    if comma {
        out.push(b',');
    }
    out.push(b'\n');
    out.resize(out.len() + 2 * depth, b' ');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn a17_two_spaces() {
        let mut out = Vec::new();
        write_pretty(&json!({"a": [1, {}], "b": []}), &mut out);
        let want = "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": []\n}";
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }
}
