//! The state machine on a wall clock: who waits for which answer, when time and chores move it on.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

use super::webhook;
use crate::actors::Chore;
use crate::ids::SeededIds;
use crate::server::{
    ApiServer, CallId, Config, Cx, OutCall, Output, RequestId, ServerId, WatchId, WebhookReply,
};
use crate::time::Timestamp;

/// Controllers start this long after the last request.
const QUIET: Duration = Duration::from_millis(20);
/// Under an unbroken stream of requests they start nevertheless.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often a watch that wants bookmarks gets one, counted from its opening as a real server does (W10).
const BOOKMARKS: Duration = Duration::from_secs(60);

/// A watch whose client leaves more than this unread is ended, as a real server ends those that are too slow for its
/// buffers; the client may watch again from where it was.
const UNREAD_BYTES_MAX: usize = 8 << 20;

/// What a request is answered with.
pub(super) enum Reply {
    /// A whole answer.
    Whole(http::Response<Bytes>),
    /// A stream: its head, then its lines as they come.
    Stream(http::Response<()>, Lines),
}

/// The lines of a stream on their way to its client.
pub(super) struct Lines {
    receiver: mpsc::UnboundedReceiver<Line>,
    unread: Rc<Cell<usize>>,
}

impl Lines {
    /// The next line; none once the stream has ended.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.receiver.poll_recv(cx).map(|line| {
            let Line { bytes, counts } = line?;
            if counts {
                self.unread.set(self.unread.get() - bytes.len());
            }
            Some(bytes)
        })
    }
}

struct Line {
    bytes: Bytes,
    /// False for what a watch begins with: that is as large as what there is, however fast its client reads.
    counts: bool,
}

/// The server's end of a stream.
struct Stream {
    sender: mpsc::UnboundedSender<Line>,
    unread: Rc<Cell<usize>>,
    /// True while the first lines are handed over.
    opening: bool,
}

impl Stream {
    fn new() -> (Stream, Lines) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let unread = Rc::new(Cell::new(0));
        let lines = Lines {
            receiver,
            unread: unread.clone(),
        };
        let stream = Stream {
            sender,
            unread,
            opening: true,
        };
        (stream, lines)
    }

    /// Hands a line over, unless the client is too slow: then it returns false.
    fn send(&self, bytes: Bytes) -> bool {
        let counts = !self.opening;
        let unread = self.unread.get() + if counts { bytes.len() } else { 0 };
        if unread > UNREAD_BYTES_MAX {
            return false;
        }
        self.unread.set(unread);
        // A client that has gone is told of by its connection.
        let _ = self.sender.send(Line { bytes, counts });
        true
    }
}

/// The server and those who wait for it. Used by one thread.
pub(super) struct State {
    inner: RefCell<Inner>,
    wake: Notify,
    last_request: Cell<Instant>,
    /// The `Authorization` of requests that come without one.
    unsigned: Option<http::HeaderValue>,
}

struct Inner {
    server: ApiServer,
    ids: SeededIds,
    next: u64,
    waiting: BTreeMap<RequestId, oneshot::Sender<Reply>>,
    streams: BTreeMap<WatchId, Stream>,
    /// When watches get their next bookmark; those that have ended among them.
    bookmarks: BTreeSet<(Instant, WatchId)>,
    clock: Timestamp,
}

impl State {
    pub(super) fn new(config: &Config, unsigned: Option<String>) -> State {
        let inner = Inner {
            server: ApiServer::new(config),
            ids: SeededIds::new(random_seed()),
            next: 0,
            waiting: BTreeMap::new(),
            streams: BTreeMap::new(),
            bookmarks: BTreeSet::new(),
            clock: wall_clock(),
        };
        State {
            inner: RefCell::new(inner),
            wake: Notify::new(),
            last_request: Cell::new(instant()),
            unsigned: unsigned.and_then(|value| value.parse().ok()),
        }
    }

