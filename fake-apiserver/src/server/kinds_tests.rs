//! What single kinds do, through the server's outer interface.

use super::tests::World;
use crate::json;
use crate::json::Value;

const DEFAULT: &str = "/api/v1/namespaces/default";

fn message(answer: &(u16, Value)) -> &str {
    answer.1.str_at(&["message"])
}

fn template(labels: Value) -> Value {
    json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
}

#[test]
fn s6_a_token_is_bound_to_what_is_there() {
    let mut world = World::quick();
    world.call(
        "POST",
        &format!("{DEFAULT}/serviceaccounts"),
        Some(json!({"metadata": {"name": "a"}})),
    );
    world.call(
        "POST",
        &format!("{DEFAULT}/secrets"),
        Some(json!({"metadata": {"name": "s"}})),
    );
    let mut ask = |reference: Value| {
        let body = json!({"spec": {"boundObjectRef": reference}});
        let target = format!("{DEFAULT}/serviceaccounts/a/token");
        world.call("POST", &target, Some(body))
    };
    let bound = ask(json!({"apiVersion": "v1", "kind": "Secret", "name": "s"}));
    assert_eq!(bound.0, 201);
    let missing = ask(json!({"apiVersion": "v1", "kind": "Pod", "name": "p"}));
    assert_eq!(
        (missing.0, message(&missing)),
        (404, "pods \"p\" not found")
    );
    let other = ask(json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "s"}));
    assert_eq!(
        (other.0, message(&other)),
        (
            400,
            "cannot bind token to object of type /v1, Kind=ConfigMap"
        )
    );
    let stale = ask(json!({"apiVersion": "v1", "kind": "Secret", "name": "s", "uid": "x"}));
    assert_eq!(stale.0, 409);
}

#[test]
fn s6_a_token_is_asked_for_by_the_name_and_uid_of_its_account() {
    let mut world = World::quick();
    let accounts = format!("{DEFAULT}/serviceaccounts");
    let account = world.call("POST", &accounts, Some(json!({"metadata": {"name": "a"}})));
    let uid = account.1.str_at(&["metadata", "uid"]).to_owned();
    let mut ask = |metadata: Value, spec: Value| {
        let body = json!({"metadata": metadata, "spec": spec});
        world.call("POST", &format!("{accounts}/a/token"), Some(body))
    };
    assert_eq!(
        ask(json!({"name": "a", "uid": uid.as_str()}), json!({})).0,
        201
    );
    // The name is looked at before the spec.
    let short = json!({"expirationSeconds": 5});
    let other = ask(json!({"name": "b"}), short.clone());
    assert_eq!(
        (other.0, message(&other)),
        (
            422,
            "TokenRequest.authentication.k8s.io \"a\" is invalid: metadata.name: Invalid value: \"b\": must match the service account name if specified"
        )
    );
    let stale = ask(json!({"uid": "x"}), short.clone());
    let want = format!(
        "Operation cannot be fulfilled on TokenRequest.authentication.k8s.io \"a\": the UID in the token request (x) does not match the UID of the service account ({uid})"
    );
    assert_eq!((stale.0, message(&stale)), (409, want.as_str()));
    assert_eq!(ask(json!({"namespace": "other"}), short.clone()).0, 400);
    assert_eq!(ask(json!({}), short).0, 422);
}

#[test]
fn s6_a_binding_is_for_the_pod_that_was_seen() {
    let mut world = World::quick();
    let pods = format!("{DEFAULT}/pods");
    let created = world.call("POST", &pods, Some(pod("p", json!({}))));
    let uid = created.1.str_at(&["metadata", "uid"]).to_owned();
    let mut bind = |metadata: Value, target: Value| {
        let mut body = json!({"metadata": metadata, "target": target});
        body.set(&["metadata", "name"], "p");
        world.call("POST", &format!("{pods}/p/binding"), Some(body))
    };
    let node = json!({"kind": "Node", "name": "n"});
    let (code, status) = bind(json!({"uid": "seen-before"}), node.clone());
    let want = format!(
        "Operation cannot be fulfilled on pods \"p\": StorageError: invalid object, Code: 4, Key: /registry/pods/default/p, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: seen-before, UID in object meta: {uid}"
    );
    assert_eq!((code, status.str_at(&["message"])), (409, want.as_str()));
    let (code, status) = bind(json!({"resourceVersion": "1"}), node.clone());
    assert_eq!(code, 409, "{status}");
    let (code, status) = bind(json!({}), json!({"kind": "Rack"}));
    assert_eq!(
        (code, status.str_at(&["message"])),
        (
            500,
            "[target.kind: Unsupported value: \"Rack\": supported values: \"Node\", \"<empty>\", target.name: Required value]"
        )
    );
    assert_eq!(bind(json!({"uid": uid.as_str()}), node).0, 201);
}

