//! What the fuzz targets of this crate do with their bytes.

use crate::sums::{self, Sum, Sums};

/// A `SHA256SUMS`: read, given new digests, and read again.
pub fn sums(data: &[u8]) {
    let parse = |bytes: &[u8]| Sums::parse(bytes.to_vec());
    let Some(old) = parse(data) else {
        assert!(std::str::from_utf8(data).is_err() || data.contains(&0));
        return;
    };
    for Sum { name, sha256 } in old.iter() {
        assert!(!name.is_empty() && !name.contains('\0'));
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        assert!(sha256.len() == 64 && sha256.bytes().all(digit), "{sha256}");
        assert!(old.get(name).is_some());
    }
    let mut names = vec!["a", "odd\\\r\nname", " *a"];
    names.extend(old.iter().next().map(|sum| sum.name.as_str()));
    names.sort_unstable();
    names.dedup();
    let new: Vec<Sum> = names
        .iter()
        .map(|name| Sum {
            name: (*name).into(),
            sha256: "5".repeat(64),
        })
        .collect();
    let text = sums::updated(Some(&old), &new);
    let again = parse(text.as_bytes()).expect("what was written is read");
    for sum in &new {
        let found: Vec<&Sum> = again.iter().filter(|s| s.name == sum.name).collect();
        assert_eq!(found, [sum]);
    }
    let others = |sums: &Sums| -> Vec<Sum> {
        let others = sums.iter().filter(|sum| !names.contains(&&*sum.name));
        others.cloned().collect()
    };
    assert_eq!(others(&again), others(&old), "other lines stay");
    assert_eq!(again.odd_lines(), old.odd_lines());
    assert_eq!(sums::updated(Some(&again), &new), text, "nothing is new");
}

#[cfg(test)]
mod tests {
    use super::*;
    use aeolus_testkit::fuzz_inputs::replay;

    #[test]
    fn sums_replays() {
        replay(env!("CARGO_MANIFEST_DIR"), "sums", sums);
    }
}
