//! What each of many objects costs does not grow with how many there are.

use crate::growth::{JSON, MAPS, MERGE, Plain, linear};

const SERVICES: &str = "/api/v1/namespaces/default/services";
const PODS: &str = "/api/v1/namespaces/default/pods";

fn maps(n: usize) -> Plain {
    let mut plain = Plain::new();
    for i in 0..n {
        let body = format!(r#"{{"metadata":{{"name":"m{i:05}"}}}}"#);
        plain.must("POST", MAPS, JSON, body);
    }
    plain
}

fn text(answer: &http::Response<bytes::Bytes>, path: &[&str]) -> String {
    let value = fake_apiserver::json::parse(answer.body()).expect("JSON");
    value.str_at(path).to_owned()
}

#[test]
fn h5_a_list_in_pages_of_few() {
    linear(
        "pages",
        250,
        |n| (maps(n), n),
        |(mut plain, n)| {
            let mut target = format!("{MAPS}?limit=5");
            for _ in 0..n / 5 {
                let page = plain.must("GET", &target, JSON, "");
                let next = text(&page, &["metadata", "continue"]);
                target = format!("{MAPS}?limit=5&continue={next}");
            }
        },
    );
}

#[test]
fn g11_a_collection_is_deleted() {
    linear("collection", 250, maps, |mut plain| {
        plain.must("DELETE", MAPS, JSON, "");
        plain.settle();
    });
}

#[test]
fn i1_each_with_an_owner_that_never_was() {
    linear(
        "owners",
        200,
        |n| n,
        |n| {
            let mut plain = Plain::new();
            for i in 0..n {
                let body = format!(
                    r#"{{"metadata":{{"name":"m{i:05}","ownerReferences":[{{"apiVersion":"v1","kind":"ConfigMap","name":"o{i}","uid":"u{i}"}}]}}}}"#
                );
                plain.must("POST", MAPS, JSON, body);
            }
            plain.settle();
        },
    );
}

#[test]
fn each_service_keeps_its_address_and_port() {
    let prepare = |n: usize| {
        let mut plain = Plain::new();
        for i in 0..n {
            let body = format!(
                r#"{{"metadata":{{"name":"s{i:05}"}},"spec":{{"type":"NodePort","ports":[{{"port":80}}]}}}}"#
            );
            plain.must("POST", SERVICES, JSON, body);
        }
        (plain, n)
    };
    linear("services", 100, prepare, |(mut plain, n)| {
        for i in 0..n {
            let target = format!("{SERVICES}/s{i:05}");
            plain.must(
                "PATCH",
                &target,
                MERGE,
                r#"{"metadata":{"labels":{"a":"b"}}}"#,
            );
        }
    });
}

#[test]
fn each_pod_counts_against_a_quota() {
    let prepare = |n: usize| {
        let mut plain = Plain::new();
        let quota = r#"{"metadata":{"name":"q"},"spec":{"hard":{"pods":"100000","requests.cpu":"100000"}}}"#;
        let quotas = "/api/v1/namespaces/default/resourcequotas";
        plain.must("POST", quotas, JSON, quota);
        let status = r#"{"status":{"hard":{"pods":"100000","requests.cpu":"100000"},"used":{"pods":"0","requests.cpu":"0"}}}"#;
        let target = format!("{quotas}/q/status");
        plain.must("PATCH", &target, MERGE, status);
        (plain, n)
    };
    linear("pods", 80, prepare, |(mut plain, n)| {
        for i in 0..n {
            let body = format!(
                r#"{{"metadata":{{"name":"p{i:05}"}},"spec":{{"containers":[{{"name":"c","image":"i","resources":{{"requests":{{"cpu":"1m"}},"limits":{{"cpu":"1m"}}}}}}]}}}}"#
            );
            plain.must("POST", PODS, JSON, body);
        }
    });
}

#[test]
fn names_are_generated() {
    let create = |n: usize| {
        let mut plain = Plain::new();
        for _ in 0..n {
            let body = r#"{"metadata":{"generateName":"m-"}}"#;
            plain.must("POST", MAPS, JSON, body);
        }
    };
    linear("names", 200, |n| n, create);
}

#[test]
fn j1_many_namespaces_go() {
    let prepare = |n: usize| {
        let mut plain = Plain::new();
        for i in 0..n {
            let namespace = format!(r#"{{"metadata":{{"name":"n{i:05}"}}}}"#);
            plain.must("POST", "/api/v1/namespaces", JSON, namespace);
            let target = format!("/api/v1/namespaces/n{i:05}/configmaps");
            plain.must("POST", &target, JSON, r#"{"metadata":{"name":"a"}}"#);
        }
        (plain, n)
    };
    linear("namespaces", 40, prepare, |(mut plain, n)| {
        for i in 0..n {
            plain.must("DELETE", &format!("/api/v1/namespaces/n{i:05}"), JSON, "");
        }
        plain.settle();
    });
}

#[test]
fn w1_each_object_is_changed_before_many_watches() {
    let prepare = |n: usize| {
        let mut plain = maps(n);
        for i in 0..n {
            let target = format!("{MAPS}?watch=1&fieldSelector=metadata.name%3Dm{i:05}");
            plain.must("GET", &target, JSON, "");
        }
        plain
    };
    // All watches are offered each change: a change costs what they are.
    linear("watches", 400, prepare, |mut plain| {
        let body = r#"{"data":{"a":"b"}}"#;
        for _ in 0..20 {
            plain.must("PATCH", &format!("{MAPS}/m00001"), MERGE, body);
        }
    });
}

fn crd(i: usize) -> String {
    format!(
        r#"{{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{{"name":"things.g{i:04}.example.com"}},
        "spec":{{"group":"g{i:04}.example.com","scope":"Namespaced","names":{{"plural":"things","kind":"Thing"}},"versions":[{{"name":"v1","served":true,
        "storage":true,"schema":{{"openAPIV3Schema":{{"type":"object"}}}}}}]}}}}"#
    )
}

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

#[test]
fn l1_many_definitions_come_and_go() {
    let turn = |n: usize| {
        let mut plain = Plain::new();
        for i in 0..n {
            plain.must("POST", CRDS, JSON, crd(i));
            plain.settle();
        }
        for i in 0..n {
            let target = format!("{CRDS}/things.g{i:04}.example.com");
            plain.must("DELETE", &target, JSON, "");
            plain.settle();
        }
    };
    linear("definitions", 30, |n| n, turn);
}

#[test]
fn l11_a_definition_goes_with_all_its_objects() {
    let prepare = |n: usize| {
        let mut plain = Plain::new();
        plain.must("POST", CRDS, JSON, crd(0));
        plain.settle();
        for i in 0..n {
            let body = format!(
                r#"{{"apiVersion":"g0000.example.com/v1","kind":"Thing","metadata":{{"name":"t{i:05}"}}}}"#
            );
            let target = "/apis/g0000.example.com/v1/namespaces/default/things";
            plain.must("POST", target, JSON, body);
        }
        plain
    };
    linear("objects", 250, prepare, |mut plain| {
        let target = format!("{CRDS}/things.g0000.example.com");
        plain.must("DELETE", &target, JSON, "");
        plain.settle();
        assert_eq!(plain.send("GET", &target, JSON, "").status(), 404);
    });
}

#[test]
fn g12_many_events_expire() {
    let prepare = |n: usize| {
        let mut plain = Plain::new();
        for i in 0..n {
            let body = format!(
                r#"{{"metadata":{{"name":"e{i:05}"}},"involvedObject":{{"kind":"Pod","namespace":"default","name":"p"}}}}"#
            );
            plain.must("POST", "/api/v1/namespaces/default/events", JSON, body);
        }
        plain
    };
    linear("events", 250, prepare, |mut plain| {
        plain.config.began = plain.config.began + std::time::Duration::from_secs(7_200);
        plain.settle();
        let list = plain.must("GET", "/api/v1/namespaces/default/events", JSON, "");
        let list = fake_apiserver::json::parse(list.body()).expect("JSON");
        assert!(list.array_at(&["items"]).is_empty());
    });
}
