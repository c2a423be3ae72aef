//! Stories of workloads without an operator: what comes of objects when only stand-ins act.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::stages::{Pace, PodFailure, PodFault, PodStages};
use crate::event::{ChangeKind, Event};
use crate::run::{Prepared, Run, RunOptions};
use crate::schedule::Input;
use crate::setup::{Action, Actor, Fault, FaultPlan, PatchType, Setup, Target, WorkloadStep};
use crate::time::{DurationRange, SimTime};

/// One state of one object.
struct State {
    at: SimTime,
    kind: ChangeKind,
    body: Value,
}

struct Story {
    setup: Setup,
}

impl Story {
    fn new(objects: impl IntoIterator<Item = Value>) -> Story {
        let mut actors = Setup::default().actors;
        actors.extend(Actor::workloads());
        let setup = Setup {
            name: "workloads".to_owned(),
            objects: objects.into_iter().collect(),
            actors,
            ..Setup::default()
        };
        Story { setup }
    }

    fn actor(mut self, actor: Actor) -> Story {
        self.setup
            .actors
            .retain(|other| other.name() != actor.name());
        self.setup.actors.push(actor);
        self
    }

    fn pods(self, change: impl FnOnce(&mut PodStages)) -> Story {
        let mut stages = PodStages::default();
        change(&mut stages);
        self.actor(Actor::Pods(stages))
    }

    fn failing(self, pods: &str, how: PodFault, times: Option<u32>) -> Story {
        let failure = PodFailure {
            pods: pods.to_owned(),
            how,
            at_most: u32::MAX,
            times,
        };
        self.pods(|stages| stages.failures.push(failure))
    }

    fn step(mut self, seconds: u64, action: Action) -> Story {
        let at = SimTime::after(Duration::from_secs(seconds));
        self.setup.workload.push(WorkloadStep { at, action });
        self
    }

    fn patch(self, seconds: u64, target: Target, body: Value) -> Story {
        let action = Action::Patch {
            target,
            subresource: None,
            patch: PatchType::Merge,
            body,
        };
        self.step(seconds, action)
    }

    fn run(&self, seed: u64) -> Run {
        let prepared = Prepared::new(self.setup.clone()).expect("the server takes the objects");
        prepared.run(&Input::Seed(seed), RunOptions::default())
    }

    /// Runs some seeds of both ways of time; each settles.
    fn runs(&self) -> Vec<Run> {
        let runs: Vec<Run> = (0..12).map(|seed| self.run(seed)).collect();
        for (seed, run) in runs.iter().enumerate() {
            assert!(
                run.verdict.settled.is_some(),
                "seed {seed} never settles: {}",
                told(run)
            );
        }
        runs
    }
}

/// What stand-ins did, for messages.
fn told(run: &Run) -> String {
    let lines = run
        .trace
        .records
        .iter()
        .filter_map(|record| match &record.event {
            Event::ActorActed {
                actor,
                what,
                status,
                message,
                ..
            } => Some(format!("{} {actor}: {what}: {status} {message}", record.at)),
            _ => None,
        });
    lines.collect::<Vec<_>>().join("\n")
}

/// All changes of objects of a resource whose names begin so.
fn history(run: &Run, resource: &str, name: &str) -> Vec<State> {
    let mut states = Vec::new();
    for record in &run.trace.records {
        for change in record.event.changes() {
            if change.object.resource == resource && change.object.name.starts_with(name) {
                let body = &run.trace.bodies[&change.body];
                states.push(State {
                    at: record.at,
                    kind: change.kind,
                    body: serde_json::from_slice(body).expect("objects are JSON"),
                });
            }
        }
    }
    states
}

fn last(run: &Run, resource: &str, name: &str) -> Value {
    let mut states = history(run, resource, name);
    states
        .pop()
        .unwrap_or_else(|| panic!("{resource}/{name} was never written:\n{}", told(run)))
        .body
}

fn condition<'v>(object: &'v Value, of: &str) -> &'v Value {
    let conditions = object["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    conditions
        .find(|condition| condition["type"] == of)
        .unwrap_or(&Value::Null)
}

/// How many of a resource were there at once, after each change, with a field of a sort.
fn at_once(run: &Run, resource: &str, counts: impl Fn(&Value) -> bool) -> Vec<usize> {
    let mut live = std::collections::BTreeMap::new();
    let mut told = Vec::new();
    for state in history(run, resource, "") {
        let name = state.body["metadata"]["name"].to_string();
        match state.kind {
            ChangeKind::Deleted => drop(live.remove(&name)),
            _ => drop(live.insert(name, counts(&state.body))),
        }
        told.push(live.values().filter(|counts| **counts).count());
    }
    told
}

fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready")["status"] == "True"
}