    /// Hands a request to the server; the answer comes through the receiver.
    pub(super) fn submit(
        self: &Rc<Self>,
        mut request: http::Request<Bytes>,
    ) -> (RequestId, oneshot::Receiver<Reply>) {
        if let Some(value) = &self.unsigned {
            let headers = request.headers_mut();
            headers
                .entry(http::header::AUTHORIZATION)
                .or_insert_with(|| value.clone());
        }
        let (sender, receiver) = oneshot::channel();
        let (id, outputs) = {
            let mut inner = self.inner.borrow_mut();
            inner.next += 1;
            let id = RequestId(inner.next);
            inner.waiting.insert(id, sender);
            let outputs = inner.with(|server, cx| server.submit(cx, ServerId(0), id, request));
            (id, outputs)
        };
        self.last_request.set(instant());
        self.deliver(outputs);
        self.wake.notify_one();
        (id, receiver)
    }

    /// The client has gone.
    pub(super) fn cancel(&self, id: RequestId) {
        let mut inner = self.inner.borrow_mut();
        inner.waiting.remove(&id);
        inner.streams.remove(&WatchId(id.0));
        inner.server.cancel(id);
    }

    /// Lets deadlines pass and controllers run, for ever.
    pub(super) async fn pace(self: Rc<Self>) {
        let mut restless_since: Option<Instant> = None;
        loop {
            let now = instant();
            self.pass();
            let restless = self.inner.borrow_mut().restless();
            let since = *restless_since.get_or_insert(now);
            let due = (self.last_request.get() + QUIET).min(since + PATIENCE);
            if !restless {
                restless_since = None;
            } else if now >= due {
                self.perform(Chore::is_settling);
                restless_since = None;
                continue;
            }
            let bookmarks = self.bookmark(now);
            self.perform(|chore| matches!(chore, Chore::Compact { .. }));
            let until = if restless {
                due
            } else {
                let soon = bookmarks.into_iter().chain([now + Duration::from_secs(1)]);
                soon.fold(self.deadline(), Instant::min)
            };
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                () = self.wake.notified() => {}
            }
        }
    }

    /// Sends the bookmarks that are due; when the next one is.
    fn bookmark(self: &Rc<Self>, now: Instant) -> Option<Instant> {
        let outputs = {
            let mut inner = self.inner.borrow_mut();
            let mut outputs = Vec::new();
            while let Some((_, watch)) = inner
                .bookmarks
                .first()
                .copied()
                .filter(|(at, _)| *at <= now)
            {
                inner.bookmarks.pop_first();
                if inner.streams.contains_key(&watch) {
                    inner.bookmarks.insert((now + BOOKMARKS, watch));
                    let chore = Chore::Bookmark { watch };
                    outputs.extend(inner.with(|server, cx| server.perform(cx, &chore)));
                }
            }
            outputs
        };
        self.deliver(outputs);
        self.inner.borrow().bookmarks.first().map(|(at, _)| *at)
    }

    /// What is due by the clock.
    fn pass(self: &Rc<Self>) {
        let outputs = {
            let mut inner = self.inner.borrow_mut();
            let now = inner.tick();
            match inner
                .server
                .next_deadline()
                .is_some_and(|deadline| deadline <= now)
            {
                true => inner.with(|server, cx| server.advance(cx)),
                false => Vec::new(),
            }
        };
        self.deliver(outputs);
    }

    /// Does all chores of a kind; settling ones until none is left.
    fn perform(self: &Rc<Self>, wanted: impl Fn(&Chore) -> bool) {
        let outputs = {
            let mut inner = self.inner.borrow_mut();
            let now = inner.tick();
            let chores = inner.server.chores(now);
            let mut chores = chores.into_iter().filter(|chore| wanted(chore)).peekable();
            if chores.peek().is_some_and(Chore::is_settling) {
                inner.with(|server, cx| server.settle(cx))
            } else {
                chores
                    .flat_map(|chore| inner.with(|server, cx| server.perform(cx, &chore)))
                    .collect()
            }
        };
        self.deliver(outputs);
    }

    fn deadline(&self) -> Instant {
        let mut inner = self.inner.borrow_mut();
        let now = inner.tick();
        let wait = inner
            .server
            .next_deadline()
            .map_or(1_000_000, |deadline| deadline.micros() - now.micros());
        instant() + Duration::from_micros(u64::try_from(wait.clamp(1_000, 60_000_000)).unwrap_or(0))
    }

    /// Hands out what came out of the server.
    fn deliver(self: &Rc<Self>, outputs: Vec<Output>) {
        let mut calls: Vec<(CallId, OutCall)> = Vec::new();
        {
            let mut inner = self.inner.borrow_mut();
            let mut opened = Vec::new();
            for output in outputs {
                match output {
                    Output::Reply { id, response } => inner.reply(id, Reply::Whole(response)),
                    Output::Opened { id, watch, head } => {
                        let (stream, lines) = Stream::new();
                        inner.streams.insert(watch, stream);
                        inner.bookmarks.insert((instant() + BOOKMARKS, watch));
                        inner.reply(id, Reply::Stream(head, lines));
                        opened.push(watch);
                    }
                    Output::Event { watch, line, .. } => {
                        let stream = inner.streams.get(&watch);
                        if stream.is_some_and(|stream| !stream.send(line)) {
                            inner.streams.remove(&watch);
                            inner.server.cancel(RequestId(watch.0));
                        }
                    }
                    Output::Ended { watch } => drop(inner.streams.remove(&watch)),
                    Output::Call { call, request, .. } => calls.push((call, request)),
                    Output::Wait { .. } => {}
                }
            }
            for watch in opened {
                if let Some(stream) = inner.streams.get_mut(&watch) {
                    stream.opening = false;
                }
            }
        }
        for (call, request) in calls {
            tokio::task::spawn_local(self.clone().call(call, request));
        }
    }

    async fn call(self: Rc<Self>, call: CallId, request: OutCall) {
        let answered = tokio::time::timeout(request.timeout, webhook::call(&request)).await;
        let reply = match answered {
            Ok(reply) => reply,
            Err(_) => WebhookReply::TimedOut,
        };
        let outputs = self
            .inner
            .borrow_mut()
            .with(|server, cx| server.answer(cx, call, reply));
        self.deliver(outputs);
        self.wake.notify_one();
    }
}

