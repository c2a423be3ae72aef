//! Deployments, ReplicaSets, ReplicationControllers, StatefulSets, DaemonSets, PodTemplates and ControllerRevisions.
//!
//! Owns their defaults (O8), selectors against template labels, immutability (D9), status counts (S7), generation.
//! Source: `pkg/apis/apps/{v1/defaults.go,validation}`, `pkg/registry/apps`, `pkg/registry/core/replicationcontroller`.

use crate::json;
use crate::json::{Map, Value};
use crate::registry::Resource;
use crate::status::{Cause, Status};

use super::field::{At, Errors, semantically_equal};
use super::metadata::{label_selector, selector_is_empty, selector_matches};
use super::names::Names;
use super::pods::{self, absent, fill};
use super::{Cx, Strategy, claims, keep_status_or_rest, reset_status, restore};

const MISMATCH: &str = "`selector` does not match template `labels`";
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";
const STATEFULSET_FIXED: &str = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";

/// What the workloads differ in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// apps Deployment
    Deployment,
    /// apps ReplicaSet
    ReplicaSet,
    /// core ReplicationController
    ReplicationController,
    /// apps StatefulSet
    StatefulSet,
    /// apps DaemonSet
    DaemonSet,
}

use Workload::{DaemonSet, Deployment, ReplicaSet, ReplicationController, StatefulSet};

impl Workload {
    fn name(self) -> &'static str {
        match self {
            Deployment | ReplicaSet => "ReplicaSet",
            ReplicationController => "ReplicationController",
            StatefulSet => "StatefulSet",
            DaemonSet => "DaemonSet",
        }
    }
}

impl Strategy for Workload {
    fn names(&self) -> Names {
        if *self == StatefulSet {
            Names::Label
        } else {
            Names::Subdomain
        }
    }

    fn default(&self, _resource: &Resource, object: &mut Value) {
        let template_labels = object
            .at(&["spec", "template", "metadata", "labels"])
            .cloned();
        let map = object.make_object();
        if *self == DaemonSet {
            read_template_generation(map);
        }
        let spec = map.object("spec");
        if *self != ReplicationController || spec.get("template").is_some_and(Value::is_object) {
            pods::default_template(spec.get_or_insert("template", Value::Null));
        }
        if *self != DaemonSet {
            absent(spec, "replicas", || Value::Int(1));
        }
        if matches!(self, Deployment | StatefulSet | DaemonSet) {
            absent(spec, "revisionHistoryLimit", || Value::Int(10));
        }
        match self {
            Deployment => {
                absent(spec, "progressDeadlineSeconds", || Value::Int(600));
                rolling_update(
                    spec.object("strategy"),
                    &[("maxUnavailable", "25%".into()), ("maxSurge", "25%".into())],
                );
            }
            DaemonSet => rolling_update(
                spec.object("updateStrategy"),
                &[
                    ("maxUnavailable", Value::Int(1)),
                    ("maxSurge", Value::Int(0)),
                ],
            ),
            StatefulSet => default_stateful_set(spec),
            ReplicationController => {
                if let Some(labels) = template_labels
                    .filter(|labels| labels.as_object().is_some_and(|map| !map.is_empty()))
                {
                    if spec
                        .get("selector")
                        .and_then(Value::as_object)
                        .is_none_or(|map| map.is_empty())
                    {
                        spec.insert("selector", labels.clone());
                    }
                    let metadata = map.object("metadata");
                    if metadata
                        .get("labels")
                        .and_then(Value::as_object)
                        .is_none_or(|map| map.is_empty())
                    {
                        metadata.insert("labels", labels);
                    }
                }
            }
            ReplicaSet => {}
        }
    }

    fn prepare_create(&self, cx: &mut Cx<'_>, object: &mut Value) -> Result<(), Status> {
        if *self == DaemonSet && template_generation(object) < 1 {
            set_template_generation(object, 1);
        }
        reset_status(cx, object);
        Ok(())
    }

