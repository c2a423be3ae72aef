//! Media types of requests and answers (B11, A12): what a client accepts, what a body claims to be.
//!
//! Custom resources are not spoken in protobuf, but for their metadata.

use crate::status::Status;
use crate::table::IncludeObject;

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// application/json
    #[default]
    Json,
    /// application/yaml
    Yaml,
    /// application/vnd.kubernetes.protobuf
    Protobuf,
}

/// What an answer is turned into before it is written (H13).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// The object as it is.
    #[default]
    Plain,
    /// A Table; the version of `meta.k8s.io`.
    Table(String),
    /// PartialObjectMetadata; the version of `meta.k8s.io`.
    Metadata(String),
    /// PartialObjectMetadataList; the version of `meta.k8s.io`.
    MetadataList(String),
}

/// What the client takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accept {
    /// Serialisation.
    pub encoding: Encoding,
    /// Transformation.
    pub form: Form,
    /// Indented for people (A17).
    pub pretty: bool,
    /// What stands beside the cells of a Table.
    pub include: IncludeObject,
}

const NOT_ACCEPTABLE: &str = "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf";

const ONLY: &str = "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf";

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// One alternative of an Accept header.
struct Clause<'a> {
    kind: &'a str,
    params: Vec<(&'a str, &'a str)>,
    quality: f64,
}

impl Clause<'_> {
    /// True if what is asked for has a protobuf message: object metadata, objects of built-in kinds as they are.
    fn has_message(&self, custom: bool) -> bool {
        match self.params.iter().find(|(name, _)| *name == "as") {
            Some((_, form)) => form.starts_with("PartialObjectMetadata"),
            None => !custom,
        }
    }
}

impl Accept {
    /// Negotiates; 406 if nothing fits. `custom` resources take `application/*` too (H15).
    pub fn negotiate(header: &str, custom: bool) -> Result<Accept, Status> {
        // Most of what clients send.
        if header == "application/json" || header.trim().is_empty() {
            return Ok(Accept::default());
        }
        let mut known = false;
        for clause in clauses(header) {
            let encoding = match clause.kind.to_ascii_lowercase().as_str() {
                "application/json" | "*/*" => Encoding::Json,
                "application/*" if custom => Encoding::Json,
                "application/yaml" => Encoding::Yaml,
                PROTOBUF if clause.has_message(custom) => Encoding::Protobuf,
                PROTOBUF => {
                    known |= !custom;
                    continue;
                }
                _ => continue,
            };
            let param = |name: &str| {
                let mut params = clause.params.iter();
                params
                    .find(|(key, _)| key.eq_ignore_ascii_case(name))
                    .map_or("", |(_, value)| *value)
            };
            let version = param("v").to_owned();
            let known_version = matches!(version.as_str(), "v1" | "v1beta1");
            let form = match (param("as"), param("g")) {
                ("", _) => Form::Plain,
                ("Table", "meta.k8s.io") if known_version => Form::Table(version),
                ("PartialObjectMetadata", "meta.k8s.io") if known_version => {
                    Form::Metadata(version)
                }
                ("PartialObjectMetadataList", "meta.k8s.io") if known_version => {
                    Form::MetadataList(version)
                }
                _ => {
                    known = true;
                    continue;
                }
            };
            return Ok(Accept {
                encoding,
                form,
                ..Accept::default()
            });
        }
        // The router of built-ins refuses what nothing is made of; handlers refuse what cannot be made of this answer.
        let known = known || custom;
        let message = if known { ONLY } else { NOT_ACCEPTABLE };
        let mut status = Status::not_acceptable(message);
        if !known {
            status.details_mut();
        }
        Err(status)
    }
}

impl Accept {
    /// True for objects as they are, in compact JSON.
    pub fn is_plain(&self) -> bool {
        self.encoding == Encoding::Json && self.form == Form::Plain && !self.pretty
    }

    /// How an error is written: in what the client takes, if it is something we write.
    pub fn lenient(header: &str) -> Accept {
        let encoding = match Accept::negotiate(header, true) {
            Ok(found) => found.encoding,
            Err(_) if Accept::takes_protobuf(header) => Encoding::Protobuf,
            Err(_) => Encoding::Json,
        };
        Accept {
            encoding,
            ..Accept::default()
        }
    }

    /// True if the client takes a document as protobuf.
    pub fn takes_protobuf(header: &str) -> bool {
        clauses(header).iter().any(|clause| {
            let as_it_is = clause.params.iter().all(|(name, _)| *name != "as");
            as_it_is && clause.kind.eq_ignore_ascii_case(PROTOBUF)
        })
    }

