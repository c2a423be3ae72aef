//! What stands below a Pod and is more than a part of it: binding, eviction, log and the connections (S6).
//!
//! Owns their checks and effects. No Pod runs anywhere, so that log and connections end where a real server would ask the
//! kubelet: at a node that is not there, or has no address.
//! Source: kubernetes `registry/core/pod/storage/{storage,eviction}.go`, `registry/core/pod/strategy.go`.

use std::sync::Arc;

use super::access::{self, Attributes};
use super::{Answer, Halt, Session, body, delete, managed, update};
use crate::json;
use crate::json::Value;
use crate::registry::{Resource, split_api_version};
use crate::request::selector::LabelSelector;
use crate::request::{DeleteOptions, WriteOptions};
use crate::schema::Schemas;
use crate::status::{Cause, Status, aggregate};
use crate::store::{Key, Object};
use crate::strategy::field::{At, Errors};

/// POST of a Binding: gives an unassigned Pod its node.
pub(super) fn bind(s: &mut Session<'_>, row: Arc<Resource>) -> Result<Answer, Halt> {
    let options = WriteOptions::read(&s.request.query, "CreateOptions")?;
    let mut binding = review(s, &row, &options)?;
    let name = s.request.info.name.clone();
    track(s, &mut binding, "binding", &options);
    let early = |binding: &Value| {
        check_name(binding, &name, "Binding")?;
        check_target(binding)
    };
    admit(s, &row, "binding", &mut binding, &options, early)?;
    assign(s, row, &name, &binding, &options)
}

/// POST of a Binding to its own collection, which names the Pod.
pub(super) fn bind_by_name(
    s: &mut Session<'_>,
    binding: &Value,
    options: &WriteOptions,
) -> Result<Answer, Halt> {
    let Some(row) = s.core.registry.find("", "v1", "pods").cloned() else {
        return Err(Status::method_not_allowed().into());
    };
    check_target(binding)?;
    // Here uid and revision are wiped as in any creation.
    let mut binding = binding.clone();
    for field in ["uid", "resourceVersion"] {
        binding.remove(&["metadata", field]);
    }
    let name = binding.str_at(&["metadata", "name"]);
    assign(s, row, name, &binding, options)
}

fn check_target(binding: &Value) -> Result<(), Status> {
    let mut errors = Errors::default();
    let root = At::root(binding);
    let target = root.field("target");
    let (kind, name) = (target.field("kind"), target.field("name"));
    if !matches!(kind.text(), "" | "Node") {
        errors.unsupported(&kind, &["Node", "<empty>"]);
    }
    if name.text().is_empty() {
        errors.required(&name, "");
    }
    match errors.is_empty() {
        true => Ok(()),
        false => Err(Status::bare(aggregate(&errors.causes))),
    }
}

fn assign(
    s: &mut Session<'_>,
    row: Arc<Resource>,
    name: &str,
    binding: &Value,
    options: &WriteOptions,
) -> Result<Answer, Halt> {
    let node = binding.str_at(&["target", "name"]).to_owned();
    let namespace = &s.request.info.namespace;
    let Some(existing) = s.core.object(&row, namespace, name).cloned() else {
        return Err(Status::not_found("", "pods", name).into());
    };
    update::check_bound(&row, &existing, binding, options.dry_run)?;
    let mut pod = existing.value().clone();
    let why = if existing.is_terminating() {
        format!("pod {name} is being deleted, cannot be assigned to a host")
    } else if !pod.str_at(&["spec", "nodeName"]).is_empty() {
        let assigned = crate::status::go_quote(pod.str_at(&["spec", "nodeName"]));
        format!("pod {name} is already assigned to node {assigned}")
    } else if !pod.array_at(&["spec", "schedulingGates"]).is_empty() {
        format!("pod {name} has non-empty .spec.schedulingGates")
    } else {
        String::new()
    };
    if !why.is_empty() {
        return Err(Status::conflict("", "pods/binding", name, &why).into());
    }
    pod.set(&["spec", "nodeName"], node.as_str());
    let annotations = binding
        .at(&["metadata", "annotations"])
        .and_then(Value::as_object);
    for (key, value) in annotations.into_iter().flat_map(json::Map::iter) {
        pod.set(&["metadata", "annotations", key], value.clone());
    }
    let scheduled = json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": s.now.rfc3339()});
    set_condition(&mut pod, scheduled);
    if !options.dry_run {
        store(s, &row, &existing, pod);
    }
    Ok(Answer::Status(Status::success(201)))
}

