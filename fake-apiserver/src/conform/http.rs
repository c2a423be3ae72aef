//! A target over HTTP: any API server, at the pace of the wall clock.
//!
//! Waits where a real server needs time: for controllers at `settle`, for streams at `events`.
//! Plain HTTP only (`kubectl proxy` gives a real cluster that face). Webhooks need a URL the server can reach by HTTPS:
//! cases that define one are left out, see [`needs_webhook`].

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::case::{Case, Condition, Step};
use super::doc::Doc;
use super::play::{Call, Reply, Target};

/// How long an answer may take: watches played as plain requests end by themselves within it.
const ANSWER_WAIT: Duration = Duration::from_secs(70);
/// No answer is larger than this.
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// A stream is looked at once nothing has come for this long.
const QUIET: Duration = Duration::from_millis(300);
/// How long missing events are waited for.
const EVENTS_WAIT: Duration = Duration::from_secs(5);
/// How long a condition of `settle` is waited for.
const SETTLE_WAIT: Duration = Duration::from_secs(20);

/// Why a server cannot be judged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL is not one of plain HTTP; `kubectl proxy` makes one of a real cluster.
    #[error("{url}: not a URL of the form http://HOST:PORT")]
    Url {
        /// The URL given.
        url: String,
    },
    /// Nobody answers there.
    #[error("{url}: {what}")]
    Connect {
        /// The URL given.
        url: String,
        /// What the system says.
        what: String,
    },
    /// The server does not take the administrator's token.
    #[error("the server answers 401 Unauthorized: it does not know the token")]
    Token,
    /// The runtime could not be started.
    #[error("cannot start: {0}")]
    Runtime(#[source] std::io::Error),
}

/// True if a case defines a webhook, which a server elsewhere cannot call.
pub fn needs_webhook(case: &Case) -> bool {
    case.steps
        .iter()
        .any(|step| matches!(step, Step::Hook { .. } | Step::Calls { .. }))
}

/// An API server under test.
pub struct Http {
    runtime: tokio::runtime::Runtime,
    authority: String,
    token: Option<String>,
    streams: BTreeMap<String, Stream>,
    connection: Option<SendRequest<Full<Bytes>>>,
}

/// One stream: what has come and was not yet looked at.
struct Stream {
    chunks: mpsc::UnboundedReceiver<Bytes>,
    rest: Vec<u8>,
    lines: Vec<Vec<u8>>,
    ended: bool,
}

impl Http {
    /// Connects to a server; `token` is the bearer token of an administrator.
    pub fn connect(url: &str, token: Option<&str>) -> Result<Http, Error> {
        let wrong = || Error::Url {
            url: url.to_owned(),
        };
        let uri: http::Uri = url.parse().map_err(|_| wrong())?;
        let host = uri
            .host()
            .filter(|_| uri.scheme_str() == Some("http"))
            .ok_or_else(wrong)?;
        let authority = format!("{host}:{}", uri.port_u16().unwrap_or(80));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::Runtime)?;
        let mut target = Http {
            runtime,
            authority,
            token: token.map(String::from),
            streams: BTreeMap::new(),
            connection: None,
        };
        let status = target.version(Vec::new()).map_err(|what| Error::Connect {
            url: url.to_owned(),
            what,
        })?;
        match status {
            401 => Err(Error::Token),
            _ => Ok(target),
        }
    }

    /// Whether the server takes the token for somebody's.
    ///
    /// # Errors
    /// Why there was no answer.
    pub fn knows(&mut self, token: &str) -> Result<bool, String> {
        let bearer = ("authorization".into(), Some(format!("Bearer {token}")));
        Ok(self.version(vec![bearer])? != 401)
    }

    /// The status with which the server tells its version.
    fn version(&mut self, headers: Vec<(String, Option<String>)>) -> Result<u16, String> {
        let reply = self.call(&Call {
            method: "GET".into(),
            uri: "/version".into(),
            headers,
            body: None,
        })?;
        Ok(reply.status)
    }

    /// Forgets the streams of the last case.
    pub fn reset(&mut self) {
        self.streams.clear();
    }

    fn request(&self, call: &Call) -> Result<http::Request<Full<Bytes>>, String> {
        let mut headers: Vec<(String, Option<String>)> = vec![
            ("host".into(), Some(self.authority.clone())),
            ("accept".into(), Some("application/json".into())),
            ("user-agent".into(), Some("conform/1".into())),
            (
                "authorization".into(),
                self.token.as_ref().map(|token| format!("Bearer {token}")),
            ),
        ];
        for (name, value) in &call.headers {
            headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
            headers.push((name.clone(), value.clone()));
        }
        let mut builder = http::Request::builder()
            .method(call.method.as_str())
            .uri(call.uri.as_str());
        for (name, value) in headers
            .iter()
            .filter_map(|(name, value)| Some((name, value.as_ref()?)))
        {
            let value =
                http::HeaderValue::from_bytes(value.as_bytes()).map_err(|e| e.to_string())?;
            builder = builder.header(name.as_str(), value);
        }
        let body = Full::new(Bytes::from(call.body.clone().unwrap_or_default()));
        builder.body(body).map_err(|error| error.to_string())
    }

    /// Lets streams receive for a while.
    fn wait(&self, duration: Duration) {
        self.runtime
            .block_on(async { tokio::time::sleep(duration).await });
    }
}

