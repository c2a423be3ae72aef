//! The target in process: an [`ApiServer`] under virtual time.
//!
//! Caches follow every write at once; controllers run at `settle`, `advance` and `events`; a parked request waits while
//! virtual time goes on to whatever is due next: the delayed answer of a webhook or a deadline of the server's.
//! Bookmarks are never sent unasked, as within the first minute of a real watch.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use bytes::Bytes;
use fake_apiserver::actors::Chore;
use fake_apiserver::conform::case::{Case, Condition, Request};
use fake_apiserver::conform::doc::Doc;
use fake_apiserver::conform::hooks::Hooks;
use fake_apiserver::conform::play::{Call, Reply, Target, percent_encoded};
use fake_apiserver::ids::SeededIds;
use fake_apiserver::request::User;
use fake_apiserver::server::{
    ApiServer, Authorization, CallId, Config, Cx, OutCall, Output, RequestId, ServerId, Token,
    WatchId, WebhookReply,
};
use fake_apiserver::time::Timestamp;

const HOOKS: &str = "https://127.0.0.1:9443";
const CA: &str = "Y29uZm9ybQ==";
/// A request costs a millisecond, so that times rise but stay within a second.
const REQUEST_MICROS: i64 = 1_000;

/// One stream: lines not yet looked at, and whether it has ended.
#[derive(Default)]
struct Stream {
    id: RequestId,
    lines: Vec<Vec<u8>>,
    ended: bool,
}

/// A server of its own for one case.
pub(crate) struct InProcess {
    server: ApiServer,
    now: Timestamp,
    ids: SeededIds,
    next: u64,
    compacting: bool,
    hooks: Hooks,
    streams: BTreeMap<String, Stream>,
    replies: BTreeMap<RequestId, Reply>,
    opened: BTreeMap<RequestId, Reply>,
    /// Answers of webhooks that take their time: when, which call, what.
    due: BTreeMap<(Timestamp, CallId), WebhookReply>,
}

impl InProcess {
    pub(crate) fn new(case: &Case) -> InProcess {
        let user = |name: &str, group: &str| User {
            name: name.into(),
            uid: name.into(),
            groups: vec![group.into(), "system:authenticated".into()],
            ..User::default()
        };
        let token = |token: &str, user: User| Token {
            token: token.into(),
            user,
        };
        let needs = |what: &str| case.needs.iter().any(|need| need.contains(what));
        let compacting = needs("compaction");
        let config = Config {
            caches_follow: true,
            authorization: Authorization::Rbac,
            tokens: vec![
                token("admin", user("admin", "system:masters")),
                token("usertoken", user("alice", "dev")),
            ],
            service_account_admission: needs("ServiceAccount"),
            compaction_seconds: if compacting { 5 } else { 300 },
            ..Config::default()
        };
        InProcess {
            server: ApiServer::new(&config),
            now: Timestamp(config.began.micros() + 1_000_000),
            ids: SeededIds::new(1),
            next: 0,
            compacting,
            hooks: Hooks::default(),
            streams: BTreeMap::new(),
            replies: BTreeMap::new(),
            opened: BTreeMap::new(),
            due: BTreeMap::new(),
        }
    }

    fn submit(&mut self, call: &Call) -> Result<RequestId, String> {
        self.now = Timestamp(self.now.micros() + REQUEST_MICROS);
        self.next += 1;
        let id = RequestId(self.next);
        let request = http_request(call)?;
        let outputs = self.with(|server, cx| server.submit(cx, ServerId(0), id, request));
        self.take(outputs);
        Ok(id)
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut ApiServer, &mut Cx<'_>) -> T) -> T {
        let mut cx = Cx {
            now: self.now,
            ids: &mut self.ids,
        };
        act(&mut self.server, &mut cx)
    }

