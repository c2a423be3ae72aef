//! Formats of names: labels, subdomains, qualified names, ports, keys, with the messages each breach gets.
//!
//! Owns the checks; does not own which kind wants which. Written over bytes: no regular expression runs on a valid name.
//! Source: apimachinery `pkg/util/validation`, `pkg/api/validate/content`.

const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const SUBDOMAIN_MESSAGE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
const QUALIFIED: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const QUALIFIED_MESSAGE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";

/// A format a text may have to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// DNS-1123 subdomain: most object names.
    Subdomain,
    /// DNS-1123 subdomain whose parts may begin with an underscore (search domains).
    SubdomainUnderscore,
    /// DNS-1123 label.
    Label,
    /// DNS-1035 label.
    Label1035,
    /// DNS-1123 subdomain after `*.`.
    WildcardSubdomain,
    /// What can stand in a URL path: RBAC names.
    PathSegment,
    /// Label keys, annotation keys, finalizers, resource names.
    Qualified,
    /// Label values.
    LabelValue,
    /// Names of ports.
    PortName,
    /// `10%`
    Percent,
    /// Keys of ConfigMaps and Secrets.
    ConfigKey,
    /// Names of environment variables.
    EnvName,
    /// HTTP header names.
    HeaderName,
    /// C identifiers.
    CIdentifier,
    /// IP addresses in their canonical form.
    Address,
}

impl Names {
    /// What is wrong with the text, nothing if it is fine.
    pub fn check(self, text: &str) -> Vec<String> {
        match self {
            Names::Subdomain => subdomain(text),
            Names::SubdomainUnderscore => limited(
                text,
                253,
                text.split('.')
                    .all(|part| is_label(part.strip_prefix('_').unwrap_or(part), b"-_")),
                || {
                    regex_error(
                        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character",
                        r"_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*",
                        &["example.com"],
                    )
                },
            ),
            Names::Label => limited(text, 63, is_label(text, b"-"), || {
                if is_subdomain(text) {
                    return "must not contain dots".to_owned();
                }
                regex_error(
                    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
                    LABEL,
                    &["my-name", "123-abc"],
                )
            }),
            Names::Label1035 => limited(
                text,
                63,
                is_label(text, b"-") && text.as_bytes()[0].is_ascii_lowercase(),
                || {
                    regex_error(
                        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
                        "[a-z]([-a-z0-9]*[a-z0-9])?",
                        &["my-name", "abc-123"],
                    )
                },
            ),
            Names::WildcardSubdomain => limited(
                text,
                253,
                text.strip_prefix("*.").is_some_and(is_subdomain),
                || {
                    regex_error(
                        "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
                        &format!(r"\*\.{SUBDOMAIN}"),
                        &["*.example.com"],
                    )
                },
            ),
            Names::PathSegment => path_segment(text),
            Names::Qualified => qualified(text),
            Names::LabelValue => {
                let mut out = Vec::new();
                if text.len() > 63 {
                    out.push("must be no more than 63 bytes".to_owned());
                }
                if !text.is_empty() && !is_qualified_part(text) {
                    out.push(regex_error(
                        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
                        "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?",
                        &["MyValue", "my_value", "12345"],
                    ));
                }
                out
            }
            Names::PortName => port_name(text),
            Names::Address => super::addresses::canonical(text)
                .err()
                .into_iter()
                .collect(),
            Names::Percent => {
                let valid = text.strip_suffix('%').is_some_and(|digits| {
                    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
                });
                one(valid, || {
                    regex_error(
                        "a valid percent string must be a numeric string followed by an ending '%'",
                        "[0-9]+%",
                        &["1%", "93%"],
                    )
                })
            }
            Names::ConfigKey => {
                let valid = !text.is_empty()
                    && text
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
                let mut out = limited(text, 253, valid, || {
                    regex_error(
                        "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
                        "[-._a-zA-Z0-9]+",
                        &["key.name", "KEY_NAME", "key-name"],
                    )
                });
                match text {
                    "." => out.push("must not be '.'".to_owned()),
                    ".." => out.push("must not be '..'".to_owned()),
                    _ if text.starts_with("..") => out.push("must not start with '..'".to_owned()),
                    _ => {}
                }
                out
            }
            Names::EnvName => {
                if text.is_empty() {
                    return vec!["environment variable name must be non-empty".to_owned()];
                }
                one(
                    text.bytes()
                        .all(|b| (b' '..=b'~').contains(&b) && b != b'='),
                    || {
                        "a valid environment variable name must consist only of printable ASCII characters other than '='"
                        .to_owned()
                    },
                )
            }
            Names::HeaderName => one(
                !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'),
                || {
                    regex_error(
                        "a valid HTTP header must consist of alphanumeric characters or '-'",
                        "[-A-Za-z0-9]+",
                        &["X-Header-Name"],
                    )
                },
            ),
            Names::CIdentifier => one(
                text.bytes().enumerate().all(|(i, b)| {
                    b == b'_' || b.is_ascii_alphabetic() || (i > 0 && b.is_ascii_digit())
                }) && !text.is_empty(),
                || {
                    regex_error(
                        "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'",
                        "[A-Za-z_][A-Za-z0-9_]*",
                        &["my_name", "MY_NAME", "MyName"],
                    )
                },
            ),
        }
    }