    fn prepare_update(&self, cx: &mut Cx<'_>, new: &mut Value, old: &Value) -> Result<(), Status> {
        keep_status_or_rest(cx, new, old);
        match self {
            Deployment if cx.subresource == "status" => {
                let mut metadata = new["metadata"].clone();
                restore(&mut metadata, &old["metadata"], "labels");
                new.set(&["metadata"], metadata);
            }
            DaemonSet => {
                // The annotation is a field of the spec on the inside: what is sent does not count.
                let changed =
                    !semantically_equal(&new["spec"]["template"], &old["spec"]["template"]);
                set_template_generation(new, template_generation(old) + i64::from(changed));
            }
            _ => {}
        }
        Ok(())
    }

    fn validate_create(&self, _cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        self.spec(&mut errors, &At::root(object).field("spec"), None);
        errors.causes
    }

    fn warnings(&self, out: &mut Vec<String>, new: &Value, old: Option<&Value>) {
        match old {
            None => {
                if matches!(self, Deployment | ReplicaSet | ReplicationController) {
                    pods::host_name_warning(out, new);
                }
            }
            Some(old) if !self.changes_generation(new, old) => return,
            Some(_) => {}
        }
        pods::warnings(out, "spec.template.", &new["spec"]["template"]);
        if *self == StatefulSet {
            let claims = new.array_at(&["spec", "volumeClaimTemplates"]);
            for (index, claim) in claims.iter().enumerate() {
                let path = format!("spec.volumeClaimTemplates[{index}].spec");
                super::deprecations::claim_spec(out, &path, &claim["spec"]);
            }
        }
    }

    fn validate_update(&self, cx: &mut Cx<'_>, new: &Value, old: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let root = At::root(new);
        if cx.subresource == "status" {
            self.status(&mut errors, &root.field("status"), &old["status"]);
            return errors.causes;
        }
        let spec = root.field("spec");
        if *self == DaemonSet {
            errors.immutable(&spec.field("selector"), &old["spec"]["selector"]);
        }
        self.spec(&mut errors, &spec, Some(&old["spec"]));
        match self {
            Deployment | ReplicaSet => {
                errors.immutable(&spec.field("selector"), &old["spec"]["selector"])
            }
            StatefulSet => {
                let fixed = |spec: &Value| {
                    let mut spec = spec.as_object().cloned().unwrap_or_default();
                    let free = [
                        "replicas",
                        "template",
                        "updateStrategy",
                        "minReadySeconds",
                        "ordinals",
                        "revisionHistoryLimit",
                        "persistentVolumeClaimRetentionPolicy",
                    ];
                    spec.retain(|key, _| !free.contains(&key));
                    Value::Object(spec)
                };
                if !semantically_equal(&fixed(spec.value()), &fixed(&old["spec"])) {
                    errors.forbidden(&spec, STATEFULSET_FIXED);
                }
            }
            _ => {}
        }
        errors.causes
    }

    fn changes_generation(&self, new: &Value, old: &Value) -> bool {
        let annotations = |object: &Value| object["metadata"]["annotations"].clone();
        !semantically_equal(&new["spec"], &old["spec"])
            || (*self == Deployment && !same_map(&annotations(new), &annotations(old)))
    }

    fn field(
        &self,
        _resource: &Resource,
        object: &Value,
        name: &str,
    ) -> Option<json::CompactString> {
        let counted = *self == ReplicationController;
        (counted && name == "status.replicas").then(|| {
            object
                .i64_at(&["status", "replicas"])
                .unwrap_or(0)
                .to_string()
                .into()
        })
    }

    fn check_field(&self, resource: &Resource, name: &str) -> Result<(), String> {
        match name {
            _ if *self != ReplicationController => super::default_check_field(resource, name),
            "metadata.name" | "metadata.namespace" | "status.replicas" => Ok(()),
            _ => Err(format!("field label not supported: {name}")),
        }
    }
}

