//! One request on its way through the server: what the verbs and the rooms they call see, and how a request waits.
//!
//! A verb is a function from (state, request, what was answered so far) to an answer. Where it needs a webhook's reply or a
//! revision not yet seen it halts; the request is kept as data ([`Attempt`]) and run again from its start when that has come,
//! with the same time, the same drawn ids and the replies it had. Nothing is stored before the last halt, so running again
//! has no effect of its own. If the state has moved meanwhile, the calls differ from those remembered and are made anew,
//! just as a real server calls its webhooks again when it lost a race in storage (AD8).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::core::Core;
use super::warnings::Warnings;
use super::{RequestId, ServerId};
use crate::ids::Ids;
use crate::json::Value;
use crate::registry::{Resource, ResourceId};
use crate::request::{Request, User};
use crate::status::Status;
use crate::store::{Object, Origin};
use crate::strategy;
use crate::time::Timestamp;

/// Why a verb has no answer yet, or a failing one.
#[derive(Debug)]
pub enum Halt {
    /// The request failed.
    Failed(Status),
    /// Webhooks have to answer first.
    Calls(Vec<OutCall>),
    /// A cache has to reach a revision first.
    Wait(Wait),
}

impl From<Status> for Halt {
    fn from(status: Status) -> Halt {
        Halt::Failed(status)
    }
}

/// A request to a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutCall {
    /// Where to.
    pub url: String,
    /// The review, as JSON.
    pub body: Bytes,
    /// How long to wait for the answer.
    pub timeout: Duration,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebhookReply {
    /// An HTTP answer.
    Answered {
        /// Status code.
        status: u16,
        /// Body.
        body: Bytes,
    },
    /// No answer; Go's text of the error.
    Failed(String),
    /// No answer in time.
    TimedOut,
}

/// A wait for a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The cache waited for.
    pub resource: ResourceId,
    /// The revision it must reach.
    pub revision: u64,
    /// When to give up.
    pub until: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Draw {
    Uid(String),
    Suffix(String),
    Number(u64, u64),
}

/// What a request remembers over its halts.
#[derive(Debug)]
pub struct Attempt {
    /// When the request came.
    pub started: Timestamp,
    /// `Warning` header texts, collected anew in each run.
    pub(crate) warnings: Warnings,
    /// True once a wait for a revision ended without it.
    pub gave_up: bool,
    /// What a request of several steps has done so far.
    pub done: Vec<String>,
    /// The objects these steps were about.
    pub done_objects: Vec<Arc<Object>>,
    draws: Vec<Draw>,
    drawn: usize,
    /// Calls, each with its reply and the time that came.
    calls: Vec<(OutCall, Option<(WebhookReply, Timestamp)>)>,
    called: usize,
    /// How far this run has come in time: it has heard the replies that came until then.
    pub(crate) clock: Timestamp,
    /// Where the clock begins: with the steps that are done.
    resumes: Timestamp,
    /// Calls by the order in which they were answered.
    arrivals: Vec<usize>,
}

impl Attempt {
    pub(crate) fn new(started: Timestamp) -> Attempt {
        Attempt {
            started,
            warnings: Warnings::default(),
            gave_up: false,
            done: Vec::new(),
            done_objects: Vec::new(),
            draws: Vec::new(),
            drawn: 0,
            calls: Vec::new(),
            called: 0,
            clock: started,
            resumes: started,
            arrivals: Vec::new(),
        }
    }

    /// Prepares for another run.
    pub(crate) fn rewind(&mut self) {
        self.warnings = Warnings::default();
        self.drawn = 0;
        self.called = 0;
        self.clock = self.resumes;
    }

    /// Notes a reply; true once none is missing.
    pub(crate) fn note_reply(&mut self, index: usize, reply: WebhookReply, now: Timestamp) -> bool {
        if let Some((_, slot)) = self.calls.get_mut(index) {
            slot.get_or_insert((reply, now));
            self.arrivals.push(index);
        }
        self.calls.iter().all(|(_, reply)| reply.is_some())
    }

    /// Calls without a reply, with their index.
    pub(crate) fn open_calls(&self) -> impl Iterator<Item = (usize, &OutCall)> {
        let calls = self.calls.iter().enumerate();
        calls
            .filter(|(_, (_, reply))| reply.is_none())
            .map(|(i, (call, _))| (i, call))
    }

    /// Forgets draws and replies: a step is done and will not be run again.
    pub(crate) fn step_done(&mut self, step: String) {
        self.done.push(step);
        self.draws.drain(..self.drawn);
        self.calls.drain(..self.called);
        self.arrivals.clear();
        self.drawn = 0;
        self.called = 0;
        self.resumes = self.clock;
    }

    fn replies(&mut self, calls: Vec<OutCall>) -> Result<Vec<WebhookReply>, Halt> {
        let from = self.called;
        let known = self.calls.get(from..from + calls.len());
        let same = known.is_some_and(|known| known.iter().map(|(call, _)| call).eq(&calls));
        if !same {
            self.calls.truncate(from);
            self.arrivals.retain(|index| *index < from);
            self.calls
                .extend(calls.iter().map(|call| (call.clone(), None)));
        }
        let now = &self.calls[from..from + calls.len()];
        let came: Vec<_> = now.iter().filter_map(|(_, came)| came.clone()).collect();
        if came.len() < calls.len() {
            return Err(Halt::Calls(calls));
        }
        self.called = from + calls.len();
        let times = came.iter().map(|(_, time)| *time);
        self.clock = times.fold(self.clock, Timestamp::max);
        Ok(came.into_iter().map(|(reply, _)| reply).collect())
    }