    /// Notes what came out; calls to webhooks are answered, at once or when their delay is over.
    fn take(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Reply { id, response } => {
                    let (parts, body) = response.into_parts();
                    self.replies
                        .insert(id, reply(parts.status, &parts.headers, body.to_vec()));
                }
                Output::Opened { id, head, .. } => {
                    self.opened
                        .insert(id, reply(head.status(), head.headers(), Vec::new()));
                    // Events may follow in the same batch, before the caller knows the stream.
                    self.streams.entry(id.0.to_string()).or_insert(Stream {
                        id,
                        ..Stream::default()
                    });
                }
                Output::Event { watch, line, .. } => {
                    if let Some(stream) = self.stream(watch) {
                        stream.lines.push(line.to_vec());
                    }
                }
                Output::Ended { watch } => {
                    if let Some(stream) = self.stream(watch) {
                        stream.ended = true;
                    }
                }
                Output::Call { call, request, .. } => self.called(call, &request),
                Output::Wait { .. } => {}
            }
        }
    }

    fn stream(&mut self, watch: WatchId) -> Option<&mut Stream> {
        self.streams
            .values_mut()
            .find(|stream| stream.id.0 == watch.0)
    }

    fn called(&mut self, call: CallId, request: &OutCall) {
        let Some(name) = request.url.strip_prefix(HOOKS) else {
            let failed = WebhookReply::Failed(unreachable_text(&request.url));
            return self.answer_at(self.now, call, failed);
        };
        let name = name
            .split('?')
            .next()
            .unwrap_or_default()
            .trim_matches('/')
            .to_string();
        let answer = self.hooks.receive(&name, &request.body);
        for during in &answer.during {
            if let Ok(id) = plain(during).and_then(|call| self.submit(&call)) {
                self.run_until(|this| this.replies.contains_key(&id));
            }
        }
        let reply = match answer.drop {
            true => WebhookReply::Failed(format!("Post {:?}: EOF", request.url)),
            false => WebhookReply::Answered {
                status: answer.status,
                body: Bytes::from(answer.body),
            },
        };
        let at = Timestamp(self.now.micros() + 1_000 * answer.delay_ms as i64);
        self.answer_at(at, call, reply);
    }

    fn answer_at(&mut self, at: Timestamp, call: CallId, reply: WebhookReply) {
        self.due.insert((at, call), reply);
    }

    /// Lets time go on, event by event, until something has come about or nothing is left to wait for.
    fn run_until(&mut self, done: impl Fn(&InProcess) -> bool) {
        while !done(self) {
            let due = self.due.keys().next().map(|(at, _)| *at);
            let deadline = self.server.next_deadline();
            match [due, deadline].into_iter().flatten().min() {
                Some(at) => self.pass_to(at.max(self.now)),
                None => return,
            }
        }
    }

    /// Sets the clock to a time at which something is due, and does that.
    fn pass_to(&mut self, at: Timestamp) {
        self.now = at;
        while let Some((&(when, call), _)) = self.due.first_key_value() {
            if when > at {
                break;
            }
            let reply = self.due.remove(&(when, call)).expect("just seen");
            let outputs = self.with(|server, cx| server.answer(cx, call, reply));
            self.take(outputs);
        }
        if self
            .server
            .next_deadline()
            .is_some_and(|deadline| deadline <= at)
        {
            let outputs = self.with(|server, cx| server.advance(cx));
            self.take(outputs);
        }
    }

    fn controllers(&mut self) {
        let outputs = self.with(|server, cx| server.settle(cx));
        self.take(outputs);
        if !self.due.is_empty() {
            self.run_until(|this| this.due.is_empty());
        }
    }

    fn compact(&mut self) {
        if !self.compacting {
            return;
        }
        let chores = self.server.chores(self.now);
        for chore in chores
            .iter()
            .filter(|chore| matches!(chore, Chore::Compact { .. }))
        {
            let outputs = self.with(|server, cx| server.perform(cx, chore));
            self.take(outputs);
        }
    }
}

impl Target for InProcess {
    fn call(&mut self, call: &Call) -> Result<Reply, String> {
        let id = self.submit(call)?;
        self.run_until(|this| this.replies.contains_key(&id) || this.opened.contains_key(&id));
        if let Some(mut reply) = self.opened.remove(&id) {
            // A watch played as a plain request: its whole stream is the body.
            let name = id.0.to_string();
            self.controllers();
            self.run_until(|this| this.streams.get(&name).is_none_or(|stream| stream.ended));
            reply.body = self
                .streams
                .remove(&name)
                .unwrap_or_default()
                .lines
                .concat();
            return Ok(reply);
        }
        self.replies
            .remove(&id)
            .ok_or_else(|| "never answered".to_string())
    }

    fn open(&mut self, name: &str, call: &Call) -> Result<Reply, String> {
        let id = self.submit(call)?;
        self.run_until(|this| this.replies.contains_key(&id) || this.opened.contains_key(&id));
        let stream = self.streams.remove(&id.0.to_string());
        self.streams.insert(
            name.to_string(),
            stream.unwrap_or(Stream {
                id,
                ended: true,
                lines: Vec::new(),
            }),
        );
        if let Some(opened) = self.opened.remove(&id) {
            return Ok(opened);
        }
        let reply = self.replies.remove(&id);
        // A plain answer where a stream was asked for (A9) is a stream of one line that has ended.
        if let (Some(reply), Some(stream)) = (&reply, self.streams.get_mut(name))
            && reply.status == 200
        {
            stream.lines.push(reply.body.clone());
        }
        reply.ok_or_else(|| "never answered".to_string())
    }

