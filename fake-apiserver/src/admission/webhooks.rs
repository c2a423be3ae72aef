//! Mutating and validating webhooks: who is called, in which order, and what an answer does.
//!
//! Owns selection, the failure policy, patch application and what is re-invoked.
//! Does not own the shape of reviews (`admission::review`) nor how a call is made and waited
//! for (`server::session`).
//! Behaviour: apiserver `admission/plugin/webhook/{mutating,validating}` (AD1–AD10).

use super::conditions::{self, Verdict as Conditions};
use super::matching::{self, Seen, converted};
use super::reinvocation::Reinvocation;
use super::review::{self, CallError, Verdict};
use super::{Attributes, json_patch};
use crate::ids::Ids;
use crate::json::{self, Value};
use crate::server::{Halt, OutCall, Session, WebhookReply};
use crate::status::{Status, go_quote};
use std::time::Duration;

/// One webhook of a configuration.
#[derive(Clone, Debug)]
pub(super) struct Hook {
    /// Configuration and place, which tell hooks of one name apart.
    pub(super) id: String,
    /// Its entry in the configuration.
    pub(super) entry: Value,
}

impl Hook {
    fn name(&self) -> &str {
        self.entry.str_at(&["name"])
    }

    fn ignores_failures(&self) -> bool {
        self.entry.str_at(&["failurePolicy"]) == "Ignore"
    }

    fn timeout_seconds(&self) -> i64 {
        self.entry.i64_at(&["timeoutSeconds"]).unwrap_or(10)
    }

    /// The answer when a call failed.
    fn failed(&self, error: &str) -> Status {
        Status::internal(format!(
            "failed calling webhook {}: {error}",
            go_quote(self.name())
        ))
    }
}

/// All webhooks of one kind of configuration, in order of configuration names.
pub(super) fn hooks(s: &Session<'_>, plural: &str) -> Vec<Hook> {
    let Some(row) = s
        .core
        .registry
        .find("admissionregistration.k8s.io", "v1", plural)
    else {
        return Vec::new();
    };
    let mut hooks = Vec::new();
    for (_, object) in s.core.store.objects(row.id) {
        let value = object.value();
        for (i, entry) in value.array_at(&["webhooks"]).iter().enumerate() {
            hooks.push(Hook {
                id: format!("{}/{i}", value.str_at(&["metadata", "name"])),
                entry: entry.clone(),
            });
        }
    }
    hooks
}

/// A call that is to be made.
struct Invocation {
    hook: Hook,
    seen: Seen,
}

/// The hooks among `hooks` that want this request, with the version they see it in.
fn wanted(
    s: &mut Session<'_>,
    attributes: &Attributes<'_>,
    object: Option<&Value>,
    hook: &Hook,
) -> Result<Option<Invocation>, Halt> {
    let entry = &hook.entry;
    let policy = entry.str_at(&["matchPolicy"]);
    if !matching::namespace_matches(s, attributes, object, entry.get("namespaceSelector"))
        || !matching::object_matches(attributes.old, object, entry.get("objectSelector"))
    {
        return Ok(None);
    }
    let Some(seen) = matching::matching_row(s, attributes, entry.array_at(&["rules"]), policy)
    else {
        return Ok(None);
    };
    let list = entry.array_at(&["matchConditions"]);
    if !list.is_empty() {
        match conditions::decide(s, attributes, &seen, object, list)? {
            Conditions::Match => {}
            Conditions::Skip => return Ok(None),
            Conditions::Failed(_) if hook.ignores_failures() => return Ok(None),
            Conditions::Failed(error) => {
                return Err(super::forbidden(attributes, object, &error).into());
            }
        }
    }
    let invocation = Invocation {
        hook: hook.clone(),
        seen,
    };
    Ok(Some(invocation))
}

/// A call on its way: the request, and what is needed to read the answer.
struct Prepared {
    call: OutCall,
    uid: String,
    version: &'static str,
    url: String,
    ends_request: bool,
    refused: Option<String>,
}

fn prepare(
    s: &mut Session<'_>,
    attributes: &Attributes<'_>,
    invocation: &Invocation,
    object: Option<&Value>,
) -> Result<Prepared, Halt> {
    let hook = &invocation.hook;
    let uid = s.uid();
    let version = review::review_version(&hook.entry);
    let to = &invocation.seen.row;
    let shown = matching::seen(s, attributes, object, to)?;
    let old = matching::seen(s, attributes, attributes.old, to)?;
    let request = review::request(attributes, to, &s.user, &uid, shown, old);
    let body = json::to_vec(&review::review(version, request));
    let client = &hook.entry["clientConfig"];
    let seconds = hook.timeout_seconds();
    let url = review::with_timeout(&review::address(client), seconds);
    let left = super::time_left(s);
    if left.is_zero() {
        return Err(super::request_timeout(s).into());
    }
    let own = Duration::from_secs(u64::try_from(seconds).unwrap_or(10));
    Ok(Prepared {
        call: OutCall {
            url: url.clone(),
            body: body.into(),
            timeout: own.min(left),
        },
        uid,
        version,
        url,
        ends_request: left <= own,
        refused: super::refused_at_once(s, client),
    })
}

fn read(prepared: &Prepared, reply: &WebhookReply, mutating: bool) -> Result<Verdict, CallError> {
    if *reply == WebhookReply::TimedOut && prepared.ends_request {
        return Err(CallError::RequestTimeout);
    }
    if let Some(error) = review::transport_error(&prepared.url, reply) {
        return Err(CallError::Failed(format!(
            "failed to call webhook: {error}"
        )));
    }
    let WebhookReply::Answered { body, .. } = reply else {
        unreachable!("anything else is a transport error");
    };
    review::verdict(body, prepared.version, &prepared.uid, mutating).map_err(CallError::Failed)
}