/// POST of an Eviction: deletes the Pod, unless a budget forbids it.
pub(super) fn evict(s: &mut Session<'_>, row: Arc<Resource>) -> Result<Answer, Halt> {
    let options = WriteOptions::read(&s.request.query, "CreateOptions")?;
    let mut eviction = review(s, &row, &options)?;
    let name = s.request.info.name.clone();
    let sent = eviction
        .get("deleteOptions")
        .cloned()
        .unwrap_or_else(Value::object);
    let mut delete_options = DeleteOptions::from_value(&sent)?;
    delete_options.dry_run |= options.dry_run;
    let options = WriteOptions {
        dry_run: delete_options.dry_run,
        ..options
    };
    track(s, &mut eviction, "eviction", &options);
    let early = |eviction: &Value| check_name(eviction, &name, "Eviction");
    admit(s, &row, "eviction", &mut eviction, &options, early)?;
    let pod = existing(s, &row)?;
    let phase = pod.value().str_at(&["status", "phase"]);
    let free = pod.is_terminating() || matches!(phase, "Pending" | "Succeeded" | "Failed");
    if !free {
        spend_budget(s, &pod, delete_options.dry_run)?;
    }
    delete::preconditions(&row, &pod, &delete_options)?;
    let pod = mark_disrupted(s, &row, pod, &delete_options);
    let (origin, now) = (s.origin(), s.now);
    delete::remove(s.core, &row, &pod, &delete_options, origin, now);
    Ok(Answer::Status(Status::success(201)))
}

/// Log, exec, attach, port-forward, proxy: as far as it goes without a kubelet.
pub(super) fn connect(s: &mut Session<'_>, row: Arc<Resource>) -> Result<Answer, Halt> {
    let subresource = s.request.info.subresource.clone();
    if subresource != "log" {
        admit_connection(s, &row, &subresource)?;
    }
    let existing = existing(s, &row)?;
    if subresource == "proxy" {
        let why = match row.plural.as_str() {
            "services" => format!(
                "no endpoints available for service {}",
                crate::status::go_quote(existing.name())
            ),
            _ => "no address of the object is known".to_owned(),
        };
        return Err(Status::service_unavailable(why).into());
    }
    if subresource == "log" {
        check_log_options(s, existing.name())?;
    }
    if subresource != "portforward" {
        check_container(s, &existing)?;
    }
    let node = existing.value().str_at(&["spec", "nodeName"]).to_owned();
    if node.is_empty() && subresource == "log" {
        return Ok(Answer::Raw {
            code: 204,
            content_type: "",
            headers: Vec::new(),
            body: bytes::Bytes::new(),
        });
    }
    if node.is_empty() {
        let why = format!("pod {} does not have a host assigned", existing.name());
        return Err(Status::bad_request(why).into());
    }
    let nodes = s.core.registry.find("", "v1", "nodes").cloned();
    if nodes.is_none_or(|nodes| s.core.object(&nodes, "", &node).is_none()) {
        return Err(Status::not_found("", "nodes", &node).into());
    }
    Err(Status::internal("no preferred addresses found; known addresses: []").into())
}

fn existing(s: &Session<'_>, row: &Resource) -> Result<Arc<Object>, Status> {
    super::update::live(s, row)
        .ok_or_else(|| Status::not_found(&row.group, &row.plural, &s.request.info.name))
}

/// The body of a POST to a subresource: an object of another kind than the row's.
fn review(s: &mut Session<'_>, row: &Resource, options: &WriteOptions) -> Result<Value, Status> {
    let mut value = body::part(s, row, options.field_validation)?;
    body::check_namespace(row, &s.request.info.namespace, &mut value)?;
    Ok(value)
}

fn check_name(object: &Value, name: &str, kind: &str) -> Result<(), Status> {
    if object.str_at(&["metadata", "name"]) == name {
        return Ok(());
    }
    Err(Status::bad_request(format!(
        "name in URL does not match name in {kind} object"
    )))
}

/// What is sent is managed like any other creation, for admission to see.
fn track(s: &Session<'_>, object: &mut Value, subresource: &str, options: &WriteOptions) {
    let api_version = object.str_at(&["apiVersion"]).to_owned();
    let (group, version) = split_api_version(&api_version);
    let kind = Schemas::builtin().kind(group, version, object.str_at(&["kind"]));
    if let Some(schema) = kind {
        let manager = options.manager(s.request.header(http::header::USER_AGENT));
        managed::track_created(s, schema, &api_version, subresource, object, &manager);
    }
}