impl Inner {
    fn with<T>(&mut self, act: impl FnOnce(&mut ApiServer, &mut Cx<'_>) -> T) -> T {
        let now = self.tick();
        let mut cx = Cx {
            now,
            ids: &mut self.ids,
        };
        act(&mut self.server, &mut cx)
    }

    /// The wall clock, which never goes back for the server.
    fn tick(&mut self) -> Timestamp {
        self.clock = self.clock.max(wall_clock());
        self.clock
    }

    fn restless(&mut self) -> bool {
        let now = self.tick();
        self.server.chores(now).iter().any(Chore::is_settling)
    }

    fn reply(&mut self, id: RequestId, reply: Reply) {
        if let Some(waiting) = self.waiting.remove(&id) {
            let _ = waiting.send(reply);
        }
    }
}

/// The time on the wall.
#[expect(
    clippy::disallowed_methods,
    reason = "the served cluster lives on the wall clock"
)]
pub(super) fn wall_clock() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp(since.map_or(0, |since| {
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    }))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the served cluster lives on the wall clock"
)]
fn instant() -> Instant {
    Instant::from_std(std::time::Instant::now())
}

/// A seed that differs from process to process and call to call.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    // The standard library seeds each of these from the system's randomness.
    std::collections::hash_map::RandomState::new()
        .build_hasher()
        .finish()
}

/// A token for an administrator that gave none.
pub(super) fn random_token() -> String {
    format!("{:016x}{:016x}", random_seed(), random_seed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_nobody_reads_ends() {
        let (mut stream, mut lines) = Stream::new();
        let line = || Bytes::from(vec![b'x'; UNREAD_BYTES_MAX / 4]);
        assert!((0..9).all(|_| stream.send(line())), "what it begins with");
        stream.opening = false;
        assert_eq!((0..9).filter(|_| stream.send(line())).count(), 4);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        for _ in 0..10 {
            assert!(lines.poll_next(&mut cx).is_ready());
        }
        assert!(stream.send(line()) && !stream.send(line()), "one was read");
        drop(stream);
        let left = (0..9).take_while(|_| matches!(lines.poll_next(&mut cx), Poll::Ready(Some(_))));
        assert_eq!(left.count(), 4, "what was handed over still arrives");
    }
}