impl Workload {
    fn spec(self, errors: &mut Errors, spec: &At, old: Option<&Value>) {
        match self {
            Deployment => {
                errors.non_negative(&spec.field("replicas"));
                let empty = "empty selector is invalid for deployment";
                if self.required_selector(errors, spec, empty, "invalid label selector") {
                    self.template(errors, spec);
                }
                deployment_strategy(errors, &spec.field("strategy"));
                errors.non_negative(&spec.field("minReadySeconds"));
                errors.non_negative(&spec.field("revisionHistoryLimit"));
                let deadline = spec.field("progressDeadlineSeconds");
                errors.non_negative(&deadline);
                if deadline.int().is_some_and(|seconds| {
                    seconds <= spec.field("minReadySeconds").int().unwrap_or(0)
                }) {
                    errors.invalid(&deadline, "must be greater than minReadySeconds");
                }
            }
            ReplicaSet => {
                errors.non_negative(&spec.field("replicas"));
                errors.non_negative(&spec.field("minReadySeconds"));
                let empty = "empty selector is invalid for deployment";
                if self.required_selector(errors, spec, empty, "invalid label selector") {
                    self.template(errors, spec);
                }
            }
            ReplicationController => replication_controller(errors, spec),
            StatefulSet => self.stateful_set(errors, spec, old.is_some()),
            DaemonSet => self.daemon_set(errors, spec),
        }
    }

    // False if it is none that could be matched against anything: the template is then not looked at.
    fn required_selector(self, errors: &mut Errors, spec: &At, empty: &str, invalid: &str) -> bool {
        let selector = spec.field("selector");
        if !selector.is_set() {
            errors.required(&selector, "");
            return true;
        }
        let valid = label_selector(errors, &selector);
        if selector_is_empty(selector.value()) {
            errors.invalid(&selector, empty);
        }
        if !valid {
            let shown = selector.value().to_string();
            errors.invalid_raw(&selector, &shown, invalid);
        }
        valid
    }

    fn template(self, errors: &mut Errors, spec: &At) {
        let template = spec.field("template");
        let selector = &spec.value()["selector"];
        let empty = selector.is_object() && selector_is_empty(selector);
        if !empty || self == DaemonSet {
            labels_match(errors, &template, selector);
        }
        pods::validate_template(errors, &template);
        if spec.field("replicas").int().unwrap_or(0) > 1 {
            read_only_disks(errors, &template);
        }
        restart_always(errors, &template, self.name());
    }

