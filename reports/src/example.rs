//! A small recording that tests render: two replicas, one lost entry.

use bytes::Bytes;
use sim::choice::{ChoiceKind, Options, Tape, TapeEntry, TapeMode};
use sim::event::{
    Base, BaseSource, Call, Change, ChangeKind, Event, ObjectKey, ReconcileId, ReplicaId,
    RequestId, Revision, StepId,
};
use sim::time::SimTime;
use sim::trace::{LogLine, Record, Trace};
use sim::verdict::{Finding, Verdict};

use crate::recording::{FormatVersion, Header, InlinedFile, Recording};

fn key() -> ObjectKey {
    ObjectKey {
        group: "demo.reconverge.dev".into(),
        resource: "webapps".into(),
        namespace: "default".into(),
        name: "demo".into(),
    }
}

fn call(verb: &str, subresource: &str) -> Call {
    Call {
        verb: verb.into(),
        group: key().group,
        resource: key().resource,
        namespace: key().namespace,
        name: key().name,
        subresource: subresource.into(),
    }
}

/// Two replicas read version 10; both write; the second write removes what the first added.
pub(crate) fn lost_update() -> Recording {
    let tape = Tape {
        seed: 7,
        mode: TapeMode::Timed,
        plan: None,
        entries: vec![TapeEntry {
            site: "request-latency".into(),
            kind: ChoiceKind::Delay,
            options: Options::UpTo(19_000),
            taken: 4_200,
        }],
    };
    let mut trace = Trace::new(vec!["webapp-0".into(), "webapp-1".into()], tape);
    let add = |trace: &mut Trace, at: u64, cause: Option<u64>, event: Event| {
        let step = StepId(trace.records.len() as u64);
        trace.records.push(Record {
            step,
            at: SimTime(at),
            cause: cause.map(StepId),
            event,
        });
    };
    for replica in [0, 1] {
        let event = Event::ReplicaStarted {
            replica: ReplicaId(replica),
            incarnation: 1,
        };
        add(&mut trace, 0, None, event);
    }
    let sent = |n: u32, body| Event::RequestSent {
        replica: ReplicaId(n),
        request: RequestId(u64::from(n) + 1),
        reconcile: Some(ReconcileId(u64::from(n))),
        server: 0,
        call: call("patch", "status"),
        query: String::new(),
        body: Some(body),
        base: Some(Base {
            revision: Revision(10),
            source: BaseSource::Read,
        }),
        webhook: None,
        traceparent: None,
    };
    let committed = |n: u32, revision, body| Event::RequestCommitted {
        replica: ReplicaId(n),
        request: RequestId(u64::from(n) + 1),
        status: 200,
        reason: String::new(),
        changes: vec![Change {
            revision: Revision(revision),
            object: key(),
            uid: "6f0c".into(),
            kind: ChangeKind::Updated,
            body,
            fields: vec!["/status/acknowledgedBy".into()],
        }],
    };
    let bodies: Vec<_> = ["webapp-0", "webapp-1"]
        .iter()
        .map(|name| {
            trace.keep(&Bytes::from(format!(
                r#"{{"status":{{"acknowledgedBy":["{name}"]}}}}"#
            )))
        })
        .collect();
    add(&mut trace, 12_000, None, sent(0, bodies[0]));
    add(&mut trace, 12_400, None, sent(1, bodies[1]));
    add(&mut trace, 16_200, Some(2), committed(0, 11, bodies[0]));
    add(&mut trace, 1_018_350, Some(3), committed(1, 12, bodies[1]));
    let reply = Event::ReplyDelivered {
        replica: ReplicaId(1),
        request: RequestId(2),
        status: 200,
        revision: Some(Revision(12)),
    };
    add(&mut trace, 1_020_000, Some(5), reply);
    trace.logs.push(LogLine {
        at: SimTime(1_018_350),
        replica: "webapp-1".into(),
        reconcile: Some(ReconcileId(1)),
        level: "INFO".into(),
        line: "acknowledged".into(),
    });
    let finding = Finding {
        property: "no-lost-update".into(),
        message: "webapp-1 removed /status/acknowledgedBy/0, written @11, which it had not seen (it had read @10)".into(),
        at: SimTime(1_018_350),
        step: StepId(5),
        object: Some(key()),
        replica: Some(ReplicaId(1)),
        because: vec![StepId(3), StepId(4), StepId(5)],
        detail: None,
    };
    Recording {
        header: Header {
            format: FormatVersion::CURRENT,
            reconverge: "0.1.0".into(),
            scenario: "dual-write".into(),
            variant: "buggy".into(),
            scenario_hash: "9f3a07c1".into(),
            files: vec![InlinedFile {
                path: "scenarios/races/dual-write.yaml".into(),
                text: "scenario: dual-write\n".into(),
            }],
            seed: 7,
            plan: None,
            isolation: "thread".into(),
            replay: "reconverge replay scenarios/races/dual-write.yaml --variant buggy --seed 7"
                .into(),
            mode: TapeMode::Timed,
            replicas: vec!["webapp-0".into(), "webapp-1".into()],
        },
        trace,
        verdict: Verdict {
            findings: vec![finding],
            ended: SimTime(1_020_000),
            ..Verdict::default()
        },
    }
}
