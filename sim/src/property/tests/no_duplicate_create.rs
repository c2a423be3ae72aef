//! `no-duplicate-create`: generated names and fixed ones.

use std::sync::Mutex;

use kube::runtime::reflector;

use super::*;

pub(super) fn no_duplicate_create_fires_on_generated_names_and_not_on_fixed_ones() {
    check(
        setup(maps(|map, ctx| ensure_child(map, ctx, false)), 2),
        Some("no-duplicate-create"),
    );
    check(
        setup(maps(|map, ctx| ensure_child(map, ctx, true)), 2),
        None,
    );
}

/// Creates a child with a generated name for each object that has none in the cache. A careful one waits in its reconcile
/// until the cache has what it created last.
fn from_cache(careful: bool) -> crate::operator::OperatorFn {
    operator(move |cx: OperatorContext| async move {
        let api: Api<ConfigMap> = Api::namespaced(cx.client.clone(), "default");
        let (cache, writer) = reflector::store::<ConfigMap>();
        let children = watcher::Config::default().labels("child=yes");
        let informer = reflector::reflector(writer, watcher(api.clone(), children))
            .for_each(|_| std::future::ready(()));
        let created = Arc::new(Mutex::new(None::<reflector::ObjectRef<ConfigMap>>));
        let only = watcher::Config::default().labels("main=yes");
        let work = Controller::new(api.clone(), only)
            .run(
                move |map: Arc<ConfigMap>, api: Arc<Api<ConfigMap>>| {
                    let (cache, created) = (cache.clone(), created.clone());
                    async move {
                        let _ = cache.wait_until_ready().await;
                        let last = created.lock().expect("nobody panicked").clone();
                        while careful && last.as_ref().is_some_and(|last| cache.get(last).is_none())
                        {
                            tokio::time::sleep(Duration::from_millis(20)).await;
                        }
                        let wanted = map.data.as_ref().and_then(|data| data.get("size"));
                        let wanted: usize = wanted.and_then(|n| n.parse().ok()).unwrap_or(0);
                        if cache.state().len() >= wanted {
                            return Ok(Next::await_change());
                        }
                        let child = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
                            "generateName": "main-", "labels": {"child": "yes"},
                        }});
                        let child = serde_json::from_value(child).expect("a ConfigMap");
                        let child = api.create(&PostParams::default(), &child).await?;
                        let child = reflector::ObjectRef::from_obj(&child);
                        *created.lock().expect("nobody panicked") = Some(child);
                        Ok::<_, kube::Error>(Next::requeue(Duration::from_millis(1)))
                    }
                },
                |_, _: &kube::Error, _| Next::requeue(Duration::from_secs(1)),
                Arc::new(api),
            )
            .for_each(|_| std::future::ready(()));
        futures::join!(informer, work);
    })
}

#[test]
fn no_duplicate_create_is_silent_on_a_reconcile_that_waits_for_its_cache() {
    for (careful, want) in [(false, Some("no-duplicate-create")), (true, None)] {
        let mut setup = setup(from_cache(careful), 1);
        setup.properties = vec![builtin("no-duplicate-create").expect("it is built in")];
        setup.workload = vec![poke(500, json!({"data": {"size": "3"}}))];
        check_seeds(setup, want, 12);
    }
}
