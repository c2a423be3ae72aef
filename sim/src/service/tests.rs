//! The services, asked one call at a time.

use super::*;

fn ask(
    service: &mut dyn Service,
    at_s: u64,
    call: &str,
    key: Option<&str>,
    body: Value,
) -> Answered {
    let (method, path) = call.split_once(' ').expect("METHOD PATH");
    service.ask(Asked {
        now: SimTime(at_s * 1_000_000),
        method: &method.parse().expect("a method"),
        path,
        key,
        body,
        is_json: true,
        draw: &mut |_, range| crate::time::us(range.min),
    })
}

fn cloud(cleanup_s: u64) -> Box<dyn Service> {
    let cleanup = DurationRange::fixed(Duration::from_secs(cleanup_s));
    let limit = Some(2);
    ServiceSetup::new("cloud", ServiceKind::Cloud { cleanup, limit }).start()
}

#[test]
fn a_name_is_taken_until_its_cleanup_is_over() {
    let mut cloud = cloud(30);
    let mut ask = |at_s, call: &str| {
        let cloud = &mut *cloud;
        let gone = cloud.work(SimTime(at_s * 1_000_000)).len();
        let answered = ask(cloud, at_s, call, None, json!({"name": "a"}));
        (answered.status, answered.effects.len(), gone)
    };
    assert_eq!(ask(0, "GET /volumes/a"), (404, 0, 0));
    assert_eq!(ask(0, "POST /volumes"), (201, 1, 0));
    assert_eq!(ask(1, "POST /volumes"), (409, 0, 0));
    assert_eq!(ask(1, "PUT /volumes/a"), (200, 0, 0));
    assert_eq!(ask(2, "DELETE /volumes/a"), (202, 1, 0));
    assert_eq!(ask(3, "DELETE /volumes/a"), (202, 0, 0));
    assert_eq!(ask(31, "PUT /volumes/a"), (409, 0, 0));
    assert_eq!(ask(32, "GET /volumes/a"), (404, 0, 1));
}

#[test]
fn a_body_that_is_not_json_makes_nothing() {
    let mut cloud = cloud(0);
    for (method, path) in [("POST", "/ips"), ("PUT", "/ips/a")] {
        let answered = cloud.ask(Asked {
            now: SimTime::ZERO,
            method: &method.parse().expect("a method"),
            path,
            key: None,
            body: Value::Null,
            is_json: false,
            draw: &mut |_, range| crate::time::us(range.min),
        });
        assert_eq!((answered.status, answered.effects.len()), (400, 0));
    }
    let listed = ask(&mut *cloud, 0, "GET /ips", None, Value::Null);
    assert_eq!(listed.body, json!({"items": []}));
}

#[test]
fn a_key_makes_one_resource_and_a_quota_is_a_quota() {
    let mut cloud = cloud(0);
    let made = ask(&mut *cloud, 0, "POST /ips", Some("k1"), json!({}));
    let again = ask(&mut *cloud, 0, "POST /ips", Some("k1"), json!({}));
    assert_eq!((made.status, again.status), (201, 200));
    assert_eq!(made.body, again.body);
    assert_eq!(made.effects[0].object, "ips/*");
    assert_eq!(
        ask(&mut *cloud, 0, "POST /ips", None, json!({})).status,
        201
    );
    assert_eq!(
        ask(&mut *cloud, 0, "POST /ips", None, json!({})).status,
        403
    );
}

#[test]
fn alerts_are_taken_at_a_rate_and_once_per_key() {
    let rate = Some((1, Duration::from_secs(10)));
    let mut alerts = ServiceSetup::new("pager", ServiceKind::Alerts { rate }).start();
    let mut post = |at_s, key| {
        let alert = json!({"name": "down"});
        let answered = ask(&mut *alerts, at_s, "POST /alerts", Some(key), alert);
        (answered.status, answered.retry_after_s)
    };
    assert_eq!(post(0, "a"), (202, None));
    assert_eq!(post(3, "b"), (429, Some(7)));
    assert_eq!(post(3, "a"), (200, None), "it has it already");
    assert_eq!(post(10, "b"), (202, None));
}

#[test]
fn a_collector_is_slow_and_has_a_capacity() {
    let work = DurationRange::fixed(Duration::from_secs(2));
    let kind = ServiceKind::Collector { work, capacity: 1 };
    let mut collector = ServiceSetup::new("otel", kind).start();
    let mut post = |at_s| {
        let answered = ask(&mut *collector, at_s, "POST /v1/traces", None, json!([1]));
        (answered.status, answered.takes_us)
    };
    assert_eq!(post(0), (200, 2_000_000));
    assert_eq!(post(1), (503, 0));
    assert_eq!(post(2), (200, 2_000_000));
}
