//! Options in queries and bodies: list, write and delete options with their validation (D10–D14, G5, G6, H3, W4).

use super::query::Query;
use super::selector::{FieldSelector, LabelSelector};
use crate::json::{Map, Value};
use crate::status::{Cause, Status, is_printable};

/// Options of list, watch and deletecollection.
#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    /// Label selector.
    pub labels: LabelSelector,
    /// Field selector.
    pub fields: FieldSelector,
    /// `allowWatchBookmarks`
    pub bookmarks: bool,
    /// `timeoutSeconds`
    pub timeout_seconds: Option<i64>,
    /// `limit`, 0 = none.
    pub limit: i64,
    /// `continue`, "" = none.
    pub token: String,
    /// `resourceVersion`, "" = none.
    pub resource_version: String,
    /// `resourceVersionMatch`, "" = none.
    pub matching: String,
    /// `sendInitialEvents`
    pub initial_events: Option<bool>,
}

impl ListOptions {
    /// Reads the query of a list (or deletecollection).
    pub fn for_list(query: &Query) -> Result<ListOptions, Status> {
        let options = ListOptions::read(query)?;
        let mut causes = Vec::new();
        let field = "resourceVersionMatch";
        if !options.matching.is_empty() {
            if options.resource_version.is_empty() {
                let why = "resourceVersionMatch is forbidden unless resourceVersion is provided";
                causes.push(Cause::forbidden(field, why));
            }
            if !options.token.is_empty() {
                let why = "resourceVersionMatch is forbidden when continue is provided";
                causes.push(Cause::forbidden(field, why));
            }
            match options.matching.as_str() {
                "Exact" | "NotOlderThan" => {}
                other => causes.push(Cause::not_supported(
                    field,
                    &other.into(),
                    &["Exact", "NotOlderThan", ""],
                )),
            }
            if options.matching == "Exact" && options.resource_version == "0" {
                let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
                causes.push(Cause::forbidden(field, why));
            }
        }
        if query.get("sendInitialEvents").is_some() {
            let why = "sendInitialEvents is forbidden for list";
            causes.push(Cause::forbidden("sendInitialEvents", why));
        }
        options.checked(causes)
    }

    /// Reads the query of a watch and fills in what a watch without a revision means (W3).
    pub fn for_watch(query: &Query) -> Result<ListOptions, Status> {
        let mut options = ListOptions::read(query)?;
        let unset = matches!(options.resource_version.as_str(), "" | "0");
        // The old /watch/ prefix without the parameter is not defaulted.
        let asked = query.flag("watch") == Some(true);
        if asked && unset && options.initial_events.is_none() && options.matching.is_empty() {
            options.initial_events = Some(true);
            options.matching = "NotOlderThan".into();
        }
        let mut causes = Vec::new();
        let field = "resourceVersionMatch";
        if options.initial_events.is_some() && options.matching != "NotOlderThan" {
            let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            causes.push(Cause::forbidden(field, why));
        }
        if !options.matching.is_empty() {
            if options.initial_events.is_none() {
                let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
                causes.push(Cause::forbidden(field, why));
            }
            if options.matching != "NotOlderThan" {
                causes.push(Cause::not_supported(
                    field,
                    &options.matching.as_str().into(),
                    &["NotOlderThan"],
                ));
            }
            if !options.token.is_empty() {
                let why = "resourceVersionMatch is forbidden when continue is provided";
                causes.push(Cause::forbidden(field, why));
            }
        }
        options.checked(causes)
    }

    fn read(query: &Query) -> Result<ListOptions, Status> {
        Ok(ListOptions {
            timeout_seconds: query.integer("timeoutSeconds")?,
            limit: query.integer("limit")?.unwrap_or(0).max(0),
            labels: LabelSelector::parse(query.text("labelSelector"))?,
            fields: FieldSelector::parse(query.text("fieldSelector"))?,
            bookmarks: query.flag("allowWatchBookmarks").unwrap_or(false),
            token: query.text("continue").to_owned(),
            resource_version: query.text("resourceVersion").to_owned(),
            matching: query.text("resourceVersionMatch").to_owned(),
            initial_events: query.flag("sendInitialEvents"),
        })
    }

    fn checked(self, causes: Vec<Cause>) -> Result<ListOptions, Status> {
        if causes.is_empty() {
            Ok(self)
        } else {
            Err(Status::invalid_options("ListOptions", causes))
        }
    }
}

/// What to do about unknown and duplicate fields (D11).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// Drop them silently.
    Ignore,
    /// Drop them with a Warning header each.
    #[default]
    Warn,
    /// Refuse them.
    Strict,
}

/// Options of create, update and patch.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// `dryRun=All`
    pub dry_run: bool,
    /// The explicit field manager, "" = derived from the User-Agent.
    pub field_manager: String,
    /// `fieldValidation`
    pub field_validation: FieldValidation,
    /// `force`, of apply.
    pub force: Option<bool>,
    /// `fieldValidation` as sent.
    pub sent_validation: String,
}

