//! The API servers of one cluster as a state machine: requests and chores in, outputs out.
//!
//! Owns the outer interface ([`ApiServer`]), parked requests and the order of things within one call. Does not own what verbs
//! do (`create`, `update`, …), storage (`store`) nor controllers (`actors`).
//! Invariant: nothing happens unless a method is called; equal calls give equal outputs.

mod access;
mod answer;
mod body;
mod config;
pub(crate) mod conversion;
mod core;
mod create;
mod delete;
mod dispatch;
mod guarantees;
mod lifecycle;
mod managed;
mod patch;
mod pods;
mod read;
mod scale;
mod session;
mod subresource;
mod token;
mod type_meta;
mod update;
mod warnings;
mod watch;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;

pub use self::access::Attributes;
pub use self::answer::{Answer, ListAnswer};
pub use self::config::{Authorization, Config, Token};
pub use self::core::Core;
pub(crate) use self::delete::{FOREGROUND, ORPHAN, delete_one, remove};
pub use self::guarantees::Defect;
pub(crate) use self::managed::schema_of;
pub use self::session::{Attempt, Halt, OutCall, Session, Wait, WebhookReply};
pub(crate) use self::update::{Change, store as store_change};
pub use self::watch::Watch;

use self::guarantees::Guarantees;
use crate::actors::{Actors, Chore};
use crate::ids::Ids;
use crate::registry::Registry;
use crate::request::Request;
use crate::store::Store;
use crate::time::Timestamp;

/// One of the API servers, numbered from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(pub u32);

/// A request, numbered by the caller; no number may be used twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// An open watch; its number is that of the request that opened it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchId(pub u64);

/// A call to a webhook, numbered by the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// What every call is handed: the time and a source of ids.
pub struct Cx<'a> {
    /// Now.
    pub now: Timestamp,
    /// uids, name suffixes, numbers.
    pub ids: &'a mut dyn Ids,
}

/// What a watch event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventKind {
    /// ADDED
    Added,
    /// MODIFIED
    Modified,
    /// DELETED
    Deleted,
    /// BOOKMARK
    Bookmark,
    /// ERROR
    Error,
}

impl EventKind {
    /// The word in the stream.
    pub fn as_str(self) -> &'static str {
        match self {
            EventKind::Added => "ADDED",
            EventKind::Modified => "MODIFIED",
            EventKind::Deleted => "DELETED",
            EventKind::Bookmark => "BOOKMARK",
            EventKind::Error => "ERROR",
        }
    }
}

/// What comes out of the server.
#[derive(Debug)]
pub enum Output {
    /// The answer to a request.
    Reply {
        /// The request.
        id: RequestId,
        /// The answer.
        response: http::Response<Bytes>,
    },
    /// A watch is open; its events follow.
    Opened {
        /// The request.
        id: RequestId,
        /// The watch.
        watch: WatchId,
        /// Status and headers of the stream.
        head: http::Response<()>,
    },
    /// An event of a watch.
    Event {
        /// The watch.
        watch: WatchId,
        /// Its type.
        kind: EventKind,
        /// The revision it stands for.
        revision: u64,
        /// One line of the stream, newline included.
        line: Bytes,
    },
    /// A watch has ended cleanly.
    Ended {
        /// The watch.
        watch: WatchId,
    },
    /// A webhook is to be called; the reply comes back through [`ApiServer::answer`].
    Call {
        /// The call.
        call: CallId,
        /// The request on whose behalf.
        id: RequestId,
        /// What to send where.
        request: OutCall,
    },
    /// A request waits for a revision.
    Wait {
        /// The request.
        id: RequestId,
        /// When it gives up.
        until: Timestamp,
    },
}

/// A request that waits.
#[derive(Debug)]
struct Parked {
    request: Arc<Request>,
    server: ServerId,
    attempt: Attempt,
    wait: Option<Wait>,
    /// Set for what a controller does: it is subject to admission and so may have to wait as well.
    chore: Option<Chore>,
}

/// A call under way.
#[derive(Clone, Copy, Debug)]
struct OpenCall {
    id: RequestId,
    index: usize,
    until: Timestamp,
}

/// The API servers of one cluster, their storage and their controllers.
#[derive(Debug)]
pub struct ApiServer {
    core: Core,
    parked: BTreeMap<RequestId, Parked>,
    calls: BTreeMap<CallId, OpenCall>,
    next_call: u64,
    next_actor: u64,
    /// The checker of what watches are told, where it is asked for.
    guarantees: Option<Box<Guarantees>>,
    /// A mistake to make at the next occasion.
    planted: Option<Defect>,
}

/// Numbers of what controllers do begin here; those of clients are below.
const ACTORS: u64 = 1 << 62;

