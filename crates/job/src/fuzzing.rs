//! What the fuzz targets of this crate do with their bytes.

use crate::log::{Found, line, understand};
use crate::{Identity, checksum};

/// A log: the bytes as the whole of it, as what follows its head, and as the words of a record.
pub fn log(data: &[u8]) {
    let identity = Identity::new([
        ("program", "1.0"),
        ("output", "9000 bytes, header 00"),
        ("source", "a\n: b, 7 bytes"),
        ("source", "c, 8 bytes"),
    ]);
    let head = identity.head();
    let seed = checksum(head.as_bytes());
    let words = String::from_utf8_lossy(data).replace('\n', " ");
    let whole = [head.as_bytes(), line(seed, &words).as_bytes()].concat();
    let parse = |record: &str| Some(record.to_owned());
    let (found, _) = understand(&whole, &identity, parse);
    assert_eq!(found, Found::Records(vec![words]));
    for bytes in [
        data,
        &[head.as_bytes(), data].concat(),
        &[&whole, data].concat(),
    ] {
        let (found, ends) = understand(bytes, &identity, parse);
        let why = match found {
            Found::Records(records) => {
                assert_eq!(ends.len(), records.len() + 1);
                // What is kept of it is found again, and what is appended then, too.
                for (kept, end) in ends.iter().enumerate() {
                    let more = line(seed, "more");
                    let again = [&bytes[..*end as usize], more.as_bytes()].concat();
                    let mut expected = records[..kept].to_vec();
                    expected.push("more".into());
                    let (again, _) = understand(&again, &identity, parse);
                    assert_eq!(again, Found::Records(expected));
                }
                continue;
            }
            Found::Nothing => continue,
            Found::Foreign(why) => why,
            Found::Other(difference) => difference.to_string(),
        };
        assert!(!bytes.starts_with(head.as_bytes()) && ends.is_empty());
        assert!(why.len() < 8192 && !why.contains(char::is_control), "{why}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aeolus_testkit::fuzz_inputs::replay;

    #[test]
    fn log_replays() {
        replay(env!("CARGO_MANIFEST_DIR"), "log", log);
    }
}