/// Each bad character of a manager's name is told with the whole name; a name may be as long as a URL.
const NAMED_BYTES_MAX: usize = 1 << 18;

impl WriteOptions {
    /// Reads the query of a create (`CreateOptions`) or update (`UpdateOptions`).
    pub fn read(query: &Query, kind: &str) -> Result<WriteOptions, Status> {
        WriteOptions::validated(query, kind, Vec::new())
    }

    /// Reads the query of a patch; apply demands a manager, `force` is for apply only.
    pub fn read_patch(query: &Query, apply: bool) -> Result<WriteOptions, Status> {
        let mut causes = Vec::new();
        if apply && query.text("fieldManager").is_empty() {
            causes.push(Cause::required(
                "fieldManager",
                "is required for apply patch",
            ));
        }
        if !apply && query.get("force").is_some() {
            causes.push(Cause::forbidden(
                "force",
                "may not be specified for non-apply patch",
            ));
        }
        WriteOptions::validated(query, "PatchOptions", causes)
    }

    fn validated(
        query: &Query,
        kind: &str,
        mut causes: Vec<Cause>,
    ) -> Result<WriteOptions, Status> {
        let field_manager = query.text("fieldManager").to_owned();
        if field_manager.len() > 128 {
            causes.push(Cause::too_long("fieldManager", 128));
        }
        let unprintable = field_manager
            .char_indices()
            .filter(|(_, c)| !is_printable(*c));
        for (at, c) in unprintable.take(NAMED_BYTES_MAX / field_manager.len().max(1)) {
            let why = format!("invalid character U+{:04X} (at position {at})", c as u32);
            let value = field_manager.as_str().into();
            causes.push(Cause::invalid("fieldManager", &value, &why));
        }
        let dry_run = dry_run(query.all("dryRun"), &mut causes);
        let field_validation = match query.text("fieldValidation") {
            "" | "Warn" => FieldValidation::Warn,
            "Ignore" => FieldValidation::Ignore,
            "Strict" => FieldValidation::Strict,
            other => {
                causes.push(Cause::not_supported(
                    "fieldValidation",
                    &other.into(),
                    &["", "Ignore", "Strict", "Warn"],
                ));
                FieldValidation::Warn
            }
        };
        if !causes.is_empty() {
            return Err(Status::invalid_options(kind, causes));
        }
        Ok(WriteOptions {
            dry_run,
            field_manager,
            field_validation,
            force: query.flag("force"),
            sent_validation: query.text("fieldValidation").to_owned(),
        })
    }

    /// The options as webhooks get to see them.
    pub fn to_value(&self, kind: &str) -> Value {
        let mut map = Map::new();
        map.insert("kind", kind);
        map.insert("apiVersion", "meta.k8s.io/v1");
        if self.dry_run {
            map.insert("dryRun", vec!["All"]);
        }
        if let Some(force) = self.force {
            map.insert("force", force);
        }
        if !self.field_manager.is_empty() {
            map.insert("fieldManager", &self.field_manager);
        }
        if !self.sent_validation.is_empty() {
            map.insert("fieldValidation", &self.sent_validation);
        }
        Value::Object(map)
    }

    /// The manager of a write: the explicit one, else the User-Agent up to its first slash (D12).
    pub fn manager(&self, user_agent: &str) -> String {
        if !self.field_manager.is_empty() {
            return self.field_manager.clone();
        }
        let prefix = user_agent.split('/').next().unwrap_or_default();
        if prefix.is_empty() {
            return "unknown".to_owned();
        }
        let cut = (0..=prefix.len().min(128))
            .rev()
            .find(|at| prefix.is_char_boundary(*at));
        prefix[..cut.unwrap_or(0)].to_owned()
    }
}

fn dry_run<'a>(values: impl Iterator<Item = &'a str>, causes: &mut Vec<Cause>) -> bool {
    let values: Vec<&str> = values.collect();
    if values.iter().any(|value| *value != "All") {
        let shown: Value = values.iter().copied().collect();
        causes.push(Cause::not_supported("dryRun", &shown, &["All"]));
    }
    !values.is_empty()
}

/// Options of delete and deletecollection.
#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    /// `gracePeriodSeconds`
    pub grace_seconds: Option<i64>,
    /// `orphanDependents`
    pub orphan_dependents: Option<bool>,
    /// `propagationPolicy`
    pub propagation: Option<String>,
    /// `preconditions.uid`
    pub uid: Option<String>,
    /// `preconditions.resourceVersion`
    pub resource_version: Option<String>,
    /// `dryRun=All`
    pub dry_run: bool,
}

impl DeleteOptions {
    /// Options of the query; only read when the body is empty (G5a).
    pub fn from_query(query: &Query) -> Result<DeleteOptions, Status> {
        let text = |name: &str| query.get(name).filter(|text| !text.is_empty());
        let mut causes = Vec::new();
        let mut options = DeleteOptions {
            grace_seconds: query.integer("gracePeriodSeconds")?,
            orphan_dependents: query.flag("orphanDependents"),
            propagation: query.get("propagationPolicy").map(str::to_owned),
            uid: text("uid").map(str::to_owned),
            resource_version: text("resourceVersion").map(str::to_owned),
            dry_run: false,
        };
        options.check_propagation(&mut causes);
        options.dry_run = dry_run(query.all("dryRun"), &mut causes);
        options.checked(causes)
    }

