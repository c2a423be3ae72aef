//! Label and field selectors: grammar, messages and matching (H10, H10a).
//! Source: apimachinery `pkg/labels/selector.go`, `pkg/fields/selector.go`.

use std::collections::BTreeSet;

use crate::json::Value;
use crate::status::{Cause, Status, aggregate, go_quote};
use crate::strategy::names::Names;

/// Comparison of one label requirement.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    In(BTreeSet<String>),
    NotIn(BTreeSet<String>),
    Exists,
    Absent,
    Greater(i64),
    Less(i64),
}

/// A parsed label selector: all requirements must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<(String, Test)>,
}

impl LabelSelector {
    /// Parses the text of `labelSelector=`; 400 if it is none.
    pub fn parse(text: &str) -> Result<LabelSelector, Status> {
        if text.is_empty() {
            return Ok(LabelSelector::default());
        }
        let parser = Parser {
            tokens: lex(text),
            at: 0,
        };
        let requirements = parser.selector().map_err(Status::bad_request)?;
        Ok(LabelSelector { requirements })
    }

    /// A selector from a `metav1.LabelSelector` object; `None` if an operator is unknown. Null selects nothing by
    /// convention of most users: they must ask first.
    pub fn from_value(value: &Value) -> Option<LabelSelector> {
        let mut requirements = Vec::new();
        if let Some(labels) = value.get("matchLabels").and_then(Value::as_object) {
            for (key, label) in labels {
                let label = label.as_str().unwrap_or_default().to_owned();
                requirements.push((key.to_owned(), Test::In(BTreeSet::from([label]))));
            }
        }
        for expression in value.array_at(&["matchExpressions"]) {
            let values = expression.array_at(&["values"]);
            let values = values.iter().filter_map(Value::as_str).map(str::to_owned);
            let test = match expression.str_at(&["operator"]) {
                "In" => Test::In(values.collect()),
                "NotIn" => Test::NotIn(values.collect()),
                "Exists" => Test::Exists,
                "DoesNotExist" => Test::Absent,
                _ => return None,
            };
            requirements.push((expression.str_at(&["key"]).to_owned(), test));
        }
        Some(LabelSelector { requirements })
    }

    /// True if it selects everything.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// True if the object's labels satisfy all requirements.
    pub fn matches(&self, object: &Value) -> bool {
        self.is_empty() || self.matches_labels(object.at(&["metadata", "labels"]))
    }

