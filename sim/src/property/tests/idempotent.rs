//! `idempotent`: a counter and a constant.

use super::*;
use crate::event::{Event, StepId};

pub(super) fn idempotent_fires_on_a_counter_and_not_on_a_constant() {
    let count = |constant: bool| {
        maps(move |map, ctx| async move {
            let said = map.data.clone().unwrap_or_default();
            let count: u32 = said
                .get("count")
                .and_then(|count| count.parse().ok())
                .unwrap_or(0);
            let next = if constant { 1 } else { count + 1 };
            // The object's own change must not start it again at once: that would be a hot loop, not this mutant.
            let fresh = map.metadata.annotations.clone().unwrap_or_default();
            if !constant && fresh.get("by") == Some(&format!("{}-{}", ctx.identity, boot()))
                || constant && count == 1
            {
                return Ok(Next::await_change());
            }
            let by = format!("{}-{}", ctx.identity, boot());
            let by = if constant { "all".to_owned() } else { by };
            let patch = json!({"metadata": {"annotations": {"by": by}}, "data": {"count": next.to_string()}});
            api(&ctx)
                .patch("main", &PatchParams::default(), &Patch::Merge(patch))
                .await?;
            Ok(Next::await_change())
        })
    };
    check(setup(count(false), 1), Some("idempotent"));
    check(setup(count(true), 1), None);
}

/// A number that is another one in each incarnation: when the runtime of the process began.
fn boot() -> u64 {
    thread_local! { static BOOT: std::cell::Cell<u64> = const { std::cell::Cell::new(0) }; }
    let now = crate::entropy::now().as_us() / 60_000_000;
    BOOT.with(|boot| boot.set(now));
    BOOT.with(std::cell::Cell::get)
}

/// Writes whenever it hears of the object, but for its own write, which it expects to hear of once. Neither a relist nor a
/// restart shows that up: those begin with a list, which it does not look at.
fn listener(counts: bool) -> crate::operator::OperatorFn {
    operator(move |cx: OperatorContext| async move {
        let api: Api<ConfigMap> = Api::namespaced(cx.client.clone(), "default");
        let only = watcher::Config::default().labels("main=yes");
        let mut events = watcher(api.clone(), only).boxed();
        let mut expected = None;
        while let Some(event) = events.next().await {
            let Ok(watcher::Event::Apply(map)) = event else {
                continue;
            };
            if expected.take() == map.resource_version() {
                continue;
            }
            let data = map.data.unwrap_or_default();
            let heard: u32 = data.get("heard").and_then(|n| n.parse().ok()).unwrap_or(0);
            let heard = if counts { heard + 1 } else { 1 };
            let patch = json!({"data": {"heard": heard.to_string()}});
            let written = api
                .patch("main", &PatchParams::default(), &Patch::Merge(patch))
                .await;
            expected = written.ok().and_then(|map| map.resource_version());
        }
    })
}

#[test]
fn idempotent_fires_on_a_counter_of_events_heard_again() {
    let with = |counts| {
        let mut setup = setup(listener(counts), 1);
        setup.properties = vec![builtin("idempotent").expect("it is built in")];
        setup.workload = vec![poke(
            1_000,
            json!({"metadata": {"annotations": {"a": "1"}}}),
        )];
        setup
    };
    let runs = runs(with(true), 0..6);
    for run in &runs {
        let message = &run.verdict.findings[0].message;
        assert_eq!(
            message,
            "everything was settled, and after events that it had heard already it wrote: \
             patch configmaps/default/main (/data/heard)"
        );
        let told = &run.verdict.findings[0].because;
        let wrote = |step: &StepId| {
            let record = run.trace.record(*step).map(|record| &record.event);
            matches!(record, Some(Event::RequestCommitted { .. }))
        };
        // The write in question, and the one before it.
        assert_eq!(told.iter().filter(|step| wrote(step)).count(), 2);
    }
    let heard_once = super::runs(with(false), 0..6);
    assert!(heard_once.iter().all(|run| run.verdict.findings.is_empty()));
}

#[test]
fn news_that_arrives_after_the_settle_window_is_acted_upon_before_all_is_settled() {
    let mirror = maps(|map, ctx| async move {
        let want = map.annotations().get("want").cloned().unwrap_or_default();
        let is = map.data.clone().unwrap_or_default().remove("is");
        if is.as_deref().unwrap_or_default() != want {
            let patch = json!({"data": {"is": want}});
            api(&ctx)
                .patch("main", &PatchParams::default(), &Patch::Merge(patch))
                .await?;
        }
        Ok(Next::await_change())
    });
    let mut setup = setup(mirror, 1);
    setup.workload = vec![poke(
        1_000,
        json!({"metadata": {"annotations": {"want": "1"}}}),
    )];
    setup.timing.watch = DurationRange::fixed(setup.settle.window + Duration::from_secs(10));
    let window_us = crate::time::us(setup.settle.window);
    // Controlled runs deliver when they like; in timed ones the news and the write it leads to take their 70 s each, and a
    // window follows.
    let settled = check(setup, None)
        .into_iter()
        .filter_map(|run| run.verdict.settled)
        .max();
    let expected = 1_000_000 + 3 * window_us + 20_000_000;
    assert!(settled.expect("they settle").0 >= expected, "{settled:?}");
}