    /// The options as webhooks get to see them.
    pub fn to_value(&self) -> Value {
        let mut map = Map::new();
        map.insert("kind", "DeleteOptions");
        map.insert("apiVersion", "meta.k8s.io/v1");
        if self.dry_run {
            map.insert("dryRun", vec!["All"]);
        }
        if let Some(seconds) = self.grace_seconds {
            map.insert("gracePeriodSeconds", seconds);
        }
        if let Some(orphan) = self.orphan_dependents {
            map.insert("orphanDependents", orphan);
        }
        if let Some(policy) = &self.propagation {
            map.insert("propagationPolicy", policy);
        }
        for (name, value) in [
            ("uid", &self.uid),
            ("resourceVersion", &self.resource_version),
        ] {
            if let Some(value) = value {
                map.object("preconditions").insert(name, value);
            }
        }
        Value::Object(map)
    }

    /// Options of a decoded body (also `deleteOptions` of an Eviction).
    pub fn from_value(value: &Value) -> Result<DeleteOptions, Status> {
        let text = |path: &[&str]| value.at(path).and_then(Value::as_str).map(str::to_owned);
        let go_types = [
            ("gracePeriodSeconds", "int64"),
            ("preconditions", "v1.Preconditions"),
            ("orphanDependents", "bool"),
            ("propagationPolicy", "v1.DeletionPropagation"),
            ("dryRun", "[]string"),
        ];
        for (name, go) in go_types {
            let field = &value[name];
            let fits = match name {
                _ if field.is_null() => true,
                "gracePeriodSeconds" => matches!(field, Value::Int(_)),
                "preconditions" => field.is_object(),
                "orphanDependents" => field.as_bool().is_some(),
                "propagationPolicy" => field.is_string(),
                _ => field.is_array(),
            };
            if !fits {
                return Err(Status::bad_request(format!(
                    "json: cannot unmarshal {} into Go struct field DeleteOptions.{name} of type {go}",
                    field.type_name()
                )));
            }
        }
        let mut causes = Vec::new();
        let mut options = DeleteOptions {
            grace_seconds: value.i64_at(&["gracePeriodSeconds"]),
            orphan_dependents: value.get("orphanDependents").and_then(Value::as_bool),
            propagation: text(&["propagationPolicy"]),
            uid: text(&["preconditions", "uid"]),
            resource_version: text(&["preconditions", "resourceVersion"]),
            dry_run: false,
        };
        options.check_propagation(&mut causes);
        let dry = value.array_at(&["dryRun"]).iter();
        options.dry_run = dry_run(
            dry.map(|item| item.as_str().unwrap_or_default()),
            &mut causes,
        );
        options.checked(causes)
    }

    fn check_propagation(&self, causes: &mut Vec<Cause>) {
        let Some(policy) = &self.propagation else {
            return;
        };
        let shown = Value::from(policy.as_str());
        if self.orphan_dependents.is_some() {
            let why = "orphanDependents and deletionPropagation cannot be both set";
            causes.push(Cause::invalid("propagationPolicy", &shown, why));
        }
        if !matches!(policy.as_str(), "Foreground" | "Background" | "Orphan") {
            causes.push(Cause::not_supported(
                "propagationPolicy",
                &shown,
                &["Foreground", "Background", "Orphan", "nil"],
            ));
        }
    }

    fn checked(self, causes: Vec<Cause>) -> Result<DeleteOptions, Status> {
        if causes.is_empty() {
            Ok(self)
        } else {
            Err(Status::invalid_options("DeleteOptions", causes))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h3_list_option_errors_add_up() {
        let query = Query::parse("resourceVersionMatch=Bogus&continue=x&sendInitialEvents=1");
        let status = ListOptions::for_list(&query).unwrap_err();
        assert_eq!(status.details.as_ref().unwrap().causes.len(), 4);
        assert!(status.message.starts_with(
            "ListOptions.meta.k8s.io \"\" is invalid: [resourceVersionMatch: Forbidden: "
        ));
    }

    #[test]
    fn d12_manager_is_the_user_agent_up_to_its_slash() {
        let options = WriteOptions::default();
        assert_eq!(options.manager("kubectl/v1.36 (x)"), "kubectl");
        assert_eq!(options.manager("plain"), "plain");
        assert_eq!(options.manager("/x"), "unknown");
        assert_eq!(options.manager(&"é".repeat(100)).len(), 128);
    }

    #[test]
    fn g6_propagation_is_validated() {
        let query = Query::parse("propagationPolicy=background&orphanDependents=1");
        let status = DeleteOptions::from_query(&query).unwrap_err();
        assert_eq!(status.details.as_ref().unwrap().causes.len(), 2);
    }
}
