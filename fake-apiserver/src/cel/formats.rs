//! The named formats of `format.….validate(…)`.
//!
//! Behaviour: Kubernetes `apiserver/pkg/cel/library/format.go` and
//! `apimachinery/pkg/util/validation`.

use super::strings::regex;
use base64::Engine as _;

const NAMES: &[&str] = &[
    "dns1123Label",
    "dns1123Subdomain",
    "dns1035Label",
    "qualifiedName",
    "dns1123LabelPrefix",
    "dns1123SubdomainPrefix",
    "dns1035LabelPrefix",
    "labelValue",
    "uri",
    "uuid",
    "byte",
    "date",
    "datetime",
];

/// The format of this name.
pub(super) fn named(name: &str) -> Option<&'static str> {
    NAMES.iter().find(|known| **known == name).copied()
}

/// What is wrong with a text, nothing if it fits the format.
pub(super) fn validate(format: &str, text: &str) -> Vec<String> {
    let prefix = |text: &str| match text.strip_suffix('-') {
        Some(rest) => format!("{rest}a"),
        None => text.to_owned(),
    };
    match format {
        "dns1123Label" => dns_label(text),
        "dns1123LabelPrefix" => dns_label(&prefix(text)),
        "dns1123Subdomain" => dns_subdomain(text),
        "dns1123SubdomainPrefix" => dns_subdomain(&prefix(text)),
        "dns1035Label" => dns_1035(text),
        "dns1035LabelPrefix" => dns_1035(&prefix(text)),
        "qualifiedName" => qualified_name(text),
        "labelValue" => label_value(text),
        "uri" => match super::url::Url::parse(text) {
            Ok(_) => Vec::new(),
            Err(error) => vec![error],
        },
        "uuid" => simple(
            text,
            "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$",
            "does not match the UUID format",
        ),
        "byte" => match base64::engine::general_purpose::STANDARD.decode(text) {
            Ok(_) => Vec::new(),
            Err(_) => vec!["invalid base64".to_owned()],
        },
        "date" => match text.parse::<jiff::civil::Date>() {
            Ok(_) if text.len() == 10 => Vec::new(),
            _ => vec!["invalid date".to_owned()],
        },
        "datetime" if super::library::is_date_time(text) => Vec::new(),
        "datetime" => vec!["invalid datetime".to_owned()],
        _ => Vec::new(),
    }
}

fn simple(text: &str, pattern: &str, problem: &str) -> Vec<String> {
    match regex(pattern) {
        Ok(pattern) if pattern.is_match(text) => Vec::new(),
        _ => vec![problem.to_owned()],
    }
}

fn too_long(text: &str, max: usize) -> Option<String> {
    (text.len() > max).then(|| format!("must be no more than {max} bytes"))
}

fn dns_label(text: &str) -> Vec<String> {
    let mut problems: Vec<String> = too_long(text, 63).into_iter().collect();
    problems.extend(simple(text, "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"));
    problems
}

fn dns_subdomain(text: &str) -> Vec<String> {
    let mut problems: Vec<String> = too_long(text, 253).into_iter().collect();
    problems.extend(simple(text, r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$", r"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"));
    problems
}

fn dns_1035(text: &str) -> Vec<String> {
    let mut problems: Vec<String> = too_long(text, 63).into_iter().collect();
    problems.extend(simple(text, "^[a-z]([-a-z0-9]*[a-z0-9])?$", "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"));
    problems
}

fn qualified_name(text: &str) -> Vec<String> {
    let (domain, name) = match text.split_once('/') {
        Some((domain, name)) if !name.contains('/') => (Some(domain), name),
        Some(_) => return vec!["a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')".to_owned()],
        None => (None, text),
    };
    let mut problems = Vec::new();
    if let Some(domain) = domain {
        if domain.is_empty() {
            problems.push("prefix part must be non-empty".to_owned());
        } else {
            problems.extend(
                dns_subdomain(domain)
                    .into_iter()
                    .map(|p| format!("prefix part {p}")),
            );
        }
    }
    if name.is_empty() {
        problems.push("name part must be non-empty".to_owned());
    }
    problems.extend(too_long(name, 63).map(|p| format!("name part {p}")));
    problems.extend(simple(name, "^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$", "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"));
    problems
}

fn label_value(text: &str) -> Vec<String> {
    let mut problems: Vec<String> = too_long(text, 63).into_iter().collect();
    problems.extend(simple(text, "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$", "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"));
    problems
}
