//! What an event says, in the words of a timeline: what happened, to which object at which version, and why.
//!
//! Owns one row per event. Does not own the layout of rows (`timeline`), and judges nothing.

use std::time::Duration;

use sim::event::{
    Base, BaseSource, Change, ChangeKind, Effect, EffectKind, Event, Phase, WatchEnd, Who,
};
use sim::trace::{Record, Trace};

use crate::chore;
use crate::past::Past;

/// One row of a timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) step: String,
    pub(crate) time: String,
    pub(crate) actor: String,
    pub(crate) event: String,
    pub(crate) object: String,
    pub(crate) why: String,
}

/// The row of a record.
pub(crate) fn row(record: &Record, trace: &Trace, past: &Past<'_>) -> Row {
    let (event, object, why) = describe(&record.event, past);
    let mut reasons: Vec<String> = why.into_iter().filter(|w| !w.is_empty()).collect();
    if let Some(cause) = record.cause {
        reasons.push(format!("after {cause}"));
    }
    Row {
        step: record.step.to_string(),
        time: record.at.to_string(),
        actor: actor(record.event.who(), trace),
        event,
        object,
        why: reasons.join(" · "),
    }
}

/// How a timeline names who did something.
pub(crate) fn actor(who: Who, trace: &Trace) -> String {
    match who {
        Who::Replica(id) => match trace.replicas.get(id.0 as usize) {
            Some(name) => name.clone(),
            None => id.to_string(),
        },
        Who::Workload => "user".to_owned(),
        Who::ControlPlane => "cluster".to_owned(),
        Who::World => "world".to_owned(),
    }
}

/// Microseconds as people write durations.
fn us(us: u64) -> String {
    format!("{:?}", Duration::from_micros(us))
}

fn signed_us(offset: i64) -> String {
    let sign = if offset < 0 { "-" } else { "+" };
    format!("{sign}{}", us(offset.unsigned_abs()))
}

fn at(object: &impl std::fmt::Display, revision: Option<&impl std::fmt::Display>) -> String {
    match revision {
        Some(revision) => format!("{object}{revision}"),
        None => object.to_string(),
    }
}

/// What a write is based on. A list that reached its writer speaks also of what was not in it.
fn base(base: &Base, is_missing: bool) -> String {
    let at = base.revision;
    match (base.source, is_missing) {
        (BaseSource::Carried, _) => format!("carries {at}"),
        (BaseSource::Read, false) => format!("had read {at}"),
        (BaseSource::Read, true) => format!("had read {at}, without it"),
        (BaseSource::Cache, false) => format!("its cache had {at}"),
        (BaseSource::Cache, true) => format!("its cache had {at}, without it"),
    }
}

/// The changes of one event: the objects with their new versions, and the fields.
fn changes(changes: &[Change]) -> (String, String) {
    let objects: Vec<String> = changes
        .iter()
        .map(|c| at(&c.object, Some(&c.revision)))
        .collect();
    let what: Vec<String> = changes
        .iter()
        .map(|c| match c.kind {
            ChangeKind::Created => "created".to_owned(),
            ChangeKind::Deleted => "deleted".to_owned(),
            ChangeKind::Updated if c.fields.is_empty() => "updated".to_owned(),
            ChangeKind::Updated => {
                let fields: Vec<&str> =
                    c.fields.iter().map(|f| f.trim_start_matches('/')).collect();
                format!("set {}", fields.join(", "))
            }
        })
        .collect();
    (objects.join(", "), what.join(", "))
}

type Said = (String, String, Vec<String>);

