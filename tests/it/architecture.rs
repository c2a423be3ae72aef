//! The arrows of ARCHITECTURE.md, proven over `cargo metadata`: who may depend on whom.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

/// Each package of the workspace with the packages it may depend on, development aside.
const ARROWS: [(&str, &[&str]); 7] = [
    ("fake-apiserver", &[]),
    ("reconverge-sim", &["fake-apiserver"]),
    (
        "reconverge-scenarios",
        &["fake-apiserver", "reconverge-sim"],
    ),
    ("reconverge-reports", &["reconverge-sim"]),
    ("reconverge-operators", &["reconverge-sim"]),
    (
        "reconverge",
        &[
            "fake-apiserver",
            "reconverge-operators",
            "reconverge-reports",
            "reconverge-scenarios",
            "reconverge-sim",
        ],
    ),
    ("widget-operator", &[]),
];

fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    metadata["packages"]
        .as_array()
        .expect("a list of packages")
        .clone()
}

#[test]
fn dependencies_point_one_way() {
    let allowed: BTreeMap<_, _> = ARROWS.into_iter().collect();
    let packages = packages();
    let names: Vec<&str> = packages.iter().filter_map(|p| p["name"].as_str()).collect();
    for package in &packages {
        let name = package["name"].as_str().unwrap_or_default();
        let may = allowed.get(name).unwrap_or_else(|| {
            panic!("add the package {name} to this test and to ARCHITECTURE.md")
        });
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let target = dependency["name"].as_str().unwrap_or_default();
            if dependency["kind"].is_null() && names.contains(&target) {
                assert!(may.contains(&target), "{name} must not depend on {target}");
            }
        }
    }
}

#[test]
fn no_library_chooses_a_kubernetes_version() {
    let libraries = [
        "fake-apiserver",
        "reconverge-sim",
        "reconverge-scenarios",
        "reconverge-reports",
    ];
    for package in packages() {
        let name = package["name"].as_str().unwrap_or_default();
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let chooses = dependency["name"] == "k8s-openapi"
                && dependency["kind"].is_null()
                && dependency["features"]
                    .as_array()
                    .is_some_and(|f| !f.is_empty());
            assert!(
                !(chooses && libraries.contains(&name)),
                "{name} enables a version feature of k8s-openapi: two of them in one build fail"
            );
        }
    }
}