impl ApiServer {
    /// A fresh cluster with its bootstrap objects. Cheap: the base is shared until written.
    pub fn new(config: &Config) -> ApiServer {
        static BASE: LazyLock<Store> = LazyLock::new(core::bootstrap);
        ApiServer {
            core: Core::new(config, BASE.clone()),
            parked: BTreeMap::new(),
            calls: BTreeMap::new(),
            next_call: 0,
            next_actor: 0,
            guarantees: config.check_watches.then(Box::default),
            planted: None,
        }
    }

    /// A copy of a cluster that no request waits in and no watch is open on. Cheap: what is stored is shared until written.
    ///
    /// # Panics
    /// If a request waits or a watch is open: the copy would not know whom to answer.
    pub fn copy(&self) -> ApiServer {
        assert!(
            self.parked.is_empty() && self.core.watches.is_empty(),
            "a cluster at rest is copied"
        );
        ApiServer {
            core: self.core.copy(),
            parked: BTreeMap::new(),
            calls: BTreeMap::new(),
            next_call: self.next_call,
            next_actor: self.next_actor,
            guarantees: self.core.config.check_watches.then(Box::default),
            planted: None,
        }
    }

    /// A request arrives at a server.
    pub fn submit(
        &mut self,
        cx: &mut Cx<'_>,
        server: ServerId,
        id: RequestId,
        request: http::Request<Bytes>,
    ) -> Vec<Output> {
        let parked = Parked {
            request: Arc::new(Request::new(request)),
            server,
            attempt: Attempt::new(cx.now),
            wait: None,
            chore: None,
        };
        self.run(cx, id, parked);
        self.finish(cx)
    }

    /// A webhook has answered (or will not).
    pub fn answer(&mut self, cx: &mut Cx<'_>, call: CallId, reply: WebhookReply) -> Vec<Output> {
        self.take_reply(cx, call, reply);
        self.finish(cx)
    }

    /// Does a chore. One that is not enabled any more does nothing.
    pub fn perform(&mut self, cx: &mut Cx<'_>, chore: &Chore) -> Vec<Output> {
        if chore.is_request() {
            self.next_actor += 1;
            let parked = Parked {
                request: Arc::new(Request::new(http::Request::default())),
                server: ServerId(0),
                attempt: Attempt::new(cx.now),
                wait: None,
                chore: Some(chore.clone()),
            };
            self.run(cx, RequestId(ACTORS + self.next_actor), parked);
        } else {
            self.core.perform(cx, chore);
        }
        self.finish(cx)
    }

    /// Chores that could be done now, in a fixed order.
    pub fn chores(&self, now: Timestamp) -> Vec<Chore> {
        self.core.chores(now)
    }

