//! Open watches: their events on the way, and what can befall them.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use fake_apiserver::server;

use super::World;
use crate::choice::Choice;
use crate::entropy;
use crate::event::{
    Call, Event, ObjectKey, ReplicaId, RequestId, Revision, StepId, WatchEnd, WatchId,
};
use crate::gate::{Stream, TransportError};
use crate::knowledge::about_line;
use crate::setup::Fault;
use crate::time::SimTime;

/// A watch that a replica has open.
pub(super) struct OpenWatch {
    pub(super) replica: ReplicaId,
    pub(super) call: Call,
    pub(super) name: String,
    incarnation: u32,
    stream: Stream,
    /// Whether the replica has its head.
    arrived: bool,
    silent_until: Option<SimTime>,
    queue: VecDeque<Item>,
    /// The last event of each object that was delivered, if they are wanted again.
    last: BTreeMap<ObjectKey, (Revision, &'static str, Bytes)>,
    /// Events of one watch keep their order.
    last_due: SimTime,
}

struct Item {
    due: SimTime,
    cause: Option<StepId>,
    what: What,
}

enum What {
    Event {
        kind: &'static str,
        revision: u64,
        line: Bytes,
    },
    End,
}

impl World<'_> {
    pub(super) fn open_watch(
        &mut self,
        watch: WatchId,
        replica: ReplicaId,
        incarnation: u32,
        call: Call,
        stream: Stream,
    ) {
        let name = self.unique_name(|world| world.name_of(replica, &call));
        let open = OpenWatch {
            replica,
            call,
            name,
            incarnation,
            stream,
            arrived: false,
            silent_until: None,
            queue: VecDeque::new(),
            last: BTreeMap::new(),
            last_due: SimTime::ZERO,
        };
        self.watches.insert(watch, open);
    }

    /// The head has reached the replica: events may follow.
    pub(super) fn watch_arrived(&mut self, watch: WatchId, request: RequestId, _step: StepId) {
        let Some(open) = self.watches.get_mut(&watch) else {
            return;
        };
        open.arrived = true;
        let (replica, call) = (open.replica, open.call.clone());
        self.record(Event::WatchOpened {
            replica,
            request,
            watch,
            call,
        });
        self.offer_watch(watch);
    }

    pub(super) fn queue_event(
        &mut self,
        watch: WatchId,
        kind: &'static str,
        revision: u64,
        line: Bytes,
    ) {
        self.queue(
            watch,
            What::Event {
                kind,
                revision,
                line,
            },
        );
    }

    pub(super) fn queue_end(&mut self, watch: WatchId) {
        self.queue(watch, What::End);
    }

    fn queue(&mut self, watch: WatchId, what: What) {
        if !self.watches.contains_key(&watch) {
            return;
        }
        let latency = self.latency("watch", self.setup.timing.watch);
        let cause = self.cause;
        let Some(open) = self.watches.get_mut(&watch) else {
            return;
        };
        let due = SimTime(entropy::now().0 + latency).max(open.last_due);
        open.last_due = due;
        open.queue.push_back(Item { due, cause, what });
        self.offer_watch(watch);
    }

    /// Enables the delivery of the first event in the queue.
    fn offer_watch(&mut self, watch: WatchId) {
        let Some(open) = self.watches.get(&watch) else {
            return;
        };
        let choice = Choice::DeliverWatch(watch);
        match open.queue.front() {
            Some(item) if open.arrived && open.silent_until.is_none() => {
                if !self.agenda.contains(&choice) {
                    self.agenda.put(choice, item.due);
                }
            }
            _ => {
                self.agenda.remove(&choice);
            }
        }
    }

