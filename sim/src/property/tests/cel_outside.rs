//! Properties written in CEL about services, spans, log lines and metrics: each fires on a mutant and not on its twin.

use tracing::Instrument as _;

use super::cel::asked;
use super::*;
use crate::property::PropertySpec;
use crate::property::cel::When;
use crate::service::{ServiceKind, ServiceSetup};
use crate::setup::Telemetry;

/// Makes a volume until it is told that there is one; with a key, a second call of it makes none.
fn maker(keyed: bool) -> crate::operator::OperatorFn {
    maps_in(move |cx| async move {
        let mut cloud = cx.service("cloud");
        if keyed {
            cloud = cloud.keyed("the volume");
        }
        while !matches!(cloud.request("POST", "/volumes", json!({"size": 1})).await, Ok(reply) if reply.is_success())
        {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    })
}

/// Does something once for each event of the ConfigMap `main`, with the whole context at hand.
fn maps_in<F, Fut>(work: F) -> crate::operator::OperatorFn
where
    F: Fn(OperatorContext) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    operator(move |cx: OperatorContext| {
        let work = work.clone();
        async move {
            let api: Api<ConfigMap> = Api::namespaced(cx.client.clone(), "default");
            let only = watcher::Config::default().labels("main=yes");
            Controller::new(api, only)
                .run(
                    move |_, cx: Arc<OperatorContext>| {
                        let work = work.clone();
                        async move {
                            work(OperatorContext::clone(&cx)).await;
                            Ok(Next::await_change())
                        }
                    },
                    |_, _: &kube::Error, _| Next::requeue(Duration::from_secs(1)),
                    Arc::new(cx),
                )
                .for_each(|_| std::future::ready(()))
                .await;
        }
    })
}

fn with(run: crate::operator::OperatorFn, properties: Vec<PropertySpec>) -> Setup {
    let mut setup = setup(run, 1);
    setup.settle.force = false;
    // How long something takes is meant: in controlled schedules a message may wait for anything.
    setup.mode = crate::setup::Mode::Timed;
    setup.telemetry = Telemetry {
        logs: true,
        spans: true,
        scrape: Some(Duration::from_secs(15)),
    };
    setup.properties = properties;
    setup
}

/// The properties that failed, and those that came true, in some runs.
fn told(setup: Setup) -> (BTreeSet<String>, BTreeSet<String>) {
    let runs = runs(setup, 0..40);
    assert!(runs.iter().all(|run| run.verdict.inconclusive.is_empty()));
    let broken = runs.iter().flat_map(|run| run.verdict.violated());
    let reached = runs.iter().flat_map(|run| run.verdict.reached.clone());
    (broken.map(str::to_owned).collect(), reached.collect())
}

fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

#[test]
fn effects_and_calls_of_services_are_seen() {
    let of = |keyed| {
        let mut setup = with(
            maker(keyed),
            vec![
                asked(
                    "one volume",
                    When::Always,
                    "effects.filter(e, e.service == 'cloud' && e.kind == 'created' && e.by == 'op-0').size() <= 1",
                ),
                asked(
                    "a reconcile's call is answered",
                    When::Sometimes,
                    "calls.exists(c, c.method == 'POST' && c.path == '/volumes' && c.status > 0 \
                     && reconciles.exists(r, r.id == c.reconcile))",
                ),
                asked(
                    "the same key twice",
                    When::Sometimes,
                    "calls.filter(c, c.key == 'the volume').size() > 1",
                ),
            ],
        );
        let cleanup = DurationRange::fixed(Duration::from_secs(1));
        let cloud = ServiceKind::Cloud {
            cleanup,
            limit: None,
        };
        setup.services = vec![ServiceSetup::new("cloud", cloud)];
        setup.faults = FaultPlan {
            at_most: 1,
            from: vec![Fault::LoseReply {
                on: crate::setup::RequestFilter {
                    services: vec!["cloud".into()],
                    ..Default::default()
                },
            }],
        };
        told(setup)
    };
    let answered = "a reconcile's call is answered";
    assert_eq!(of(false), (set(["one volume"]), set([answered])));
    assert_eq!(of(true), (set([]), set([answered, "the same key twice"])));
}

