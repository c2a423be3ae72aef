//! From source text to an expression tree, and from offsets to messages.
//!
//! Owns the call of the `cel` crate's parser, the limits before it (length and nesting,
//! so that hostile text cannot exhaust the stack) and the shape of compile errors.
//! Behaviour: cel-go `parser`, `common/error.go`.

use cel::common::ast::{IdedExpr, SourceInfo};
use cel::parser::Parser;

/// cel-go's limit on the length of an expression.
const CODE_POINTS_MAX: usize = 100_000;
/// Brackets nested deeper than this are refused before parsing.
const NESTING_MAX: usize = 64;
/// Operators in one expression, a bound on the depth of a left-leaning tree.
const OPERATORS_MAX: usize = 2_000;

/// Errors of one expression that are told; of the others only how many there are.
const ERRORS_MAX: usize = 100;

/// One error of a source text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Issue {
    /// Line, from 1; 0 = of no place in the text.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// The fields there are, where one was named that is not among them.
    pub known: Vec<String>,
}

/// A parsed source text.
pub(crate) struct Parsed {
    /// The tree, with macros expanded.
    pub(crate) expr: IdedExpr,
    /// Where its nodes stand.
    pub(crate) info: SourceInfo,
}

/// Parses `source`.
pub(crate) fn parse(source: &str) -> Result<Parsed, Vec<Issue>> {
    refuse_excess(source)?;
    let parser = Parser::new()
        .enable_optional_syntax(true)
        .max_recursion_depth(96);
    match parser.parse_with_source_info(source) {
        Ok((expr, info)) => Ok(Parsed { expr, info }),
        Err(errors) => Err(errors
            .errors
            .iter()
            .map(|error| Issue {
                line: error.pos.0.max(1) as usize,
                column: error.pos.1.max(1) as usize,
                message: wording(&error.msg),
                ..Issue::default()
            })
            .collect()),
    }
}

/// The errors as cel-go prints them, one block each.
pub fn render(source: &str, issues: &[Issue]) -> String {
    let mut text = String::new();
    for (i, issue) in issues.iter().take(ERRORS_MAX).enumerate() {
        if i > 0 {
            text.push('\n');
        }
        if issue.line == 0 {
            text.push_str(&issue.message);
            continue;
        }
        text.push_str(&format!(
            "ERROR: <input>:{}:{}: {}",
            issue.line, issue.column, issue.message
        ));
        if let Some(line) = source.lines().nth(issue.line - 1) {
            text.push_str("\n | ");
            text.push_str(line);
            text.push_str("\n | ");
            for _ in 1..issue.column {
                text.push('.');
            }
            text.push('^');
        }
    }
    if let Some(more @ 1..) = issues.len().checked_sub(ERRORS_MAX) {
        text.push_str(&format!("\n{more} more errors were truncated"));
    }
    text
}

/// The place of an offset, which counts characters.
pub(crate) fn place(source: &str, offset: u32) -> (usize, usize) {
    let (mut line, mut column) = (1, 1);
    for c in source.chars().take(offset as usize) {
        if c == '\n' {
            line += 1;
            column = 1;
        } else {
            column += 1;
        }
    }
    (line, column)
}

fn refuse_excess(source: &str) -> Result<(), Vec<Issue>> {
    let length = source.chars().count();
    if length > CODE_POINTS_MAX {
        return Err(issue(format!(
            "expression code point size exceeds limit: size: {length}, limit {CODE_POINTS_MAX}"
        )));
    }
    let (mut depth, mut deepest, mut operators) = (0usize, 0usize, 0usize);
    let mut quote = None;
    let mut escaped = false;
    for c in source.chars() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(q), c) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '(' | '[' | '{') => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            (None, ')' | ']' | '}') => depth = depth.saturating_sub(1),
            (None, '+' | '-' | '*' | '/' | '%' | '!' | '?' | '<' | '>' | '=' | '&' | '|' | '.') => {
                operators += 1;
            }
            _ => {}
        }
    }
    if deepest > NESTING_MAX || operators > OPERATORS_MAX {
        return Err(issue("expression recursion limit exceeded: 250".to_owned()));
    }
    Ok(())
}

fn issue(message: String) -> Vec<Issue> {
    vec![Issue {
        line: 1,
        column: 1,
        message,
        ..Issue::default()
    }]
}

/// The crate's lexer numbers tokens where cel-go's grammar names them.
fn wording(message: &str) -> String {
    message.to_owned()
}
