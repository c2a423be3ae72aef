//! `ready-after-sync`: no webhook is served from a cache that has not synced.
//!
//! When a call reaches a replica, every collection that its process has asked a list of must have been answered once.
//!
//! Does not see: caches filled by a watch alone (`sendInitialEvents`), lists that are asked for only later, and readiness
//! that is not shown by serving.

use std::collections::BTreeMap;
use std::sync::Arc;

use fake_apiserver::store::Entry;

use super::super::{About, Property, Report, View};
use crate::event::{Event, ReplicaId, RequestId, StepId};
use crate::trace::Record;

/// The collections a process has asked for, by what it asks: none once answered.
type Lists = BTreeMap<String, Option<StepId>>;

#[derive(Default)]
pub(in crate::property) struct ReadyAfterSync {
    lists: BTreeMap<ReplicaId, Lists>,
    asked: BTreeMap<RequestId, String>,
}

impl Property for ReadyAfterSync {
    fn observe(&mut self, record: &Record, _: &[Arc<Entry>], _: &View<'_>, report: &mut Report) {
        match &record.event {
            Event::ReplicaStarted { replica, .. } => {
                self.lists.remove(replica);
            }
            Event::RequestSent {
                replica,
                request,
                call,
                ..
            } if call.verb == "list" => {
                let what = call.to_string();
                self.asked.insert(*request, what.clone());
                let lists = self.lists.entry(*replica).or_default();
                lists.entry(what).or_insert(Some(record.step));
            }
            Event::ReplyDelivered {
                replica,
                request,
                status,
                ..
            } => {
                if let Some(what) = self.asked.remove(request)
                    && *status < 300
                    && let Some(lists) = self.lists.get_mut(replica)
                {
                    lists.insert(what, None);
                }
            }
            Event::WebhookDelivered { replica, webhook } => {
                let lists = self.lists.get(replica).into_iter().flatten();
                let mut missing = lists.filter_map(|(what, step)| Some((what, (*step)?)));
                if let Some((what, step)) = missing.next() {
                    let about = About {
                        replica: Some(*replica),
                        because: vec![step],
                        ..About::default()
                    };
                    report.find(
                        format!("webhook call {webhook} is served before the first `{what}` has been answered"),
                        about,
                    );
                }
            }
            _ => {}
        }
    }
}