    /// As [`Names::check`], for a prefix that more will be appended to (generateName): a last `-` is tolerated.
    pub fn check_prefix(self, text: &str) -> Vec<String> {
        if self == Names::PathSegment {
            return path_segment_prefix(text);
        }
        match text.strip_suffix('-') {
            Some(head) if !head.is_empty() => self.check(&format!("{head}a")),
            _ => self.check(text),
        }
    }

    /// True if nothing is wrong with the text.
    pub fn allows(self, text: &str) -> bool {
        match self {
            Names::Subdomain => text.len() <= 253 && is_subdomain(text),
            Names::Label => text.len() <= 63 && is_label(text, b"-"),
            _ => self.check(text).is_empty(),
        }
    }
}

/// `message (e.g. 'a',  or 'b', regex used for validation is '…')`
pub fn regex_error(message: &str, regex: &str, examples: &[&str]) -> String {
    if examples.is_empty() {
        return format!("{message} (regex used for validation is '{regex}')");
    }
    let examples: Vec<String> = examples
        .iter()
        .map(|example| format!("'{example}', "))
        .collect();
    format!(
        "{message} (e.g. {}regex used for validation is '{regex}')",
        examples.join(" or ")
    )
}

fn one(valid: bool, message: impl FnOnce() -> String) -> Vec<String> {
    if valid { Vec::new() } else { vec![message()] }
}

fn limited(text: &str, max: usize, valid: bool, message: impl FnOnce() -> String) -> Vec<String> {
    let mut out = Vec::new();
    if text.len() > max {
        out.push(format!("must be no more than {max} characters"));
    }
    if !valid {
        out.push(message());
    }
    out
}

fn is_label(text: &str, inner: &[u8]) -> bool {
    let bytes = text.as_bytes();
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    match (bytes.first(), bytes.last()) {
        (Some(&first), Some(&last)) => {
            plain(first) && plain(last) && bytes.iter().all(|&b| plain(b) || inner.contains(&b))
        }
        _ => false,
    }
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(|part| is_label(part, b"-"))
}

fn subdomain(text: &str) -> Vec<String> {
    limited(text, 253, is_subdomain(text), || {
        regex_error(SUBDOMAIN_MESSAGE, SUBDOMAIN, &["example.com"])
    })
}

fn is_qualified_part(text: &str) -> bool {
    let bytes = text.as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(first), Some(last)) => {
            first.is_ascii_alphanumeric()
                && last.is_ascii_alphanumeric()
                && bytes
                    .iter()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
        }
        _ => false,
    }
}