fn target(api_version: &str, kind: &str, name: &str) -> Target {
    Target {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        namespace: "default".to_owned(),
        name: name.to_owned(),
    }
}

fn template(image: &str, restart: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": "web"}},
        "spec": {"restartPolicy": restart, "containers": [{"name": "c", "image": image}]},
    })
}

fn deployment(replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
            "template": template("web:1", "Always"),
        },
    })
}

fn job(spec: Value) -> Value {
    let mut job = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": "work", "namespace": "default"},
        "spec": {"template": {
            "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "work:1"}]},
        }},
    });
    for (field, value) in spec.as_object().into_iter().flatten() {
        job["spec"][field] = value.clone();
    }
    job
}

fn pod(name: &str, restart: &str) -> Value {
    let mut pod = template("web:1", restart);
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["name"] = json!(name);
    pod["metadata"]["namespace"] = json!("default");
    pod
}

#[test]
fn a_deployment_becomes_available() {
    let story = Story::new([deployment(3)]);
    for run in story.runs() {
        let web = last(&run, "deployments", "web");
        assert_eq!(
            condition(&web, "Available")["status"],
            "True",
            "{}",
            told(&run)
        );
        assert_eq!(
            condition(&web, "Progressing")["reason"],
            "NewReplicaSetAvailable"
        );
        let status = &web["status"];
        for field in [
            "replicas",
            "updatedReplicas",
            "readyReplicas",
            "availableReplicas",
        ] {
            assert_eq!(status[field], 3, "{field} in {status}");
        }
        assert_eq!(status["observedGeneration"], web["metadata"]["generation"]);
        let first = &history(&run, "deployments", "web")[0].body;
        assert_eq!(condition(first, "Available")["status"], "False");
    }
}

#[test]
fn a_rolling_update_keeps_its_bounds() {
    let mut web = deployment(4);
    web["spec"]["strategy"] =
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}});
    let image =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "web:2"}]}}}});
    let story = Story::new([web]).patch(120, target("apps/v1", "Deployment", "web"), image);
    for run in story.runs() {
        let counted = |pod: &Value| pod["metadata"].get("deletionTimestamp").is_none();
        let ready = at_once(&run, "pods", |pod| counted(pod) && is_ready(pod));
        let up = ready
            .iter()
            .position(|ready| *ready == 4)
            .expect("all were ready once");
        let least = ready[up..].iter().min().expect("some");
        assert!(*least >= 3, "{least} ready at once:\n{}", told(&run));
        let all = at_once(&run, "pods", counted)
            .into_iter()
            .max()
            .expect("some");
        assert!(all <= 5, "{all} at once:\n{}", told(&run));
        let web = last(&run, "deployments", "web");
        assert_eq!(web["status"]["updatedReplicas"], 4, "{}", told(&run));
        assert_eq!(
            condition(&web, "Progressing")["reason"],
            "NewReplicaSetAvailable"
        );
        let images: BTreeSet<String> = history(&run, "pods", "")
            .iter()
            .map(|state| state.body["spec"]["containers"][0]["image"].to_string())
            .collect();
        assert_eq!(images.len(), 2);
    }
}

#[test]
fn a_deployment_that_never_gets_ready_says_so_at_its_deadline() {
    let mut web = deployment(1);
    web["spec"]["progressDeadlineSeconds"] = json!(60);
    let story = Story::new([web]).failing("web-*", PodFault::NeverReady, None);
    for run in story.runs() {
        let web = last(&run, "deployments", "web");
        assert_eq!(
            condition(&web, "Progressing")["reason"],
            "ProgressDeadlineExceeded",
            "{}",
            told(&run)
        );
        assert_eq!(condition(&web, "Available")["status"], "False");
    }
}

#[test]
fn a_deployment_scales_down() {
    let story = Story::new([deployment(3)]).patch(
        60,
        target("apps/v1", "Deployment", "web"),
        json!({"spec": {"replicas": 1}}),
    );
    for run in story.runs() {
        assert_eq!(
            last(&run, "deployments", "web")["status"]["readyReplicas"],
            1,
            "{}",
            told(&run)
        );
        let pods = at_once(&run, "pods", |_| true);
        assert_eq!(pods.last(), Some(&1));
    }
}