/// Admission of what is sent; `early` is looked at once it may have been changed, before it is validated.
fn admit(
    s: &mut Session<'_>,
    row: &Arc<Resource>,
    subresource: &str,
    object: &mut Value,
    options: &WriteOptions,
    early: impl FnOnce(&Value) -> Result<(), Status>,
) -> Result<(), Halt> {
    let (namespace, name) = (
        s.request.info.namespace.clone(),
        s.request.info.name.clone(),
    );
    super::lifecycle::admit_create(s, row, &namespace, &name)?;
    let sent_options = access::sent_options(s, options, "CreateOptions");
    let attributes = Attributes {
        operation: "CREATE",
        row,
        subresource,
        namespace: &namespace,
        name: &name,
        old: None,
        options: &sent_options,
        dry_run: options.dry_run,
    };
    access::mutate(s, &attributes, object)?;
    early(object)?;
    access::validate(s, &attributes, Some(object))
}

/// Stores a change that nobody manages and that bumps no generation.
fn store(s: &mut Session<'_>, row: &Arc<Resource>, existing: &Object, value: Value) -> Arc<Object> {
    let key = Key::new(existing.namespace(), existing.name());
    let (origin, now) = (s.origin(), s.now);
    s.core.put(row, key, value, origin, now).object.clone()
}

/// Puts a condition in the place of the one of its type, or at the end.
fn set_condition(object: &mut Value, condition: Value) {
    let mut conditions = object.array_at(&["status", "conditions"]).to_vec();
    let same = |old: &&mut Value| old.str_at(&["type"]) == condition.str_at(&["type"]);
    match conditions.iter_mut().find(same) {
        Some(old) => *old = condition,
        None => conditions.push(condition),
    }
    object.set(&["status", "conditions"], Value::Array(conditions));
}

/// Admission of a connection: its options are the object (AD11).
fn admit_connection(
    s: &mut Session<'_>,
    row: &Arc<Resource>,
    subresource: &str,
) -> Result<(), Halt> {
    let info = &s.request.info;
    let query = &s.request.query;
    let kind = row
        .subresource(subresource)
        .map_or("", |sub| sub.kind.as_str());
    let mut object = json!({"kind": kind, "apiVersion": "v1"});
    if subresource == "proxy" {
        if !info.rest.is_empty() {
            object.set(&["path"], format!("/{}", info.rest.join("/")));
        }
    } else {
        for flag in ["stdin", "stdout", "stderr", "tty"] {
            if query.flag(flag) == Some(true) {
                object.set(&[flag], true);
            }
        }
        if !query.text("container").is_empty() {
            object.set(&["container"], query.text("container"));
        }
        let command: Vec<Value> = query.all("command").map(Value::from).collect();
        if !command.is_empty() {
            object.set(&["command"], Value::Array(command));
        }
        let ports = query
            .all("ports")
            .filter_map(|port| port.parse::<i64>().ok());
        let ports: Vec<Value> = ports.map(Value::from).collect();
        if !ports.is_empty() {
            object.set(&["ports"], Value::Array(ports));
        }
    }
    let (namespace, name) = (info.namespace.clone(), info.name.clone());
    let attributes = Attributes {
        operation: "CONNECT",
        row,
        subresource,
        namespace: &namespace,
        name: &name,
        old: None,
        options: &Value::Null,
        dry_run: false,
    };
    access::mutate(s, &attributes, &mut object)?;
    access::validate(s, &attributes, Some(&object))
}

/// The first write of an eviction tells the Pod's controllers why it goes.
fn mark_disrupted(
    s: &mut Session<'_>,
    row: &Arc<Resource>,
    pod: Arc<Object>,
    options: &DeleteOptions,
) -> Arc<Object> {
    let mut value = pod.value().clone();
    let told = value
        .array_at(&["status", "conditions"])
        .iter()
        .any(|c| c.str_at(&["type"]) == "DisruptionTarget" && c.str_at(&["status"]) == "True");
    if told || options.dry_run {
        return pod;
    }
    let condition = json!({"type": "DisruptionTarget", "status": "True", "lastProbeTime": null, "lastTransitionTime": s.now.rfc3339(),
        "reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting"});
    set_condition(&mut value, condition);
    store(s, row, &pod, value)
}

