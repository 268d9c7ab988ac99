//! Importance matrices in the format that has no magic.

/// A file of entries, each a name, a count and values.
pub fn dat(entries: &[(&str, i32, &[f32])]) -> Vec<u8> {
    let number = |n: usize| (n as i32).to_le_bytes();
    let mut bytes = number(entries.len()).to_vec();
    for (name, count, values) in entries {
        bytes.extend(number(name.len()));
        bytes.extend(name.as_bytes());
        bytes.extend(count.to_le_bytes());
        bytes.extend(number(values.len()));
        bytes.extend(values.iter().flat_map(|x| x.to_le_bytes()));
    }
    bytes
}
