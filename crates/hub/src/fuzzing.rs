//! What the fuzz targets of this crate do with their bytes.

use crate::{fetch, listing, name, publish};
use std::path::Path;

/// The Hub's answers; the first byte says to which question.
pub fn answers(data: &[u8]) {
    let Some((question, rest)) = data.split_first() else {
        return;
    };
    if question % 4 == 3 {
        if let Ok(text) = std::str::from_utf8(rest)
            && let Some((first, total)) = fetch::content_range(text)
        {
            assert!(
                total.is_none_or(|total| text.contains(&total.to_string())),
                "{first}"
            );
        }
        return;
    }
    let Ok(value) = serde_json::from_slice(rest) else {
        return;
    };
    match question % 4 {
        0 => {
            for (path, entry) in listing::entries(&value).unwrap_or_default() {
                if name::check_path(&path).is_ok() {
                    let joined = Path::new("folder").join(&path);
                    let parts = joined.components().count();
                    assert_eq!(parts, 1 + path.split('/').count(), "{path:?}");
                    assert!(joined.starts_with("folder"), "{path:?}");
                }
                assert!(entry.sha256.is_none_or(|sha256| sha256.len() == 64));
            }
        }
        1 => publish::read_wishes(&value),
        _ => publish::read_links(&value, u64::from(*question) << 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aeolus_testkit::fuzz_inputs::replay;

    #[test]
    fn answers_replays() {
        replay(env!("CARGO_MANIFEST_DIR"), "answers", answers);
    }
}
