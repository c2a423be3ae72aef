//! Regular expressions as Go writes them (RE2), run by the `regex` crate.
//!
//! Owns the translation of Go's syntax (ASCII classes, literal brackets inside classes, `\z`, `\Q…\E`) and the errors of
//! `regexp/syntax` in its words. Both engines run in time linear in the text; what grows too large when compiled is refused.
//! Source: Go `regexp/syntax/parse.go`.

use std::sync::OnceLock;

use regex::{Regex, RegexBuilder};

const SIZE_MAX: usize = 1 << 20;
const REPEAT_MAX: u32 = 1000;
const NEST_MAX: usize = 250;

/// A pattern with its program, compiled when it is first used.
#[derive(Clone, Debug, Default)]
pub struct Pattern {
    source: String,
    program: OnceLock<Option<Regex>>,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.source == other.source
    }
}

impl Pattern {
    /// A pattern; whether it is one is found out when it is used.
    pub fn new(source: &str) -> Pattern {
        Pattern {
            source: source.to_owned(),
            program: OnceLock::new(),
        }
    }

    /// The text of the pattern.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// True if some part of the text matches; a broken pattern matches nothing.
    pub fn matches(&self, text: &str) -> bool {
        let program = self.program.get_or_init(|| compile(&self.source).ok());
        program
            .as_ref()
            .is_some_and(|program| program.is_match(text))
    }
}

/// Compiles a Go pattern; the error is Go's text (``error parsing regexp: missing closing ): `(` ``).
pub fn compile(source: &str) -> Result<Regex, String> {
    let translated = translate(source)?;
    RegexBuilder::new(&translated)
        .size_limit(SIZE_MAX)
        .dfa_size_limit(SIZE_MAX)
        .nest_limit(NEST_MAX as u32 + 8)
        .build()
        .map_err(|_| wrong("expression too large", ""))
}

fn wrong(what: &str, part: &str) -> String {
    if part.is_empty() && what.starts_with("expression") {
        return format!("error parsing regexp: {what}");
    }
    format!("error parsing regexp: {what}: `{part}`")
}

struct Translator<'a> {
    source: &'a str,
    at: usize,
    out: String,
    depth: usize,
    // Where the last atom began, if there is one to repeat, and where its repetition did.
    atom: bool,
    repeat_start: Option<usize>,
}

fn translate(source: &str) -> Result<String, String> {
    let mut translator = Translator {
        source,
        at: 0,
        out: String::with_capacity(source.len() + 16),
        depth: 0,
        atom: false,
        repeat_start: None,
    };
    translator.run()?;
    Ok(translator.out)
}

