//! What a template's functions may make.
//!
//! The engine charges for a value that a function returns, once it is there: [`BYTES`] for a unit of
//! fuel. That is too late for one that takes all memory, so these functions ask before they make it.

use minijinja::{Error, State, Value};
use std::io::{self, ErrorKind, Write};

/// Bytes that the engine counts as one unit of fuel.
const BYTES: u64 = 64;
/// What a piece that is written counts beside its bytes: a text of tiny pieces takes long to make.
const PIECE: usize = 16;

/// Bytes that may still be made; no limit if nothing is counted.
fn left(state: &State) -> usize {
    let units = state.fuel_levels().map_or(u64::MAX, |(_, left)| left);
    usize::try_from(units.saturating_mul(BYTES)).unwrap_or(usize::MAX)
}

/// Refuses a result of more bytes than are left. The result itself is charged by the engine.
pub(super) fn ensure(state: &State, bytes: usize) -> Result<(), Error> {
    if bytes > left(state) {
        return Err(Error::from(minijinja::ErrorKind::OutOfFuel));
    }
    Ok(())
}

/// Charges for a list of so many items, of which the engine only counts the text.
pub(super) fn charge_items(state: &State, items: usize) -> Result<(), Error> {
    let bytes = items.saturating_mul(size_of::<Value>());
    state.consume_fuel(bytes as u64 / BYTES)
}

/// Takes what is written up to what is left.
pub(super) struct Bounded {
    bytes: Vec<u8>,
    left: usize,
}

impl Bounded {
    pub(super) fn new(state: &State) -> Self {
        Self {
            bytes: Vec::new(),
            left: left(state),
        }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl Write for Bounded {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let cost = piece.len().saturating_add(PIECE);
        self.left = self.left.checked_sub(cost).ok_or(ErrorKind::OutOfMemory)?;
        self.bytes.extend(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes of a value's text, or a few more. A value that is not a text yet is written out to
/// count its bytes, and that is charged.
pub(super) fn text_bytes(state: &State, value: &Value) -> Result<usize, Error> {
    if let Some(text) = value.as_str() {
        return Ok(text.len());
    }
    let mut count = Count {
        bytes: 0,
        most: left(state),
    };
    // It ends early where more is counted than is left, and that is refused below.
    let _ = std::fmt::write(&mut count, format_args!("{value}"));
    state.consume_fuel(count.bytes as u64 / BYTES)?;
    Ok(count.bytes)
}

/// Counts what is written, up to what may be.
struct Count {
    bytes: usize,
    most: usize,
}

impl std::fmt::Write for Count {
    fn write_str(&mut self, piece: &str) -> std::fmt::Result {
        self.bytes = self.bytes.saturating_add(piece.len()).saturating_add(PIECE);
        if self.bytes > self.most {
            return Err(std::fmt::Error);
        }
        Ok(())
    }
}
