//! Properties written in CEL.

use super::*;
use crate::property::cel::{COST_MAX, Program, Scope, When, property};

pub(super) fn asked(name: &str, when: When, source: &str) -> crate::property::PropertySpec {
    let program = Program::new(source, Scope::new(source, &[]));
    property(
        name,
        when,
        program.unwrap_or_else(|issues| panic!("{source}: {issues:?}")),
    )
}

#[test]
fn conditions_fire_on_what_breaks_them_and_not_on_what_keeps_them() {
    let with = |guarded| {
        let mut setup = setup(maps(move |_, ctx| sign(ctx, guarded)), 2);
        setup.properties = vec![
            asked(
                "each signs once",
                When::Always,
                "replicas.all(r, writes.filter(w, w.by == r.name).size() <= 1)",
            ),
            asked(
                "both have signed",
                When::Eventually,
                "replicas.all(r, named.ConfigMap['main'].data.signed.contains(r.name))",
            ),
            asked("reconciled twice", When::Sometimes, "reconciles.size() > 1"),
            asked("late", When::Sometimes, "now > duration('100000h')"),
        ];
        runs(setup, 0..24)
    };
    let told = |runs: &[Run]| {
        let all = runs.iter().flat_map(|run| run.verdict.findings.clone());
        all.collect::<Vec<_>>()
    };
    let (buggy, fixed) = (with(false), with(true));
    assert_eq!(told(&fixed), [], "the twin holds");
    let told = told(&buggy);
    assert!(!told.is_empty());
    for finding in &told {
        let (property, text) = (finding.property.as_str(), finding.message.as_str());
        assert_eq!(property, "each signs once");
        assert!(text.starts_with("it does not hold here: r = {"), "{text}");
        assert!(text.contains("writes.map(w, …).size() = 2"), "{text}");
    }
    let reached: BTreeSet<&String> = buggy.iter().flat_map(|run| &run.verdict.reached).collect();
    let reached: Vec<&String> = reached.into_iter().collect();
    assert_eq!(reached, ["reconciled twice"]);
}

#[test]
fn what_is_not_there_does_not_hold_and_is_named() {
    let mut setup = setup(maps(|_, _| async { Ok(Next::await_change()) }), 1);
    setup.properties = vec![asked(
        "signed in the end",
        When::Eventually,
        "objects.ConfigMap.filter(m, m.metadata.name == 'main').all(m, m.data['signed'] == 'op-0')",
    )];
    let run = &runs(setup, 0..1)[0];
    let finding = &run.verdict.findings[0];
    assert_eq!(finding.property, "signed in the end");
    assert_eq!(
        finding.message,
        "the world has settled and it does not hold: m = ConfigMap default/main, m.data['signed'] = (no such key: data)"
    );
}

#[test]
fn conditions_only_read() {
    let with = |properties| {
        let mut setup = setup(maps(|_, ctx| sign(ctx, true)), 2);
        setup.properties = properties;
        runs(setup, 0..6)
            .iter()
            .map(Run::fingerprint)
            .collect::<Vec<_>>()
    };
    let asking = asked(
        "asks for everything",
        When::Always,
        "leaders.size() + replicas.size() + writes.size() + requests.size() + reconciles.size() + objects.ConfigMap.size() >= 0 \
         && now >= duration('0s') && phase != ''",
    );
    assert_eq!(with(vec![asking]), with(Vec::new()));
}

#[test]
fn what_is_wrong_with_an_expression_is_said_with_its_place() {
    let crd = json!({"spec": {"group": "example.com", "names": {"kind": "Widget"}, "versions": [{
        "name": "v1", "storage": true, "schema": {"openAPIV3Schema": {"type": "object", "properties": {
            "spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}},
    }]}});
    let said = |source: &str| {
        let scope = Scope::new(source, std::slice::from_ref(&crd));
        Program::new(source, scope)
            .err()
            .map(|issues| (issues[0].column, issues[0].message.clone()))
    };
    assert_eq!(said("objects.Widget.all(w, w.spec.size > 0)"), None);
    for (source, column, message) in [
        (
            "objects.Widget.all(w, w.spec.siez > 0)",
            29,
            "undefined field 'siez'",
        ),
        ("objects.Gadget.size() > 0", 8, "undefined field 'Gadget'"),
        (
            "objects.Widget.all(w, w.spec.size == '1')",
            35,
            "found no matching overload for '_==_' applied to '(int, string)'",
        ),
        (
            "writes.size()",
            1,
            "a condition is true or false, and this is of type 'int'",
        ),
    ] {
        assert_eq!(said(source), Some((column, message.to_owned())), "{source}");
    }
    let dear =
        "writes.all(a, writes.all(b, requests.all(c, a.name != b.name || c.name == a.name)))";
    let (_, message) = said(dear).expect("it is refused");
    assert!(
        message.ends_with(&format!("the limit is {COST_MAX}")),
        "{message}"
    );
}
