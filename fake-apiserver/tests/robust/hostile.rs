//! Requests that nobody would send in good faith: each gets a proper answer, and the server is none the worse for it.

use fake_apiserver::json;

use crate::growth::{
    ANYTHING, APPLY, JSON, JSON_PATCH, MAPS, MERGE, Plain, STRATEGIC, THINGS, joined,
};

/// Largest body a server takes (B12).
const BODY_MAX: usize = 3 << 20;

/// Sends a request and checks that the answer has one of the codes, is a Status if it failed, and is not larger than what
/// was sent explains.
fn check(
    plain: &mut Plain,
    method: &str,
    target: &str,
    kind: &str,
    body: impl Into<Vec<u8>>,
    codes: &[u16],
) {
    let body = body.into();
    let sent = body.len() + target.len();
    let answer = plain.send(method, target, kind, body);
    let code = answer.status().as_u16();
    let text = String::from_utf8_lossy(answer.body());
    let shown: String = text.chars().take(300).collect();
    assert!(
        codes.contains(&code),
        "{method} {}: {code}: {shown}",
        &target[..target.len().min(200)]
    );
    let is_json = answer
        .headers()
        .get("content-type")
        .is_some_and(|kind| kind == JSON);
    if is_json && code >= 400 {
        let value = json::parse(answer.body()).expect("the answer is JSON");
        assert_eq!(value["kind"], "Status", "{shown}");
        assert_eq!(value["code"], i64::from(code), "{shown}");
    }
    assert!(
        answer.body().len() < (16 << 20) + 8 * sent,
        "{} bytes for {sent}",
        answer.body().len()
    );
    // Whoever comes next is served.
    let next = plain.send("GET", "/api/v1/namespaces/default", JSON, "");
    assert_eq!(next.status(), 200);
}

fn nested(open: &str, close: &str, levels: usize) -> String {
    format!("{}1{}", open.repeat(levels), close.repeat(levels))
}

/// Runs a test on the stack that a thread has by default, whatever RUST_MIN_STACK says.
fn on_a_plain_stack(test: fn()) {
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(test);
    let ended = thread.expect("a thread starts").join();
    assert!(ended.is_ok(), "what it says is above");
}

fn with_widgets() -> Plain {
    let mut plain = Plain::new();
    plain.define(ANYTHING);
    plain.must(
        "POST",
        MAPS,
        JSON,
        r#"{"metadata":{"name":"a"},"data":{"k":"v"}}"#,
    );
    plain.must("POST", THINGS, JSON, thing("1"));
    plain
}

fn thing(spec: &str) -> String {
    format!(
        r#"{{"apiVersion":"example.com/v1","kind":"Thing","metadata":{{"name":"a"}},"spec":{{"x":{spec}}}}}"#
    )
}