async fn connect(authority: &str) -> Result<SendRequest<Full<Bytes>>, String> {
    let stream = TcpStream::connect(authority)
        .await
        .map_err(|error| error.to_string())?;
    let (sender, connection) = handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    // The runtime has one thread, which is this one: tasks run while something is waited for.
    tokio::runtime::Handle::current().spawn(connection);
    Ok(sender)
}

async fn send(
    sender: &mut SendRequest<Full<Bytes>>,
    request: http::Request<Full<Bytes>>,
) -> Result<(Reply, Incoming), String> {
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| error.to_string())?;
    let (parts, body) = response.into_parts();
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), text(value)))
        .collect();
    Ok((
        Reply {
            status: parts.status.as_u16(),
            headers,
            body: Vec::new(),
        },
        body,
    ))
}

/// An answer's body, unless it is larger than any API server's.
async fn whole(body: Incoming) -> Result<Vec<u8>, String> {
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
    Ok(body.map_err(|error| error.to_string())?.to_bytes().to_vec())
}

fn no_answer() -> String {
    format!("no answer within {} s", ANSWER_WAIT.as_secs())
}

impl Target for Http {
    fn call(&mut self, call: &Call) -> Result<Reply, String> {
        let mut kept = self.connection.take();
        // A connection that the server has closed meanwhile is made anew, once.
        for fresh in [false, true] {
            if kept.is_none() && !fresh {
                continue;
            }
            let request = self.request(call)?;
            let authority = self.authority.clone();
            let sender = kept.take();
            let exchange = async move {
                let mut sender = match sender {
                    Some(sender) if !fresh => sender,
                    _ => connect(&authority).await?,
                };
                sender.ready().await.map_err(|error| error.to_string())?;
                let (mut reply, body) = send(&mut sender, request).await?;
                reply.body = whole(body).await?;
                Ok::<_, String>((reply, sender))
            };
            let answered = self
                .runtime
                .block_on(async { tokio::time::timeout(ANSWER_WAIT, exchange).await });
            match answered {
                Ok(Ok((reply, sender))) => {
                    self.connection = Some(sender);
                    return Ok(reply);
                }
                Ok(Err(error)) if fresh => return Err(error),
                Ok(Err(_)) => {}
                Err(_) => return Err(no_answer()),
            }
        }
        Err("no connection".to_owned())
    }

    fn open(&mut self, name: &str, call: &Call) -> Result<Reply, String> {
        let request = self.request(call)?;
        let authority = self.authority.clone();
        let (sink, chunks) = mpsc::unbounded_channel();
        let opened = async move {
            let mut sender = connect(&authority).await?;
            let (mut reply, mut body) = send(&mut sender, request).await?;
            if reply.status != 200 {
                reply.body = whole(body).await?;
                return Ok::<_, String>(reply);
            }
            tokio::runtime::Handle::current().spawn(async move {
                // The connection lives as long as its stream is read.
                let _sender = sender;
                while let Some(Ok(frame)) = body.frame().await {
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    if sink.send(data).is_err() {
                        return;
                    }
                }
            });
            Ok(reply)
        };
        let opened = self
            .runtime
            .block_on(async { tokio::time::timeout(ANSWER_WAIT, opened).await });
        let reply = opened.map_err(|_| no_answer())??;
        self.streams.insert(
            name.to_owned(),
            Stream {
                chunks,
                rest: Vec::new(),
                lines: Vec::new(),
                ended: false,
            },
        );
        Ok(reply)
    }

