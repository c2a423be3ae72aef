//! Race tests of the widget operator, written in code.

use kube::CustomResourceExt;
use reconverge::prelude::*;
use serde_json::json;
use widget_operator::Widget;

/// Two replicas, one widget, and whatever order the messages take.
fn widgets() -> Sim {
    Sim::new("widgets")
        .crd(Widget::crd())
        .object(json!({
            "apiVersion": "example.com/v1", "kind": "Widget",
            "metadata": {"name": "lamp", "namespace": "default"},
            "spec": {"colour": "red"},
        }))
        .operator("widget-operator", 2, |cx| widget_operator::run(cx.client))
        .eventually("every Widget is ready", |s| {
            s.list::<Widget>().iter().all(Widget::is_ready)
        })
}

#[test]
fn two_replicas_agree() {
    widgets().explore(seeds(0..200)).assert_holds();
}

#[test]
fn one_seed_is_one_run() {
    let first = widgets().run(7);
    let second = widgets().run(7);
    assert_eq!(first.fingerprint(), second.fingerprint());
}