    fn stateful_set(self, errors: &mut Errors, spec: &At, update: bool) {
        let policy = spec.field("podManagementPolicy");
        if !["OrderedReady", "Parallel"].contains(&policy.text()) {
            errors.invalid(&policy, "must be 'OrderedReady' or 'Parallel'");
        }
        let strategy = spec.field("updateStrategy");
        let rolling = strategy.field("rollingUpdate");
        let shown = |rolling: &Value| match rolling {
            Value::Null => "null".to_owned(),
            rolling => format!(
                "{{\"Partition\":{},\"MaxUnavailable\":{}}}",
                rolling["partition"].as_i64().unwrap_or(0),
                rolling["maxUnavailable"]
            ),
        };
        match strategy.field("type").text() {
            "OnDelete" if rolling.is_set() => {
                errors.invalid_raw(
                    &rolling,
                    &shown(rolling.value()),
                    "only allowed for updateStrategy 'RollingUpdate'",
                );
            }
            "OnDelete" => {}
            "RollingUpdate" => {
                errors.non_negative(&rolling.field("partition"));
                let most = rolling.field("maxUnavailable");
                if most.is_set() {
                    int_or_percent(errors, &most);
                    if amount(most.value()) == 0 {
                        errors.invalid(&most, "cannot be 0");
                    }
                    at_most_100_percent(errors, &most);
                }
            }
            other => errors.invalid_raw(
                &strategy,
                &format!(
                    "{{\"Type\":\"{other}\",\"RollingUpdate\":{}}}",
                    shown(rolling.value())
                ),
                "must be 'RollingUpdate' or 'OnDelete'",
            ),
        }
        for when in ["whenDeleted", "whenScaled"] {
            errors.one_of_in_order(
                &spec
                    .field("persistentVolumeClaimRetentionPolicy")
                    .field(when),
                &["Retain", "Delete"],
            );
        }
        if !update {
            for claim in spec.field("volumeClaimTemplates").items() {
                claims::spec(errors, &claim.field("spec"));
            }
        }
        errors.non_negative(&spec.field("replicas"));
        errors.non_negative(&spec.field("minReadySeconds"));
        let ordinals = spec.value()["ordinals"]["start"].clone();
        errors.non_negative(&At::named("spec.ordinals.start", &ordinals));
        let service = spec.field("serviceName");
        if !update && !service.text().is_empty() {
            errors.name(&service, Names::Label);
        }
        let empty = "empty selector is invalid for statefulset";
        let selectable = self.required_selector(errors, spec, empty, "");
        let mut template = spec.value()["template"].clone();
        add_claim_volumes(&mut template, &spec.value()["volumeClaimTemplates"]);
        let template = At::named("spec.template", &template);
        let matched = spec.field("selector");
        if selectable {
            if !(matched.is_set() && selector_is_empty(matched.value())) {
                labels_match(errors, &template, matched.value());
            }
            pods::validate_template(errors, &template);
        }
        restart_always(errors, &template, self.name());
    }

    fn daemon_set(self, errors: &mut Errors, spec: &At) {
        let selector = spec.field("selector");
        if label_selector(errors, &selector) {
            labels_match(errors, &spec.field("template"), selector.value());
        }
        if selector.is_set() && selector_is_empty(selector.value()) {
            errors.invalid(&selector, "empty selector is invalid for daemonset");
        }
        pods::validate_template(errors, &spec.field("template"));
        read_only_disks(errors, &spec.field("template"));
        restart_always(errors, &spec.field("template"), self.name());
        errors.non_negative(&spec.field("minReadySeconds"));
        let strategy = spec.field("updateStrategy");
        let rolling = strategy.field("rollingUpdate");
        match strategy.field("type").text() {
            "OnDelete" => {}
            "RollingUpdate" if !rolling.is_set() => errors.required(&rolling, ""),
            "RollingUpdate" => {
                let (unavailable, surge) =
                    (rolling.field("maxUnavailable"), rolling.field("maxSurge"));
                int_or_percent(errors, &unavailable);
                int_or_percent(errors, &surge);
                at_most_100_percent(errors, &unavailable);
                at_most_100_percent(errors, &surge);
                match (amount(unavailable.value()) != 0, amount(surge.value()) != 0) {
                    (true, true) => {
                        errors.invalid(&surge, "may not be set when maxUnavailable is non-zero")
                    }
                    (false, false) => {
                        errors.required(&unavailable, "cannot be 0 when maxSurge is 0")
                    }
                    _ => {}
                }
            }
            _ => unsupported_strategy(errors, &strategy, &["RollingUpdate", "OnDelete"]),
        }
        errors.non_negative(&spec.field("revisionHistoryLimit"));
    }