    /// 406 of a handler: nothing that the client takes can be made of the answer.
    pub fn refused() -> Status {
        Status::not_acceptable(ONLY)
    }

    /// A17: `pretty` in query or Accept, or a client that people read with.
    pub fn wants_pretty(header: &str, query: Option<&str>, user_agent: &str) -> bool {
        let truth = |text: &str| matches!(text, "1" | "t" | "T" | "TRUE" | "true" | "True");
        // A parameter stands behind a semicolon.
        let first = header.contains(';').then(|| clauses(header));
        let first = first.and_then(|clauses| clauses.into_iter().next());
        let asked = first.and_then(|clause| {
            let mut params = clause.params.into_iter();
            params.find(|(key, _)| *key == "pretty")
        });
        if asked.is_some_and(|(_, value)| truth(value)) {
            return true;
        }
        match query {
            Some(text) => truth(text),
            None => ["curl", "Wget", "Mozilla/5.0"]
                .iter()
                .any(|client| user_agent.starts_with(client)),
        }
    }
}

/// Alternatives by falling quality, equal ones in the order sent.
fn clauses(header: &str) -> Vec<Clause<'_>> {
    let mut clauses: Vec<Clause<'_>> = header
        .split(',')
        .filter(|clause| !clause.trim().is_empty())
        .map(|clause| {
            let mut parts = clause.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default();
            let params: Vec<(&str, &str)> = parts.filter_map(|part| part.split_once('=')).collect();
            let quality = params.iter().find(|(key, _)| *key == "q");
            let quality = quality.and_then(|(_, value)| value.parse().ok());
            Clause {
                kind,
                params,
                quality: quality.unwrap_or(1.0),
            }
        })
        .collect();
    clauses.sort_by(|a, b| b.quality.total_cmp(&a.quality));
    clauses
}

/// What a body claims to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyType {
    /// JSON, also by default.
    Json,
    /// YAML.
    Yaml,
    /// Protobuf in its envelope.
    Protobuf,
    /// A JSON patch (RFC 6902).
    JsonPatch,
    /// A merge patch (RFC 7386).
    MergePatch,
    /// A strategic merge patch.
    StrategicPatch,
    /// Server-side apply.
    Apply,
}

/// The type of a POST or PUT body; 415 if it is not understood.
pub fn body_type(content_type: &str) -> Result<BodyType, Status> {
    if content_type == "application/json" {
        return Ok(BodyType::Json);
    }
    match essence(content_type).as_str() {
        "" | "application/json" => Ok(BodyType::Json),
        "application/yaml" => Ok(BodyType::Yaml),
        PROTOBUF => Ok(BodyType::Protobuf),
        _ => Err(unknown_body()),
    }
}

/// 415 of a body in a form that is not understood.
pub fn unknown_body() -> Status {
    Status::unsupported_media_type(
        "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf",
    )
}

/// The type of a PATCH body; 415 if it is not understood. Custom resources know no strategic patch.
pub fn patch_type(content_type: &str, custom: bool) -> Result<BodyType, Status> {
    // Unlike anywhere else, case counts here.
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    match essence {
        "application/json-patch+json" => Ok(BodyType::JsonPatch),
        "application/merge-patch+json" => Ok(BodyType::MergePatch),
        "application/apply-patch+yaml" => Ok(BodyType::Apply),
        "application/strategic-merge-patch+json" if !custom => Ok(BodyType::StrategicPatch),
        _ if custom => Err(Status::unsupported_media_type(
            "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
        )),
        _ => {
            let mut status = Status::unsupported_media_type("415: Unsupported Media Type");
            status.details_mut();
            Err(status)
        }
    }
}

fn essence(content_type: &str) -> String {
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b11_accept_honours_quality_and_alternatives() {
        let accept = Accept::negotiate("application/yaml;q=0.5, application/json", false).unwrap();
        assert_eq!(accept.encoding, Encoding::Json);
        let table = "application/json;as=Table;g=meta.k8s.io;v=v1,application/json";
        let accept = Accept::negotiate(table, false).unwrap();
        assert_eq!(accept.form, Form::Table("v1".into()));
        let accept =
            Accept::negotiate("application/json;as=Table;g=x;v=v1,application/json", false);
        assert_eq!(accept.unwrap().form, Form::Plain);
        assert_eq!(
            Accept::negotiate("text/plain", false).unwrap_err().code,
            406
        );
    }
}
