//! Writing values as Go's `encoding/json` writes them: HTML characters escaped, floats in their shortest form.

use super::Value;
use super::parse::STRING_ENDS;

/// The value as compact JSON bytes.
pub fn to_vec(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    write(value, &mut out);
    out
}

/// The value as compact JSON text.
pub fn to_string(value: &Value) -> String {
    String::from_utf8(to_vec(value)).expect("JSON written from strings is UTF-8")
}

/// Appends the value as compact JSON.
pub fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Int(number) => write_integer(number.unsigned_abs(), *number < 0, out),
        Value::UInt(number) => write_integer(*number, false, out),
        Value::Float(number) => write_float(*number, out),
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write(item, out);
            }
            out.push(b']');
        }
        Value::Object(map) if map.is_empty() => out.extend_from_slice(b"{}"),
        Value::Object(map) => {
            out.push(b'{');
            for (i, (key, item)) in map.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_string(key, out);
                out.push(b':');
                write(item, out);
            }
            out.push(b'}');
        }
    }
}

fn write_integer(mut number: u64, negative: bool, out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    if negative {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[start..]);
}

fn write_float(number: f64, out: &mut Vec<u8>) {
    let magnitude = number.abs();
    if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        let text = format!("{number:e}");
        // Go writes the sign of a positive exponent.
        let text = match text.split_once('e') {
            Some((mantissa, exponent)) if !exponent.starts_with('-') => {
                format!("{mantissa}e+{exponent}")
            }
            _ => text,
        };
        out.extend_from_slice(text.as_bytes());
    } else {
        out.extend_from_slice(format!("{number}").as_bytes());
    }
}

/// Bytes that are not simply copied: HTML characters are escaped as Go escapes them.
const SPECIAL: [bool; 256] = {
    let mut table = STRING_ENDS;
    table[b'<' as usize] = true;
    table[b'>' as usize] = true;
    table[b'&' as usize] = true;
    // First byte of U+2028 and U+2029.
    table[0xe2] = true;
    table
};

/// Appends a JSON string with its quotes.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    // Without a way out of the loop it takes less than half the time, and strings are short.
    let special = |found, byte: &u8| found | SPECIAL[*byte as usize];
    if !bytes.iter().fold(false, special) {
        out.extend_from_slice(bytes);
        out.push(b'"');
        return;
    }
    let mut done = 0;
    let mut i = 0;
    while i < bytes.len() {
        let byte = bytes[i];
        if !SPECIAL[byte as usize] {
            i += 1;
            continue;
        }
        let (width, replacement): (usize, &[u8]) = match byte {
            b'"' => (1, b"\\\""),
            b'\\' => (1, b"\\\\"),
            b'\n' => (1, b"\\n"),
            b'\r' => (1, b"\\r"),
            b'\t' => (1, b"\\t"),
            0x08 => (1, b"\\b"),
            0x0c => (1, b"\\f"),
            0xe2 => match bytes.get(i + 1..i + 3) {
                Some([0x80, 0xa8]) => (3, b"\\u2028"),
                Some([0x80, 0xa9]) => (3, b"\\u2029"),
                _ => {
                    i += 1;
                    continue;
                }
            },
            _ => {
                out.extend_from_slice(&bytes[done..i]);
                out.extend_from_slice(b"\\u00");
                out.push(HEX[(byte >> 4) as usize]);
                out.push(HEX[(byte & 15) as usize]);
                i += 1;
                done = i;
                continue;
            }
        };
        out.extend_from_slice(&bytes[done..i]);
        out.extend_from_slice(replacement);
        i += width;
        done = i;
    }
    out.extend_from_slice(&bytes[done..]);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: impl Into<Value>, want: &str) {
        assert_eq!(to_string(&value.into()), want);
    }

    #[test]
    fn numbers_as_go_writes_them() {
        check(i64::MIN, "-9223372036854775808");
        check(u64::MAX, "18446744073709551615");
        check(1.0, "1");
        check(0.000001, "0.000001");
        check(1e-7, "1e-7");
        check(1e21, "1e+21");
        check(1.5e300, "1.5e+300");
        check(123456789012345680000.0, "123456789012345680000");
    }

    #[test]
    fn strings_as_go_writes_them() {
        check(
            "a\"b\\\n\u{1}<&>\u{2028}é",
            r#""a\"b\\\n\u0001\u003c\u0026\u003e\u2028é""#,
        );
    }
}