    fn status(self, errors: &mut Errors, status: &At, old: &Value) {
        let counts: &[&str] = match self {
            Deployment => &[
                "observedGeneration",
                "replicas",
                "updatedReplicas",
                "readyReplicas",
                "availableReplicas",
                "unavailableReplicas",
                "terminatingReplicas",
                "collisionCount",
            ],
            ReplicaSet | ReplicationController => &[
                "replicas",
                "fullyLabeledReplicas",
                "readyReplicas",
                "availableReplicas",
                "observedGeneration",
                "terminatingReplicas",
            ],
            StatefulSet => &[
                "replicas",
                "readyReplicas",
                "currentReplicas",
                "updatedReplicas",
                "availableReplicas",
                "observedGeneration",
                "collisionCount",
            ],
            DaemonSet => &[
                "currentNumberScheduled",
                "numberMisscheduled",
                "desiredNumberScheduled",
                "numberReady",
                "observedGeneration",
                "updatedNumberScheduled",
                "numberAvailable",
                "numberUnavailable",
                "collisionCount",
            ],
        };
        for name in counts {
            errors.non_negative(&status.field(name));
        }
        let limited: &[&str] = match self {
            Deployment => &["updatedReplicas", "readyReplicas", "availableReplicas"],
            ReplicaSet | ReplicationController => {
                &["fullyLabeledReplicas", "readyReplicas", "availableReplicas"]
            }
            StatefulSet => &[
                "readyReplicas",
                "currentReplicas",
                "updatedReplicas",
                "availableReplicas",
            ],
            DaemonSet => &[],
        };
        let count = |name: &str| status.value()[name].as_i64().unwrap_or(0);
        for name in limited {
            if count(name) > count("replicas") {
                errors.invalid_as(
                    &status.field(name),
                    count(name),
                    "cannot be greater than status.replicas",
                );
            }
        }
        if self != DaemonSet && count("availableReplicas") > count("readyReplicas") {
            let other = if self == StatefulSet {
                "status.readyReplicas"
            } else {
                "readyReplicas"
            };
            errors.invalid(
                &status.field("availableReplicas"),
                &format!("cannot be greater than {other}"),
            );
        }
        let collisions = status.field("collisionCount");
        if old["collisionCount"]
            .as_i64()
            .is_some_and(|old| collisions.int().unwrap_or(0) < old)
        {
            errors.invalid_as(
                &collisions,
                collisions.int().unwrap_or(0),
                "cannot be decremented",
            );
        }
    }
}

fn same_map(a: &Value, b: &Value) -> bool {
    let empty = |value: &Value| value.as_object().is_none_or(|map| map.is_empty());
    a == b || (empty(a) && empty(b))
}

fn rolling_update(strategy: &mut Map, defaults: &[(&str, Value)]) {
    fill(strategy, "type", "RollingUpdate");
    if strategy.get("type").and_then(Value::as_str) == Some("RollingUpdate") {
        let rolling = strategy.object("rollingUpdate");
        for (key, value) in defaults {
            absent(rolling, key, || value.clone());
        }
    }
}

fn default_stateful_set(spec: &mut Map) {
    fill(spec, "podManagementPolicy", "OrderedReady");
    let strategy = spec.object("updateStrategy");
    if strategy
        .get("type")
        .and_then(Value::as_str)
        .is_none_or(str::is_empty)
    {
        strategy.insert("type", "RollingUpdate");
        strategy.object("rollingUpdate");
    }
    let rolls = strategy.get("type").and_then(Value::as_str) == Some("RollingUpdate");
    if let Some(rolling) = strategy
        .get_mut("rollingUpdate")
        .filter(|_| rolls)
        .and_then(Value::as_object_mut)
    {
        absent(rolling, "partition", || Value::Int(0));
        // Its feature gate is off: nothing sent there is kept.
        rolling.remove("maxUnavailable");
    }
    let retention = spec.object("persistentVolumeClaimRetentionPolicy");
    fill(retention, "whenDeleted", "Retain");
    fill(retention, "whenScaled", "Retain");
    absent(spec, "serviceName", || "".into());
    for claim in pods::items(spec, "volumeClaimTemplates") {
        let claim = claim.make_object();
        fill(claim, "kind", "PersistentVolumeClaim");
        fill(claim, "apiVersion", "v1");
        claims::default_spec(claim.object("spec"));
        fill(claim.object("status"), "phase", "Pending");
    }
}

