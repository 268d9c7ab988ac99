//! What one thread has taken upon itself.

use super::download::Download;
use crate::Error;
use std::collections::VecDeque;
use std::ops::Range;

/// Bytes after which a thread notes in the journal what it has written.
const NOTE_BYTES: u64 = 1 << 20;

/// The pieces that one thread has to fetch, ascending.
pub(super) struct Claim {
    pub pieces: VecDeque<Range<u64>>,
    /// Bytes that were written and not noted in the journal.
    unsaved: Range<u64>,
    /// Whether the last request brought anything.
    pub moved: bool,
}

impl Claim {
    pub fn new(piece: Range<u64>) -> Self {
        Self {
            pieces: VecDeque::from([piece]),
            unsaved: 0..0,
            moved: false,
        }
    }

    /// Writes what is ours of some bytes that belong at an offset of the file: how many those were,
    /// and whether the file is complete with them.
    pub fn take(
        &mut self,
        download: &Download,
        mut at: u64,
        mut chunk: &[u8],
    ) -> Result<(u64, bool), Error> {
        let (mut took, mut finished) = (0, false);
        while let Some(piece) = self.pieces.front_mut() {
            // Bytes before our piece are another thread's, or there already.
            let skip = usize::try_from(piece.start.saturating_sub(at)).unwrap_or(usize::MAX);
            let Some(rest) = chunk.get(skip..).filter(|rest| !rest.is_empty()) else {
                break;
            };
            at += skip as u64;
            let most = usize::try_from(piece.end - piece.start).unwrap_or(usize::MAX);
            let (ours, rest) = rest.split_at(rest.len().min(most));
            download.write(ours, at)?;
            at += ours.len() as u64;
            took += ours.len() as u64;
            chunk = rest;
            self.moved = true;
            if self.unsaved.is_empty() {
                self.unsaved = piece.start..piece.start;
            }
            piece.start = at;
            self.unsaved.end = at;
            let complete = piece.is_empty();
            if complete || self.unsaved.end - self.unsaved.start >= NOTE_BYTES {
                self.save(download)?;
            }
            if complete {
                self.pieces.pop_front();
                finished |= download.piece_done();
            }
        }
        Ok((took, finished))
    }

    /// Notes in the journal what was written.
    pub fn save(&mut self, download: &Download) -> Result<(), Error> {
        let range = std::mem::replace(&mut self.unsaved, 0..0);
        download.note(range)
    }
}
