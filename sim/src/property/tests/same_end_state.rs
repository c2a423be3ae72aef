//! `same-end-state` and `level-triggered`: what is remembered in memory, and what is read anew.

use super::*;

/// Creates a child and notes in the object that it has; what it has done it keeps in mind, or looks up.
fn noting(remembers: bool) -> crate::operator::OperatorFn {
    operator(move |cx: OperatorContext| async move {
        let done = Arc::new(std::sync::Mutex::new(BTreeSet::new()));
        let api: Api<ConfigMap> = Api::namespaced(cx.client.clone(), "default");
        let only = watcher::Config::default().labels("main=yes");
        Controller::new(api.clone(), only)
            .run(
                move |map, api: Arc<Api<ConfigMap>>| {
                    let done = Arc::clone(&done);
                    async move { note(map, &api, &done, remembers).await }
                },
                |_, _: &kube::Error, _| Next::requeue(Duration::from_secs(1)),
                Arc::new(api),
            )
            .for_each(|_| std::future::ready(()))
            .await;
    })
}

async fn note(
    map: Arc<ConfigMap>,
    api: &Api<ConfigMap>,
    done: &std::sync::Mutex<BTreeSet<String>>,
    remembers: bool,
) -> Done {
    let mut child = ConfigMap::default();
    child.metadata.name = Some("child".into());
    let made = match api.create(&PostParams::default(), &child).await {
        Ok(_) => true,
        Err(kube::Error::Api(status)) if status.code == 409 => false,
        Err(error) => return Err(error),
    };
    let name = map.name_any();
    let fresh = match remembers {
        // After a crash between the two writes nobody knows that the note is missing.
        true => made || done.lock().is_ok_and(|done| done.contains(&name)),
        false => true,
    };
    if fresh {
        done.lock().map(|mut done| done.insert(name)).ok();
        let patch = json!({"data": {"child": "made"}});
        api.patch("main", &PatchParams::default(), &Patch::Merge(patch))
            .await?;
    }
    Ok(Next::await_change())
}

fn with(remembers: bool, property: &str, fault: Fault) -> Setup {
    let mut setup = setup(noting(remembers), 1);
    setup.properties = vec![builtin(property).expect("it is built in")];
    setup.settle.force = false;
    setup.workload = vec![
        poke(50, json!({"metadata": {"annotations": {"a": "1"}}})),
        poke(100, json!({"metadata": {"annotations": {"a": "2"}}})),
    ];
    setup.faults = FaultPlan {
        at_most: 2,
        from: vec![fault],
    };
    setup
}

fn crash() -> Fault {
    Fault::Crash {
        operator: None,
        after: crate::setup::CrashPoint::AnyWrite,
        restart: DurationRange::ms(100, 5_000),
    }
}

pub(super) fn same_end_state_fires_on_a_memory_that_a_crash_wipes_and_not_on_a_fresh_look() {
    let runs = check(
        with(true, "same-end-state", crash()),
        Some("same-end-state"),
    );
    let mut findings = runs.iter().flat_map(|run| &run.verdict.findings);
    let message = &findings.next().expect("it fires").message;
    assert_eq!(
        message,
        "configmaps/default/main: /data/child is nothing, and in the fault-free run \"made\""
    );
    check(with(false, "same-end-state", crash()), None);
}

pub(super) fn level_triggered_fires_only_where_a_state_was_missed() {
    let runs = check(
        with(true, "level-triggered", crash()),
        Some("level-triggered"),
    );
    let mut findings = runs.iter().flat_map(|run| &run.verdict.findings);
    let message = &findings.next().expect("it fires").message;
    assert!(
        message.contains("op had missed a state of configmaps/default/"),
        "{message}"
    );
    check(with(false, "level-triggered", crash()), None);
}

#[test]
fn generated_names_and_storms_make_no_difference() {
    let with = |run| {
        let mut setup = super::storm::stormy(setup(run, 1));
        setup.settle.force = false;
        let names = ["same-end-state", "level-triggered", "unique-effect"];
        setup.properties = names.into_iter().filter_map(builtin).collect();
        setup
    };
    check(with(maps(|map, ctx| ensure_child(map, ctx, true))), None);
    check(with(maps(|_, ctx| sign(ctx, true))), None);
}

#[test]
fn the_fault_free_run_is_the_same_in_forks_and_on_threads() {
    let prepared = Prepared::new(with(true, "same-end-state", crash())).expect("a setup");
    let forked = super::isolation::made(&prepared, 2, Isolation::Fork, 24);
    let prepared = Prepared::new(with(true, "same-end-state", crash())).expect("a setup");
    assert_eq!(
        super::isolation::made(&prepared, 3, Isolation::Thread, 24),
        forked
    );
    let broken = |run: &Result<(u64, String), Lost>| {
        run.as_ref()
            .is_ok_and(|(_, verdict)| verdict.contains("/data/child"))
    };
    assert!(forked.iter().any(broken));
}