#[test]
fn the_one_who_hears_late_of_a_refusal_has_time_to_try_again_before_all_is_settled() {
    let patient = operator(|cx: OperatorContext| async move {
        let api: Api<ConfigMap> = Api::namespaced(cx.client.clone(), "default");
        let mut map = ConfigMap::default();
        map.metadata.name = Some("made".into());
        while api.create(&PostParams::default(), &map).await.is_err() {
            tokio::time::sleep(Duration::from_secs(30)).await;
        }
        std::future::pending::<()>().await;
    });
    let mut setup = setup(patient, 1);
    setup.workload = vec![poke(
        10_000,
        json!({"metadata": {"annotations": {"a": "1"}}}),
    )];
    setup.timing.request = DurationRange::fixed(Duration::from_secs(35));
    setup.faults.from = vec![Fault::Refuse {
        on: crate::setup::RequestFilter {
            verbs: vec!["create".into()],
            ..Default::default()
        },
        status: 429,
        retry_after_s: Some(30),
    }];
    setup.faults.at_most = 1;
    let runs = check(setup, None);
    let refused = runs.iter().filter(|run| {
        let events = &run.trace.records;
        events
            .iter()
            .any(|record| matches!(record.event, Event::RequestRefused { .. }))
    });
    assert!(refused.count() > 0, "the fault struck nowhere");
    for run in runs {
        let made = run
            .trace
            .records
            .iter()
            .find(|record| matches!(record.event, Event::RequestCommitted { status: 201, .. }));
        let settled = run.verdict.settled.expect("they settle");
        assert!(
            made.is_some_and(|made| made.at < settled),
            "seed {}",
            run.trace.tape.seed
        );
    }
}

#[test]
fn to_hear_late_and_often_that_an_object_exists_does_not_keep_the_world_from_settling() {
    let insistent = operator(|cx: OperatorContext| async move {
        let api: Api<ConfigMap> = Api::namespaced(cx.client.clone(), "default");
        let mut map = ConfigMap::default();
        map.metadata.name = Some("made".into());
        for _ in 0..10_000 {
            let _ = api.create(&PostParams::default(), &map).await;
            tokio::time::sleep(Duration::from_secs(30)).await;
        }
    });
    let mut setup = setup(insistent, 1);
    setup.timing.request = DurationRange::fixed(Duration::from_secs(2));
    let runs = check(setup, None);
    assert!(runs.iter().all(|run| run.verdict.settled.is_some()));
}

/// What it does each time it lists again, and each time it starts, but for the first.
#[derive(Clone, Copy, PartialEq)]
enum Habit {
    /// Notes each relist, and each start.
    Notes,
    /// Writes something when it lists again, and takes it back.
    TakesBack,
    /// Deletes an object that has a dependent when it lists again.
    Deletes,
    /// Reads only.
    Reads,
}

fn creature(of: Habit) -> crate::operator::OperatorFn {
    operator(move |cx: OperatorContext| async move {
        let api: Api<ConfigMap> = Api::namespaced(cx.client.clone(), "default");
        let patch = async |data: serde_json::Value| {
            let body = Patch::Merge(json!({"data": data}));
            let _ = api.patch("main", &PatchParams::default(), &body).await;
        };
        if of == Habit::Notes {
            patch(json!({"started": crate::entropy::now().as_us().to_string()})).await;
        }
        let only = watcher::Config::default().labels("main=yes");
        let mut events = watcher(api.clone(), only).boxed();
        let mut lists = 0;
        while let Some(event) = events.next().await {
            if !matches!(event, Ok(watcher::Event::InitDone)) {
                continue;
            }
            lists += 1;
            match of {
                Habit::Deletes if lists == 1 => have_a_family(&api).await,
                _ if lists == 1 => {}
                Habit::Notes => patch(json!({"lists": lists.to_string()})).await,
                Habit::TakesBack => {
                    patch(json!({"busy": "yes"})).await;
                    patch(json!({"busy": null})).await;
                }
                Habit::Deletes => {
                    let _ = api.delete("parent", &DeleteParams::background()).await;
                }
                Habit::Reads => {}
            }
        }
    })
}

/// Makes an object and a dependent of it, where there is none.
async fn have_a_family(api: &Api<ConfigMap>) {
    let mut map = ConfigMap::default();
    map.metadata.name = Some("parent".into());
    let Ok(parent) = api.create(&PostParams::default(), &map).await else {
        return;
    };
    map.metadata.name = Some("child".into());
    map.metadata.owner_references = parent.owner_ref(&()).map(|owner| vec![owner]);
    let _ = api.create(&PostParams::default(), &map).await;
}

/// What is found of an operator of that habit, in the words of the findings.
fn told_of(habit: Habit) -> BTreeSet<String> {
    let mut setup = setup(creature(habit), 1);
    setup.properties = vec![builtin("idempotent").expect("it is built in")];
    let runs = runs(setup, 0..6);
    let found = runs.iter().flat_map(|run| run.verdict.findings.iter());
    found.map(|finding| finding.message.clone()).collect()
}

#[test]
fn each_part_of_the_forced_reconcile_is_judged_by_itself() {
    let told: Vec<String> = told_of(Habit::Notes).into_iter().collect();
    assert_eq!(
        told,
        [
            "everything was settled, and after a relist it wrote: patch configmaps/default/main (/data/lists); \
             after a restart: patch configmaps/default/main (/data/started)"
        ]
    );
    assert_eq!(told_of(Habit::Reads), BTreeSet::new());
}

#[test]
fn what_is_taken_back_is_told_so_and_what_a_write_leads_to_is_told_too() {
    let told: Vec<String> = told_of(Habit::TakesBack).into_iter().collect();
    assert_eq!(
        told,
        [
            "everything was settled, and after a relist it wrote: patch configmaps/default/main (/data/busy); \
             in the end it is as it was"
        ]
    );
    let told: Vec<String> = told_of(Habit::Deletes).into_iter().collect();
    let all = told.join("\n");
    for said in [
        "everything was settled, and after a relist it wrote: delete configmaps/default/parent",
        "everything was settled, and configmaps/default/child is another one after a relist: it is gone",
    ] {
        assert!(all.contains(said), "{all}");
    }
}