/// Works in a span of its own; a mutant takes long and grumbles.
fn worker(well: bool) -> crate::operator::OperatorFn {
    maps_in(move |cx| {
        let work = async move {
            if !well {
                tokio::time::sleep(Duration::from_secs(2)).await;
                tracing::warn!("gave up");
            }
            tracing::info!("worked");
            let api: Api<ConfigMap> = Api::namespaced(cx.client.clone(), "default");
            let _ = api.get_opt("main").await;
        };
        work.instrument(tracing::info_span!("working", on = %"main"))
    })
}

#[test]
fn spans_and_log_lines_are_seen_with_their_reconcile() {
    let of = |well| {
        let linked = "spans.exists(s, s.name == 'working' && s.parent == 'reconciling object' && s.fields['on'] == 'main' \
                      && reconciles.exists(r, r.id == s.reconcile) && requests.exists(q, q.reconcile == s.reconcile))";
        let properties = vec![
            asked(
                "nothing to warn of",
                When::Always,
                "logs.all(l, l.level != 'WARN' || !l.line.contains('gave up') || l.reconcile == 0)",
            ),
            asked(
                "work is over soon",
                When::Eventually,
                "spans.filter(s, s.name == 'working' && s.operator == 'op').all(s, s.ended && s.took < duration('1s'))",
            ),
            asked("all is linked", When::Sometimes, linked),
        ];
        told(with(worker(well), properties))
    };
    let linked = set(["all is linked"]);
    assert_eq!(
        of(false),
        (
            set(["nothing to warn of", "work is over soon"]),
            linked.clone()
        )
    );
    assert_eq!(of(true), (set([]), linked));
}

#[test]
fn metrics_are_those_of_the_last_scrape() {
    let of = |text: &'static str| {
        let shows = operator(move |cx: OperatorContext| async move {
            cx.metrics.register(move || text.to_owned());
            std::future::pending::<()>().await;
        });
        let short = "metrics.filter(m, m.name == 'op_queue_length').all(m, m.value <= 10.0 && m.labels['of'] == 'main')";
        let properties = vec![
            asked("the queue is short", When::Always, short),
            asked(
                "it is scraped once a time",
                When::Always,
                "metrics.size() <= 1 && metrics.all(m, m.replica == 'op-0' && now - m.at <= duration('15s'))",
            ),
        ];
        told(with(shows, properties))
    };
    assert_eq!(
        of("op_queue_length{of=\"main\"} 11\n").0,
        set(["the queue is short"])
    );
    assert_eq!(of("op_queue_length{of=\"main\"} 10\n").0, set([]));
}

#[test]
fn conditions_about_telemetry_only_read() {
    let prints = |properties| {
        let runs = runs(with(worker(true), properties), 0..4);
        runs.iter().map(Run::fingerprint).collect::<Vec<_>>()
    };
    let asking = asked(
        "asks for everything",
        When::Always,
        "effects.size() + calls.size() + spans.size() + logs.size() + metrics.size() >= 0",
    );
    assert_eq!(prints(vec![asking]), prints(Vec::new()));
}

#[test]
fn what_is_not_a_field_of_theirs_is_an_error() {
    let said = |source: &str| {
        let scope = crate::property::cel::Scope::new(source, &[]);
        let issues = crate::property::cel::Program::new(source, scope).err();
        issues.map(|issues| (issues[0].column, issues[0].message.clone()))
    };
    for (source, column, message) in [
        ("effects.all(e, e.knid == '')", 17, "undefined field 'knid'"),
        (
            "metrics.all(m, m.value == 'high')",
            24,
            "found no matching overload for '_==_' applied to '(double, string)'",
        ),
        (
            "logs.all(l, l.at < 3)",
            18,
            "found no matching overload for '_<_' applied to '(duration, int)'",
        ),
    ] {
        assert_eq!(said(source), Some((column, message.to_owned())), "{source}");
    }
}