fn describe(event: &Event, past: &Past<'_>) -> Said {
    match event {
        Event::RequestSent { .. }
        | Event::RequestCommitted { .. }
        | Event::RequestRefused { .. }
        | Event::ReplyDelivered { .. }
        | Event::ReplyLost { .. }
        | Event::ReplyStalled { .. }
        | Event::RequestCancelled { .. }
        | Event::RequestDelayed { .. } => request(event, past),
        Event::MetricsScraped { .. } => said("shows its metrics", "", ""),
        Event::ServiceCalled { .. }
        | Event::ServiceCommitted { .. }
        | Event::ServiceWorked { .. } => service(event),
        Event::WebhookCalled { .. }
        | Event::WebhookDelayed { .. }
        | Event::WebhookDelivered { .. }
        | Event::WebhookReplied { .. }
        | Event::WebhookRefused { .. }
        | Event::WebhookReplyLost { .. }
        | Event::WebhookAnswered { .. }
        | Event::WebhookFailed { .. } => webhook(event),
        Event::WatchOpened { .. }
        | Event::WatchDelivered { .. }
        | Event::WatchRedelivered { .. }
        | Event::WatchEnded { .. }
        | Event::WatchSilenced { .. }
        | Event::WatchUnsilenced { .. } => watch(event),
        Event::PhaseBegan { .. }
        | Event::CacheLagged { .. }
        | Event::CacheCaughtUp { .. }
        | Event::ChoreDone { .. }
        | Event::ActorActed { .. }
        | Event::WorkloadDone { .. } => cluster(event),
        _ => replica(event),
    }
}

fn said(event: impl Into<String>, object: impl Into<String>, why: impl Into<String>) -> Said {
    (event.into(), object.into(), vec![why.into()])
}

fn request(event: &Event, past: &Past<'_>) -> Said {
    match event {
        Event::RequestSent {
            request,
            reconcile,
            server,
            call,
            base: b,
            webhook,
            ..
        } => {
            let key = call.key();
            let object = key.as_ref().map(ToString::to_string).unwrap_or_default();
            let missing = |at| key.as_ref().is_some_and(|key| past.was_missing(key, at));
            let mut why: Vec<String> = Vec::new();
            why.extend(b.as_ref().map(|b| base(b, missing(b.revision))));
            if *server > 0 {
                why.push(format!("to server {server}"));
            }
            if let Some(reconcile) = reconcile {
                why.push(format!("in reconcile {reconcile}"));
            }
            if let Some(webhook) = webhook {
                why.push(format!("in webhook call {webhook}"));
            }
            (format!("{request} → {call}"), object, why)
        }
        Event::RequestCommitted {
            request,
            status,
            reason,
            changes: made,
            ..
        } => {
            let (objects, what) = changes(made);
            let answer = match reason.as_str() {
                "" => format!("{request} ∙ server answers {status}"),
                reason => format!("{request} ∙ server answers {status} {reason}"),
            };
            (answer, objects, vec![what])
        }
        Event::RequestRefused {
            request, status, ..
        } => said(
            format!("{request} ∙ refused with {status}"),
            "",
            "fault: nothing was done",
        ),
        Event::ReplyDelivered {
            request,
            status,
            revision,
            ..
        } => {
            let revision = revision.map(|r| r.to_string()).unwrap_or_default();
            said(format!("{request} ← {status}"), revision, "")
        }
        Event::ReplyLost { request, .. } => said(
            format!("{request} ✗ reply lost"),
            "",
            "fault: the server did it, the client will never know",
        ),
        Event::ReplyStalled {
            request, for_us, ..
        } => said(
            format!("{request} ∙ no answer for {}", us(*for_us)),
            "",
            "fault: the server did it and stalls",
        ),
        Event::RequestCancelled {
            request, committed, ..
        } => {
            let done = match committed {
                true => "the server had done it",
                false => "the server had not done it",
            };
            said(format!("{request} ✗ given up"), "", done)
        }
        Event::RequestDelayed {
            request, for_us, ..
        } => said(
            format!("{request} is delayed by {}", us(*for_us)),
            "",
            "fault: delay",
        ),
        _ => unreachable!("only requests come here"),
    }
}

/// What changed outside the cluster.
fn effects(effects: &[Effect]) -> (String, String) {
    let objects: Vec<&str> = effects.iter().map(|e| e.object.as_str()).collect();
    let what: Vec<&str> = effects
        .iter()
        .map(|e| match e.kind {
            EffectKind::Created => "created",
            EffectKind::Changed => "changed",
            EffectKind::Deleted => "deleted",
            EffectKind::CleanedUp => "cleaned up",
            EffectKind::Accepted => "accepted",
        })
        .collect();
    (objects.join(", "), what.join(", "))
}

