//! A part of a local file as a request body: read as it is sent, never held whole.

use super::FilePart;
use crate::Error;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::{InspectReader, ReaderStream};

/// Bytes read at a time.
const PIECE: usize = 256 << 10;

/// The body, and how many bytes of it the connection has taken.
pub(super) async fn body(part: &FilePart<'_>) -> Result<(reqwest::Body, Arc<AtomicU64>), Error> {
    let io = |action| Error::io(action, part.path);
    let mut file = tokio::fs::File::open(part.path).await.map_err(io("open"))?;
    file.set_max_buf_size(PIECE);
    let length = file.metadata().await.map_err(io("measure"))?.len();
    if length < part.offset.saturating_add(part.bytes) {
        return Err(Error::LocalChanged {
            path: part.path.to_path_buf(),
        });
    }
    let start = io::SeekFrom::Start(part.offset);
    file.seek(start).await.map_err(io("seek in"))?;
    let sent = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&sent);
    let counted = InspectReader::new(file.take(part.bytes), move |bytes| {
        counter.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    });
    let stream = ReaderStream::with_capacity(counted, PIECE);
    Ok((reqwest::Body::wrap_stream(stream), sent))
}