impl Translator<'_> {
    fn rest(&self) -> &str {
        &self.source[self.at..]
    }

    fn run(&mut self) -> Result<(), String> {
        while let Some(c) = self.rest().chars().next() {
            match c {
                '(' => self.open()?,
                ')' => {
                    if self.depth == 0 {
                        return Err(wrong("unexpected )", self.source));
                    }
                    self.depth -= 1;
                    self.plain(c, true);
                }
                '[' => self.class()?,
                '|' => self.plain(c, false),
                '^' | '$' | '.' => self.plain(c, true),
                '*' | '+' | '?' => self.repeat(1)?,
                '{' => match counted(self.rest()) {
                    Some((low, high, length)) => {
                        let too_many = low > REPEAT_MAX
                            || high.is_some_and(|high| high > REPEAT_MAX || high < low);
                        if too_many {
                            return Err(wrong("invalid repeat count", &self.rest()[..length]));
                        }
                        self.repeat(length)?;
                    }
                    None => {
                        self.out.push('\\');
                        self.plain(c, true);
                    }
                },
                '\\' => self.escape()?,
                '}' | ']' => {
                    self.out.push('\\');
                    self.plain(c, true);
                }
                _ => self.plain(c, true),
            }
        }
        if self.depth > 0 {
            return Err(wrong("missing closing )", self.source));
        }
        Ok(())
    }

    fn plain(&mut self, c: char, atom: bool) {
        self.out.push(c);
        self.at += c.len_utf8();
        self.atom = atom;
        self.repeat_start = None;
    }

    fn open(&mut self) -> Result<(), String> {
        self.depth += 1;
        if self.depth > NEST_MAX {
            return Err(wrong("expression nests too deeply", ""));
        }
        let rest = self.rest();
        let Some(after) = rest.strip_prefix("(?") else {
            self.plain('(', false);
            return Ok(());
        };
        if let Some(named) = after.strip_prefix("P<").or_else(|| after.strip_prefix('<')) {
            if after.starts_with("<=") || after.starts_with("<!") {
                return Err(wrong("invalid or unsupported Perl syntax", &rest[..4]));
            }
            let Some(end) = named.find('>') else {
                return Err(wrong("invalid named capture", rest));
            };
            let name = &named[..end];
            let good =
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            let length = rest.len() - named.len() + end + 1;
            if !good {
                return Err(wrong("invalid named capture", &rest[..length]));
            }
            // Captures are of no use here, and names may clash.
            self.out.push('(');
            self.at += length;
            self.atom = false;
            self.repeat_start = None;
            return Ok(());
        }
        let flags = after
            .bytes()
            .take_while(|b| matches!(b, b'i' | b'm' | b's' | b'U' | b'-'))
            .count();
        match after.as_bytes().get(flags) {
            Some(b':') => self.copy(2 + flags + 1),
            Some(b')') if flags > 0 => {
                self.depth -= 1;
                self.copy(2 + flags + 1);
            }
            _ => {
                let end = 2 + flags + after[flags..].chars().next().map_or(0, char::len_utf8);
                let what = if rest.len() <= 2 + flags {
                    "missing argument to repetition operator"
                } else {
                    "invalid or unsupported Perl syntax"
                };
                let part = if rest.len() <= 2 + flags {
                    "?"
                } else {
                    &rest[..end]
                };
                return Err(wrong(what, part));
            }
        }
        self.atom = false;
        self.repeat_start = None;
        Ok(())
    }

    fn copy(&mut self, length: usize) {
        self.out.push_str(&self.source[self.at..self.at + length]);
        self.at += length;
    }

    fn repeat(&mut self, length: usize) -> Result<(), String> {
        let start = self.at;
        let mut end = start + length;
        if self.source[end..].starts_with('?') {
            end += 1;
        }
        if let Some(first) = self.repeat_start {
            return Err(wrong(
                "invalid nested repetition operator",
                &self.source[first..end],
            ));
        }
        if !self.atom {
            let what = "missing argument to repetition operator";
            return Err(wrong(what, &self.source[start..start + length]));
        }
        self.copy(end - start);
        self.repeat_start = Some(start);
        Ok(())
    }

    fn escape(&mut self) -> Result<(), String> {
        let rest = self.rest();
        let Some(c) = rest[1..].chars().next() else {
            return Err(
                "error parsing regexp: trailing backslash at end of expression: ``".to_owned(),
            );
        };
        if c == 'Q' {
            let quoted = &rest[2..];
            let end = quoted.find("\\E").unwrap_or(quoted.len());
            let length = (2 + end + 2).min(rest.len());
            let quoted = regex::escape(&quoted[..end]);
            self.out.push_str(&quoted);
            self.at += length;
            self.atom = !quoted.is_empty();
            self.repeat_start = None;
            return Ok(());
        }
        let outside = match c {
            'b' => Some("(?-u:\\b)"),
            'B' => Some("(?-u:\\B)"),
            'A' => Some("\\A"),
            'z' => Some("\\z"),
            'E' => Some(""),
            _ => None,
        };
        if let Some(text) = outside {
            self.out.push_str(text);
            self.at += 2;
            self.atom = true;
            self.repeat_start = None;
            return Ok(());
        }
        let (text, length) = escaped(rest, false)?;
        self.out.push_str(&text);
        self.at += length;
        self.atom = true;
        self.repeat_start = None;
        Ok(())
    }

    fn class(&mut self) -> Result<(), String> {
        let start = self.at;
        let whole = &self.source[start..];
        let missing = || wrong("missing closing ]", whole);
        self.out.push('[');
        self.at += 1;
        if self.rest().starts_with('^') {
            self.out.push('^');
            self.at += 1;
        }
        let mut first = true;
        let mut low: Option<(char, usize)> = None;
        loop {
            let rest = self.rest();
            let c = rest.chars().next().ok_or_else(missing)?;
            if c == ']' && !first {
                self.plain(c, true);
                return Ok(());
            }
            if rest.starts_with("[:")
                && let Some(end) = posix_end(rest)
            {
                let name = rest[2..end].trim_start_matches('^');
                let known = [
                    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower",
                    "print", "punct", "space", "upper", "word", "xdigit",
                ];
                if !known.contains(&name) {
                    return Err(wrong("invalid character class range", &rest[..end + 2]));
                }
                self.copy(end + 2);
                (first, low) = (false, None);
                continue;
            }
            let from = self.at;
            let single = if c == '\\' {
                let (text, length) = escaped(rest, true)?;
                let single = literal_of(&rest[..length]);
                self.out.push_str(&text);
                self.at += length;
                single
            } else if c == '-' && !first && low.is_some() && !rest[1..].starts_with(']') {
                // A range: its high end follows.
                self.out.push('-');
                self.at += 1;
                let rest = self.rest();
                let high = rest.chars().next().ok_or_else(missing)?;
                let (text, length) = match high {
                    '\\' => escaped(rest, true)?,
                    _ => (class_literal(high), high.len_utf8()),
                };
                let single = if high == '\\' {
                    literal_of(&rest[..length])
                } else {
                    Some(high)
                };
                let (bottom, begin) = low.take().unwrap_or((high, from));
                self.out.push_str(&text);
                self.at += length;
                if single.is_none_or(|top| top < bottom) {
                    return Err(wrong(
                        "invalid character class range",
                        &self.source[begin..self.at],
                    ));
                }
                first = false;
                continue;
            } else {
                self.out.push_str(&class_literal(c));
                self.at += c.len_utf8();
                Some(c)
            };
            low = single.map(|c| (c, from));
            first = false;
        }
    }
}

