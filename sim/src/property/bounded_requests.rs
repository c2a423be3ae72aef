//! `bounded-requests`: no replica asks the same thing more often than so many times within so long.
//!
//! The same thing: one verb on one object (for lists, watches and creations: on one collection, on behalf of one
//! reconciled object) and subresource. Retries without a pause, two owners that fight over a field and lists that
//! are repeated in a loop all show here. By default more than 100 requests within 10 s are a storm: ten times the
//! exponential backoff from 5 ms that controllers are used to, five times a poll every half second.
//!
//! Does not see: a storm that is spread over many objects; effects outside the API server.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use fake_apiserver::store::Entry;
use serde::Deserialize;

use super::builtin::{Tuned, span};
use super::{About, Property, Report, View};
use crate::event::{Call, Event, ReconcileId, ReplicaId, RequestId, StepId};
use crate::time::SimTime;
use crate::trace::Record;

/// The bound.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Bounds {
    #[serde(deserialize_with = "span")]
    per: Duration,
    at_most: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            per: Duration::from_secs(10),
            at_most: 100,
        }
    }
}

/// Replica, the call in words, and the object that is reconciled where the call names none.
type Key = (ReplicaId, String, String);

pub(super) struct BoundedRequests {
    bounds: Bounds,
    reconciled: BTreeMap<ReconcileId, String>,
    recent: BTreeMap<Key, VecDeque<Asked>>,
    keys: BTreeMap<RequestId, Key>,
}

struct Asked {
    at: SimTime,
    step: StepId,
    request: RequestId,
    failed: bool,
}

impl Tuned for BoundedRequests {
    type Params = Bounds;

    fn tuned(params: &Bounds) -> Self {
        BoundedRequests {
            bounds: params.clone(),
            reconciled: BTreeMap::new(),
            recent: BTreeMap::new(),
            keys: BTreeMap::new(),
        }
    }

    fn check(params: &Bounds) -> Result<(), String> {
        match params.per.is_zero() || params.at_most == 0 {
            true => Err("`per` and `atMost` are greater than zero".to_owned()),
            false => Ok(()),
        }
    }
}

impl Property for BoundedRequests {
    fn observe(&mut self, record: &Record, _: &[Arc<Entry>], _: &View<'_>, report: &mut Report) {
        match &record.event {
            Event::ReconcileStarted {
                reconcile, object, ..
            } => {
                self.reconciled.insert(*reconcile, object.clone());
            }
            Event::RequestSent {
                replica,
                request,
                reconcile,
                call,
                ..
            } => {
                let key = self.key(*replica, *reconcile, call);
                let asked = Asked {
                    at: record.at,
                    step: record.step,
                    request: *request,
                    failed: false,
                };
                self.keys.insert(*request, key.clone());
                self.ask(key, asked, report);
            }
            Event::RequestCommitted {
                request, status, ..
            }
            | Event::RequestRefused {
                request, status, ..
            } if *status >= 400 => self.fail(*request),
            _ => {}
        }
    }
}

impl BoundedRequests {
    fn key(&self, replica: ReplicaId, reconcile: Option<ReconcileId>, call: &Call) -> Key {
        let behalf = reconcile
            .filter(|_| call.name.is_empty())
            .and_then(|id| self.reconciled.get(&id).cloned());
        (replica, call.to_string(), behalf.unwrap_or_default())
    }

    fn ask(&mut self, key: Key, asked: Asked, report: &mut Report) {
        let (replica, call, behalf) = key.clone();
        let now = asked.at;
        let recent = self.recent.entry(key).or_default();
        recent.push_back(asked);
        while recent
            .front()
            .is_some_and(|first| now.since(first.at) >= self.bounds.per)
        {
            recent.pop_front();
        }
        if recent.len() <= self.bounds.at_most {
            return;
        }
        let failed = recent.iter().filter(|asked| asked.failed).count();
        let mut message = format!(
            "{} times {call} within {:?}, where {} are the bound",
            recent.len(),
            self.bounds.per,
            self.bounds.at_most
        );
        if !behalf.is_empty() {
            message = format!("{message}; on behalf of {behalf}");
        }
        if failed > 0 {
            let were = if failed == 1 { "was" } else { "were" };
            message = format!("{message}; {failed} of them {were} answered with an error");
        }
        let about = About {
            replica: Some(replica),
            because: recent.front().map(|first| first.step).into_iter().collect(),
            ..About::default()
        };
        report.find(message, about);
    }

    fn fail(&mut self, request: RequestId) {
        let Some(recent) = self
            .keys
            .get(&request)
            .and_then(|key| self.recent.get_mut(key))
        else {
            return;
        };
        if let Some(asked) = recent.iter_mut().rev().find(|one| one.request == request) {
            asked.failed = true;
        }
    }
}
