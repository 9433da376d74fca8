//! The body of a request, which is sent in pieces so that its progress can be shown.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use crate::control::client::PIECE;
use crate::control::upload_progress::UploadProgress;

/// A body of known length.
#[derive(Debug)]
pub(super) struct RequestBody {
    rest: Bytes,
    progress: UploadProgress,
}

impl RequestBody {
    /// The body with these bytes, which are counted in `progress` as they leave.
    pub(super) fn new(bytes: Bytes, progress: UploadProgress) -> Self {
        Self {
            rest: bytes,
            progress,
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }

        let length = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(length);
        self.progress.add(length);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
