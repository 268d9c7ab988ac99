//! A part of a local file as a request body: read as it is sent, never held whole.

use super::FilePart;
use crate::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeekExt, ReadBuf};
use tokio_util::io::ReaderStream;

/// Bytes read at a time.
const PIECE: usize = 256 << 10;

pub(super) struct FileBody {
    file: tokio::io::Take<tokio::fs::File>,
    counter: Counter,
}

/// How many bytes the connection has taken.
#[derive(Clone, Default)]
pub(super) struct Counter(Arc<AtomicU64>);

impl Counter {
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl FileBody {
    pub async fn open(part: &FilePart<'_>) -> Result<Self, Error> {
        let mut file = tokio::fs::File::open(part.path)
            .await
            .map_err(Error::io("open", part.path))?;
        file.set_max_buf_size(PIECE);
        let length = file
            .metadata()
            .await
            .map_err(Error::io("measure", part.path))?
            .len();
        if length < part.offset.saturating_add(part.bytes) {
            return Err(Error::LocalChanged {
                path: part.path.to_path_buf(),
            });
        }
        file.seek(io::SeekFrom::Start(part.offset))
            .await
            .map_err(Error::io("seek in", part.path))?;
        Ok(Self {
            file: file.take(part.bytes),
            counter: Counter::default(),
        })
    }

    pub fn counter(&self) -> Counter {
        self.counter.clone()
    }

    pub fn into_body(self) -> reqwest::Body {
        reqwest::Body::wrap_stream(ReaderStream::with_capacity(self, PIECE))
    }
}

impl AsyncRead for FileBody {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.file).poll_read(context, buffer);
        let read = buffer.filled().len() - before;
        self.counter.0.fetch_add(read as u64, Ordering::Relaxed);
        polled
    }
}
