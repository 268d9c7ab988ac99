//! What the fuzz targets of this crate do with their bytes.

use crate::distribution::BaseRow;
use crate::{LogProbs, state};
use std::io::Write;

/// The saved state of an evaluation: the bytes as a file, and as a record of one.
pub fn saved_state(data: &[u8]) {
    for file in [data, &state::sealed(data)] {
        for (sums, values) in state::records_of(file) {
            assert!(8 * sums + 4 * values <= file.len());
        }
    }
}

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

    /// Runs a body on every input that is kept for it: seeds, and what once went wrong.
    fn replay(target: &str, body: fn(&[u8])) {
        let mut inputs = 0;
        for kind in ["seeds", "crashes"] {
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("fuzz")
                .join(kind)
                .join(target);
            let Ok(entries) = std::fs::read_dir(&folder) else {
                continue;
            };
            for entry in entries {
                let path = entry.unwrap().path();
                println!("{}", path.display());
                body(&std::fs::read(path).unwrap());
                inputs += 1;
            }
        }
        assert!(inputs > 0, "no inputs for {target}");
    }

    #[test]
    fn saved_state_replays() {
        replay("saved_state", saved_state);
    }

    #[test]
    fn log_probabilities_replays() {
        replay("log_probabilities", log_probabilities);
    }
}
