//! The bytes of a file in their order, several pieces of it under way at once where the server allows it.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use reqwest::Response;
use tokio::sync::mpsc::Sender;
use tokio_util::task::AbortOnDropHandle;

use super::error::DownloadError;
use super::source::{Answer, Source};
use super::{Manner, Pauses};

/// How often progress is reported.
const TICK: Duration = Duration::from_millis(100);

/// A file's bytes from somewhere on.
pub(super) struct Body {
    source: Arc<Source>,
    manner: Manner,
    received: Arc<AtomicU64>,
}

/// A piece of a file, with what had come when it failed.
struct Filled {
    bytes: Vec<u8>,
    outcome: Result<(), DownloadError>,
}

impl Body {
    pub(super) fn new(source: &Arc<Source>, manner: Manner) -> Self {
        Self { source: Arc::clone(source), manner, received: Arc::default() }
    }

    /// Sends the bytes from `from` on to `out`, and reports to `progress` how many have arrived and how many there are. Ends when all
    /// have been sent, or the receiver is closed.
    ///
    /// # Errors
    /// When they cannot be had. What had come by then was sent.
    pub(super) async fn send(
        &self,
        from: u64,
        out: Sender<Bytes>,
        progress: impl Fn(u64, Option<u64>),
    ) -> Result<(), DownloadError> {
        self.received.store(from, Ordering::Relaxed);
        let report = || {
            progress(self.received.load(Ordering::Relaxed), self.source.known().total);
        };
        let work = self.pass_on(from, out);
        tokio::pin!(work);
        let mut ticks = tokio::time::interval(TICK);
        let outcome = loop {
            tokio::select! {
                outcome = &mut work => break outcome,
                _ = ticks.tick() => report(),
            }
        };
        report();
        outcome
    }

    async fn pass_on(&self, from: u64, out: Sender<Bytes>) -> Result<(), DownloadError> {
        let first = from..from + self.manner.piece;
        let ask = async || self.source.ask(first.clone()).await;
        match self.source.patiently(self.manner.pauses(), ask).await? {
            Answer::Piece { response, total } => self.pieces(from..total, response, &out).await,
            Answer::Whole(response) => self.whole(from, response, &out).await,
        }
    }

    /// Piece by piece. `opened` has begun to answer with the first one.
    async fn pieces(
        &self,
        range: Range<u64>,
        opened: Response,
        out: &Sender<Bytes>,
    ) -> Result<(), DownloadError> {
        let length = self.manner.piece;
        let count = (range.end - range.start).div_ceil(length);
        let end = range.end;
        let mut opened = Some(opened);
        let tasks = (0..count).map(|number| {
            let start = range.start + number * length;
            let filling = Filling {
                source: Arc::clone(&self.source),
                range: start..end.min(start + length),
                bytes: Vec::with_capacity(self.manner.capacity()),
                received: Arc::clone(&self.received),
            };
            let filling = filling.fill(opened.take(), self.manner.pauses());
            // A task of its own continues while the piece before it is being stored.
            async { AbortOnDropHandle::new(tokio::spawn(filling)).await.expect("filling does not panic") }
        });
        let mut pieces = stream::iter(tasks).buffered(self.manner.parallel);
        while let Some(Filled { bytes, outcome }) = pieces.next().await {
            if out.send(bytes.into()).await.is_err() {
                return Ok(());
            }
            outcome?;
        }
        Ok(())
    }

    /// From a server that only knows the whole: what is here already is received again, and dropped.
    async fn whole(&self, from: u64, opened: Response, out: &Sender<Bytes>) -> Result<(), DownloadError> {
        let mut passed = from;
        let mut opened = Some(opened);
        let once = async || {
            let mut response = match opened.take() {
                Some(response) => response,
                None => match self.source.ask(0..self.manner.piece).await? {
                    Answer::Whole(response) => response,
                    Answer::Piece { .. } => return Err(self.source.changed()),
                },
            };
            let mut skip = passed;
            loop {
                let block = response.chunk().await.map_err(|source| self.source.broken(passed, source))?;
                let Some(mut block) = block else { return Ok(()) };
                let drop = skip.min(block.len() as u64);
                skip -= drop;
                let block = block.split_off(usize::try_from(drop).expect("a block fits into memory"));
                passed += block.len() as u64;
                self.received.store(passed, Ordering::Relaxed);
                if !block.is_empty() && out.send(block).await.is_err() {
                    return Ok(());
                }
            }
        };
        self.source.patiently(self.manner.pauses(), once).await
    }
}

/// A piece that is being received.
struct Filling {
    source: Arc<Source>,
    range: Range<u64>,
    bytes: Vec<u8>,
    received: Arc<AtomicU64>,
}

impl Filling {
    /// Receives it, and resumes where it breaks off. `opened` has begun to answer with it.
    async fn fill(mut self, mut opened: Option<Response>, mut pauses: Pauses) -> Filled {
        loop {
            let Err(error) = self.once(opened.take()).await else {
                return Filled { bytes: self.bytes, outcome: Ok(()) };
            };
            match self.source.pause(&error, &mut pauses) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Filled { bytes: self.bytes, outcome: Err(error) },
            }
        }
    }

    async fn once(&mut self, opened: Option<Response>) -> Result<(), DownloadError> {
        let mut response = match opened {
            Some(response) => response,
            None => match self.source.ask(self.at()..self.range.end).await? {
                Answer::Piece { response, .. } => response,
                Answer::Whole(_) => return Err(self.source.changed()),
            },
        };
        while self.at() < self.range.end {
            let block = response.chunk().await.map_err(|error| self.source.broken(self.at(), error))?;
            let Some(block) = block else { return Err(self.source.ended_early(self.at())) };
            let missing = usize::try_from(self.range.end - self.at()).expect("a piece fits into memory");
            let block = &block[..block.len().min(missing)];
            self.bytes.extend_from_slice(block);
            self.received.fetch_add(block.len() as u64, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The byte that comes next.
    fn at(&self) -> u64 {
        self.range.start + self.bytes.len() as u64
    }
}