    /// True if a map of labels (or nothing) satisfies all requirements.
    pub fn matches_labels(&self, labels: Option<&Value>) -> bool {
        self.requirements.iter().all(|(key, test)| {
            let label = labels.and_then(|labels| labels.get(key));
            let label = label.and_then(Value::as_str);
            match test {
                Test::In(values) => label.is_some_and(|label| values.contains(label)),
                Test::NotIn(values) => label.is_none_or(|label| !values.contains(label)),
                Test::Exists => label.is_some(),
                Test::Absent => label.is_none(),
                Test::Greater(bound) => label
                    .and_then(|label| label.parse::<i64>().ok())
                    .is_some_and(|number| number > *bound),
                Test::Less(bound) => label
                    .and_then(|label| label.parse::<i64>().ok())
                    .is_some_and(|number| number < *bound),
            }
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tok {
    Word,
    In,
    NotIn,
    Symbol,
    End,
    Error,
}

fn lex(text: &str) -> Vec<(Tok, String)> {
    let special = |c: char| matches!(c, '=' | '!' | '(' | ')' | ',' | '>' | '<');
    let blank = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(blank);
        let Some(first) = rest.chars().next() else {
            tokens.push((Tok::End, String::new()));
            return tokens;
        };
        let length = if special(first) {
            match rest.as_bytes() {
                [b'=' | b'!', b'=', ..] => 2,
                _ => 1,
            }
        } else {
            rest.find(|c| special(c) || blank(c)).unwrap_or(rest.len())
        };
        let word = &rest[..length];
        let tok = match word {
            "in" => Tok::In,
            "notin" => Tok::NotIn,
            _ if special(first) => Tok::Symbol,
            _ if word.contains('\0') => Tok::Error,
            _ => Tok::Word,
        };
        tokens.push((tok, word.to_owned()));
        rest = &rest[length..];
    }
}

struct Parser {
    tokens: Vec<(Tok, String)>,
    at: usize,
}

impl Parser {
    /// The next token; `in` and `notin` are plain words where values stand.
    fn peek(&self) -> (Tok, &str) {
        let (tok, text) = &self.tokens[self.at.min(self.tokens.len() - 1)];
        match tok {
            Tok::In | Tok::NotIn => (Tok::Word, text),
            _ => (*tok, text),
        }
    }

    fn take(&mut self) -> (Tok, String) {
        let (tok, text) = self.peek();
        let taken = (tok, text.to_owned());
        self.at += 1;
        taken
    }

    fn is(&self, symbol: &str) -> bool {
        let (tok, text) = self.peek();
        tok == Tok::Symbol && text == symbol
    }

    fn selector(mut self) -> Result<Vec<(String, Test)>, String> {
        let mut requirements = Vec::new();
        loop {
            match self.peek() {
                (Tok::End, _) => return Ok(requirements),
                (Tok::Word, _) | (Tok::Symbol, "!") => {}
                (_, found) => {
                    return Err(format!(
                        "found '{found}', expected: !, identifier, or 'end of string'"
                    ));
                }
            }
            let requirement = self.requirement();
            requirements
                .push(requirement.map_err(|why| format!("unable to parse requirement: {why}"))?);
            match self.take() {
                (Tok::End, _) => return Ok(requirements),
                (Tok::Symbol, comma) if comma == "," => match self.peek() {
                    (Tok::Word, _) | (Tok::Symbol, "!") => {}
                    (_, found) => {
                        return Err(format!("found '{found}', expected: identifier after ','"));
                    }
                },
                (_, found) => {
                    return Err(format!("found '{found}', expected: ',' or 'end of string'"));
                }
            }
        }
    }

    fn requirement(&mut self) -> Result<(String, Test), String> {
        let absent = self.is("!");
        if absent {
            self.take();
        }
        let (tok, key) = self.take();
        if tok != Tok::Word {
            return Err(format!("found '{key}', expected: identifier"));
        }
        check_key(&key)?;
        if absent {
            return Ok((key, Test::Absent));
        }
        if self.is(",") || self.peek().0 == Tok::End {
            return Ok((key, Test::Exists));
        }
        let (tok, operator) = self.tokens[self.at.min(self.tokens.len() - 1)].clone();
        self.at += 1;
        let test = match (tok, operator.as_str()) {
            (Tok::In, _) => Test::In(self.values()?),
            (Tok::NotIn, _) => Test::NotIn(self.values()?),
            (Tok::Symbol, "=" | "==") => Test::In(BTreeSet::from([self.exact()?])),
            (Tok::Symbol, "!=") => Test::NotIn(BTreeSet::from([self.exact()?])),
            (Tok::Symbol, ">") => Test::Greater(integer(&key, &self.exact()?)?),
            (Tok::Symbol, "<") => Test::Less(integer(&key, &self.exact()?)?),
            _ => {
                return Err(format!(
                    "found '{operator}', expected: in, notin, =, ==, !=, gt, lt"
                ));
            }
        };
        match &test {
            Test::In(values) | Test::NotIn(values) => check_values(&key, values)?,
            _ => {}
        }
        Ok((key, test))
    }

    fn exact(&mut self) -> Result<String, String> {
        if self.is(",") || self.peek().0 == Tok::End {
            return Ok(String::new());
        }
        match self.take() {
            (Tok::Word, value) => Ok(value),
            (_, found) => Err(format!("found '{found}', expected: identifier")),
        }
    }

    /// The parenthesised list.
    fn values(&mut self) -> Result<BTreeSet<String>, String> {
        let (_, open) = self.take();
        if open != "(" {
            return Err(format!("found '{open}' expected: '('"));
        }
        let mut values: Vec<String> = Vec::new();
        match self.peek() {
            (Tok::Symbol, ")") => values.push(String::new()),
            (Tok::Word, _) | (Tok::Symbol, ",") => self.list(&mut values)?,
            (_, found) => {
                return Err(format!("found '{found}', expected: ',', ')' or identifier"));
            }
        }
        match self.take() {
            (Tok::Symbol, close) if close == ")" => {}
            (_, found) => return Err(format!("found '{found}', expected: ')'")),
        }
        Ok(values.into_iter().collect())
    }

    fn list(&mut self, values: &mut Vec<String>) -> Result<(), String> {
        loop {
            match self.take() {
                (Tok::Word, value) => {
                    values.push(value);
                    match self.peek() {
                        (Tok::Symbol, ",") => {}
                        (Tok::Symbol, ")") => return Ok(()),
                        (_, found) => return Err(format!("found '{found}', expected: ',' or ')'")),
                    }
                }
                (Tok::Symbol, comma) if comma == "," => {
                    if values.is_empty() {
                        values.push(String::new());
                    }
                    match self.peek() {
                        (Tok::Symbol, ")") => {
                            values.push(String::new());
                            return Ok(());
                        }
                        (Tok::Symbol, ",") => {
                            self.take();
                            values.push(String::new());
                        }
                        _ => {}
                    }
                }
                (_, found) => return Err(format!("found '{found}', expected: ',', or identifier")),
            }
        }
    }
}

fn check_key(key: &str) -> Result<(), String> {
    let problems = Names::Qualified.check(key);
    let causes: Vec<Cause> = problems
        .iter()
        .map(|problem| Cause::invalid("<nil>", &key.into(), problem))
        .collect();
    if causes.is_empty() {
        Ok(())
    } else {
        Err(aggregate(&causes))
    }
}

fn check_values<'v>(key: &str, values: impl IntoIterator<Item = &'v String>) -> Result<(), String> {
    let mut causes = Vec::new();
    for value in values {
        for problem in Names::LabelValue.check(value) {
            let field = format!("values[0][{key}]");
            causes.push(Cause::invalid(field, &value.into(), &problem));
        }
    }
    if causes.is_empty() {
        Ok(())
    } else {
        Err(aggregate(&causes))
    }
}

fn integer(key: &str, value: &str) -> Result<i64, String> {
    let Ok(number) = value.parse() else {
        let why = "for 'Gt', 'Lt' operators, the value must be an integer";
        return Err(Cause::invalid("values[0]", &value.into(), why).text());
    };
    check_values(key, &[value.to_owned()])?;
    Ok(number)
}

/// A parsed field selector: all terms must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    /// Field, whether it must be equal, value.
    terms: Vec<(String, bool, String)>,
}

impl FieldSelector {
    /// Parses the text of `fieldSelector=`; 400 if it is none.
    pub fn parse(text: &str) -> Result<FieldSelector, Status> {
        let mut terms = Vec::new();
        for term in split_terms(text) {
            if term.is_empty() {
                continue;
            }
            let Some((field, operator, value)) = split_term(term) else {
                return Err(Status::bad_request(format!(
                    "invalid selector: '{text}'; can't understand '{term}'"
                )));
            };
            let value = unescape(value).map_err(Status::bad_request)?;
            terms.push((field.to_owned(), operator != "!=", value));
        }
        Ok(FieldSelector { terms })
    }

