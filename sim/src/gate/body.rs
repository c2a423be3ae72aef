//! Bodies of replies: whole, or the stream of a watch.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::mpsc;

use super::{Gate, TransportError};
use crate::event::RequestId;

/// The world's end of a watch's stream.
pub(crate) type Stream = mpsc::UnboundedSender<Result<Bytes, TransportError>>;

/// The body of a reply.
#[derive(Debug)]
pub struct Body(Kind);

#[derive(Debug)]
enum Kind {
    Whole(Option<Bytes>),
    Watch(Watch),
}

struct Watch {
    lines: mpsc::UnboundedReceiver<Result<Bytes, TransportError>>,
    gate: Gate,
    request: RequestId,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "watch of {}", self.request)
    }
}

/// The client has closed the watch.
impl Drop for Watch {
    fn drop(&mut self) {
        self.gate.cancel(self.request);
    }
}

impl Body {
    /// A whole body.
    pub fn whole(bytes: Bytes) -> Body {
        Body(Kind::Whole(Some(bytes).filter(|bytes| !bytes.is_empty())))
    }

    /// A stream and the world's end of it.
    pub(crate) fn watch(gate: &Gate, request: RequestId) -> (Stream, Body) {
        let (stream, lines) = mpsc::unbounded_channel();
        (
            stream,
            Body(Kind::Watch(Watch {
                lines,
                gate: gate.clone(),
                request,
            })),
        )
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = TransportError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TransportError>>> {
        match &mut self.get_mut().0 {
            Kind::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Watch(watch) => watch
                .lines
                .poll_recv(cx)
                .map(|line| line.map(|line| line.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.0, Kind::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Kind::Watch(_) => SizeHint::default(),
        }
    }
}