// The volumes that claims of the set will give every Pod count as declared.
fn add_claim_volumes(template: &mut Value, claims: &Value) {
    let Some(claims) = claims.as_array() else {
        return;
    };
    let Some(spec) = template.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    let mut volumes: Vec<Value> = claims
        .iter()
        .map(|claim| {
            let name = claim.str_at(&["metadata", "name"]);
            json!({"name": name, "persistentVolumeClaim": {"claimName": name}})
        })
        .collect();
    let own = spec
        .get("volumes")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let claimed: Vec<Value> = volumes
        .iter()
        .map(|volume| volume["name"].clone())
        .collect();
    volumes.extend(
        own.into_iter()
            .filter(|volume| !claimed.contains(&volume["name"])),
    );
    spec.insert("volumes", volumes);
}

fn labels_match(errors: &mut Errors, template: &At, selector: &Value) {
    let labels = &template.value()["metadata"]["labels"];
    if !selector_matches(selector, labels) {
        let meta = template.field("metadata");
        errors.invalid(&meta.field("labels"), MISMATCH);
    }
}

// A disk that only one machine can write to cannot be of several Pods.
fn read_only_disks(errors: &mut Errors, template: &At) {
    let spec = template.field("spec");
    for volume in spec.field("volumes").items() {
        let disk = volume.field("gcePersistentDisk");
        if disk.is_set() && !disk.field("readOnly").flag() {
            errors.invalid_as(
                &disk.field("readOnly"),
                false,
                "must be true for replicated pods > 1; GCE PD can only be mounted on multiple machines if it is read-only",
            );
        }
    }
}

fn restart_always(errors: &mut Errors, template: &At, kind: &str) {
    let spec = template.field("spec");
    errors.one_of(&spec.field("restartPolicy"), &["Always"]);
    if spec.field("activeDeadlineSeconds").is_set() {
        errors.forbidden(
            &spec.field("activeDeadlineSeconds"),
            &format!("activeDeadlineSeconds in {kind} is not Supported"),
        );
    }
}

fn replication_controller(errors: &mut Errors, spec: &At) {
    errors.non_negative(&spec.field("minReadySeconds"));
    let selector = spec.field("selector");
    let empty = selector
        .value()
        .as_object()
        .is_none_or(|map| map.is_empty());
    if empty {
        errors.required(&selector, "");
    }
    errors.non_negative(&spec.field("replicas"));
    let template = spec.field("template");
    if !template.is_set() {
        errors.required(&template, "");
        return;
    }
    if !empty {
        labels_match(
            errors,
            &template,
            &json!({"matchLabels": (selector.value())}),
        );
    }
    pods::validate_template(errors, &template);
    if spec.field("replicas").int().unwrap_or(0) > 1 {
        read_only_disks(errors, &template);
    }
    restart_always(errors, &template, "ReplicationController");
}

fn deployment_strategy(errors: &mut Errors, strategy: &At) {
    let rolling = strategy.field("rollingUpdate");
    match strategy.field("type").text() {
        "Recreate" => {
            if rolling.is_set() {
                errors.forbidden(
                    &rolling,
                    "may not be specified when strategy `type` is 'Recreate'",
                );
            }
        }
        "RollingUpdate" => {
            let (unavailable, surge) = (rolling.field("maxUnavailable"), rolling.field("maxSurge"));
            int_or_percent(errors, &unavailable);
            int_or_percent(errors, &surge);
            if amount(unavailable.value()) == 0 && amount(surge.value()) == 0 {
                errors.invalid(&unavailable, "may not be 0 when `maxSurge` is 0");
            }
            at_most_100_percent(errors, &unavailable);
        }
        _ => unsupported_strategy(errors, strategy, &["Recreate", "RollingUpdate"]),
    }
}

