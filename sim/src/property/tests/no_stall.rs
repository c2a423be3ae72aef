//! `no-stall`: each wait is known by its name.
#![expect(
    clippy::disallowed_methods,
    reason = "operators have tasks of their own, and one blocks on purpose"
)]

use super::*;
use crate::setup::Mode;

type Lock = Arc<tokio::sync::Mutex<()>>;

/// One of the waits.
#[derive(Clone, Copy, PartialEq)]
enum Wait {
    Nothing,
    Api,
    Timer,
    Lock,
    Channel,
    Thread,
}

/// Waits once, and asks something before and after.
fn waiting(wait: Wait) -> crate::operator::OperatorFn {
    operator(move |cx: OperatorContext| async move {
        let lock: Lock = Arc::default();
        let (feed, fed) = tokio::sync::watch::channel(0);
        let api: Api<ConfigMap> = Api::namespaced(cx.client.clone(), "default");
        let fed_by = api.clone();
        tokio::spawn(async move {
            for round in 1..30 {
                for _ in 0..3 {
                    let _ = fed_by.get_opt("main").await;
                }
                feed.send_replace(round);
            }
        });
        let only = watcher::Config::default();
        Controller::new(api.clone(), only)
            .run(
                move |map, api: Arc<Api<ConfigMap>>| {
                    let (lock, mut fed) = (Arc::clone(&lock), fed.clone());
                    async move {
                        match wait {
                            Wait::Nothing | Wait::Api => drop(api.get_opt("main").await?),
                            Wait::Timer => tokio::time::sleep(Duration::from_millis(80)).await,
                            Wait::Thread => std::thread::sleep(Duration::from_millis(80)),
                            Wait::Channel => {
                                fed.borrow_and_update();
                                drop(fed.changed().await);
                            }
                            Wait::Lock => {
                                let _held = lock.lock().await;
                                for _ in 0..4 {
                                    api.get_opt(&map.name_any()).await?;
                                }
                            }
                        }
                        Ok(Next::await_change())
                    }
                },
                |_, _: &kube::Error, _| Next::requeue(Duration::from_secs(1)),
                Arc::new(api),
            )
            .for_each(|_| std::future::ready(()))
            .await;
    })
}

fn told(wait: Wait) -> Vec<String> {
    let mut setup = setup(waiting(wait), 1);
    let other = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other", "namespace": "default"}});
    setup.objects.push(other);
    setup.mode = Mode::Timed;
    setup.settle.force = false;
    setup.properties = vec![builtin("no-stall").expect("it is built in")];
    let each_way = match wait {
        Wait::Api => 40,
        _ => 20,
    };
    setup.timing.request = DurationRange::ms(10, each_way);
    let runs = runs(setup, 1..7);
    let findings = runs.iter().flat_map(|run| &run.verdict.findings);
    findings.map(|finding| finding.message.clone()).collect()
}

pub(super) fn no_stall_names_the_wait_and_its_owner() {
    for (wait, want) in [
        (
            Wait::Api,
            "waits for the API server: get configmaps/default/main",
        ),
        (Wait::Timer, "waits for a timer of its own"),
        (Wait::Lock, "waits for a lock of the reconcile of ConfigMap"),
        (
            Wait::Channel,
            "waits for a channel that a task beside it feeds",
        ),
        (
            Wait::Thread,
            "waits for the whole process: it blocked its thread",
        ),
    ] {
        let found = told(wait);
        assert!(
            found.iter().any(|message| message.contains(want)),
            "{want}: {found:#?}"
        );
    }
    let found = told(Wait::Nothing);
    assert!(found.is_empty(), "{found:#?}");
}