#[test]
fn d9_a_template_is_not_compared_with_an_invalid_selector() {
    let mut world = World::quick();
    let selector = json!({"matchExpressions": [{"key": "a", "operator": "Bad"}]});
    let spec = json!({"selector": selector, "template": (template(json!({"a": "b"})))});
    let body = json!({"metadata": {"name": "a"}, "spec": spec});
    let target = "/apis/apps/v1/namespaces/default/deployments";
    let answer = world.call("POST", target, Some(body));
    assert_eq!(
        message(&answer),
        "Deployment.apps \"a\" is invalid: [spec.selector.matchExpressions[0].operator: Invalid value: \"Bad\": not a valid selector operator, spec.selector: Invalid value: {\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"Bad\"}]}: invalid label selector]"
    );
}

#[test]
fn h10a_fields_of_kinds_that_name_their_own() {
    let mut world = World::quick();
    let mut refusal = |target: &str| {
        let answer = world.call("GET", target, None);
        (answer.0, message(&answer).to_owned())
    };
    let unsupported = |label: &str| (400, format!("field label not supported: {label}"));
    assert_eq!(
        refusal("/api/v1/namespaces?fieldSelector=name%3Da"),
        unsupported("name")
    );
    let controllers = format!("{DEFAULT}/replicationcontrollers?fieldSelector=spec.x%3D1");
    assert_eq!(refusal(&controllers), unsupported("spec.x"));
    let slices = "/apis/resource.k8s.io/v1/resourceslices?fieldSelector=";
    assert_eq!(refusal(&format!("{slices}spec.driver%3Da")).0, 200);
    assert_eq!(
        refusal(&format!("{slices}spec.x%3Da")).1,
        "field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: spec.x"
    );
}

#[test]
fn s2_status_of_flow_schemas_takes_no_metadata() {
    let mut world = World::quick();
    let schemas = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas";
    let spec = json!({"priorityLevelConfiguration": {"name": "exempt"}});
    let body = json!({"metadata": {"name": "a", "labels": {"x": "1"}}, "spec": spec});
    world.call("POST", schemas, Some(body));
    let patch = json!({"metadata": {"labels": {"x": "2"}}, "status": {"conditions": [{"type": "Dangling", "status": "True"}]}});
    let answer = world.call("PATCH", &format!("{schemas}/a/status"), Some(patch));
    assert_eq!(answer.0, 200);
    assert_eq!(answer.1.str_at(&["metadata", "labels", "x"]), "1");
}

#[test]
fn g1_priority_classes_of_the_system_stay() {
    let mut world = World::quick();
    let classes = "/apis/scheduling.k8s.io/v1/priorityclasses";
    let answer = world.call("DELETE", &format!("{classes}/system-node-critical"), None);
    assert_eq!(
        (answer.0, message(&answer)),
        (
            403,
            "priorityclasses.scheduling.k8s.io \"system-node-critical\" is forbidden: this is a system priority class and cannot be deleted"
        )
    );
}

#[test]
fn o11_a_data_source_of_an_unknown_kind_is_dropped() {
    let mut world = World::quick();
    let mut claim = |name: &str, more: Value| {
        let mut spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
        for (key, value) in more.as_object().into_iter().flatten() {
            spec.set(&[key], value);
        }
        let body = json!({"metadata": {"name": name}, "spec": spec});
        let target = format!("{DEFAULT}/persistentvolumeclaims");
        let answer = world.call("POST", &target, Some(body));
        assert_eq!(answer.0, 201, "{}", message(&answer));
        answer.1["spec"].clone()
    };
    let dropped = claim(
        "a",
        json!({"dataSource": {"apiGroup": "a.b", "kind": "X", "name": "y"}}),
    );
    assert!(dropped["dataSource"].is_null() && dropped["dataSourceRef"].is_null());
    let kept = claim(
        "b",
        json!({"dataSourceRef": {"apiGroup": "a.b", "kind": "X", "name": "y"}}),
    );
    assert_eq!(kept["dataSource"], kept["dataSourceRef"]);
    let elsewhere = claim(
        "c",
        json!({"dataSourceRef": {"kind": "PersistentVolumeClaim", "name": "y", "namespace": "z"}}),
    );
    assert!(elsewhere["dataSourceRef"].is_null());
}

