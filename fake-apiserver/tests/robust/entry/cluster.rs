//! A small cluster that hostile requests are sent to, and what is demanded of every answer.

use bytes::Bytes;
use fake_apiserver::ids::SeededIds;
use fake_apiserver::json;
use fake_apiserver::server::{ApiServer, Config, Cx, Output, RequestId, ServerId, WebhookReply};
use fake_apiserver::time::Timestamp;
use http::header::{HeaderName, HeaderValue};

/// A custom resource with something of everything: defaults, keyed lists, sets, atomic maps, rules, selectable fields.
const WIDGETS: &str = r#"{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"widgets.example.com"},
"spec":{"group":"example.com","scope":"Namespaced","names":{"plural":"widgets","kind":"Widget"},"versions":[{"name":"v1","served":true,"storage":true,
"subresources":{"status":{},"scale":{"specReplicasPath":".spec.replicas","statusReplicasPath":".status.replicas"}},"selectableFields":[{"jsonPath":".spec.color"}],
"schema":{"openAPIV3Schema":{"type":"object","properties":{"spec":{"type":"object","properties":{
"replicas":{"type":"integer","default":1,"minimum":0},"color":{"type":"string","pattern":"^[a-z]*$"},"any":{"x-kubernetes-preserve-unknown-fields":true},
"port":{"x-kubernetes-int-or-string":true},"when":{"type":"string","format":"date-time"},
"parts":{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["name"],"items":{"type":"object","required":["name"],"properties":{"name":{"type":"string"},"n":{"type":"number"}}}},
"tags":{"type":"array","x-kubernetes-list-type":"set","items":{"type":"string"}},
"opaque":{"type":"object","x-kubernetes-map-type":"atomic","additionalProperties":{"type":"string"}}},
"x-kubernetes-validations":[{"rule":"!has(self.parts) || self.parts.all(p, !has(p.n) || p.n < 100.0)"}]},
"status":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}}}}]}}"#;

/// Objects that hostile requests find.
const OBJECTS: [(&str, &str); 4] = [
    (
        "/api/v1/namespaces/default/configmaps",
        r#"{"metadata":{"name":"one","labels":{"app":"demo","tier":"back"}},"data":{"a":"1","b":"two"}}"#,
    ),
    (
        "/apis/apps/v1/namespaces/default/deployments",
        r#"{"metadata":{"name":"one"},"spec":{"replicas":2,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i","ports":[{"containerPort":80}],"env":[{"name":"E","value":"1"}]}]}}}}"#,
    ),
    (
        "/api/v1/namespaces/default/services",
        r#"{"metadata":{"name":"one","finalizers":["example.com/hold"]},"spec":{"selector":{"a":"b"},"ports":[{"port":80}]}}"#,
    ),
    (
        "/apis/example.com/v1/namespaces/default/widgets",
        r#"{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"one"},"spec":{"color":"red","parts":[{"name":"x","n":1}],"tags":["a"]}}"#,
    ),
];

/// Two servers with lagging caches, a clock, and all bytes that ever came out.
pub(super) struct Cluster {
    pub(super) server: ApiServer,
    ids: SeededIds,
    now: Timestamp,
    next: u64,
    /// Every answer and event, in order.
    pub(super) heard: Vec<u8>,
    /// What a webhook answers.
    pub(super) webhook: Bytes,
}

impl Cluster {
    /// A cluster with a custom resource and an object of several kinds, copied from one made once.
    pub(super) fn new() -> Cluster {
        thread_local! {
            static BASE: (ApiServer, SeededIds) = {
                let mut cluster = Cluster::over(
                    ApiServer::new(&Config { servers: 2, ..Config::default() }),
                    SeededIds::new(11),
                );
                let crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
                for (path, body) in std::iter::once((crds, WIDGETS)).chain(OBJECTS) {
                    let reply = cluster.json("POST", path, body.as_bytes());
                    assert_eq!(reply.status(), 201, "{:?}", reply.body());
                    cluster.settle();
                }
                (cluster.server, cluster.ids)
            };
        }
        BASE.with(|(server, ids)| Cluster::over(server.copy(), ids.clone()))
    }

    fn over(server: ApiServer, ids: SeededIds) -> Cluster {
        Cluster {
            server,
            ids,
            now: Timestamp::from_seconds(1_767_225_601),
            next: 0,
            heard: Vec::new(),
            webhook: Bytes::new(),
        }
    }

