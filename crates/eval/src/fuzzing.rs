//! What the fuzz targets of this crate do with their bytes.

use crate::LogProbs;
use crate::distribution::BaseRow;
use std::io::{Seek, Write};

/// A file of log-probabilities, ours or the peer's.
pub fn log_probabilities(data: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(data).expect("room for it");
    let base = match LogProbs::open(file.path(), Some(1)) {
        Ok(base) => base,
        Err(error) => {
            assert!(error.to_string().len() < 4096, "{error}");
            return;
        }
    };
    base.identity();
    rows(&base);
    // Windows whose checksums fit are read on: so they are made to fit.
    if let Some(sealed) = base.sealed_again() {
        file.rewind().expect("the start of a file");
        file.write_all(&sealed).expect("room for as much as before");
        rows(&LogProbs::open(file.path(), Some(1)).expect("the same header"));
    }
}

/// Some rows of some windows.
fn rows(base: &LogProbs) {
    let mut row = BaseRow::default();
    for window in 0..base.windows().len().min(4) {
        let Ok(rows) = base.window(window) else {
            continue;
        };
        for at in 0..base.windows().scored().len().min(4) {
            if rows.decode(at, &mut row).is_ok() {
                assert!(row.top < base.facts().vocab);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aeolus_testkit::fuzz_inputs::replay;

    #[test]
    fn log_probabilities_replays() {
        replay(
            env!("CARGO_MANIFEST_DIR"),
            "log_probabilities",
            log_probabilities,
        );
    }
}