// The strategy as Go prints it, in full.
fn unsupported_strategy(errors: &mut Errors, strategy: &At, supported: &[&str]) {
    let rolling = match &strategy.value()["rollingUpdate"] {
        Value::Null => "null".to_owned(),
        rolling => format!(
            "{{\"MaxUnavailable\":{},\"MaxSurge\":{}}}",
            rolling["maxUnavailable"], rolling["maxSurge"]
        ),
    };
    let quoted: Vec<String> = supported.iter().map(|text| format!("\"{text}\"")).collect();
    errors.push(Cause::new(
        "FieldValueNotSupported",
        strategy.path(),
        format!(
            "Unsupported value: {{\"Type\":\"{}\",\"RollingUpdate\":{rolling}}}: supported values: {}",
            strategy.field("type").text(),
            quoted.join(", ")
        ),
    ));
}

/// A number that is not negative, or a percentage.
pub fn int_or_percent(errors: &mut Errors, at: &At) {
    if at.value().is_string() {
        errors.name(at, Names::Percent);
    } else {
        errors.non_negative(at);
    }
}

/// A percentage of at most a hundred, if it is one.
pub fn at_most_100_percent(errors: &mut Errors, at: &At) {
    if at.value().is_string() && Names::Percent.allows(at.text()) && amount(at.value()) > 100 {
        errors.invalid(at, "must not be greater than 100%");
    }
}

fn amount(value: &Value) -> i64 {
    match value.as_str() {
        Some(text) => text.trim_end_matches('%').parse().unwrap_or(0),
        None => value.as_i64().unwrap_or(0),
    }
}

fn template_generation(object: &Value) -> i64 {
    object
        .str_at(&["metadata", "annotations", TEMPLATE_GENERATION])
        .parse()
        .unwrap_or(0)
}

fn set_template_generation(object: &mut Value, generation: i64) {
    object.set(
        &["metadata", "annotations", TEMPLATE_GENERATION],
        generation.to_string(),
    );
}

// The annotation is a number on the inside: there is always one, and what is none counts as 0.
fn read_template_generation(object: &mut Map) {
    let annotations = object.object("metadata").object("annotations");
    let number = annotations
        .get(TEMPLATE_GENERATION)
        .and_then(Value::as_str)
        .and_then(|text| text.parse::<i64>().ok());
    annotations.insert(TEMPLATE_GENERATION, number.unwrap_or(0).to_string());
}

/// PodTemplate: a template stored by itself.
pub struct PodTemplates;

impl Strategy for PodTemplates {
    fn default(&self, _resource: &Resource, object: &mut Value) {
        pods::default_template(object.make_object().get_or_insert("template", Value::Null));
    }

    fn validate_create(&self, _cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        pods::validate_template(&mut errors, &At::root(object).field("template"));
        errors.causes
    }

    fn warnings(&self, out: &mut Vec<String>, new: &Value, old: Option<&Value>) {
        if old.is_none_or(|old| self.changes_generation(new, old)) {
            pods::warnings(out, "template.", &new["template"]);
        }
    }

    fn validate_update(&self, _cx: &mut Cx<'_>, new: &Value, _old: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let root = At::root(new);
        pods::validate_template(&mut errors, &root.field("template"));
        errors.causes
    }

    fn changes_generation(&self, new: &Value, old: &Value) -> bool {
        !semantically_equal(&new["template"], &old["template"])
    }
}

/// ControllerRevision: data that never changes.
pub struct ControllerRevisions;

impl Strategy for ControllerRevisions {
    fn validate_create(&self, _cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let root = At::root(object);
        errors.non_negative(&root.field("revision"));
        let data = root.field("data");
        if !data.is_set() {
            errors.required(&data, "data is mandatory");
        } else if !data.value().is_object() {
            errors.required(&data, "data must be a valid JSON object");
        }
        errors.causes
    }

    fn validate_update(&self, cx: &mut Cx<'_>, new: &Value, old: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let root = At::root(new);
        super::validate_metadata(&mut errors, cx, new, old);
        errors.non_negative(&root.field("revision"));
        if new["data"] != old["data"] {
            errors.invalid(&root.field("data"), super::field::IMMUTABLE);
        }
        errors.causes
    }
}