    fn events(&mut self, name: &str, _at_least: usize) -> Result<(Vec<Vec<u8>>, bool), String> {
        self.controllers();
        let stream = self.streams.get_mut(name).ok_or("no such stream")?;
        Ok((std::mem::take(&mut stream.lines), stream.ended))
    }

    fn close(&mut self, name: &str) {
        if let Some(stream) = self.streams.remove(name) {
            self.server.cancel(stream.id);
        }
    }

    fn settle(&mut self, condition: Option<&Condition>) {
        self.controllers();
        // Who waits for something to happen gives controllers that were refused the time to try again.
        let patience = Timestamp(self.now.micros() + 6_000_000);
        while condition.is_some()
            && let Some(next) = self
                .server
                .next_deadline()
                .filter(|next| *next > self.now && *next <= patience)
        {
            self.pass_to(next.max(self.now));
            self.controllers();
        }
    }

    fn advance(&mut self, milliseconds: u64) {
        self.controllers();
        let end = Timestamp(self.now.micros() + 1_000 * milliseconds as i64);
        loop {
            let second = Timestamp(self.now.micros() + 1_000_000);
            let due = self.due.keys().next().map(|(at, _)| *at);
            let next = [due, self.server.next_deadline(), Some(second)]
                .into_iter()
                .flatten()
                .min();
            let Some(next) = next.filter(|next| *next < end) else {
                break;
            };
            self.pass_to(next.max(self.now));
            self.compact();
        }
        self.pass_to(end);
        self.compact();
        self.controllers();
    }

    fn hook(&mut self, name: &str, answers: Vec<Doc>) -> Result<(String, String), String> {
        self.hooks.define(name, answers);
        Ok((format!("{HOOKS}/{name}"), CA.to_string()))
    }

    fn calls(&mut self, name: &str) -> Vec<Doc> {
        self.hooks.take(name)
    }
}

/// A request made by a webhook's handler: no symbols in it.
fn plain(request: &Request) -> Result<Call, String> {
    Ok(Call {
        method: request.method.clone(),
        uri: percent_encoded(&request.path),
        headers: request.headers.clone(),
        body: request.body.as_ref().map(Doc::to_body),
    })
}

/// With the headers that the recorder sends by itself.
fn http_request(call: &Call) -> Result<http::Request<Bytes>, String> {
    let method = http::Method::from_bytes(call.method.as_bytes()).map_err(|e| e.to_string())?;
    let uri: http::Uri = call.uri.parse().map_err(|e| format!("{}: {e}", call.uri))?;
    let mut request = http::Request::new(Bytes::from(call.body.clone().unwrap_or_default()));
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    let length = call.body.as_ref().map(|body| body.len().to_string());
    let mut headers: Vec<(String, Option<String>)> = [
        ("host", Some("127.0.0.1:6443")),
        ("accept-encoding", Some("identity")),
        ("content-length", length.as_deref()),
        ("accept", Some("application/json")),
        ("user-agent", Some("conform/1")),
        ("authorization", Some("Bearer admin")),
    ]
    .map(|(name, value)| (name.to_string(), value.map(String::from)))
    .to_vec();
    for (name, value) in &call.headers {
        headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        headers.push((name.clone(), value.clone()));
    }
    for (name, value) in headers {
        let Some(value) = value else { continue };
        let name = http::HeaderName::from_bytes(name.as_bytes()).map_err(|e| e.to_string())?;
        let value = http::HeaderValue::from_bytes(value.as_bytes()).map_err(|e| e.to_string())?;
        request.headers_mut().append(name, value);
    }
    Ok(request)
}

fn reply(status: http::StatusCode, headers: &http::HeaderMap, body: Vec<u8>) -> Reply {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = headers
        .iter()
        .map(|(name, value)| (name.as_str().to_string(), text(value)))
        .collect();
    Reply {
        status: status.as_u16(),
        headers,
        body,
    }
}

/// Go's words for an address where nobody listens, and for the name of a Service that is not there.
fn unreachable_text(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "443"));
    if host.parse::<Ipv4Addr>().is_ok() {
        return format!("Post {url:?}: dial tcp {host}:{port}: connect: connection refused");
    }
    match host
        .strip_suffix(".svc")
        .and_then(|host| host.split('.').next())
    {
        Some(service) => format!("Post {url:?}: service {service:?} not found"),
        None => format!("Post {url:?}: dial tcp: lookup {host}: no such host"),
    }
}
