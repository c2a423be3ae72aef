//! What users get to see when a file is wrong: each case a small file, all renderings in one snapshot.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::load::{Files, load};

const GOOD: &str = "\
scenario: demo
version: 1
summary: A demonstration.
operators:
  webapp: {run: webapp::run, replicas: 2}
expect: holds
";

fn files(scenario: &str) -> Files {
    let texts = [
        ("s/races/demo.yaml", scenario),
        (
            "s/crds/not-a-crd.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n",
        ),
        (
            "s/objects/nameless.yaml",
            "apiVersion: v1\nkind: ConfigMap\n---\n",
        ),
        ("s/objects/broken.yaml", "apiVersion: v1\nkind: [\n"),
    ];
    Files::Inlined(BTreeMap::from(
        texts.map(|(path, text)| (PathBuf::from(path), text.to_owned())),
    ))
}

fn rendered(scenario: &str) -> String {
    match load(Path::new("s/races/demo.yaml"), &files(scenario)) {
        Ok(_) => "no error\n".to_owned(),
        Err(error) => error.render(false),
    }
}

/// `GOOD` with one line replaced by another, or with lines added at the end.
fn but(line: &str, with: &str) -> String {
    match line {
        "" => format!("{GOOD}{with}\n"),
        _ => {
            assert!(GOOD.contains(line), "{line}");
            GOOD.replacen(line, with, 1)
        }
    }
}

#[test]
fn a_good_file_is_read() {
    let file = load(Path::new("s/races/demo.yaml"), &files(GOOD)).expect("reads");
    assert_eq!(file.cases.len(), 1);
    assert_eq!(file.cases[0].scenario.operators["webapp"].replicas, 2);
}

#[test]
fn every_mistake_names_its_place_and_a_way_out() {
    let cases = [
        ("malformed YAML", but("webapp: {run", "webapp: {run: }}: {")),
        ("a key twice", but("", "summary: again")),
        ("no scenario", "kind: ConfigMap\n".to_owned()),
        ("empty", String::new()),
        ("another version", but("version: 1", "version: 2")),
        ("an unknown key", but("replicas: 2", "replica: 2")),
        (
            "an unknown key at the top",
            but("", "timings: {request: 1ms}"),
        ),
        ("a missing key", but("summary: A demonstration.\n", "")),
        ("nothing expected", but("expect: holds\n", "")),
        (
            "nothing expected of a variant",
            but(
                "expect: holds",
                "variants:\n  buggy: {}\n  fixed: {expect: holds}",
            ),
        ),
        ("a wrong type", but("replicas: 2", "replicas: two")),
        ("out of range", but("replicas: 2", "replicas: -1")),
        ("no unit", but("", "timing: {request: 5}")),
        ("a range backwards", but("", "timing: {request: 5s..1s}")),
        (
            "a seed out of range",
            but("", "explore: {seeds: 0..18446744073709551616}"),
        ),
        (
            "an unknown fault",
            but("", "faults: {from: [{crsh: {restart: 1s}}]}"),
        ),
        (
            "a fault without its value",
            but("", "faults: {from: [crash]}"),
        ),
        (
            "a code that cannot be injected",
            but("", "faults: {from: [{refuse: {with: [418]}}]}"),
        ),
        ("an unknown verdict", but("expect: holds", "expect: hold")),
        (
            "a file that is not there",
            but("", "cluster: {crds: [../crds/gone.yaml]}"),
        ),
        (
            "a CRD that is none",
            but("", "cluster: {crds: [../crds/not-a-crd.yaml]}"),
        ),
        (
            "an object without a name",
            but("", "cluster: {objects: [{file: ../objects/nameless.yaml}]}"),
        ),
        (
            "a broken object file",
            but("", "cluster: {objects: [{file: ../objects/broken.yaml}]}"),
        ),
        (
            "an object given twice",
            but("", "cluster: {objects: [{file: a.yaml, object: {}}]}"),
        ),
        ("an empty set of variants", but("", "variants: {}")),
        (
            "a mistake in a variant",
            but("", "variants:\n  buggy: {operators: {webapp: {rnu: x}}}"),
        ),
        (
            "a variant of a variant",
            but("", "variants:\n  buggy: {variants: {}}"),
        ),
    ];
    let mut all = String::new();
    for (what, text) in &cases {
        all.push_str(&format!("── {what}\n{}\n", rendered(text)));
        assert!(!all.ends_with("no error\n\n"), "{what}");
    }
    insta::assert_snapshot!(all);
}

mod any_text {
    use proptest::prelude::*;
    use sim::operator::Operators;

    use super::*;
    use crate::lower::lower;

    /// Reads, lowers and renders; whatever the text is, there is an answer and no panic.
    fn survives(text: &str) {
        let operators = Operators::new().add("webapp::run", |_| async {});
        let answer = load(Path::new("s/races/demo.yaml"), &files(text));
        let answer = answer.and_then(|file| {
            file.cases
                .iter()
                .map(|case| lower(case, &operators))
                .collect::<Result<Vec<_>, _>>()
        });
        if let Err(error) = answer {
            assert!(!error.render(false).is_empty());
            let place = error.place.expect("a mistake has a place");
            assert!(place.offset + place.len <= place.source.text.len());
        }
    }

    const WHOLE: &str = "\
scenario: demo
version: 1
summary: A demonstration.
cluster:
  apiServers: 2
  crds: [../crds/not-a-crd.yaml]
  objects: [{object: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}}]
operators:
  webapp: {run: webapp::run, replicas: 2}
timing: {request: 1ms..20ms}
workload:
- {at: 1s, every: 1s, times: 2, annotate: {kind: ConfigMap, name: a, key: k}}
faults: {atMost: 2, from: [{crash: {restart: 1s..5s}}, {refuse: {with: [409]}}]}
properties: [no-panic]
variants:
  a: {expect: holds}
  b: {expect: {violates: [no-panic]}, timing: null}
";

    proptest! {
        #[test]
        fn never_panics(text in "[ -~\n\tä€]{0,200}") {
            survives(&text);
        }

        #[test]
        fn nearly_good_never_panics(at in 0..WHOLE.len(), cut in 0..12usize, put in "[ -~\n]{0,6}") {
            let end = (at + cut).min(WHOLE.len());
            survives(&format!("{}{put}{}", &WHOLE[..at], &WHOLE[end..]));
        }
    }
}