#[test]
fn pods_fail_on_demand() {
    let phase = |run: &Run| last(run, "pods", "a")["status"]["phase"].clone();
    let waits = |run: &Run| {
        let pod = last(run, "pods", "a");
        pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"].clone()
    };
    for run in Story::new([pod("a", "Always")])
        .failing("a", PodFault::Unschedulable, None)
        .runs()
    {
        assert_eq!(
            condition(&last(&run, "pods", "a"), "PodScheduled")["reason"],
            "Unschedulable"
        );
    }
    for run in Story::new([pod("a", "Always")])
        .failing("a", PodFault::ImagePull, None)
        .runs()
    {
        assert_eq!(
            (phase(&run), waits(&run)),
            (json!("Pending"), json!("ImagePullBackOff"))
        );
    }
    for run in Story::new([pod("a", "Always")])
        .failing("a", PodFault::Crash, None)
        .runs()
    {
        assert_eq!(
            (phase(&run), waits(&run)),
            (json!("Running"), json!("CrashLoopBackOff"))
        );
    }
    for run in Story::new([pod("a", "Always")])
        .failing("a", PodFault::Crash, Some(2))
        .runs()
    {
        let pod = last(&run, "pods", "a");
        assert!(is_ready(&pod), "{}", told(&run));
        assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 2);
    }
    for run in Story::new([pod("a", "Never")])
        .failing("a", PodFault::Crash, None)
        .runs()
    {
        assert_eq!(phase(&run), "Failed");
    }
    for run in Story::new([pod("a", "Never")]).runs() {
        assert_eq!(phase(&run), "Succeeded");
    }
}

#[test]
fn graceful_deletion_takes_its_time() {
    let mut held = pod("a", "Always");
    held["spec"]["terminationGracePeriodSeconds"] = json!(3);
    let story = Story::new([held])
        .pods(|stages| stages.terminate = DurationRange::ms(2_000, 60_000))
        .step(
            30,
            Action::Delete {
                target: target("v1", "Pod", "a"),
                propagation_policy: None,
            },
        );
    for run in story.runs() {
        let states = history(&run, "pods", "a");
        let told_at = states
            .iter()
            .find(|s| s.body["metadata"].get("deletionTimestamp").is_some());
        let told_at = told_at.expect("it is told to stop").at;
        let gone = states.last().expect("states");
        assert_eq!(gone.kind, ChangeKind::Deleted, "{}", told(&run));
        let took = gone.at.since(told_at);
        let most = Duration::from_millis(3_500);
        assert!(took >= Duration::from_secs(2), "gone after {took:?}");
        if run.trace.tape.mode == crate::choice::TapeMode::Timed {
            assert!(took <= most, "gone after {took:?}");
        }
        let ended = states
            .iter()
            .find(|s| s.body["status"]["phase"] == "Succeeded");
        assert!(ended.is_some(), "its status says that it has stopped");
    }
}

#[test]
fn a_job_completes() {
    let story = Story::new([job(json!({"completions": 3, "parallelism": 2}))]);
    for run in story.runs() {
        let work = last(&run, "jobs", "work");
        assert_eq!(
            condition(&work, "Complete")["status"],
            "True",
            "{}",
            told(&run)
        );
        assert_eq!(work["status"]["succeeded"], 3);
        assert!(work["status"].get("completionTime").is_some());
        let active = at_once(&run, "pods", |pod| pod["status"]["phase"] != "Succeeded");
        assert_eq!(active.into_iter().max(), Some(2), "{}", told(&run));
    }
}

#[test]
fn a_job_fails_at_its_backoff_limit() {
    let story =
        Story::new([job(json!({"backoffLimit": 2}))]).failing("work-*", PodFault::Crash, None);
    for run in story.runs() {
        let work = last(&run, "jobs", "work");
        assert_eq!(
            condition(&work, "Failed")["reason"],
            "BackoffLimitExceeded",
            "{}",
            told(&run)
        );
        assert_eq!(work["status"]["failed"], 3);
        let pods = history(&run, "pods", "work-");
        let made = pods.iter().filter(|s| s.kind == ChangeKind::Created);
        let made: Vec<SimTime> = made.map(|s| s.at).collect();
        assert_eq!(made.len(), 3);
        assert!(
            made[2].since(made[1]) >= Duration::from_secs(20),
            "the pause doubles: {made:?}"
        );
    }
}

#[test]
fn an_indexed_job_does_each_index_once() {
    let story = Story::new([job(
        json!({"completions": 3, "parallelism": 3, "completionMode": "Indexed"}),
    )]);
    for run in story.runs() {
        let work = last(&run, "jobs", "work");
        assert_eq!(work["status"]["completedIndexes"], "0-2", "{}", told(&run));
    }
}

