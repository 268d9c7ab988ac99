//! What the fuzz targets of this crate do with their bytes.

use crate::{Format, Imatrix};

/// An importance matrix of either format: every value is read, it is written in both formats and added to
/// itself, and what is left of it is chosen.
pub fn imatrix(data: &[u8]) {
    let mut imatrix = match Imatrix::parse(data) {
        Ok(imatrix) => imatrix,
        Err(problem) => return assert!(problem.to_string().len() < 4096, "{problem}"),
    };
    let mut values = 0;
    for (name, entry) in imatrix.entries() {
        assert!(!name.is_empty() || imatrix.format == crate::Format::Gguf);
        for x in entry.importance(0..entry.values()) {
            assert!(x.is_finite() && x >= 0.0, "{name}: {x}");
            values += 1;
        }
    }
    assert!(0 < values && 4 * values <= data.len(), "{values}");
    for format in [Format::Gguf, Format::Dat] {
        let Ok(bytes) = imatrix.encode(format) else {
            continue;
        };
        let again = Imatrix::parse(&bytes);
        let again = again.unwrap_or_else(|problem| panic!("{format:?}: {problem}"));
        assert!(again.entries().len() <= imatrix.entries().len());
    }
    let mut twice = imatrix.clone();
    assert_eq!(twice.merge(&imatrix), Ok(()));
    assert_eq!(twice.entries().len(), imatrix.entries().len());
    for tensor in imatrix.statistics() {
        assert!(tensor.min <= tensor.max, "{tensor:?}");
    }
    let all = imatrix.entries().len();
    let parts = ["blk.1".to_owned()];
    let excluded = imatrix.clone().exclude(&parts);
    match imatrix.include(&parts) {
        Ok(()) => assert!(imatrix.entries().len() < all || excluded.is_err()),
        Err(problem) => assert_eq!(excluded, Err(problem)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aeolus_testkit::fuzz_inputs::replay;

    #[test]
    fn imatrix_replays() {
        replay(env!("CARGO_MANIFEST_DIR"), "imatrix", imatrix);
    }
}
