//! Conditions in CEL under `properties`, and `figures`: from a file's expression to a property, and from an issue in it to a place.
//!
//! Owns where in the file a line and column of an expression stand, whatever way YAML writes it, and the hints. Does not
//! own the language, the variables and their types, nor when a condition is asked (`sim::property::cel`).

use fake_apiserver::cel::parse::Issue;
use sim::property::PropertySpec;
use sim::property::cel::{Program, Scope, VARIABLES, property};

use crate::error::{Error, Problem, Result, nearest};
use crate::load::Case;
use crate::property::Condition;
use crate::source::Place;

/// More fields than these are not listed in a hint.
const FIELDS_TOLD_MAX: usize = 12;

const MANUAL: &str = "docs/writing-a-scenario.md lists what a condition can speak of";

/// The engine's property behind a condition.
pub(crate) fn lower(
    case: &Case,
    i: usize,
    name: &str,
    condition: &Condition,
) -> Result<PropertySpec> {
    let index = i.to_string();
    let place = |key: &str| case.place(&["properties", &index, key]);
    let listed = &case.scenario.properties;
    let taken = listed[..i].iter().any(|other| other.name == name);
    if taken || name.trim().is_empty() || sim::property::names().any(|known| known == name) {
        return Err(Error::value(
            &place(word(condition)),
            match taken {
                true => format!("two properties are called `{name}`"),
                false => format!("`{name}` cannot be the name of a condition"),
            },
            "a name is a sentence of yours about what holds, as \"size is kept\"; findings and `expect` use it",
        ));
    }
    let program = read(case, &condition.cel, &place("cel"), Program::new)?;
    Ok(property(name, condition.when, program))
}

/// The measure behind an entry of `figures`.
pub(crate) fn figure(case: &Case, name: &str, source: &str) -> Result<PropertySpec> {
    let program = read(
        case,
        source,
        &case.place(&["figures", name]),
        Program::figure,
    )?;
    Ok(sim::property::cel::figure(name, program))
}

fn read(
    case: &Case,
    source: &str,
    place: &Place,
    check: fn(&str, Scope) -> std::result::Result<Program, Vec<Issue>>,
) -> Result<Program> {
    let crds: Vec<serde_json::Value> = case
        .objects
        .iter()
        .filter(|o| o.text("/kind") == "CustomResourceDefinition")
        .map(|o| o.json.clone())
        .collect();
    let scope = Scope::new(source, &crds);
    let program = check(source, scope).map_err(|issues| {
        let first = &issues[0];
        Error::at(
            &inside(place, source, first.line, first.column),
            Problem::Value {
                message: first
                    .message
                    .trim_end_matches(" (in container '')")
                    .to_owned(),
                hint: Some(hint(first, &crds)),
            },
        )
    })?;
    captured(case, source, place, &program)?;
    Ok(program)
}

/// What an expression speaks of must be there in this scenario: a list that is always empty proves nothing.
fn captured(case: &Case, source: &str, place: &Place, program: &Program) -> Result<()> {
    let telemetry = &case.scenario.telemetry;
    let services = !case.scenario.services.is_empty();
    let no_services = "no service is declared: say under `services` what operators call";
    let needs = [
        ("effects", services, no_services),
        ("calls", services, no_services),
        (
            "logs",
            telemetry.logs,
            "log lines are captured with `telemetry: {logs: true}`",
        ),
        (
            "spans",
            telemetry.spans,
            "spans are captured with `telemetry: {spans: true}`",
        ),
        (
            "metrics",
            telemetry.scrape.is_some(),
            "metrics are scraped with `telemetry: {scrape: 15s}`",
        ),
    ];
    for (variable, there, hint) in needs {
        if !there && program.mentions(variable) {
            let (line, column) = position(source, variable);
            return Err(Error::value(
                &inside(place, source, line, column),
                format!("`{variable}` is always empty in this scenario"),
                hint,
            ));
        }
    }
    Ok(())
}

/// Where a word stands in an expression: line and column, from 1.
fn position(source: &str, word: &str) -> (usize, usize) {
    let inner = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    for (i, line) in source.lines().enumerate() {
        for (at, _) in line.match_indices(word) {
            let before = line[..at].chars().next_back();
            let after = line[at + word.len()..].chars().next();
            if !before.is_some_and(inner) && !after.is_some_and(|c| inner(c) && c != '.') {
                return (i + 1, line[..at].chars().count() + 1);
            }
        }
    }
    (1, 1)
}