fn service(event: &Event) -> Said {
    match event {
        Event::ServiceCalled {
            request,
            reconcile,
            service,
            method,
            path,
            key,
            webhook,
            ..
        } => {
            let mut why = Vec::new();
            why.extend(key.as_ref().map(|key| format!("with key {key}")));
            why.extend(reconcile.map(|id| format!("in reconcile {id}")));
            why.extend(webhook.map(|id| format!("in webhook call {id}")));
            (
                format!("{request} → {service}: {method} {path}"),
                String::new(),
                why,
            )
        }
        Event::ServiceCommitted {
            request,
            service,
            status,
            effects: made,
            ..
        } => {
            let (objects, what) = effects(made);
            said(
                format!("{request} ∙ {service} answers {status}"),
                objects,
                what,
            )
        }
        Event::ServiceWorked {
            service,
            effects: made,
        } => {
            let (objects, what) = effects(made);
            said(format!("{service} goes on"), objects, what)
        }
        _ => unreachable!("only services come here"),
    }
}

fn webhook(event: &Event) -> Said {
    match event {
        Event::WebhookCalled {
            webhook,
            request,
            url,
            ..
        } => {
            let whose = request.map(|request| format!("for {request}"));
            said(
                format!("{webhook} → webhook {url}"),
                "",
                whose.unwrap_or_default(),
            )
        }
        Event::WebhookDelivered { webhook, .. } => {
            said(format!("{webhook} webhook handler begins"), "", "")
        }
        Event::WebhookReplied {
            webhook, status, ..
        } => said(
            format!("{webhook} ∙ webhook handler answers {status}"),
            "",
            "",
        ),
        Event::WebhookDelayed { webhook, for_us } => said(
            format!("{webhook} is delayed by {}", us(*for_us)),
            "",
            "fault: delay",
        ),
        Event::WebhookRefused { webhook, status } => said(
            format!("{webhook} ∙ refused with {status}"),
            "",
            "fault: no handler saw it",
        ),
        Event::WebhookReplyLost { webhook, .. } => said(
            format!("{webhook} ✗ answer lost"),
            "",
            "fault: the handler did it, the server will never know",
        ),
        Event::WebhookAnswered { webhook, status } => said(format!("{webhook} ← {status}"), "", ""),
        Event::WebhookFailed { webhook, why } => {
            said(format!("{webhook} ✗ no answer"), "", why.clone())
        }
        _ => unreachable!("only webhooks come here"),
    }
}

fn watch(event: &Event) -> Said {
    match event {
        Event::WatchOpened {
            request,
            watch,
            call,
            ..
        } => said(
            format!("{watch} opened: {call}"),
            "",
            format!("asked by {request}"),
        ),
        Event::WatchDelivered {
            watch,
            kind,
            object,
            revision,
            ..
        } => {
            let object = match object {
                Some(object) => at(object, revision.as_ref()),
                None => revision.map(|r| r.to_string()).unwrap_or_default(),
            };
            said(format!("{watch} ← {kind}"), object, "")
        }
        Event::WatchRedelivered {
            watch,
            kind,
            object,
            revision,
            ..
        } => said(
            format!("{watch} ← {kind} again"),
            at(object, Some(revision)),
            "to see whether a repeated event changes anything",
        ),
        Event::WatchEnded { watch, why, .. } => {
            let why = match why {
                WatchEnd::Closed => "the server closed it",
                WatchEnd::Dropped => "fault: the connection broke",
                WatchEnd::Expired => "410 Expired: its resourceVersion is too old",
                WatchEnd::Cancelled => "the client went away",
            };
            said(format!("{watch} ended"), "", why)
        }
        Event::WatchSilenced { watch, for_us, .. } => said(
            format!("{watch} silent for {}", us(*for_us)),
            "",
            "fault: open, but nothing arrives",
        ),
        Event::WatchUnsilenced { watch } => said(format!("{watch} speaks again"), "", ""),
        _ => unreachable!("only watches come here"),
    }
}