fn pod(name: &str, resources: Value) -> Value {
    json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i", "resources": resources}]}})
}

#[test]
fn o13_defaults_of_a_limit_range_are_told() {
    let mut world = World::quick();
    let limit =
        json!({"type": "Container", "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "100m"}});
    let range = json!({"metadata": {"name": "l"}, "spec": {"limits": [limit]}});
    world.call("POST", &format!("{DEFAULT}/limitranges"), Some(range));
    let body = pod("a", json!({}));
    let answer = world.call("POST", &format!("{DEFAULT}/pods"), Some(body));
    assert_eq!(answer.0, 201);
    assert_eq!(
        answer
            .1
            .str_at(&["metadata", "annotations", "kubernetes.io/limit-ranger"]),
        "LimitRanger plugin set: cpu request for container c; cpu limit for container c"
    );
}

fn quota(world: &mut World, name: &str, hard: Value, more: Value) {
    let mut spec = more;
    spec.set(&["hard"], &hard);
    let body = json!({"metadata": {"name": name}, "spec": spec});
    let target = format!("{DEFAULT}/resourcequotas");
    assert_eq!(world.call("POST", &target, Some(body)).0, 201);
    let mut used = hard.clone();
    for (key, _) in hard.as_object().into_iter().flatten() {
        used.set(&[key], "0");
    }
    let patch = json!({"status": {"hard": hard, "used": used}});
    let target = format!("{target}/{name}/status");
    assert_eq!(world.call("PATCH", &target, Some(patch)).0, 200);
}

#[test]
fn o13_a_quota_counts_what_is_in_its_scope() {
    let mut world = World::quick();
    let scope = json!({"scopes": ["NotBestEffort"]});
    quota(&mut world, "q", json!({"pods": "0"}), scope);
    let pods = format!("{DEFAULT}/pods");
    let free = world.call("POST", &pods, Some(pod("a", json!({}))));
    assert_eq!(free.0, 201);
    let bound = pod("b", json!({"requests": {"cpu": "1"}}));
    let refused = world.call("POST", &pods, Some(bound));
    assert_eq!(
        message(&refused),
        "pods \"b\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0"
    );
}

#[test]
fn o13_an_update_is_charged_for_what_it_adds() {
    let mut world = World::quick();
    let hard = json!({"services": "1", "services.nodeports": "0"});
    quota(&mut world, "q", hard, json!({}));
    let services = format!("{DEFAULT}/services");
    let body = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}});
    assert_eq!(world.call("POST", &services, Some(body)).0, 201);
    let same = json!({"metadata": {"labels": {"a": "b"}}});
    let target = format!("{services}/s");
    assert_eq!(world.call("PATCH", &target, Some(same)).0, 200);
    let patch = json!({"spec": {"type": "NodePort"}});
    let refused = world.call("PATCH", &target, Some(patch));
    assert_eq!(
        message(&refused),
        "services \"s\" is forbidden: exceeded quota: q, requested: services.nodeports=1, used: services.nodeports=0, limited: services.nodeports=0"
    );
}

#[test]
fn o13_a_stricter_namespace_warns_of_the_pods_it_has() {
    let mut world = World::quick();
    let mut odd = pod("a", json!({}));
    odd.set(&["spec", "hostNetwork"], true);
    let pods = format!("{DEFAULT}/pods");
    assert_eq!(world.call("POST", &pods, Some(odd)).0, 201);
    let labels = json!({"pod-security.kubernetes.io/enforce": "baseline"});
    let patch = json!({"metadata": {"labels": labels}});
    let warnings = world.warnings("PATCH", DEFAULT, Some(patch));
    assert_eq!(
        warnings,
        [
            "299 - \"existing pods in namespace \\\"default\\\" violate the new PodSecurity enforce level \\\"baseline:latest\\\"\"",
            "299 - \"a: host namespaces\"",
        ]
    );
    // What only labels a Pod is not judged anew.
    let label = json!({"metadata": {"labels": {"x": "y"}}});
    let target = format!("{pods}/a");
    assert_eq!(world.call("PATCH", &target, Some(label)).0, 200);
    let image = json!([{"name": "c", "image": "other"}]);
    let patch = json!({"spec": {"containers": image}});
    assert_eq!(world.call("PATCH", &target, Some(patch)).0, 403);
}