/// Takes one disruption from the budget that covers a Pod; 429 if there is none left.
fn spend_budget(s: &mut Session<'_>, pod: &Object, dry_run: bool) -> Result<(), Status> {
    let Some(row) = s
        .core
        .registry
        .find("policy", "v1", "poddisruptionbudgets")
        .cloned()
    else {
        return Ok(());
    };
    let budgets = budgets(s, &row, pod);
    let budget = match budgets.as_slice() {
        [] => return Ok(()),
        [budget] => budget.clone(),
        _ => {
            let why = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
            return Err(Status::bare(why));
        }
    };
    let mut value = budget.value().clone();
    let status = |field: &str| value.i64_at(&["status", field]).unwrap_or(0);
    let (healthy, desired, allowed) = (
        status("currentHealthy"),
        status("desiredHealthy"),
        status("disruptionsAllowed"),
    );
    let conditions = pod.value().array_at(&["status", "conditions"]).iter();
    let mut ready = conditions
        .filter(|c| c.str_at(&["type"]) == "Ready")
        .map(|c| c.str_at(&["status"]) == "True");
    if !ready.next().unwrap_or(false) {
        let always = value.str_at(&["spec", "unhealthyPodEvictionPolicy"]) == "AlwaysAllow";
        if always || (healthy >= desired && desired > 0) {
            return Ok(());
        }
    }
    let name = budget.name();
    let observed = status("observedGeneration");
    if observed < value.i64_at(&["metadata", "generation"]).unwrap_or(0) {
        return Err(refused(
            10,
            format!("The disruption budget {name} is still being processed by the server."),
        ));
    }
    if allowed < 1 && healthy <= desired {
        return Err(refused(
            0,
            format!(
                "The disruption budget {name} needs {desired} healthy pods and has {healthy} currently"
            ),
        ));
    }
    if allowed < 1 {
        return Err(refused(
            0,
            format!("The disruption budget {name} does not allow evicting pods currently"),
        ));
    }
    if dry_run {
        return Ok(());
    }
    value.set(&["status", "disruptionsAllowed"], allowed - 1);
    if allowed == 1 {
        let condition = json!({"type": "DisruptionAllowed", "status": "False", "observedGeneration": observed,
            "lastTransitionTime": s.now.rfc3339(), "reason": "InsufficientPods", "message": ""});
        set_condition(&mut value, condition);
    }
    value.set(&["status", "disruptedPods", pod.name()], s.now.rfc3339());
    let key = Key::new(budget.namespace(), name);
    s.put_as_server(&row, key, value, "status");
    Ok(())
}

fn budgets(s: &Session<'_>, row: &Resource, pod: &Object) -> Vec<Arc<Object>> {
    let view = s.core.store.at(row.id, s.core.store.revision());
    let all = view
        .range(None, None)
        .filter(|(key, _)| key.namespace() == pod.namespace());
    let covers = |budget: &&Arc<Object>| {
        let selector = budget
            .value()
            .at(&["spec", "selector"])
            .and_then(LabelSelector::from_value);
        selector.is_some_and(|selector| selector.matches(pod.value()))
    };
    all.map(|(_, object)| object)
        .filter(covers)
        .cloned()
        .collect()
}

fn refused(retry_after_seconds: u32, why: String) -> Status {
    let message = "Cannot evict pod as it would violate the pod's disruption budget.";
    Status::too_many_requests(message, retry_after_seconds).with_cause(Cause::new(
        "DisruptionBudget",
        "",
        why,
    ))
}

fn check_log_options(s: &Session<'_>, name: &str) -> Result<(), Status> {
    let least = [
        ("tailLines", 0, "must be greater than or equal to 0"),
        ("sinceSeconds", 1, "must be greater than 0"),
        ("limitBytes", 1, "must be greater than 0"),
    ];
    let mut causes = Vec::new();
    for (field, least, why) in least {
        if let Some(number) = s
            .request
            .query
            .integer(field)?
            .filter(|number| *number < least)
        {
            causes.push(Cause::invalid(field, &number.into(), why));
        }
    }
    match causes.is_empty() {
        true => Ok(()),
        false => Err(Status::invalid("", "PodLogOptions", name, causes)),
    }
}

fn check_container(s: &Session<'_>, pod: &Object) -> Result<(), Status> {
    let names = |list: &str| -> Vec<String> {
        let all = pod.value().array_at(&["spec", list]).iter();
        all.map(|container| container.str_at(&["name"]).to_owned())
            .collect()
    };
    let (containers, init) = (names("containers"), names("initContainers"));
    match s.request.query.text("container") {
        "" if containers.len() == 1 => Ok(()),
        "" => {
            let mut why = format!(
                "a container name must be specified for pod {}, choose one of: [{}]",
                pod.name(),
                containers.join(" ")
            );
            if !init.is_empty() {
                why.push_str(&format!(
                    " or one of the init containers: [{}]",
                    init.join(" ")
                ));
            }
            Err(Status::bad_request(why))
        }
        name if containers
            .iter()
            .chain(&init)
            .chain(&names("ephemeralContainers"))
            .any(|known| known == name) =>
        {
            Ok(())
        }
        name => Err(Status::bad_request(format!(
            "container {name} is not valid for pod {}",
            pod.name()
        ))),
    }
}