fn word(condition: &Condition) -> &'static str {
    match condition.when {
        sim::property::cel::When::Always => "always",
        sim::property::cel::When::Eventually => "eventually",
        sim::property::cel::When::Sometimes => "sometimes",
    }
}

fn hint(issue: &Issue, crds: &[serde_json::Value]) -> String {
    let message = issue.message.as_str();
    let quoted = message.split('\'').nth(1).unwrap_or_default();
    let variables: Vec<String> = VARIABLES.iter().map(|v| v.name.to_owned()).collect();
    if message.starts_with("undeclared reference") {
        let all = variables.join(", ");
        return match nearest(quoted, &variables) {
            Some(near) => format!("did you mean `{near}`? The variables are {all}"),
            None => format!("the variables are {all}; {MANUAL}"),
        };
    }
    if message.starts_with("undefined field") {
        if quoted.starts_with(|c: char| c.is_ascii_uppercase()) {
            return match nearest(quoted, &Scope::kinds_of(crds)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "kinds are the built-in ones and those of the files under `cluster.crds`"
                    .to_owned(),
            };
        }
        // Names that CEL cannot say as they are have another spelling here, which nobody would look for.
        let known = issue.known.iter().filter(|name| !name.starts_with("__"));
        let known: Vec<String> = known.cloned().collect();
        return match nearest(quoted, &known) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.len() > FIELDS_TOLD_MAX => {
                "the fields are those of the kind's schema".to_owned()
            }
            None => format!("the fields here are {}", known.join(", ")),
        };
    }
    if message.contains("no matching overload") {
        return format!(
            "both sides must be of one type, and numbers are int, uint or double; {MANUAL}"
        );
    }
    if message.contains("units each time") {
        return "a macro inside a macro over `writes` or `requests` looks at every pair: filter first, or compare sizes"
            .to_owned();
    }
    MANUAL.to_owned()
}

/// The place in the file of a line and column (from 1) of an expression that YAML writes at `start`: plain, quoted, or as
/// a block whose lines are indented and may be folded.
fn inside(start: &Place, text: &str, line: usize, column: usize) -> Place {
    let before: usize = text
        .split_inclusive('\n')
        .take(line.max(1) - 1)
        .map(|line| line.chars().count())
        .sum();
    let wanted = before + column.max(1) - 1;
    let raw = &start.source.text[start.offset..];
    let mut at = match raw.chars().next() {
        Some('|' | '>') => raw.find('\n').map_or(raw.len(), |end| end + 1),
        Some('"' | '\'') => 1,
        _ => 0,
    };
    // The file says the same characters in the same order; what YAML adds between them is skipped.
    for c in text.chars().take(wanted).chain(text.chars().nth(wanted)) {
        if c.is_whitespace() {
            continue;
        }
        match raw[at..].find(c) {
            Some(found) => at += found + c.len_utf8(),
            None => return start.clone(),
        }
    }
    // The last character found is the wanted one, unless the text is over.
    if let Some(c) = text.chars().nth(wanted).filter(|c| !c.is_whitespace()) {
        at -= c.len_utf8();
    }
    let whole = &start.source.text[..start.offset + at];
    let line = whole.matches('\n').count() as u64 + 1;
    let column = whole
        .rsplit('\n')
        .next()
        .unwrap_or_default()
        .chars()
        .count() as u64
        + 1;
    let word = raw[at..]
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(raw.len() - at);
    Place::new(&start.source, line, column, word.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_lists_the_variables_as_they_are() {
        let manual = include_str!("../../docs/writing-a-scenario.md");
        for variable in VARIABLES {
            let row = format!(
                "| `{}` | {} | {} |",
                variable.name,
                typed(variable.ty),
                variable.says
            );
            assert!(manual.lines().any(|line| line == row), "no line\n{row}");
        }
    }

    /// A type as the manual writes it: what a reader replaces stands as code.
    fn typed(ty: &str) -> String {
        match ty.split_once(": ") {
            Some((path, ty)) => format!("`{path}`: {ty}"),
            None => ty.to_owned(),
        }
    }

    #[test]
    fn a_word_is_found_as_a_word() {
        let source = "requests.size() > 0 &&\n  r.logs == x && xlogs < logs.size()";
        assert_eq!(position(source, "logs"), (2, 26));
        assert_eq!(position(source, "spans"), (1, 1));
    }
}
