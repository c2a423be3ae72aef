//! One HTTP connection: bodies in, answers and streams out.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body, Frame, Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};
use tokio::net::TcpStream;

use super::state::{Lines, Reply, State};
use crate::server::RequestId;

/// One byte more than the server takes: it refuses what is larger in its own words.
const BODY_BYTES_MAX: usize = (3 << 20) + 1;

/// A client has so long for a request's head, from the end of the one before; kube-apiserver's time for it.
const HEAD_TIME: Duration = Duration::from_secs(32);
/// And so long for its body.
const BODY_TIME: Duration = Duration::from_secs(60);

/// Serves a connection to its end.
pub(super) async fn serve(state: Rc<State>, stream: TcpStream) {
    let service = hyper::service::service_fn(move |request| {
        let state = state.clone();
        async move { Ok::<_, Infallible>(answer(state, request).await) }
    });
    let (requests, answers) = stream.into_split();
    let stream = tokio::io::join(requests.chain(LateEnd::default()), answers);
    let mut builder = hyper::server::conn::http1::Builder::new();
    // A connection that breaks has nobody left to be told.
    let _ = builder
        .half_close(false)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// The end of what a client sends, told one turn late.
///
/// A client may close its side as soon as it has asked, and hyper drops a request whose client seems to have gone
/// before it hands it over. With a turn between them each request that came whole is answered, if that takes no waiting,
/// however late the server comes to read it; watches end with their clients nevertheless.
#[derive(Default)]
struct LateEnd {
    told: bool,
}

impl AsyncRead for LateEnd {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if std::mem::replace(&mut self.told, true) {
            return Poll::Ready(Ok(()));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

async fn answer(state: Rc<State>, request: http::Request<Incoming>) -> http::Response<Answer> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, BODY_BYTES_MAX).collect();
    let body = match tokio::time::timeout(BODY_TIME, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Bytes::from(vec![b' '; BODY_BYTES_MAX]),
        // What was to be done is not known: a deletion without its preconditions would be another one.
        Ok(Err(_)) => return refused(http::StatusCode::BAD_REQUEST),
        Err(_) => return refused(http::StatusCode::REQUEST_TIMEOUT),
    };
    let (id, receiver) = state.submit(http::Request::from_parts(parts, body));
    let mut guard = Guard {
        state,
        id,
        armed: true,
    };
    match receiver.await {
        Ok(Reply::Whole(response)) => {
            guard.armed = false;
            response.map(|body| Answer::Whole(Some(body)))
        }
        Ok(Reply::Stream(head, lines)) => head.map(|()| Answer::Stream { lines, guard }),
        Err(_) => http::Response::new(Answer::Whole(None)),
    }
}

/// The answer to a request whose body ended before its time, in no known form, or not at all.
fn refused(status: http::StatusCode) -> http::Response<Answer> {
    let mut response = http::Response::new(Answer::Whole(None));
    *response.status_mut() = status;
    response
}

/// Tells the server when a client goes before its answer has ended.
struct Guard {
    state: Rc<State>,
    id: RequestId,
    armed: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.armed {
            self.state.cancel(self.id);
        }
    }
}

/// The body of an answer.
enum Answer {
    Whole(Option<Bytes>),
    Stream { lines: Lines, guard: Guard },
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Answer::Whole(body) => Poll::Ready(
                body.take()
                    .filter(|b| !b.is_empty())
                    .map(|body| Ok(Frame::data(body))),
            ),
            Answer::Stream { lines, guard } => lines.poll_next(cx).map(|line| {
                guard.armed = line.is_some();
                line.map(|line| Ok(Frame::data(line)))
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Answer::Whole(None))
            || matches!(self, Answer::Whole(Some(body)) if body.is_empty())
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        match self {
            Answer::Whole(body) => {
                hyper::body::SizeHint::with_exact(body.as_ref().map_or(0, |b| b.len() as u64))
            }
            Answer::Stream { .. } => hyper::body::SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{Shutdown, TcpListener};

    use tokio::task::LocalSet;

    use super::*;
    use crate::server::Config;

    /// What is answered to these bytes if their client has closed its side before the server reads the first of them.
    fn answered(state: &Rc<State>, request: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let mut client = std::net::TcpStream::connect(address).expect("it listens");
        client.write_all(request.as_bytes()).expect("it is sent");
        client.shutdown(Shutdown::Write).expect("it has an end");
        let (stream, _) = listener.accept().expect("it has come");
        stream.set_nonblocking(true).expect("it can be");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("it starts");
        let served = async {
            let stream = TcpStream::from_std(stream).expect("it can be");
            serve(state.clone(), stream).await;
        };
        LocalSet::new().block_on(&runtime, served);
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("it has an end");
        answer
    }

    #[test]
    fn a_client_that_has_closed_its_side_is_answered() {
        let state = Rc::new(State::new(&Config::default(), None));
        let to = "/api/v1/namespaces HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
        let body = r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"kept"}}"#;
        let length = body.len();
        let created = answered(
            &state,
            &format!("POST {to}Content-Length: {length}\r\n\r\n{body}"),
        );
        assert!(created.starts_with("HTTP/1.1 201 "), "{created}");
        let to = to.replace("namespaces ", "namespaces/kept ");
        let read = answered(&state, &format!("GET {to}\r\n"));
        assert!(read.starts_with("HTTP/1.1 200 "), "{read}");
        // A body that is cut off is no request.
        let cut = answered(&state, &format!("DELETE {to}Content-Length: 500\r\n\r\n{{"));
        assert!(!cut.starts_with("HTTP/1.1 200 "), "{cut}");
        let read = answered(&state, &format!("GET {to}\r\n"));
        assert!(read.contains("\"phase\":\"Active\""), "{read}");
    }

    #[test]
    fn a_watch_ends_with_its_client() {
        let state = Rc::new(State::new(&Config::default(), None));
        let watch = "GET /api/v1/namespaces?watch=true HTTP/1.1\r\nHost: x\r\n\r\n";
        // It would be served for ever otherwise.
        let _ = answered(&state, watch);
    }
}