    /// The last `count` calls in the order of their answers, as indices among them (AD9).
    fn answered(&self, count: usize) -> Vec<usize> {
        let from = self.called - count;
        let mut order: Vec<usize> = Vec::with_capacity(count);
        for index in &self.arrivals {
            if (from..self.called).contains(index) && !order.contains(&(index - from)) {
                order.push(index - from);
            }
        }
        order
    }
}

/// One run of a request.
pub struct Session<'a> {
    /// The state of the cluster.
    pub core: &'a mut Core,
    /// When the request came.
    pub now: Timestamp,
    /// The server asked.
    pub server: ServerId,
    /// The request's number.
    pub id: RequestId,
    /// The request.
    pub request: &'a Request,
    /// Who asks.
    pub user: Arc<User>,
    /// The controller that acts, if it is none of the clients.
    pub(crate) actor: Option<&'static str>,
    pub(crate) attempt: &'a mut Attempt,
    pub(crate) source: &'a mut dyn Ids,
}

impl Session<'_> {
    /// Calls a webhook; halts until it has answered.
    pub fn call(&mut self, call: OutCall) -> Result<WebhookReply, Halt> {
        let mut replies = self.attempt.replies(vec![call])?;
        Ok(replies.remove(0))
    }

    /// Calls several webhooks at once; halts until all have answered.
    pub fn call_all(&mut self, calls: Vec<OutCall>) -> Result<Vec<WebhookReply>, Halt> {
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        self.attempt.replies(calls)
    }

    /// The calls of the last [`Session::call_all`] in the order of their answers.
    pub fn answered(&self, count: usize) -> Vec<usize> {
        self.attempt.answered(count)
    }

    /// Adds a `Warning` header (once), unless there is no room for one more.
    pub fn warn(&mut self, text: impl Into<String>) {
        self.attempt.warnings.add(text.into());
    }

    /// Adds the warnings of a kind about an object that is valid.
    pub fn warn_about(&mut self, row: &Resource, new: &Value, old: Option<&Value>) {
        let mut texts = Vec::new();
        row.strategy.warnings(&mut texts, new, old);
        for text in texts {
            self.warn(text);
        }
    }

    /// What the writes of this request are attributed to.
    pub fn origin(&self) -> Origin {
        self.actor.map_or(Origin::Request(self.id), Origin::Actor)
    }

    /// Calls a strategy with its context.
    pub fn with_strategy<T>(
        &mut self,
        row: &Arc<Resource>,
        subresource: &str,
        dry_run: bool,
        call: impl FnOnce(&mut strategy::Cx<'_>) -> T,
    ) -> T {
        let mut warnings = Vec::new();
        let mut ids = Recorded {
            source: &mut *self.source,
            attempt: &mut *self.attempt,
        };
        let mut cx = strategy::Cx {
            now: self.now,
            ids: &mut ids,
            store: &self.core.store,
            resource: row,
            subresource,
            user: &self.user,
            dry_run,
            warnings: &mut warnings,
        };
        let result = call(&mut cx);
        for warning in warnings {
            self.warn(warning);
        }
        result
    }
}

impl Ids for Session<'_> {
    fn uid(&mut self) -> String {
        self.recorded().uid()
    }
    fn suffix(&mut self) -> String {
        self.recorded().suffix()
    }
    fn number(&mut self, below: u64) -> u64 {
        self.recorded().number(below)
    }
}

impl Session<'_> {
    fn recorded(&mut self) -> Recorded<'_> {
        Recorded {
            source: &mut *self.source,
            attempt: &mut *self.attempt,
        }
    }
}

/// Draws that are repeated when the request is run again.
struct Recorded<'a> {
    source: &'a mut dyn Ids,
    attempt: &'a mut Attempt,
}

impl Recorded<'_> {
    fn draw(
        &mut self,
        fits: impl Fn(&Draw) -> bool,
        fresh: impl FnOnce(&mut dyn Ids) -> Draw,
    ) -> Draw {
        let at = self.attempt.drawn;
        if !self.attempt.draws.get(at).is_some_and(fits) {
            // Another way than last time: what was drawn from here on does not count.
            self.attempt.draws.truncate(at);
            let draw = fresh(self.source);
            self.attempt.draws.push(draw);
        }
        self.attempt.drawn += 1;
        self.attempt.draws[at].clone()
    }
}

impl Ids for Recorded<'_> {
    fn uid(&mut self) -> String {
        match self.draw(
            |draw| matches!(draw, Draw::Uid(_)),
            |ids| Draw::Uid(ids.uid()),
        ) {
            Draw::Uid(uid) => uid,
            other => unreachable!("a uid was drawn, not {other:?}"),
        }
    }

    fn suffix(&mut self) -> String {
        match self.draw(
            |draw| matches!(draw, Draw::Suffix(_)),
            |ids| Draw::Suffix(ids.suffix()),
        ) {
            Draw::Suffix(suffix) => suffix,
            other => unreachable!("a suffix was drawn, not {other:?}"),
        }
    }

    fn number(&mut self, below: u64) -> u64 {
        match self.draw(
            |draw| matches!(draw, Draw::Number(bound, _) if *bound == below),
            |ids| Draw::Number(below, ids.number(below)),
        ) {
            Draw::Number(_, number) => number,
            other => unreachable!("a number was drawn, not {other:?}"),
        }
    }
}
