//! The limits of every request to every service: its body is read as a whole and in time before anything else is done, and the
//! answer has a deadline.

use std::time::Duration;

use axum::{
    body::{Body, HttpBody as _},
    extract::Request,
    middleware::Next,
    response::Response,
};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::time::timeout;

/// No body is larger than a few packets.
const BODY_DEADLINE: Duration = Duration::from_secs(10);
/// For the answer, once the body is there. Every wait below it is shorter; all of them one after the other may not be.
const ANSWER_DEADLINE: Duration = Duration::from_secs(15);

/// Why a request has no answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// The body is larger than `max_bytes`.
    TooLarge,
    /// The body did not come in time.
    TooSlow,
    /// The body is broken, or its sender is gone.
    Broken,
    /// There was too much to wait for.
    Overloaded,
}

/// Answers a request with a body of at most `max_bytes`.
pub(crate) async fn answer(request: Request, max_bytes: usize, next: Next) -> Result<Response, Unanswered> {
    let request = whole(request, max_bytes).await?;
    timeout(ANSWER_DEADLINE, next.run(request)).await.map_err(|_| Unanswered::Overloaded)
}

async fn whole(request: Request, max_bytes: usize) -> Result<Request, Unanswered> {
    let (head, body) = request.into_parts();
    if body.is_end_stream() {
        return Ok(Request::from_parts(head, body));
    }
    // What is announced to be too large is not waited for.
    if body.size_hint().lower() > u64::try_from(max_bytes).unwrap_or(u64::MAX) {
        return Err(Unanswered::TooLarge);
    }
    let collected = timeout(BODY_DEADLINE, Limited::new(body, max_bytes).collect()).await;
    let collected = collected.map_err(|_| Unanswered::TooSlow)?.map_err(|error| {
        if error.is::<LengthLimitError>() { Unanswered::TooLarge } else { Unanswered::Broken }
    })?;
    Ok(Request::from_parts(head, Body::from(collected.to_bytes())))
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        pin::Pin,
        task::{Context, Poll},
    };

    use axum::body::{Bytes, HttpBody};
    use hyper::body::Frame;

    use super::*;

    /// A body that comes byte by byte, and may never end.
    struct Drips {
        left: usize,
        ends: bool,
    }

    impl HttpBody for Drips {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            match self.left {
                0 if self.ends => Poll::Ready(None),
                0 => Poll::Pending,
                _ => {
                    self.left -= 1;
                    Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))))
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        for left in [0, 3] {
            let body = Body::new(Drips { left, ends: false });
            assert_eq!(whole(Request::new(body), 16).await.unwrap_err(), Unanswered::TooSlow);
        }
    }

    #[tokio::test]
    async fn a_body_has_a_limit_whether_or_not_it_says_how_long_it_is() {
        let announced = Body::from("x".repeat(17));
        let endless = Body::new(Drips { left: usize::MAX, ends: false });
        for body in [announced, endless] {
            assert_eq!(whole(Request::new(body), 16).await.unwrap_err(), Unanswered::TooLarge);
        }
        let request = whole(Request::new(Body::new(Drips { left: 16, ends: true })), 16).await.unwrap();
        assert_eq!(request.into_body().collect().await.unwrap().to_bytes().len(), 16);
    }
}