#[test]
fn a_statefulset_is_ordered_and_has_its_claims() {
    let set = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": "db", "namespace": "default"},
        "spec": {
            "replicas": 3, "serviceName": "db", "selector": {"matchLabels": {"app": "web"}},
            "template": template("db:1", "Always"),
            "volumeClaimTemplates": [{
                "metadata": {"name": "data"},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
            }],
        },
    });
    let image =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "db:2"}]}}}});
    let of = || target("apps/v1", "StatefulSet", "db");
    let story = Story::new([set]).patch(120, of(), image).patch(
        300,
        of(),
        json!({"spec": {"replicas": 1}}),
    );
    for run in story.runs() {
        let mut ready: BTreeSet<String> = BTreeSet::new();
        let mut gone = Vec::new();
        for state in history(&run, "pods", "db-") {
            let name = state.body["metadata"]["name"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            if state.kind == ChangeKind::Created && gone.is_empty() {
                assert_eq!(name, format!("db-{}", ready.len()), "{}", told(&run));
            }
            if is_ready(&state.body) {
                ready.insert(name.clone());
            }
            if state.kind == ChangeKind::Deleted {
                gone.push(name);
            }
        }
        assert_eq!(
            gone,
            ["db-2", "db-1", "db-0", "db-2", "db-1"],
            "{}",
            told(&run)
        );
        let db = last(&run, "statefulsets", "db");
        assert_eq!(db["status"]["readyReplicas"], 1);
        assert_eq!(
            db["status"]["currentRevision"],
            db["status"]["updateRevision"]
        );
        assert_eq!(
            last(&run, "persistentvolumeclaims", "data-db-2")["status"]["phase"],
            "Bound"
        );
    }
}

#[test]
fn a_service_lists_ready_pods() {
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "default"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
    });
    for run in Story::new([service, deployment(2)]).runs() {
        let slice = last(&run, "endpointslices", "web-");
        let ends = slice["endpoints"].as_array().map_or(0, Vec::len);
        assert_eq!(ends, 2, "{}", told(&run));
        assert_eq!(slice["endpoints"][0]["conditions"]["ready"], true);
        assert_eq!(slice["ports"][0]["port"], 8080);
        let list = last(&run, "endpoints", "web");
        assert_eq!(
            list["subsets"][0]["addresses"].as_array().map(Vec::len),
            Some(2)
        );
    }
}

#[test]
fn what_is_deleted_goes_with_all_it_had() {
    let story = Story::new([deployment(2)]).step(
        60,
        Action::Delete {
            target: target("apps/v1", "Deployment", "web"),
            propagation_policy: Some("Foreground".to_owned()),
        },
    );
    for run in story.runs() {
        for resource in ["pods", "replicasets", "deployments"] {
            assert_eq!(
                at_once(&run, resource, |_| true).last(),
                Some(&0),
                "{resource}: {}",
                told(&run)
            );
        }
    }
}

#[test]
fn a_view_that_lags_tells_old_counts() {
    let slow = Pace {
        watch: Some(DurationRange::fixed(Duration::from_secs(20))),
        act: None,
    };
    let mut story = Story::new([deployment(2)]).actor(Actor::ReplicaSets(slow));
    story.setup.mode = crate::setup::Mode::Timed;
    let run = story.run(4);
    let ready_at = history(&run, "pods", "web")
        .iter()
        .filter(|s| is_ready(&s.body))
        .map(|s| s.at)
        .max();
    let counted = history(&run, "replicasets", "web");
    let counted = counted
        .iter()
        .find(|s| s.body["status"]["readyReplicas"] == 2);
    let late = counted
        .expect("counted in the end")
        .at
        .since(ready_at.expect("ready"));
    assert!(
        late >= Duration::from_secs(20),
        "counted {late:?} later:\n{}",
        told(&run)
    );
}

#[test]
fn a_lagging_watch_cache_keeps_stand_ins_behind() {
    let mut story = Story::new([deployment(2)]);
    story.setup.faults = FaultPlan {
        at_most: 1,
        from: vec![Fault::Lag {
            kind: Some("Pod".to_owned()),
            server: None,
            lasting: DurationRange::fixed(Duration::from_secs(30)),
        }],
    };
    let struck = (0..20).map(|seed| story.run(seed)).filter(|run| {
        run.trace
            .records
            .iter()
            .any(|record| matches!(record.event, Event::CacheLagged { .. }))
    });
    let mut runs = 0;
    for run in struck {
        runs += 1;
        assert_eq!(
            last(&run, "deployments", "web")["status"]["readyReplicas"],
            2,
            "{}",
            told(&run)
        );
        assert_eq!(
            at_once(&run, "pods", |_| true).last(),
            Some(&2),
            "nothing is made twice"
        );
    }
    assert!(runs > 0, "no seed made the cache lag");
}

#[test]
fn equal_seeds_give_equal_runs() {
    let story = Story::new([deployment(2), job(json!({}))]);
    for seed in 0..6 {
        let (first, again) = (story.run(seed), story.run(seed));
        assert_eq!(first.fingerprint(), again.fingerprint(), "seed {seed}");
        let prepared = Prepared::new(story.setup.clone()).expect("objects");
        let replay = prepared.run(
            &Input::Tape(first.trace.tape.clone()),
            RunOptions::default(),
        );
        assert_eq!(
            first.fingerprint(),
            replay.fingerprint(),
            "tape of seed {seed}"
        );
        assert!(!replay.diverged);
    }
}