    fn events(&mut self, name: &str, at_least: usize) -> Result<(Vec<Vec<u8>>, bool), String> {
        let mut stream = self.streams.remove(name).ok_or("no such stream")?;
        let step = Duration::from_millis(20);
        let (mut waited, mut quiet) = (Duration::ZERO, Duration::ZERO);
        while waited < EVENTS_WAIT && quiet <= QUIET {
            self.wait(step);
            waited += step;
            let came = stream.receive();
            let enough = stream.lines.len() >= at_least;
            quiet = match came {
                true => Duration::ZERO,
                false if enough || stream.ended => quiet + step,
                false => quiet,
            };
        }
        let lines = std::mem::take(&mut stream.lines);
        let ended = stream.ended;
        self.streams.insert(name.to_owned(), stream);
        Ok((lines, ended))
    }

    fn close(&mut self, name: &str) {
        self.streams.remove(name);
    }

    fn settle(&mut self, condition: Option<&Condition>) {
        let step = Duration::from_millis(50);
        let mut waited = Duration::ZERO;
        while let Some(condition) = condition
            && waited < SETTLE_WAIT
            && !self.met(condition)
        {
            self.wait(step);
            waited += step;
        }
        self.wait(QUIET);
    }

    fn advance(&mut self, milliseconds: u64) {
        self.wait(Duration::from_millis(milliseconds));
    }

    fn hook(&mut self, _name: &str, _answers: Vec<Doc>) -> Result<(String, String), String> {
        Err("webhooks are not played over HTTP".to_owned())
    }

    fn calls(&mut self, _name: &str) -> Vec<Doc> {
        Vec::new()
    }
}

impl Http {
    fn met(&mut self, condition: &Condition) -> bool {
        let call = Call {
            method: "GET".into(),
            uri: condition.get.clone(),
            headers: Vec::new(),
            body: None,
        };
        let Ok(reply) = self.call(&call) else {
            return false;
        };
        let status = condition.status.is_none_or(|status| status == reply.status);
        let equals = condition.equals.as_ref();
        status
            && equals.is_none_or(|(at, value)| Doc::of_body(&reply.body).pointer(at) == Some(value))
    }
}

impl Stream {
    /// Takes over what has come; true if anything has.
    fn receive(&mut self) -> bool {
        let before = self.lines.len();
        loop {
            match self.chunks.try_recv() {
                Ok(chunk) => self.rest.extend_from_slice(&chunk),
                Err(mpsc::error::TryRecvError::Empty) => break,
                Err(mpsc::error::TryRecvError::Disconnected) => {
                    self.ended = true;
                    break;
                }
            }
        }
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            if line.len() > 1 {
                self.lines.push(line);
            }
        }
        self.lines.len() > before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conform::play::play;

    #[test]
    fn a_served_cluster_is_judged_over_http() {
        let options = crate::serve::Options {
            token: Some("admin".into()),
            ..Default::default()
        };
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::Builder::new()
            .spawn(move || crate::serve::run(options, |ready| drop(sender.send(ready.url.clone()))))
            .unwrap();
        let url = receiver.recv().unwrap();
        let stranger = Http::connect(&url, Some("nobody"));
        assert!(matches!(stranger, Err(Error::Token)));
        let mut target = Http::connect(&url, Some("admin")).unwrap();
        assert!(target.knows("admin").unwrap());
        assert!(!target.knows("usertoken").unwrap());
        let case = r#"{"case":"a/b","steps":[
            {"watch":"w","request":{"method":"GET","path":"/api/v1/namespaces?watch=1&fieldSelector=metadata.name=x"},"response":{"status":200,"headers":{}}},
            {"request":{"method":"POST","path":"/api/v1/namespaces","headers":{"Content-Type":"application/json"},"body":{"metadata":{"name":"x"}}},
             "response":{"status":201,"headers":{"content-type":"application/json"}}},
            {"events":"w","expect":[{}],"ended":false},
            {"close":"w"},
            {"request":{"method":"GET","path":"/api/v1/namespaces/none"},"response":{"status":404,"headers":{}}}]}"#;
        let case = Case::of(&Doc::parse(case.as_bytes()).unwrap()).unwrap();
        let report = play(&case, &mut target);
        assert!(report.wrong.iter().all(|w| w.step == Some(2)), "{report:?}");
        let event = &report.wrong[0].differences[0];
        assert_eq!(event.at, "events/0/type");
    }

    #[test]
    fn a_wrong_url_is_told() {
        assert!(matches!(
            Http::connect("https://x", None),
            Err(Error::Url { .. })
        ));
        assert!(matches!(
            Http::connect("http://127.0.0.1:1", None),
            Err(Error::Connect { .. })
        ));
    }
}