    /// True if it selects everything.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// The fields asked for.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.terms.iter().map(|(field, _, _)| field.as_str())
    }

    /// The value a field must have, if some term demands one.
    pub fn exact(&self, field: &str) -> Option<String> {
        let mut terms = self.terms.iter();
        terms
            .find(|(name, equal, _)| name == field && *equal)
            .map(|(_, _, value)| value.clone())
    }

    /// True if the fields, looked up by name, satisfy all terms.
    pub fn matches<T: AsRef<str>>(&self, lookup: impl Fn(&str) -> Option<T>) -> bool {
        self.terms.iter().all(|(field, equal, value)| {
            let found = lookup(field);
            let found = found.as_ref().map_or("", AsRef::as_ref);
            (found == value) == *equal
        })
    }
}

/// Splits at commas that are not escaped.
fn split_terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

fn split_term(term: &str) -> Option<(&str, &str, &str)> {
    for (i, _) in term.char_indices() {
        for operator in ["!=", "==", "="] {
            if let Some(value) = term[i..].strip_prefix(operator) {
                return Some((&term[..i], operator, value));
            }
        }
    }
    None
}

fn unescape(value: &str) -> Result<String, String> {
    if !value.contains(['\\', ',', '=']) {
        return Ok(value.to_owned());
    }
    let mut out = String::with_capacity(value.len());
    let mut escaped = false;
    for c in value.chars() {
        match (escaped, c) {
            (true, '\\' | ',' | '=') => {
                out.push(c);
                escaped = false;
            }
            (true, c) => {
                return Err(format!(
                    "invalid field selector: invalid escape sequence: \\{c}"
                ));
            }
            (false, '\\') => escaped = true,
            (false, ',' | '=') => {
                return Err(format!(
                    "invalid field selector: unescaped character in value: {}",
                    c as u32
                ));
            }
            (false, c) => out.push(c),
        }
    }
    if escaped {
        return Err("invalid field selector: invalid escape sequence: \\".to_owned());
    }
    Ok(out)
}