// Where the name in `[:name:]` ends; names are short.
fn posix_end(rest: &str) -> Option<usize> {
    let name = |b: &u8| b.is_ascii_lowercase() || *b == b'^';
    let end = 2 + rest.bytes().skip(2).take(16).take_while(name).count();
    rest[end..].starts_with(":]").then_some(end)
}

fn class_literal(c: char) -> String {
    match c {
        '[' | ']' | '&' | '~' | '-' | '^' | '\\' => format!("\\{c}"),
        c => c.to_string(),
    }
}

fn literal_of(escape: &str) -> Option<char> {
    match escape.chars().nth(1)? {
        'd' | 'D' | 's' | 'S' | 'w' | 'W' | 'p' | 'P' => None,
        'n' => Some('\n'),
        't' => Some('\t'),
        'r' => Some('\r'),
        'f' => Some('\u{c}'),
        'v' => Some('\u{b}'),
        'a' => Some('\u{7}'),
        'x' => {
            let digits = escape[2..].trim_matches(['{', '}']);
            u32::from_str_radix(digits, 16)
                .ok()
                .and_then(char::from_u32)
        }
        c @ '0'..='7' => {
            let digits = &escape[1..];
            u32::from_str_radix(digits, 8)
                .ok()
                .and_then(char::from_u32)
                .or(Some(c))
        }
        c => Some(c),
    }
}