#[test]
fn d11_what_is_sent_to_a_subresource_is_read_by_its_own_kind() {
    let mut world = World::quick();
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    let labels = json!({"a": "b"});
    let spec =
        json!({"selector": {"matchLabels": (labels.clone())}, "template": (template(labels))});
    let body = json!({"metadata": {"name": "d"}, "spec": spec});
    world.call("POST", deployments, Some(body));
    let scale = format!("{deployments}/d/scale");
    let strict = format!("{scale}?fieldValidation=Strict");
    let name = json!({"name": "d"});
    let mut refusal = |method: &str, target: &str, body: Value| {
        let answer = world.call(method, target, Some(body));
        (answer.0, message(&answer).to_owned())
    };
    let unknown = json!({"metadata": (name.clone()), "spec": {"replicas": 2, "x": 1}});
    assert_eq!(refusal("PUT", &scale, unknown.clone()).0, 200);
    assert_eq!(
        refusal("PUT", &strict, unknown),
        (400, "Scale in version \"v1\" cannot be handled as a Scale: strict decoding error: unknown field \"spec.x\"".to_owned())
    );
    let other = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": (name.clone())});
    assert_eq!(
        refusal("PUT", &scale, other),
        (400, "Deployment in version \"v1\" cannot be handled as a Scale: converting (v1.Deployment) to (autoscaling.Scale): unknown conversion".to_owned())
    );
    let patched = refusal("PATCH", &scale, json!({"kind": "X"}));
    assert_eq!(patched.0, 422);
    assert!(
        patched
            .1
            .contains("no kind \"X\" is registered for version \"autoscaling/v1\"")
    );
    let eviction = format!("{DEFAULT}/pods/d/eviction");
    let old =
        json!({"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": (name.clone())});
    assert_eq!(refusal("POST", &eviction, old).0, 404);
    let wrong = json!({"metadata": name, "deleteOptions": {"gracePeriodSeconds": "x"}});
    assert_eq!(
        refusal("POST", &eviction, wrong),
        (400, "Eviction in version \"v1\" cannot be handled as a Eviction: json: cannot unmarshal string into Go struct field DeleteOptions.deleteOptions.gracePeriodSeconds of type int64".to_owned())
    );
}

fn causes(answer: &(u16, Value)) -> Vec<String> {
    assert_eq!(answer.0, 422, "{}", answer.1);
    let causes = answer.1.array_at(&["details", "causes"]).iter();
    causes
        .map(|cause| {
            let (field, message) = (cause.str_at(&["field"]), cause.str_at(&["message"]));
            format!("{field}: {message}")
        })
        .collect()
}

