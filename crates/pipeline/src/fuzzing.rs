//! What the fuzz targets of this crate do with their bytes.

use crate::journal::{self, Found, Identity, Record};

/// The journal of an unfinished output: the bytes as the whole of it, and as its records.
pub fn journal(data: &[u8]) {
    let identity = Identity::new(vec![
        ("program", "1.0".into()),
        ("output", "9000 bytes, header 00".into()),
        ("via", "f16".into()),
        ("source", "a\n: b, 7 bytes".into()),
        ("source", "c, 8 bytes".into()),
        ("computed", "rope_freqs.weight 00".into()),
    ]);
    let head = identity.head();
    for bytes in [data, &[head.as_bytes(), data].concat()] {
        match journal::found(bytes, &identity) {
            Found::Nothing => assert!(bytes.is_empty()),
            Found::Other(why) => {
                assert!(!bytes.starts_with(head.as_bytes()));
                assert!(why.len() < 8192 && !why.contains(char::is_control), "{why}");
            }
            Found::Records(records) => {
                assert!(
                    records.is_sorted_by(|a, b| a.bytes < b.bytes),
                    "{records:?}"
                );
                go_on(bytes, &identity, &head, &records);
            }
        }
    }
}

/// After which record ever a run goes on, what is kept are the records up to it, and one that is
/// added then is found.
fn go_on(bytes: &[u8], identity: &Identity, head: &str, records: &[Record]) {
    let end = journal::good_end(bytes, head, None);
    assert_eq!(end, Some(head.len()), "what comes after the head");
    // Of many, some will do: each takes as long as the journal is.
    for last in (0..records.len()).step_by(1 + records.len() / 4) {
        let kept = &records[..=last];
        let end = journal::good_end(bytes, head, Some(records[last]));
        let mut text = bytes[..end.expect("a record that was found")].to_vec();
        let next = records[last].bytes.checked_add(1).map(|bytes| Record {
            bytes,
            sha256: [0xa5; 32],
        });
        text.extend(
            next.iter()
                .flat_map(|next| journal::line(next).into_bytes()),
        );
        let Found::Records(again) = journal::found(&text, identity) else {
            panic!("its head is as before");
        };
        assert!(again.iter().eq(kept.iter().chain(&next)), "{again:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aeolus_testkit::fuzz_inputs::replay;

    #[test]
    fn journal_replays() {
        replay(env!("CARGO_MANIFEST_DIR"), "journal", journal);
    }
}