fn warn(s: &mut Session<'_>, verdict: &Verdict) {
    for warning in &verdict.warnings {
        s.warn(warning.clone());
    }
}

/// Calls the mutating webhooks one after another. True if the object was changed.
pub(super) fn mutate(
    s: &mut Session<'_>,
    attributes: &Attributes<'_>,
    object: &mut Value,
    state: &mut Reinvocation,
    again: bool,
) -> Result<bool, Halt> {
    if matching::excluded(attributes.row) {
        return Ok(false);
    }
    let deleting = attributes.operation == "DELETE";
    let mut any = false;
    if again {
        state.begin_again(object);
    }
    for hook in hooks(s, "mutatingwebhookconfigurations") {
        let shown = (!deleting).then_some(&*object);
        let Some(invocation) = wanted(s, attributes, shown, &hook)? else {
            continue;
        };
        if again && !state.may_repeat(&hook.id) {
            continue;
        }
        let changed = call_mutating(s, attributes, object, &invocation)?;
        any |= changed;
        if changed {
            state.changed();
        }
        if hook.entry.str_at(&["reinvocationPolicy"]) == "IfNeeded" {
            state.invoked(&hook.id);
        }
    }
    state.end(object);
    Ok(any)
}

fn call_mutating(
    s: &mut Session<'_>,
    attributes: &Attributes<'_>,
    object: &mut Value,
    invocation: &Invocation,
) -> Result<bool, Halt> {
    let hook = &invocation.hook;
    let deleting = attributes.operation == "DELETE";
    let shown = (!deleting).then_some(&*object);
    let prepared = prepare(s, attributes, invocation, shown)?;
    let verdict = match prepared.refused.clone() {
        Some(error) => Err(unreachable_hook(&prepared, &error)),
        None => {
            let reply = s.call(prepared.call.clone())?;
            read(&prepared, &reply, true)
        }
    };
    let verdict = match verdict {
        Ok(verdict) => verdict,
        Err(CallError::RequestTimeout) => return Err(super::request_timeout(s).into()),
        Err(CallError::Failed(_)) if hook.ignores_failures() => return Ok(false),
        Err(CallError::Failed(error)) => return Err(hook.failed(&error).into()),
    };
    warn(s, &verdict);
    if !verdict.allowed {
        return Err(review::denial(hook.name(), &verdict.result).into());
    }
    let Some(Value::Array(operations)) = verdict.patch else {
        return Ok(false);
    };
    if operations.is_empty() {
        return Ok(false);
    }
    if deleting {
        return Err(Status::internal(format!(
            "admission webhook {} attempted to modify the object, which is not supported for this operation",
            go_quote(hook.name())
        ))
        .into());
    }
    let to = &invocation.seen.row;
    let mut patched = converted(s, object, attributes.row, to)?;
    json_patch::apply(&mut patched, &operations).map_err(Status::internal)?;
    let back = converted(s, &patched, to, attributes.row)?;
    let result = super::accept(s, attributes, back)?;
    let changed = result != *object;
    *object = result;
    Ok(changed)
}

/// Calls all validating webhooks; the error that came first in time is the answer (AD9).
pub(super) fn validate(
    s: &mut Session<'_>,
    attributes: &Attributes<'_>,
    object: Option<&Value>,
) -> Result<(), Halt> {
    if matching::excluded(attributes.row) {
        return Ok(());
    }
    let mut invocations = Vec::new();
    for hook in hooks(s, "validatingwebhookconfigurations") {
        if let Some(invocation) = wanted(s, attributes, object, &hook)? {
            let prepared = prepare(s, attributes, &invocation, object)?;
            invocations.push((invocation, prepared));
        }
    }
    let calls: Vec<OutCall> = invocations
        .iter()
        .filter(|(_, prepared)| prepared.refused.is_none())
        .map(|(_, prepared)| prepared.call.clone())
        .collect();
    let count = calls.len();
    let replies = s.call_all(calls)?;
    let order = s.answered(count);
    let mut asked = 0;
    let mut errors: Vec<(usize, Status)> = Vec::new();
    for (invocation, prepared) in &invocations {
        let (when, verdict) = match &prepared.refused {
            Some(error) => (0, Err(unreachable_hook(prepared, error))),
            None => {
                let reply = &replies[asked];
                let when = order.iter().position(|index| *index == asked);
                asked += 1;
                (
                    when.map_or(count, |when| when + 1),
                    read(prepared, reply, false),
                )
            }
        };
        let hook = &invocation.hook;
        let error = match verdict {
            Ok(verdict) => {
                warn(s, &verdict);
                (!verdict.allowed).then(|| review::denial(hook.name(), &verdict.result))
            }
            Err(CallError::RequestTimeout) => Some(super::request_timeout(s)),
            Err(CallError::Failed(_)) if hook.ignores_failures() => None,
            Err(CallError::Failed(error)) => Some(hook.failed(&error)),
        };
        errors.extend(error.map(|error| (when, error)));
    }
    match errors.into_iter().min_by_key(|(when, _)| *when) {
        Some((_, status)) => Err(status.into()),
        None => Ok(()),
    }
}

/// The error of a call that was not made.
fn unreachable_hook(prepared: &Prepared, error: &str) -> CallError {
    CallError::Failed(format!(
        "failed to call webhook: Post {}: {error}",
        go_quote(&prepared.url)
    ))
}