fn qualified(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut parts = text.split('/');
    let (first, second) = (parts.next().unwrap_or_default(), parts.next());
    if parts.next().is_some() {
        let error = regex_error(
            QUALIFIED_MESSAGE,
            QUALIFIED,
            &["MyName", "my.name", "123-abc"],
        );
        return vec![format!(
            "a valid label key {error} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        )];
    }
    let name = match second {
        None => first,
        Some(name) => {
            if first.is_empty() {
                out.push("prefix part must be non-empty".to_owned());
            } else if !(first.len() <= 253 && is_subdomain(first)) {
                let byte_limit = |message: String| message.replace("253 characters", "253 bytes");
                out.extend(
                    subdomain(first)
                        .into_iter()
                        .map(|message| format!("prefix part {}", byte_limit(message))),
                );
            }
            name
        }
    };
    if name.is_empty() {
        out.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        out.push("name part must be no more than 63 bytes".to_owned());
    }
    if !is_qualified_part(name) {
        let error = regex_error(
            QUALIFIED_MESSAGE,
            QUALIFIED,
            &["MyName", "my.name", "123-abc"],
        );
        out.push(format!("name part {error}"));
    }
    out
}

fn path_segment(text: &str) -> Vec<String> {
    match text {
        "." | ".." => vec![format!("may not be '{text}'")],
        _ => path_segment_prefix(text),
    }
}

fn path_segment_prefix(text: &str) -> Vec<String> {
    ["/", "%"]
        .iter()
        .filter(|bad| text.contains(**bad))
        .map(|bad| format!("may not contain '{bad}'"))
        .collect()
}

fn port_name(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut say = |wrong: bool, message: &str| {
        if wrong {
            out.push(message.to_owned());
        }
    };
    let charset = |b: u8| b == b'-' || b.is_ascii_lowercase() || b.is_ascii_digit();
    say(text.len() > 15, "must be no more than 15 characters");
    say(
        text.is_empty() || !text.bytes().all(charset),
        "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
    );
    say(
        !text.bytes().any(|b| b.is_ascii_lowercase()),
        "must contain at least one letter (a-z)",
    );
    say(text.contains("--"), "must not contain consecutive hyphens");
    say(
        text.starts_with('-') || text.ends_with('-'),
        "must not begin or end with a hyphen",
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rule: Names, text: &str, want: &[&str]) {
        let got = rule.check(text);
        assert_eq!(got.len(), want.len(), "{text}: {got:?}");
        for (got, want) in got.iter().zip(want) {
            assert!(got.starts_with(want), "{text}: {got}");
        }
    }

    #[test]
    fn c13_names_have_their_messages() {
        check(Names::Subdomain, "a.b-c", &[]);
        check(Names::Subdomain, "Bad", &["a lowercase RFC 1123 subdomain"]);
        check(Names::Label, "with.dot", &["must not contain dots"]);
        check(Names::Label, "", &["a lowercase RFC 1123 label"]);
        check(Names::PathSegment, "a:b", &[]);
        check(
            Names::PathSegment,
            "a%b/",
            &["may not contain '/'", "may not contain '%'"],
        );
        assert!(Names::Subdomain.check_prefix("x-").is_empty());
        assert_eq!(Names::Subdomain.check_prefix("x.").len(), 1);
    }

    #[test]
    fn c11_qualified_names_have_a_prefix_and_a_name() {
        check(Names::Qualified, "example.com/MyName", &[]);
        check(Names::Qualified, "bad key", &["name part must consist of"]);
        check(Names::Qualified, "/x", &["prefix part must be non-empty"]);
        check(
            Names::Qualified,
            "a/b/c",
            &["a valid label key must consist"],
        );
        check(Names::LabelValue, "", &[]);
        check(Names::LabelValue, "bad value", &["a valid label must be"]);
    }

    #[test]
    fn o14_port_names_need_a_letter() {
        check(
            Names::PortName,
            "8080",
            &["must contain at least one letter"],
        );
        check(
            Names::PortName,
            "UPPER_CASE_TOO_LONG_NAME",
            &[
                "must be no more than 15",
                "must contain only",
                "must contain at least one letter",
            ],
        );
        check(Names::Percent, "10.5%", &["a valid percent string"]);
    }
}
