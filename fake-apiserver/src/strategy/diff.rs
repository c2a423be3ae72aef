//! Unified diffs of specs, as the messages about immutable fields end in.
//!
//! Simplification: the real server prints its internal types, with every field there is; ours prints the fields that are set,
//! as JSON spells them.

use crate::json::Value;

const CONTEXT: usize = 3;

/// The lines in which two values differ, with three lines around them.
pub fn unified(old: &Value, new: &Value) -> String {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    print(&mut a, old, 0, "", "");
    print(&mut b, new, 0, "", "");
    let head = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let tail = a[head..]
        .iter()
        .rev()
        .zip(b[head..].iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let from = head.saturating_sub(CONTEXT);
    let (a_end, b_end) = (
        (a.len() - tail + CONTEXT).min(a.len()),
        (b.len() - tail + CONTEXT).min(b.len()),
    );
    let mut out = format!(
        "@@ -{},{} +{},{} @@\n",
        from + 1,
        a_end - from,
        from + 1,
        b_end - from
    );
    let mut line = |sign: char, text: &str| {
        out.push(sign);
        out.push_str(text);
        out.push('\n');
    };
    a[from..head].iter().for_each(|text| line(' ', text));
    a[head..a.len() - tail]
        .iter()
        .for_each(|text| line('-', text));
    b[head..b.len() - tail]
        .iter()
        .for_each(|text| line('+', text));
    a[a.len() - tail..a_end]
        .iter()
        .for_each(|text| line(' ', text));
    out
}

fn print(out: &mut Vec<String>, value: &Value, depth: usize, name: &str, comma: &str) {
    let indent = " ".repeat(depth);
    let head = if name.is_empty() {
        indent.clone()
    } else {
        format!("{indent}\"{name}\": ")
    };
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push(format!("{head}{{"));
            for (index, (key, value)) in map.iter().enumerate() {
                print(
                    out,
                    value,
                    depth + 1,
                    key,
                    if index + 1 < map.len() { "," } else { "" },
                );
            }
            out.push(format!("{indent}}}{comma}"));
        }
        Value::Array(items) if !items.is_empty() => {
            out.push(format!("{head}["));
            for (index, value) in items.iter().enumerate() {
                print(
                    out,
                    value,
                    depth + 1,
                    "",
                    if index + 1 < items.len() { "," } else { "" },
                );
            }
            out.push(format!("{indent}]{comma}"));
        }
        value => out.push(format!("{head}{value}{comma}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn d9_a_diff_shows_what_changed() {
        let text = unified(&json!({"a": 1, "b": "x"}), &json!({"a": 1, "b": "y"}));
        assert_eq!(
            text,
            "@@ -1,4 +1,4 @@\n {\n  \"a\": 1,\n- \"b\": \"x\"\n+ \"b\": \"y\"\n }\n"
        );
    }
}