    fn with(
        &mut self,
        act: impl FnOnce(&mut ApiServer, &mut Cx<'_>) -> Vec<Output>,
    ) -> Vec<Output> {
        let mut cx = Cx {
            now: self.now,
            ids: &mut self.ids,
        };
        act(&mut self.server, &mut cx)
    }

    /// A request with a JSON body.
    pub(super) fn json(
        &mut self,
        method: &str,
        target: &str,
        body: &[u8],
    ) -> http::Response<Bytes> {
        self.call(
            method,
            target,
            &[("content-type", "application/json")],
            body,
        )
    }

    /// Sends a request; waits and webhook calls come to their end. An opened watch answers 200 with its first events.
    pub(super) fn call(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> http::Response<Bytes> {
        let mut request = http::Request::new(Bytes::copy_from_slice(body));
        if let Ok(method) = http::Method::from_bytes(method.as_bytes()) {
            *request.method_mut() = method;
        }
        if let Ok(uri) = encoded(target).parse() {
            *request.uri_mut() = uri;
        }
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes());
            let value = HeaderValue::from_bytes(value.as_bytes());
            if let (Ok(name), Ok(value)) = (name, value) {
                request.headers_mut().append(name, value);
            }
        }
        let head = request.method() == http::Method::HEAD;
        self.next += 1;
        let id = RequestId(self.next);
        let server = ServerId((self.next % 2) as u32);
        self.now = Timestamp(self.now.micros() + 1_000);
        let mut outputs = self.with(|server_, cx| server_.submit(cx, server, id, request));
        let mut answer = None;
        for _ in 0..100 {
            let mut calls = Vec::new();
            for output in outputs {
                match output {
                    Output::Reply { id: of, response } if of == id => answer = Some(response),
                    Output::Reply { response, .. } => self.heard.extend_from_slice(response.body()),
                    Output::Opened { id: of, .. } if of == id => {
                        answer = Some(http::Response::new(Bytes::new()));
                    }
                    Output::Event { line, .. } => {
                        assert!(json::parse(&line).is_ok(), "an event is one line of JSON");
                        self.heard.extend_from_slice(&line);
                    }
                    Output::Call { call, .. } => calls.push(call),
                    Output::Opened { .. } | Output::Ended { .. } | Output::Wait { .. } => {}
                }
            }
            if answer.is_some() {
                break;
            }
            outputs = match calls.first() {
                Some(call) => {
                    let body = self.webhook.clone();
                    let reply = WebhookReply::Answered { status: 200, body };
                    self.with(|server, cx| server.answer(cx, *call, reply))
                }
                None => {
                    let due = self.server.next_deadline();
                    self.now = self
                        .now
                        .max(due.expect("a request that waits has a deadline"));
                    self.with(ApiServer::advance)
                }
            };
        }
        let answer = answer.expect("every request is answered");
        assert_proper(&answer, head);
        self.heard
            .extend_from_slice(answer.status().as_str().as_bytes());
        self.heard.extend_from_slice(answer.body());
        answer
    }

    /// Controllers run to their end, caches catch up, and a second passes.
    pub(super) fn settle(&mut self) {
        let outputs = self.with(ApiServer::settle);
        for output in outputs {
            if let Output::Event { line, .. } = output {
                self.heard.extend_from_slice(&line);
            }
        }
        self.now = Timestamp(self.now.micros() + 1_000_000);
        self.with(ApiServer::advance);
    }
}

/// Whatever cannot stand in a request target, percent-encoded.
pub(super) fn encoded(target: &str) -> String {
    let mut text = String::with_capacity(target.len());
    if !target.starts_with('/') {
        text.push('/');
    }
    for byte in target.bytes() {
        match byte {
            b'!'..=b'~'
                if !matches!(
                    byte,
                    b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | b'#'
                ) =>
            {
                text.push(char::from(byte));
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// A failure is a Status of its own code; JSON is JSON; nothing is empty that should not be.
fn assert_proper(answer: &http::Response<Bytes>, head: bool) {
    let code = answer.status().as_u16();
    let kind = answer.headers().get("content-type");
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if head {
        assert!(answer.body().is_empty(), "HEAD has no body");
        return;
    }
    if !kind.starts_with("application/json") || answer.headers().contains_key("content-encoding") {
        return;
    }
    let body = match json::parse(answer.body()) {
        Ok(body) => body,
        Err(error) => panic!("{code} is no JSON: {error}"),
    };
    if code >= 400 && body["kind"] == "Status" {
        assert_eq!(
            body["code"],
            i64::from(code),
            "the Status has the answer's code: {body}"
        );
        assert_eq!(body["status"], "Failure", "{body}");
        assert!(body["message"].is_string(), "a Status says why: {body}");
    }
    assert!(
        code < 400 || body["kind"] == "Status",
        "{code} is a Status: {body}"
    );
    if code < 400 && body["metadata"].is_object() {
        super::assert_round_trip(&body);
    }
    let internal = code == 500 && body.str_at(&["message"]).contains("does not answer");
    assert!(!internal, "{body}");
}