    /// The next event of a watch reaches its replica.
    pub(super) fn deliver_watch(&mut self, watch: WatchId) {
        let Some(open) = self.watches.get(&watch) else {
            return;
        };
        let replica = open.replica;
        if open.incarnation != self.replicas[replica.0 as usize].incarnation {
            self.watches.remove(&watch);
            return;
        }
        if self.postponed(replica, Choice::DeliverWatch(watch)) || self.watch_struck(watch) {
            return;
        }
        let Some(open) = self.watches.get_mut(&watch) else {
            return;
        };
        let Some(item) = open.queue.pop_front() else {
            return;
        };
        self.cause = item.cause;
        match item.what {
            What::End => {
                let Some(open) = self.watches.remove(&watch) else {
                    return;
                };
                let step = self.record(Event::WatchEnded {
                    replica,
                    watch,
                    why: WatchEnd::Closed,
                });
                self.cause = Some(step);
                self.connect_elsewhere(replica);
                self.step(replica, move || drop(open.stream));
            }
            What::Event {
                kind,
                revision,
                line,
            } => {
                let (stream, call) = (open.stream.clone(), open.call.clone());
                let wanted_again = self.setup.settle.force;
                let about = about_line(&line);
                let revision = about
                    .revision
                    .or((kind != "ERROR").then_some(Revision(revision)));
                let object = (!about.name.is_empty()).then(|| ObjectKey {
                    group: call.group.clone(),
                    resource: call.resource.clone(),
                    namespace: about.namespace.clone(),
                    name: about.name.clone(),
                });
                let step = self.record(Event::WatchDelivered {
                    replica,
                    watch,
                    kind: kind.to_owned(),
                    object: object.clone(),
                    revision,
                });
                self.cause = Some(step);
                if let (Some(object), Some(revision)) = (object, revision) {
                    self.progress.heard(revision);
                    if wanted_again && let Some(open) = self.watches.get_mut(&watch) {
                        let again = (revision, kind, line.clone());
                        open.last.insert(object.clone(), again);
                    }
                    self.knowledge
                        .saw_object(replica, None, object, revision, step);
                }
                self.offer_watch(watch);
                self.step(replica, move || {
                    let _ = stream.send(Ok(line));
                });
            }
        }
        self.after_delivery(replica);
    }

    /// Delivers the last event of each object once more, as a connection that is resumed too early does; oldest first.
    pub(super) fn redeliver(&mut self, watch: WatchId) {
        let Some(open) = self.watches.get(&watch) else {
            return;
        };
        let (replica, stream, cause) = (open.replica, open.stream.clone(), self.cause);
        let mut events: Vec<_> = open.last.clone().into_iter().collect();
        events.sort_by_key(|(_, (revision, ..))| *revision);
        for (object, (revision, kind, line)) in events {
            self.cause = cause;
            let step = self.record(Event::WatchRedelivered {
                replica,
                watch,
                kind: kind.to_owned(),
                object,
                revision,
            });
            self.cause = Some(step);
            let stream = stream.clone();
            self.step(replica, move || {
                let _ = stream.send(Ok(line));
            });
        }
    }

    /// Whether a fault of the plan befalls the watch instead of the delivery.
    fn watch_struck(&mut self, watch: WatchId) -> bool {
        if self.targets.is_some() && self.event_forced(watch) {
            return true;
        }
        if !self.may_strike() {
            return false;
        }
        let Some(open) = self.watches.get(&watch) else {
            return false;
        };
        let replica = open.replica;
        let kind = self
            .kind_of(&open.call.group, &open.call.resource)
            .unwrap_or_default();
        let operator = self.operator_of(replica).to_owned();
        let struck = self.strike("watch", |_, fault| match fault {
            Fault::DropWatch {
                kind: of,
                operator: by,
            }
            | Fault::ExpireWatch {
                kind: of,
                operator: by,
            }
            | Fault::SilenceWatch {
                kind: of,
                operator: by,
                ..
            } => {
                of.as_ref().is_none_or(|of| of.eq_ignore_ascii_case(&kind))
                    && by.as_ref().is_none_or(|by| *by == operator)
            }
            _ => false,
        });
        match struck {
            Some(Fault::DropWatch { .. }) => self.drop_watch(watch),
            Some(Fault::ExpireWatch { .. }) => self.expire_watch(watch),
            Some(Fault::SilenceWatch { lasting, .. }) => {
                let for_us = self.chooser.delay("silence", *lasting);
                self.silence(watch, replica, for_us);
            }
            _ => return false,
        }
        true
    }