#[test]
fn s2_statuses_begin_as_the_zero_of_their_type() {
    let mut world = World::quick();
    for (target, spec, want) in [
        (
            "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims".to_owned(),
            json!({"devices": {}}),
            json!({}),
        ),
        (
            "/apis/storage.k8s.io/v1/volumeattachments".to_owned(),
            json!({"attacher": "a.example.com", "nodeName": "n", "source": {"persistentVolumeName": "p"}}),
            json!({"attached": false}),
        ),
        (
            format!(
                "/apis/policy/v1/namespaces/default/{}",
                "poddisruptionbudgets"
            ),
            json!({"minAvailable": 1}),
            json!({"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0}),
        ),
        (
            "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations".to_owned(),
            json!({"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}),
            json!({}),
        ),
    ] {
        let body = json!({"metadata": {"name": "a"}, "spec": spec, "status": {"x": 1}});
        let answer = world.call("POST", &target, Some(body));
        assert_eq!(
            (answer.0, &answer.1["status"]),
            (201, &want),
            "{}",
            answer.1
        );
    }
}

#[test]
fn o11_api_services_are_named_after_what_they_serve() {
    let mut world = World::quick();
    let target = "/apis/apiregistration.k8s.io/v1/apiservices";
    let mut send = |name: &str, spec: Value| {
        let body = json!({"metadata": {"name": name}, "spec": spec});
        world.call("POST", target, Some(body))
    };
    let mut spec = json!({"group": "g.example.com", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 10});
    let local = send("v1.g.example.com", spec.clone());
    assert_eq!(local.0, 201, "{}", local.1);
    let condition = &local.1["status"]["conditions"][0];
    assert_eq!(condition["reason"], "Local");
    spec["service"] = json!({"namespace": "n", "name": "s"});
    spec["version"] = "v2".into();
    let elsewhere = send("v2.g.example.com", spec);
    assert_eq!(elsewhere.0, 201, "{}", elsewhere.1);
    assert_eq!(elsewhere.1["spec"]["service"]["port"], 443);
    assert_eq!(elsewhere.1["status"], json!({}));
    let wrong = send(
        "a",
        json!({"version": "v2", "groupPriorityMinimum": 0, "versionPriority": 1001, "caBundle": "YQ==", "insecureSkipTLSVerify": true}),
    );
    assert_eq!(
        causes(&wrong),
        [
            "metadata.name: Invalid value: \"a\": must be `spec.version+\".\"+spec.group`: \"v2.\"",
            "spec.group: Required value: only v1 may have an empty group and it better be legacy kube",
            "spec.groupPriorityMinimum: Invalid value: 0: must be positive and less than 20000",
            "spec.versionPriority: Invalid value: 1001: must be positive and less than 1000",
            "spec.caBundle: Invalid value: \"1 bytes\": local APIServices may not have a caBundle",
            "spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have insecureSkipTLSVerify",
        ]
    );
}

#[test]
fn o11_addresses_are_named_as_they_are_written() {
    let mut world = World::quick();
    let target = "/apis/networking.k8s.io/v1/ipaddresses";
    let parent = json!({"resource": "services", "namespace": "default", "name": "s"});
    let mut send = |name: &str, parent: &Value| {
        let body = json!({"metadata": {"name": name}, "spec": {"parentRef": (parent.clone())}});
        world.call("POST", target, Some(body))
    };
    for name in ["10.0.0.7", "fd00::1"] {
        assert_eq!(send(name, &parent).0, 201);
    }
    for (name, why) in [
        (
            "a",
            "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        ),
        ("010.0.0.1", "must not have leading 0s"),
        ("::ffff:1.2.3.4", "must not be an IPv4-mapped IPv6 address"),
        ("fd00:0::1", "must be in canonical form (\"fd00::1\")"),
    ] {
        let want = format!("metadata.name: Invalid value: \"{name}\": {why}");
        assert_eq!(causes(&send(name, &parent)), [want]);
    }
    assert_eq!(
        causes(&send("10.0.0.8", &json!({"name": "a/b"}))),
        [
            "spec.parentRef.resource: Required value",
            "spec.parentRef.name: Invalid value: \"a/b\": may not contain '/'",
        ]
    );
    let body = json!({"apiVersion": "networking.k8s.io/v1", "kind": "IPAddress", "metadata": {"name": "10.0.0.7"}, "spec": {"parentRef": {"resource": "services", "name": "t"}}});
    let mut stored = world.call("GET", &format!("{target}/10.0.0.7"), None).1;
    stored["spec"] = body["spec"].clone();
    let moved = world.call("PUT", &format!("{target}/10.0.0.7"), Some(stored));
    assert_eq!(
        causes(&moved),
        [
            "spec.parentRef: Invalid value: {\"Group\":\"\",\"Resource\":\"services\",\"Namespace\":\"\",\"Name\":\"t\"}: field is immutable"
        ]
    );
}

#[test]
fn o11_two_ranges_are_of_two_families() {
    let mut world = World::quick();
    let target = "/apis/networking.k8s.io/v1/servicecidrs";
    let mut send = |blocks: Value| {
        let body = json!({"metadata": {"name": "r"}, "spec": {"cidrs": blocks}});
        world.call("POST", target, Some(body))
    };
    let families =
        "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
    assert_eq!(
        causes(&send(json!(["10.0.0.0/8", "x"]))),
        [format!(
            "spec.cidrs: Invalid value: {{\"CIDRs\":[\"10.0.0.0/8\",\"x\"]}}: {families}"
        )]
    );
    assert_eq!(
        causes(&send(json!(["10.0.0.0/+8"]))),
        [
            "spec.cidrs[0]: Invalid value: \"10.0.0.0/+8\": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
        ]
    );
    assert_eq!(send(json!(["10.0.0.0/8", "fd00::/64"])).0, 201);
}
