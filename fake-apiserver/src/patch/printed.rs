//! Values as Go's `fmt` prints them, for the messages that quote whole patches.
//!
//! Owns `%v` and `%#v` of unstructured values. Does not own messages.

use crate::json::Value;
use crate::status::go_quote;

/// `%v`: `map[a:1 b:[x y]]`.
pub(crate) fn go_value(value: &Value) -> String {
    let mut out = String::new();
    plain(value, &mut out);
    out
}

/// `%#v`: `map[string]interface {}{"a":1}`.
pub(crate) fn go_syntax(value: &Value) -> String {
    let mut out = String::new();
    syntax(value, &mut out);
    out
}

fn plain(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("<nil>"),
        Value::String(text) => out.push_str(text),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(' ');
                }
                plain(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            out.push_str("map[");
            for (i, (key, item)) in map.iter().enumerate() {
                if i > 0 {
                    out.push(' ');
                }
                out.push_str(key);
                out.push(':');
                plain(item, out);
            }
            out.push(']');
        }
        other => number(other, out),
    }
}

fn syntax(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("interface {}(nil)"),
        Value::String(text) => out.push_str(&go_quote(text)),
        Value::Array(items) => {
            out.push_str("[]interface {}{");
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                syntax(item, out);
            }
            out.push('}');
        }
        Value::Object(map) => {
            out.push_str("map[string]interface {}{");
            for (i, (key, item)) in map.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                out.push_str(&go_quote(key));
                out.push(':');
                syntax(item, out);
            }
            out.push('}');
        }
        other => number(other, out),
    }
}

/// Booleans and numbers; `%v` of a float has an exponent from 1e21 on and below 1e-4, as `%g` does.
fn number(value: &Value, out: &mut String) {
    match value {
        Value::Float(float) => {
            let magnitude = float.abs();
            if magnitude != 0.0 && !(1e-4..1e21).contains(&magnitude) {
                let text = format!("{float:e}");
                let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
                let (sign, digits) = match exponent.strip_prefix('-') {
                    Some(digits) => ('-', digits),
                    None => ('+', exponent),
                };
                out.push_str(&format!("{mantissa}e{sign}{digits:0>2}"));
            } else {
                out.push_str(&format!("{float}"));
            }
        }
        other => out.push_str(&other.to_string()),
    }
}