fn cluster(event: &Event) -> Said {
    match event {
        Event::PhaseBegan { phase } => match phase {
            Phase::Safety => said("workload and faults begin", "", ""),
            Phase::Liveness => said(
                "workload and faults are over",
                "",
                "what must happen in the end is waited for",
            ),
            Phase::Settled => said("settled", "", "nothing changed for the settle window"),
            Phase::Forced => said(
                "everything is reconciled once more",
                "",
                "a settled system must stay as it is",
            ),
            Phase::Done => said("end of the run", "", ""),
        },
        Event::CacheLagged {
            server,
            resource,
            for_us,
        } => said(
            format!(
                "watch cache of server {server} stands still for {}",
                us(*for_us)
            ),
            resource.clone(),
            "fault: lag",
        ),
        Event::CacheCaughtUp { server, resource } => said(
            format!("watch cache of server {server} follows again"),
            resource.clone(),
            "",
        ),
        Event::ChoreDone {
            chore,
            changes: made,
        } => {
            let (objects, what) = changes(made);
            said(chore::words(chore), objects, what)
        }
        Event::ActorActed {
            actor,
            what,
            status,
            message,
            changes: made,
        } => {
            let (objects, fields) = changes(made);
            let event = match status {
                200..300 => format!("{actor}: {what}"),
                0 => format!("{actor}: {what}: waits for the answer"),
                status => format!("{actor}: {what}: {status}"),
            };
            (event, objects, vec![fields, message.clone()])
        }
        Event::WorkloadDone {
            what,
            status,
            message,
            changes: made,
            ..
        } => {
            let (objects, fields) = changes(made);
            // What the server is to name has no name yet.
            let what = what.trim_end_matches('/');
            let event = match status {
                0 => what.to_owned(),
                status => format!("{what}: {status}"),
            };
            (event, objects, vec![fields, message.clone()])
        }
        _ => unreachable!("only the cluster's events come here"),
    }
}

fn replica(event: &Event) -> Said {
    match event {
        Event::ReplicaStarted { incarnation: 1, .. } => said("starts", "", ""),
        Event::ReplicaStarted { incarnation, .. } => {
            said(format!("starts again (start {incarnation})"), "", "")
        }
        Event::ReplicaCrashed { why, .. } => said("✗ dies", "", why.clone()),
        Event::ReplicaEnded { error, .. } => match error {
            Some(error) => said("✗ ends with an error", "", error.clone()),
            None => said("ends", "", ""),
        },
        Event::ShutdownRequested { .. } => said("is told to stop", "", ""),
        Event::TasksLeaked {
            tasks, spawned_at, ..
        } => said(
            format!(
                "leaves {tasks} {} behind",
                if *tasks == 1 { "task" } else { "tasks" }
            ),
            "",
            match spawned_at.is_empty() {
                true => "they run on after the stop".to_owned(),
                false => format!("spawned at {}", spawned_at.join(", ")),
            },
        ),
        Event::TasksGrew { tasks, .. } => {
            said(format!("has {tasks} tasks"), "", "more than it ever had")
        }
        Event::ReplicaPaused { for_us, .. } => said(
            format!("stands still for {}", us(*for_us)),
            "",
            "fault: pause",
        ),
        Event::ReplicaResumed { .. } => said("runs again", "", ""),
        Event::ClockSkewed { offset_us, .. } => said(
            format!("clock is off by {}", signed_us(*offset_us)),
            "",
            "fault: clock skew",
        ),
        Event::Panicked {
            message, location, ..
        } => said(format!("✗ panics: {message}"), "", location.clone()),
        Event::Blocked { for_us, .. } => {
            said(format!("blocks its thread for {}", us(*for_us)), "", "")
        }
        Event::ThreadSpawned { .. } => {
            said("starts a thread", "", "not under the simulation's control")
        }
        Event::ReconcileStarted {
            reconcile,
            object,
            reason,
            ..
        } => said(
            format!("{reconcile} reconcile begins"),
            object.clone(),
            reason.clone(),
        ),
        Event::ReconcileEnded { reconcile, .. } => {
            said(format!("{reconcile} reconcile ends"), "", "")
        }
        // What a newer engine adds is shown by its own words.
        other => said(format!("{other:?}"), "", ""),
    }
}