    /// Whether a targeted plan forces something in place of the first event in the queue.
    fn event_forced(&mut self, watch: WatchId) -> bool {
        let Some(open) = self.watches.get(&watch) else {
            return false;
        };
        let Some(What::Event { kind, line, .. }) = open.queue.front().map(|item| &item.what) else {
            return false;
        };
        let about = about_line(line);
        let object = ObjectKey {
            group: open.call.group.clone(),
            resource: open.call.resource.clone(),
            namespace: about.namespace,
            name: about.name,
        };
        let (replica, kind) = (open.replica, *kind);
        self.force_on_event(watch, replica, kind, &object)
    }

    /// The watch says nothing for a while.
    pub(super) fn silence(&mut self, watch: WatchId, replica: ReplicaId, for_us: u64) {
        let until = SimTime(entropy::now().0 + for_us);
        if let Some(open) = self.watches.get_mut(&watch) {
            open.silent_until = Some(until);
        }
        self.record(Event::WatchSilenced {
            replica,
            watch,
            for_us,
        });
        self.agenda.put(Choice::Unsilence(watch), until);
    }

    /// The connection breaks; the replica's next connection is to the next API server.
    fn drop_watch(&mut self, watch: WatchId) {
        let Some(open) = self.watches.get(&watch) else {
            return;
        };
        let (replica, stream) = (open.replica, open.stream.clone());
        self.close_watch(watch, WatchEnd::Dropped);
        self.connect_elsewhere(replica);
        self.step(replica, move || {
            let _ = stream.send(Err(TransportError::broken()));
        });
    }

    /// A connection is over: the next one is to the next API server, as a load balancer has it.
    pub(super) fn connect_elsewhere(&mut self, replica: ReplicaId) {
        let servers = self.setup.servers.max(1);
        let replica = &mut self.replicas[replica.0 as usize];
        replica.server = (replica.server + 1) % servers;
    }

    /// The server says that it does not have the history any more.
    pub(super) fn expire_watch(&mut self, watch: WatchId) {
        let Some(open) = self.watches.get(&watch) else {
            return;
        };
        let (replica, stream) = (open.replica, open.stream.clone());
        self.close_watch(watch, WatchEnd::Expired);
        self.step(replica, move || {
            let _ = stream.send(Ok(Bytes::from_static(EXPIRED)));
        });
    }

    pub(super) fn close_watch(&mut self, watch: WatchId, why: WatchEnd) {
        let Some(open) = self.watches.remove(&watch) else {
            return;
        };
        self.agenda.remove(&Choice::DeliverWatch(watch));
        self.agenda.remove(&Choice::Unsilence(watch));
        self.agenda.remove(&Choice::Bookmark(watch));
        self.server.cancel(server::RequestId(watch.0));
        let step = self.record(Event::WatchEnded {
            replica: open.replica,
            watch,
            why,
        });
        self.cause = Some(step);
    }

    pub(super) fn unsilence(&mut self, watch: WatchId) {
        let Some(open) = self.watches.get_mut(&watch) else {
            return;
        };
        open.silent_until = None;
        self.record(Event::WatchUnsilenced { watch });
        self.offer_watch(watch);
    }

    /// A process is gone; its connections close.
    pub(super) fn drop_watches(&mut self, replica: ReplicaId) {
        let of = |open: &OpenWatch| open.replica == replica;
        let ids: Vec<WatchId> = self
            .watches
            .iter()
            .filter(|(_, open)| of(open))
            .map(|(id, _)| *id)
            .collect();
        for watch in ids {
            self.close_watch(watch, WatchEnd::Cancelled);
        }
    }

    /// Whether no watch has anything on its way.
    pub(super) fn watches_are_idle(&self) -> bool {
        self.watches
            .values()
            .all(|open| open.queue.is_empty() && open.silent_until.is_none())
    }
}

const EXPIRED: &[u8] = b"{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\
\"status\":\"Failure\",\"message\":\"The resourceVersion for the provided watch is too old.\",\"reason\":\"Expired\",\
\"code\":410}}\n";
