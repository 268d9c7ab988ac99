//! Versions 1, 2 and 3 in both byte orders, as files have them.

use crate::raw::{Raw, all_values, good_file, parse};
use aeolus_gguf::{Endian, Header, Limits, Parse, TensorType, Value};

/// The file of `good_file` without the numbers, whose bytes depend on nothing but the order.
fn by_hand(version: u32, endian: Endian) -> Vec<u8> {
    let raw = Raw::new(version, endian, 2, 4)
        .key("name", 8)
        .string("notus")
        .key("words", 9)
        .array(8, 3)
        .string("a")
        .string("")
        .string("bc")
        .key("layers", 4)
        .u32(32)
        .key("lists", 9)
        .array(9, 2)
        .array(5, 2)
        .u32(7)
        .u32(u32::MAX)
        .array(8, 1)
        .string("x");
    raw.tensor("a", &[4, 2], 0, 0)
        .tensor("b", &[32], 8, 32)
        .data(32, 32 + 34)
}

#[test]
fn every_version_and_byte_order_says_the_same() {
    for version in 1..=3 {
        for endian in [Endian::Little, Endian::Big] {
            let file = by_hand(version, endian);
            let header = parse(&file).unwrap();
            let what = format!("version {version}, {endian}");
            assert_eq!((header.version, header.endian), (version, endian));
            assert_eq!(header.alignment, 32);
            let metadata = &header.metadata;
            assert_eq!(metadata.str("name").unwrap(), Some("notus"), "{what}");
            assert_eq!(metadata.u32("layers").unwrap(), Some(32), "{what}");
            let words = metadata.array("words").unwrap().unwrap();
            let words: Vec<&str> = words.strings().unwrap().collect();
            assert_eq!(words, ["a", "", "bc"], "{what}");
            let lists: Vec<Value> = metadata.array("lists").unwrap().unwrap().iter().collect();
            let [Value::Array(numbers), Value::Array(text)] = &lists[..] else {
                panic!("{what}: {lists:?}");
            };
            assert_eq!(numbers.to_i32s().unwrap(), [7, -1], "{what}");
            assert_eq!(text.strings().unwrap().next(), Some("x"), "{what}");

            assert_eq!(header.data_offset % 32, 0);
            assert_eq!(header.data_offset as usize + 66, file.len(), "{what}");
            let [a, b] = &header.tensors[..] else {
                panic!("{what}: {:?}", header.tensors);
            };
            assert_eq!((a.name.as_str(), a.shape.dims()), ("a", &[4, 2][..]));
            assert_eq!((a.ty, a.offset, a.bytes()), (TensorType::F32, 0, 32));
            assert_eq!((b.ty, b.offset, b.bytes()), (TensorType::Q8_0, 32, 34));
            assert_eq!(header.clone().into_owned(), header);
        }
    }
}

#[test]
fn written_files_are_read_with_every_value() {
    for (version, endian) in [(2, Endian::Little), (3, Endian::Little), (3, Endian::Big)] {
        let (file, _) = good_file(version, endian);
        let header = parse(&file).unwrap();
        assert_eq!((header.version, header.endian), (version, endian));
        let found: Vec<_> = header.metadata.iter().collect();
        let expected = all_values();
        let expected: Vec<_> = expected.iter().map(|(key, value)| (*key, value)).collect();
        assert_eq!(found, expected, "version {version}, {endian}");
    }
}

/// Spelled out, so that reader and writer cannot be wrong in the same way.
#[test]
fn the_bytes_are_those_of_the_specification() {
    let file = Raw::v3(0, 1).key("k", 2).raw(&[0x34, 0x12]).bytes;
    let spelled = b"GGUF\x03\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\
        \x01\0\0\0\0\0\0\0k\x02\0\0\0\x34\x12";
    assert_eq!(file, spelled);
    assert_eq!(
        parse(&file).unwrap().metadata.get("k"),
        Some(&Value::U16(0x1234))
    );
    let big = b"GGUF\0\0\0\x03\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\
        \0\0\0\0\0\0\0\x01k\0\0\0\x02\x12\x34";
    assert_eq!(
        parse(big).unwrap().metadata.get("k"),
        Some(&Value::U16(0x1234))
    );
    let one = b"GGUF\x01\0\0\0\0\0\0\0\x01\0\0\0\x01\0\0\0k\x02\0\0\0\x34\x12";
    assert_eq!(
        parse(one).unwrap().metadata.get("k"),
        Some(&Value::U16(0x1234))
    );
}

#[test]
fn text_and_arrays_are_borrowed_from_the_bytes_given() {
    let (file, _) = good_file(3, Endian::Little);
    let Ok(Parse::Done(header)) = Header::parse(&file, None, &Limits::default()) else {
        panic!("a good file")
    };
    let within = |bytes: &[u8]| file.as_ptr_range().contains(&bytes.as_ptr());
    let text = header.metadata.str("string").unwrap().unwrap();
    assert!(within(text.as_bytes()));
    assert!(
        header
            .metadata
            .iter()
            .all(|(key, _)| within(key.as_bytes()))
    );
    let nested = header.metadata.array("nested").unwrap().unwrap();
    let Some(Value::Array(words)) = nested.iter().nth(1) else {
        panic!("an array of strings")
    };
    assert!(
        words
            .strings()
            .unwrap()
            .all(|w| w.is_empty() || within(w.as_bytes()))
    );
}

#[test]
fn other_alignments_move_the_data() {
    for alignment in [8u32, 64, 4096, 1 << 20] {
        let file = Raw::v3(2, 1)
            .key("general.alignment", 4)
            .u32(alignment)
            .tensor("a", &[3], 0, 0)
            .tensor("b", &[3], 0, alignment.max(16).into())
            .data(alignment as usize, alignment.max(16) as usize + 12);
        let header = parse(&file).unwrap();
        assert_eq!(header.alignment, alignment);
        assert_eq!(
            header.data_offset,
            u64::from(alignment).max(header.data_offset)
        );
        assert_eq!(header.data_offset % u64::from(alignment), 0);
    }
}