    /// When [`ApiServer::advance`] has something to do next.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let waits = self.parked.values().filter_map(|parked| parked.wait);
        let waits = waits.map(|wait| wait.until);
        let calls = self.calls.values().map(|call| call.until);
        waits.chain(calls).chain(self.core.next_deadline()).min()
    }

    /// Does what is due: waits and calls that ran out, watches at their end.
    pub fn advance(&mut self, cx: &mut Cx<'_>) -> Vec<Output> {
        let now = cx.now;
        let late = |call: &OpenCall| call.until <= now;
        let calls = self.calls.iter().filter(|(_, call)| late(call));
        let calls: Vec<CallId> = calls.map(|(id, _)| *id).collect();
        for call in calls {
            self.take_reply(cx, call, WebhookReply::TimedOut);
        }
        let late = |parked: &Parked| parked.wait.is_some_and(|wait| wait.until <= now);
        let parked = self.parked.iter().filter(|(_, parked)| late(parked));
        let parked: Vec<RequestId> = parked.map(|(id, _)| *id).collect();
        for id in parked {
            if let Some(mut parked) = self.parked.remove(&id) {
                parked.attempt.gave_up = true;
                self.run(cx, id, parked);
            }
        }
        self.core.advance(cx);
        self.finish(cx)
    }

    /// The client has gone: the request is forgotten, its watch ends without a word.
    pub fn cancel(&mut self, id: RequestId) {
        self.parked.remove(&id);
        self.calls.retain(|_, call| call.id != id);
        self.core.close_watch(WatchId(id.0));
        if let Some(guarantees) = &mut self.guarantees {
            guarantees.forget(WatchId(id.0));
        }
    }

    /// The first guarantee of watches that was broken, in words: a mistake of this crate. None, too, if nobody checks
    /// ([`Config::check_watches`]).
    pub fn breach(&self) -> Option<&str> {
        self.guarantees.as_ref()?.breach()
    }

    /// Also holds against the log what open watches have *not* been told so far; then as [`ApiServer::breach`].
    pub fn check_watches(&mut self) -> Option<&str> {
        let guarantees = self.guarantees.as_mut()?;
        guarantees.check_all(&self.core);
        guarantees.breach()
    }

    /// Makes a mistake at the next occasion, so that a test sees the checker find it.
    pub fn plant(&mut self, defect: Defect) {
        self.planted = Some(defect);
    }

    /// The short form for calls that answer at once. A request that has to wait, or that opens a watch, answers with 500.
    pub fn handle(
        &mut self,
        cx: &mut Cx<'_>,
        server: ServerId,
        request: http::Request<Bytes>,
    ) -> http::Response<Bytes> {
        const SHORT: RequestId = RequestId(u64::MAX);
        let outputs = self.submit(cx, server, SHORT, request);
        let reply = outputs.into_iter().find_map(|output| match output {
            Output::Reply { id, response } if id == SHORT => Some(response),
            _ => None,
        });
        reply.unwrap_or_else(|| {
            self.cancel(SHORT);
            let why = "the request does not answer at once";
            answer::plain_failure(&crate::status::Status::internal(why))
        })
    }

    /// Does chores until none is left that could be done now: controllers run to their end, caches catch up.
    ///
    /// # Panics
    /// When 100,000 chores have not come to an end, which is an endless loop of ours.
    pub fn settle(&mut self, cx: &mut Cx<'_>) -> Vec<Output> {
        let mut outputs = Vec::new();
        for _ in 0..100_000 {
            let Some(chore) = self.core.next_settling(cx.now) else {
                return outputs;
            };
            outputs.extend(self.perform(cx, &chore));
        }
        panic!("chores do not come to an end: {:?}", self.chores(cx.now));
    }

    /// The stored objects and the log, to read.
    pub fn store(&self) -> &Store {
        &self.core.store
    }

    /// The served resources.
    pub fn registry(&self) -> &Registry {
        &self.core.registry
    }

    /// The state of the cluster behind the requests, to read.
    pub fn core(&self) -> &Core {
        &self.core
    }

    fn run(&mut self, cx: &mut Cx<'_>, id: RequestId, mut parked: Parked) {
        parked.attempt.rewind();
        let request = parked.request.clone();
        let mut session = Session {
            now: parked.attempt.started,
            server: parked.server,
            id,
            request: &request,
            user: access::nobody(),
            core: &mut self.core,
            actor: None,
            attempt: &mut parked.attempt,
            source: &mut *cx.ids,
        };
        let result = match &parked.chore {
            None => dispatch::answer(&mut session, cx.now).map(Some),
            Some(chore) => Actors::act(&mut session, chore).map(|()| None),
        };
        match result {
            Ok(None) => {}
            Ok(Some(output)) => {
                self.core.outputs.push(output);
                let mut first = std::mem::take(&mut self.core.outputs_after_open);
                self.core.outputs.append(&mut first);
            }
            Err(Halt::Failed(_)) => unreachable!("failures are answers by now"),
            Err(Halt::Wait(wait)) => {
                parked.wait = Some(wait);
                let until = wait.until;
                self.core.outputs.push(Output::Wait { id, until });
                self.parked.insert(id, parked);
            }
            Err(Halt::Calls(_)) => {
                for (index, call) in parked.attempt.open_calls() {
                    self.next_call += 1;
                    let open = OpenCall {
                        id,
                        index,
                        until: cx.now + call.timeout,
                    };
                    self.calls.insert(CallId(self.next_call), open);
                    self.core.outputs.push(Output::Call {
                        call: CallId(self.next_call),
                        id,
                        request: call.clone(),
                    });
                }
                parked.wait = None;
                self.parked.insert(id, parked);
            }
        }
    }

    fn take_reply(&mut self, cx: &mut Cx<'_>, call: CallId, reply: WebhookReply) {
        let Some(open) = self.calls.remove(&call) else {
            return;
        };
        let Some(mut parked) = self.parked.remove(&open.id) else {
            return;
        };
        if parked.attempt.note_reply(open.index, reply, cx.now) {
            self.run(cx, open.id, parked);
        } else {
            self.parked.insert(open.id, parked);
        }
    }

    /// Runs requests whose revision has come, and hands out what happened.
    fn finish(&mut self, cx: &mut Cx<'_>) -> Vec<Output> {
        let waiting = self.parked.iter().filter(|(_, parked)| {
            parked.wait.is_some_and(|wait| {
                self.core
                    .caches
                    .revision(&self.core.store, parked.server, wait.resource)
                    >= wait.revision
            })
        });
        let ready: Vec<RequestId> = waiting.map(|(id, _)| *id).collect();
        for id in ready {
            if let Some(mut parked) = self.parked.remove(&id) {
                parked.wait = None;
                self.run(cx, id, parked);
            }
        }
        let mut outputs = std::mem::take(&mut self.core.outputs);
        if let Some(defect) = self.planted
            && guarantees::make(defect, &mut outputs)
        {
            self.planted = None;
        }
        if let Some(guarantees) = &mut self.guarantees {
            guarantees.read(&self.core, &outputs);
        }
        outputs
    }
}

#[cfg(test)]
mod guarantees_tests;
#[cfg(test)]
mod kinds_tests;
#[cfg(test)]
mod tests;