#[test]
fn b12_bodies_over_the_limit_are_refused_by_every_verb() {
    let mut plain = with_widgets();
    let labels = joined(400_000, |i| format!(r#""label-{i:08}":"value""#));
    let body = format!(r#"{{"metadata":{{"name":"b","labels":{{{labels}}}}}}}"#);
    assert!(body.len() > 10_000_000);
    for (method, target, kind) in [
        ("POST", MAPS.to_owned(), JSON),
        ("PUT", format!("{MAPS}/a"), JSON),
        ("PATCH", format!("{MAPS}/a"), MERGE),
        ("PATCH", format!("{MAPS}/a"), STRATEGIC),
        ("PATCH", format!("{MAPS}/a"), JSON_PATCH),
        ("PATCH", format!("{MAPS}/a?fieldManager=m"), APPLY),
        ("DELETE", format!("{MAPS}/a"), JSON),
    ] {
        check(&mut plain, method, &target, kind, body.clone(), &[413]);
    }
    let exact = format!(
        r#"{{"metadata":{{"name":"b"}},"data":{{"k":"{}"}}}}"#,
        "x".repeat(BODY_MAX)
    );
    check(
        &mut plain,
        "POST",
        MAPS,
        JSON,
        &exact.as_bytes()[..BODY_MAX],
        &[400],
    );
    check(&mut plain, "POST", MAPS, JSON, exact, &[413]);
}

#[test]
fn b12_as_many_labels_as_a_body_holds() {
    let mut plain = with_widgets();
    for validation in ["Strict", "Warn", "Ignore"] {
        let labels = joined(100_000, |i| format!(r#""label-{i:08}":"value""#));
        let body = format!(
            r#"{{"metadata":{{"name":"{}","labels":{{{labels}}}}}}}"#,
            validation.to_lowercase()
        );
        check(
            &mut plain,
            "POST",
            &format!("{MAPS}?fieldValidation={validation}"),
            JSON,
            body,
            &[201],
        );
    }
    let wrong = joined(40_000, |i| format!(r#""-label {i:08}":"-value-""#));
    let body =
        format!(r#"{{"metadata":{{"name":"c","labels":{{{wrong}}},"annotations":{{{wrong}}}}}}}"#);
    check(&mut plain, "POST", MAPS, JSON, body, &[422]);
}

#[test]
fn e2_patches_of_ten_thousand_operations() {
    let mut plain = with_widgets();
    let op = |i: usize| format!(r#"{{"op":"add","path":"/data/k{i}","value":"v"}}"#);
    let target = format!("{MAPS}/a");
    let ops = |n| format!("[{}]", joined(n, op));
    check(
        &mut plain,
        "PATCH",
        &target,
        JSON_PATCH,
        ops(10_000),
        &[200],
    );
    check(
        &mut plain,
        "PATCH",
        &target,
        JSON_PATCH,
        ops(10_001),
        &[413],
    );
    // Each operation copies what there is: the result would have two to the power of their number.
    let bomb = joined(10_000, |_| {
        r#"{"op":"copy","from":"/spec","path":"/spec/x/-"}"#.to_owned()
    });
    let start = r#"{"op":"replace","path":"/spec/x","value":[[0,0,0,0,0,0,0,0]]}"#;
    let target = format!("{THINGS}/a");
    check(
        &mut plain,
        "PATCH",
        &target,
        JSON_PATCH,
        format!("[{start},{}]", &bomb[..bomb.len() / 2 - 27]),
        &[400, 422],
    );
    let bomb = joined(9_999, |_| {
        r#"{"op":"copy","from":"/spec","path":"/spec/x/-"}"#.to_owned()
    });
    check(
        &mut plain,
        "PATCH",
        &target,
        JSON_PATCH,
        format!("[{start},{bomb}]"),
        &[422],
    );
    let deep = joined(9_999, |_| {
        r#"{"op":"move","from":"/spec/x","path":"/spec/x/x"}"#.to_owned()
    });
    check(
        &mut plain,
        "PATCH",
        &target,
        JSON_PATCH,
        format!("[{deep}]"),
        &[422],
    );
    // Each operation puts what there is one level deeper.
    let wrap = joined(5_000, |_| {
        r#"{"op":"move","from":"/spec","path":"/old"},{"op":"add","path":"/spec","value":{}}"#
            .to_owned()
    });
    check(
        &mut plain,
        "PATCH",
        &target,
        JSON_PATCH,
        format!("[{wrap}]"),
        &[200, 400, 422],
    );
    let nest = joined(5_000, |_| {
        r#"{"op":"move","from":"/spec","path":"/metadata/old"},{"op":"add","path":"/spec","value":{"x":{}}},{"op":"move","from":"/metadata/old","path":"/spec/x"}"#.to_owned()
    });
    let nest = format!("[{}]", &nest[..nest.len() / 2]);
    check(
        &mut plain,
        "PATCH",
        &target,
        JSON_PATCH,
        nest,
        &[400, 413, 422],
    );
}

#[test]
fn e2_patches_that_nest_what_is_there() {
    let mut plain = with_widgets();
    let target = format!("{THINGS}/a");
    // Three operations a level: far deeper than any body may be.
    let level = r#"{"op":"copy","from":"/spec","path":"/metadata/old"},{"op":"replace","path":"/spec","value":{}},{"op":"move","from":"/metadata/old","path":"/spec/x"}"#;
    let ops = joined(3_000, |_| level.to_owned());
    check(
        &mut plain,
        "PATCH",
        &target,
        JSON_PATCH,
        format!("[{ops}]"),
        &[400, 422],
    );
    let level = r#"{"op":"move","from":"/spec","path":"/metadata/old"},{"op":"add","path":"/spec","value":{}},{"op":"move","from":"/metadata/old","path":"/spec/x"}"#;
    let ops = joined(3_000, |_| level.to_owned());
    check(
        &mut plain,
        "PATCH",
        &target,
        JSON_PATCH,
        format!("[{ops}]"),
        &[400, 422],
    );
    // A few hundred at a time, object after object.
    for _ in 0..20 {
        let ops = joined(150, |_| level.to_owned());
        check(
            &mut plain,
            "PATCH",
            &target,
            JSON_PATCH,
            format!("[{ops}]"),
            &[200, 400, 422],
        );
    }
}

#[test]
fn nesting_of_ten_thousand_levels() {
    on_a_plain_stack(|| {
        let mut plain = with_widgets();
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            let deep = nested(open, close, 10_000);
            let cut = open.repeat(100_000);
            for text in [&deep, &cut] {
                check(&mut plain, "POST", THINGS, JSON, thing(text), &[400]);
                check(
                    &mut plain,
                    "PUT",
                    &format!("{THINGS}/a"),
                    JSON,
                    thing(text),
                    &[400],
                );
                check(
                    &mut plain,
                    "POST",
                    MAPS,
                    JSON,
                    format!(r#"{{"metadata":{text}}}"#),
                    &[400],
                );
                check(
                    &mut plain,
                    "DELETE",
                    &format!("{MAPS}/a"),
                    JSON,
                    text.as_bytes(),
                    &[400],
                );
                for kind in [MERGE, STRATEGIC, JSON_PATCH, APPLY] {
                    let target = format!("{MAPS}/a?fieldManager=m");
                    let target = if kind == APPLY {
                        target
                    } else {
                        format!("{MAPS}/a")
                    };
                    check(&mut plain, "PATCH", &target, kind, text.as_bytes(), &[400]);
                    let patch = format!(r#"{{"data":{text}}}"#);
                    check(&mut plain, "PATCH", &target, kind, patch, &[400]);
                }
            }
        }
        for yaml in [
            "- ".repeat(50_000) + "a",
            (0..2_000)
                .map(|i| format!("{}a:\n", " ".repeat(i)))
                .collect(),
            "? ".repeat(20_000),
            "&a [*a, *a]".to_owned(),
            format!(
                "a: &a [x]\n{}",
                (0..60)
                    .map(|i| format!("k{i}: &k{i} [*a, *a]\n"))
                    .collect::<String>()
            ),
            bomb(),
        ] {
            let target = format!("{THINGS}/y?fieldManager=m");
            check(&mut plain, "PATCH", &target, APPLY, yaml.clone(), &[400]);
            check(
                &mut plain,
                "POST",
                THINGS,
                "application/yaml",
                yaml,
                &[400, 413],
            );
        }
    });
}

/// Aliases of aliases: a small text that stands for ten to the power of thirty elements.
fn bomb() -> String {
    let level = |i: usize| {
        let alias = format!("*l{}", i - 1);
        format!("l{i}: &l{i} [{}]\n", joined(10, |_| alias.clone()))
    };
    let levels: String = (1..30).map(level).collect();
    format!("apiVersion: example.com/v1\nkind: Thing\nmetadata: {{name: y}}\nl0: &l0 [x]\n{levels}")
}

#[test]
fn the_deepest_bodies_go_all_the_way() {
    on_a_plain_stack(|| {
        let mut plain = with_widgets();
        // What managedFields say of them nests a few levels deeper.
        let levels = json::DEPTH_MAX - 16;
        let lists = nested("[", "]", levels);
        let maps = nested(r#"{"a":"#, "}", levels);
        for (i, deep) in [lists, maps].iter().enumerate() {
            let named =
                |name: &str| thing(deep).replace(r#""name":"a""#, &format!(r#""name":"{name}""#));
            check(
                &mut plain,
                "POST",
                THINGS,
                JSON,
                named(&format!("d{i}")),
                &[201],
            );
            let target = format!("{THINGS}/d{i}");
            check(
                &mut plain,
                "PATCH",
                &target,
                MERGE,
                format!(r#"{{"spec":{{"x":null,"y":{deep}}}}}"#),
                &[200],
            );
            check(
                &mut plain,
                "PATCH",
                &format!("{target}?fieldManager=m&force=1"),
                APPLY,
                named(&format!("d{i}")),
                &[200, 400],
            );
            check(&mut plain, "GET", &target, JSON, "", &[200]);
            check(
                &mut plain,
                "GET",
                &format!("{target}?pretty=1"),
                JSON,
                "",
                &[200],
            );
            check(&mut plain, "DELETE", &target, JSON, "", &[200]);
        }
    });
}

#[test]
fn invalid_utf8_and_control_characters_anywhere() {
    let mut plain = with_widgets();
    let mut body = br#"{"metadata":{"name":"u"},"data":{"k":""#.to_vec();
    body.extend([
        0xff, 0xfe, 0xc0, 0x80, 0xed, 0xa0, 0x80, 0xf4, 0x90, 0x80, 0x80,
    ]);
    body.extend(br#""}}"#);
    check(&mut plain, "POST", MAPS, JSON, body.clone(), &[201]);
    check(
        &mut plain,
        "PATCH",
        &format!("{MAPS}/u"),
        MERGE,
        body.clone(),
        &[200, 400],
    );
    check(
        &mut plain,
        "PATCH",
        &format!("{MAPS}/u?fieldManager=m"),
        APPLY,
        body,
        &[200, 400, 409, 500],
    );
    for byte in 0..=255_u8 {
        for body in [
            vec![byte],
            vec![b'{', byte],
            vec![b'"', byte, b'"'],
            vec![byte; 1_000],
        ] {
            check(&mut plain, "POST", MAPS, JSON, body, &[400, 422]);
        }
        let target = format!(
            "{MAPS}/%{byte:02X}?labelSelector=%{byte:02X}&fieldSelector=%{byte:02X}&continue=%{byte:02X}"
        );
        for method in ["GET", "DELETE"] {
            check(&mut plain, method, &target, JSON, "", &[200, 400, 404]);
        }
    }
}

#[test]
fn numbers_beyond_every_range() {
    let mut plain = with_widgets();
    let numbers = [
        "1e400",
        "-1e400",
        "1e-400",
        "1e999999999999",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551616",
        "-9223372036854775809",
        "1.7976931348623157e308",
        "5e-324",
        "-0",
        "-0.0",
        "1e0",
        "1E+2",
        "0.1e1",
    ];
    let long = [
        "1".repeat(100_000),
        format!("1.{}", "1".repeat(100_000)),
        format!("1e{}", "9".repeat(100_000)),
    ];
    for number in numbers.into_iter().chain(long.iter().map(String::as_str)) {
        check(
            &mut plain,
            "PUT",
            &format!("{THINGS}/a"),
            JSON,
            thing(number),
            &[200, 400, 422],
        );
        check(
            &mut plain,
            "PATCH",
            &format!("{THINGS}/a"),
            MERGE,
            format!(r#"{{"spec":{{"x":{number}}}}}"#),
            &[200, 400],
        );
        let target = format!("{THINGS}/a?fieldManager=m&force=true");
        check(
            &mut plain,
            "PATCH",
            &target,
            APPLY,
            thing(number),
            &[200, 400],
        );
        let replicas = format!(
            r#"{{"metadata":{{"generateName":"d"}},"spec":{{"replicas":{number},"selector":{{"matchLabels":{{"a":"b"}}}},"template":{{"metadata":{{"labels":{{"a":"b"}}}},"spec":{{"containers":[{{"name":"c","image":"i","resources":{{"limits":{{"cpu":{number},"memory":"{number}"}}}}}}]}}}}}}}}"#
        );
        check(
            &mut plain,
            "POST",
            "/apis/apps/v1/namespaces/default/deployments",
            JSON,
            replicas,
            &[201, 400, 422],
        );
        for parameter in [
            "limit",
            "resourceVersion",
            "timeoutSeconds",
            "continue",
            "gracePeriodSeconds",
            "timeout",
        ] {
            let short = &number[..number.len().min(2_000)];
            let target = format!("{MAPS}?{parameter}={}", short.replace('+', "%2B"));
            check(
                &mut plain,
                "GET",
                &target,
                JSON,
                "",
                &[200, 400, 410, 500, 504],
            );
        }
    }
}

#[test]
fn w2_the_largest_revision_of_every_kind_of_watch() {
    let mut plain = Plain::new();
    for target in [MAPS, "/api/v1/namespaces/default/events"] {
        for more in [
            "",
            "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
        ] {
            let target = format!("{target}?watch=1&resourceVersion={}{more}", u64::MAX);
            assert_eq!(
                plain.send("GET", &target, JSON, "").status(),
                200,
                "{target}"
            );
        }
        let list = format!("{target}?resourceVersion={}", u64::MAX);
        assert_eq!(plain.send("GET", &list, JSON, "").status(), 504);
    }
}

#[test]
fn h10_selectors_of_every_length() {
    let mut plain = with_widgets();
    let targets = [
        joined(5_000, |i| format!("k{i}!=v")),
        format!("a%20in%20({})", joined(8_000, |i| format!("v{i}"))),
        format!("a%20in%20({}", "(".repeat(50_000)),
        ",".repeat(50_000),
        "!".repeat(50_000),
        "%20".repeat(15_000),
        "a".repeat(50_000),
        "%5C".repeat(15_000),
        format!("a={}", "=".repeat(50_000)),
    ];
    for text in targets {
        for parameter in [
            "labelSelector",
            "fieldSelector",
            "continue",
            "resourceVersionMatch",
        ] {
            let target = format!("{MAPS}?{parameter}={text}");
            for method in ["GET", "DELETE"] {
                check(&mut plain, method, &target, JSON, "", &[200, 400, 422]);
            }
        }
    }
    let many = format!("{MAPS}?{}", "labelSelector=a&".repeat(4_000));
    check(&mut plain, "GET", &many[..50_000], JSON, "", &[200]);
    check(
        &mut plain,
        "GET",
        &format!("/{}", "a/".repeat(25_000)),
        JSON,
        "",
        &[403, 404],
    );
    check(
        &mut plain,
        "GET",
        &format!("{MAPS}/{}", "n".repeat(50_000)),
        JSON,
        "",
        &[404],
    );
}

#[test]
fn l7_costly_rules_and_patterns() {
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let crd = |spec: &str| {
        format!(
            r#"{{"metadata":{{"name":"costs.example.com"}},"spec":{{"group":"example.com","scope":"Cluster","names":{{"plural":"costs","kind":"Cost"}},
            "versions":[{{"name":"v1","served":true,"storage":true,"schema":{{"openAPIV3Schema":{{"type":"object","properties":{{"spec":{spec}}}}}}}}}]}}}}"#
        )
    };
    let object = |spec: &str| {
        format!(
            r#"{{"apiVersion":"example.com/v1","kind":"Cost","metadata":{{"generateName":"a"}},"spec":{spec}}}"#
        )
    };
    let texts = format!(
        r#"{{"l":[{}]}}"#,
        joined(20_000, |i| format!(r#""{}{i}""#, "a".repeat(60)))
    );
    let list = |rule: &str, items: &str| {
        format!(
            r#"{{"type":"object","properties":{{"l":{{"type":"array","maxItems":100000,"items":{items},"x-kubernetes-validations":[{{"rule":{rule:?}}}]}}}}}}"#
        )
    };
    let text = r#"{"type":"string","maxLength":100,"pattern":"^(a+)+$"}"#;
    for (spec, codes) in [
        (list("self.all(a, self.all(b, self.all(c, a != b)))", text), &[422_u16][..]),
        (list("self.map(a, a + a).map(a, a + a).size() > 0", text), &[201, 422]),
        (list("self.exists(a, a.matches('^(([a-z]+)*)*b$'))", text), &[201, 422]),
        (r#"{"type":"object","properties":{"l":{"type":"array","items":{"type":"string","pattern":"(((a{1,100}){1,100}){1,100}){1,100}"}}}}"#.to_owned(), &[201, 422]),
        (r#"{"type":"object","properties":{"l":{"type":"array","items":{"type":"string","pattern":"^(a|a|a|a|a|aa)*$"}}}}"#.to_owned(), &[201]),
    ] {
        let mut plain = Plain::new();
        check(&mut plain, "POST", definitions, JSON, crd(&spec), codes);
        plain.settle();
        check(&mut plain, "POST", "/apis/example.com/v1/costs", JSON, object(&texts), &[201, 404, 422]);
    }
    let mut plain = Plain::new();
    let rules = joined(5_000, |i| format!(r#"{{"rule":"self.l.size() > {i}"}}"#));
    let spec = format!(
        r#"{{"type":"object","properties":{{"l":{{"type":"array","items":{{"type":"string"}}}}}},"x-kubernetes-validations":[{rules}]}}"#
    );
    check(
        &mut plain,
        "POST",
        definitions,
        JSON,
        crd(&spec),
        &[201, 422],
    );
}

#[test]
fn ad12_policies_whose_variables_lean_on_each_other() {
    let mut plain = Plain::new();
    let policies = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
    for count in [50, 5_000] {
        let variables = joined(count, |i| match i {
            0 => r#"{"name":"v0","expression":"1"}"#.to_owned(),
            i => format!(
                r#"{{"name":"v{i}","expression":"variables.v{} + 1"}}"#,
                i - 1
            ),
        });
        let last = count - 1;
        let policy = format!(
            r#"{{"metadata":{{"name":"p{count}"}},"spec":{{"failurePolicy":"Fail","matchConstraints":{{"resourceRules":[{{"apiGroups":[""],"apiVersions":["v1"],"operations":["CREATE"],"resources":["configmaps"]}}]}},
            "variables":[{variables}],"validations":[{{"expression":"variables.v{last} == {count}"}}]}}}}"#
        );
        check(&mut plain, "POST", policies, JSON, policy, &[201]);
        let binding = format!(
            r#"{{"metadata":{{"name":"p{count}"}},"spec":{{"policyName":"p{count}","validationActions":["Deny"]}}}}"#
        );
        let bindings = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";
        check(&mut plain, "POST", bindings, JSON, binding, &[201]);
        let wanted = if count == 50 { 201 } else { 422 };
        let body = format!(r#"{{"metadata":{{"name":"m{count}"}}}}"#);
        check(&mut plain, "POST", MAPS, JSON, body, &[wanted]);
    }
}

#[test]
fn every_method_on_every_path() {
    let mut plain = with_widgets();
    let paths = [
        "/",
        "//",
        "/api",
        "/api/",
        "/api/v1",
        "/api/v1/",
        "/api/v1/namespaces/",
        "/api/v1/namespaces/default/",
        "/api/v1//configmaps",
        "/api/v1/namespaces//configmaps",
        "/api/v1/watch",
        "/api/v1/watch/configmaps",
        "/api/v1/namespaces/default/configmaps/a/",
        "/api/v1/namespaces/default/configmaps/a/status",
        "/api/v1/namespaces/default/configmaps/a/x/y/z",
        "/api/v2/pods",
        "/apis",
        "/apis/",
        "/apis/apps",
        "/apis/apps/v9/deployments",
        "/apis/apps/v1/namespaces/default/deployments/a/scale",
        "/apis/none/v1/x",
        "/openapi/v2",
        "/openapi/v3",
        "/openapi/v3/apis/apps/v1",
        "/version",
        "/healthz",
        "/healthz/x",
        "/livez",
        "/readyz",
        "/metrics",
        "/logs",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/api/v1/../..",
        "/*",
        "/api/v1/namespaces/default/pods/a/exec",
        "/.well-known/x",
        "/api/v1/namespaces/default/pods/a/eviction",
        "/api/v1/namespaces/default/services/a/proxy/x",
        "/apis/authorization.k8s.io/v1/subjectaccessreviews",
        "/apis/example.com/v1/namespaces/default/things/a/status",
    ];
    for path in paths {
        for method in [
            "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW",
        ] {
            let bodies = [
                (JSON, ""),
                (JSON, "{}"),
                (MERGE, "[]"),
                ("", "x"),
                ("text/plain; charset=\"", "{}"),
            ];
            let writes = matches!(method, "POST" | "PUT" | "PATCH" | "DELETE");
            for (kind, body) in bodies.into_iter().take(if writes { 5 } else { 1 }) {
                let answer = plain.send(method, path, kind, body);
                let code = answer.status().as_u16();
                assert!((200..=504).contains(&code), "{method} {path}: {code}");
                let json = answer
                    .headers()
                    .get("content-type")
                    .is_some_and(|kind| kind == "application/json");
                if json && method != "HEAD" && !answer.body().is_empty() {
                    let value = json::parse(answer.body()).expect("JSON is JSON");
                    assert!(
                        code < 400 || value["kind"] == "Status",
                        "{method} {path}: {value}"
                    );
                }
            }
        }
    }
}