// The escape at the start of `rest`, translated, and its length.
fn escaped(rest: &str, inside: bool) -> Result<(String, usize), String> {
    let Some(c) = rest[1..].chars().next() else {
        return Err("error parsing regexp: trailing backslash at end of expression: ``".to_owned());
    };
    let class = |text: &str| {
        if inside {
            text.to_owned()
        } else {
            format!("[{text}]")
        }
    };
    let invalid = |length: usize| {
        let end = rest
            .char_indices()
            .map(|(at, _)| at)
            .find(|&at| at >= length)
            .unwrap_or(rest.len());
        wrong("invalid escape sequence", &rest[..end])
    };
    Ok(match c {
        'd' => (class("0-9"), 2),
        'w' => (class("0-9A-Za-z_"), 2),
        's' => (class("\\t\\n\\x0C\\r "), 2),
        'D' => ("[^0-9]".to_owned(), 2),
        'W' => ("[^0-9A-Za-z_]".to_owned(), 2),
        'S' => ("[^\\t\\n\\x0C\\r ]".to_owned(), 2),
        'n' | 't' | 'r' | 'f' | 'v' | 'a' => (format!("\\{c}"), 2),
        'p' | 'P' => {
            let name = &rest[2..];
            let length = match name.strip_prefix('{') {
                Some(inner) => 2 + inner.find('}').ok_or_else(|| invalid(rest.len()))?,
                None => name.chars().next().ok_or_else(|| invalid(2))?.len_utf8(),
            };
            let text = &rest[..2 + length];
            if Regex::new(text).is_err() {
                return Err(wrong("invalid character class range", text));
            }
            (text.to_owned(), 2 + length)
        }
        'x' => {
            let digits = &rest[2..];
            let (hex, length) = match digits.strip_prefix('{') {
                Some(inner) => {
                    let end = inner.find('}').ok_or_else(|| invalid(rest.len()))?;
                    (&inner[..end], 2 + end + 2)
                }
                None => (digits.get(..2).ok_or_else(|| invalid(rest.len()))?, 4),
            };
            let code = u32::from_str_radix(hex, 16).ok().and_then(char::from_u32);
            let c = code.ok_or_else(|| invalid(length))?;
            (format!("\\x{{{:X}}}", c as u32), length)
        }
        '0'..='7' => {
            let digits = rest[1..]
                .bytes()
                .take(3)
                .take_while(|b| (b'0'..=b'7').contains(b))
                .count();
            if c != '0' && digits < 2 {
                return Err(invalid(2));
            }
            let code = u32::from_str_radix(&rest[1..1 + digits], 8).unwrap_or_default();
            (format!("\\x{{{code:X}}}"), 1 + digits)
        }
        'C' => ("(?s:.)".to_owned(), 2),
        c if c.is_ascii_punctuation() => (format!("\\{c}"), 2),
        _ => return Err(invalid(1 + c.len_utf8())),
    })
}

// `{n}`, `{n,}` or `{n,m}` at the start of a text, and its length.
fn counted(text: &str) -> Option<(u32, Option<u32>, usize)> {
    // Only so far as it can be one, so that a text of braces takes linear time.
    let count = |b: &u8| b.is_ascii_digit() || *b == b',';
    let end = 1 + text.bytes().skip(1).take_while(count).count();
    if text.as_bytes().get(end) != Some(&b'}') {
        return None;
    }
    let inner = &text[1..end];
    let (low, high) = match inner.split_once(',') {
        None => (inner, Some(inner)),
        Some((low, "")) => (low, None),
        Some((low, high)) => (low, Some(high)),
    };
    let number = |digits: &str| {
        let good = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        good.then(|| digits.parse().unwrap_or(u32::MAX))
    };
    let high = match high {
        Some(high) => Some(number(high)?),
        None => None,
    };
    Some((number(low)?, high, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, text: &str, want: bool) {
        assert_eq!(
            compile(pattern).unwrap().is_match(text),
            want,
            "{pattern} on {text}"
        );
    }

    fn fails(pattern: &str, want: &str) {
        assert_eq!(
            compile(pattern).unwrap_err(),
            format!("error parsing regexp: {want}")
        );
    }

    #[test]
    fn l3_patterns_that_do_not_compile() {
        fails("(", "missing closing ): `(`");
        fails("a)", "unexpected ): `a)`");
        fails("[a", "missing closing ]: `[a`");
        fails("(?=x)", "invalid or unsupported Perl syntax: `(?=`");
        fails("*", "missing argument to repetition operator: `*`");
        fails("a**", "invalid nested repetition operator: `**`");
        fails("[z-a]", "invalid character class range: `z-a`");
        fails("a{2,1}", "invalid repeat count: `{2,1}`");
        fails("\\8", "invalid escape sequence: `\\8`");
        fails("a\\", "trailing backslash at end of expression: ``");
    }

    #[test]
    fn gos_classes_are_ascii_and_brackets_are_literal() {
        check("^\\d+$", "٣", false);
        check("^[\\w.]+$", "a_b.c", true);
        check("^[[]$", "[", true);
        check("^[a&&b]+$", "&", true);
        check("^[]a]$", "]", true);
        check("^[a-]$", "-", true);
        check("a{,2}", "a{,2}", true);
        check("^(?i)ABC$", "abc", true);
        check("^\\Qa.b\\E$", "a.b", true);
        check("^(?P<x>a)(?P<y>b)$", "ab", true);
        check("^[[:alpha:]]+$", "ab", true);
    }
}
