//! One HTTP connection: bodies in, answers and streams out.

use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body, Frame, Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
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
    let mut builder = hyper::server::conn::http1::Builder::new();
    // A connection that breaks has nobody left to be told.
    let _ = builder
        .half_close(false)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .serve_connection(TokioIo::new(stream), service)
        .await;
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