/// The message of an unknown field, as typed kinds with a conversion of their own give it (H10a).
pub fn field_not_supported(name: &str) -> String {
    format!("field label not supported: {name}")
}

/// The message of an unknown field of kinds without a conversion of their own (H10a).
pub fn field_not_known(name: &str) -> String {
    format!(
        "{} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
        go_quote(name)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn selects(selector: &str, labels: Value) -> bool {
        let selector = LabelSelector::parse(selector).unwrap();
        selector.matches(&json!({"metadata": {"labels": labels}}))
    }

    fn fails(selector: &str, want: &str) {
        assert_eq!(LabelSelector::parse(selector).unwrap_err().message, want);
    }

    #[test]
    fn h10_label_selectors_match() {
        let labels = json!({"app": "a", "n": "5", "in": "x"});
        for yes in [
            "",
            " ",
            "app",
            "app=a",
            "app == a",
            "!x",
            "x!=y",
            "x notin (a,b)",
            "app in (b, a)",
            "n>4",
            "n<6",
            "in=x",
            "in",
        ] {
            assert!(selects(yes, labels.clone()), "{yes}");
        }
        for no in [
            "x",
            "app=",
            "app in ()",
            "!app",
            "n>5",
            "app>1",
            "app notin (a)",
        ] {
            assert!(!selects(no, labels.clone()), "{no}");
        }
    }

    #[test]
    fn h10_label_selector_messages() {
        fails(
            "=a",
            "found '=', expected: !, identifier, or 'end of string'",
        );
        fails("app,", "found '', expected: identifier after ','");
        fails("!app=a", "found '=', expected: ',' or 'end of string'");
        fails(
            "app in x",
            "unable to parse requirement: found 'x' expected: '('",
        );
        fails(
            "app in (a",
            "unable to parse requirement: found '', expected: ',' or ')'",
        );
        fails(
            "app x",
            "unable to parse requirement: found 'x', expected: in, notin, =, ==, !=, gt, lt",
        );
    }

    #[test]
    fn h10a_field_selectors() {
        let selector = FieldSelector::parse(r"a=b\,c,,x!=y").unwrap();
        assert!(selector.matches(|field| (field == "a").then_some("b,c")));
        assert!(!selector.matches(|_| Some("y")));
        let message = |text: &str| FieldSelector::parse(text).unwrap_err().message.clone();
        assert_eq!(
            message("abc"),
            "invalid selector: 'abc'; can't understand 'abc'"
        );
        assert_eq!(
            message("a=b=c"),
            "invalid field selector: unescaped character in value: 61"
        );
    }
}
