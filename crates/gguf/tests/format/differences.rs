//! What two files do not have in common.

use aeolus_gguf::{
    Array, Difference, Endian, GgufFile, HeaderSpec, Layout, Metadata, Shape, TensorSpec,
    TensorType, Value, differences, swap_rows,
};

/// A little-endian file of F32 tensors, each all one byte.
fn file(
    version: u32,
    pairs: &[(&'static str, Value<'static>)],
    tensors: &[(&str, u64, u8)],
) -> (tempfile::TempDir, GgufFile) {
    let filled = |&(name, cols, byte)| (name, TensorType::F32, cols, vec![byte; cols as usize * 4]);
    let tensors: Vec<_> = tensors.iter().map(filled).collect();
    file_of(version, Endian::Little, pairs, &tensors)
}

/// A file of these tensors of one row: name, type, columns, bytes.
fn file_of(
    version: u32,
    endian: Endian,
    pairs: &[(&'static str, Value<'static>)],
    tensors: &[(&str, TensorType, u64, Vec<u8>)],
) -> (tempfile::TempDir, GgufFile) {
    let spec = |(name, ty, cols, _): &(&str, TensorType, u64, Vec<u8>)| TensorSpec {
        name: (*name).into(),
        shape: Shape::from_gguf(&[*cols]).unwrap(),
        ty: *ty,
    };
    let layout = Layout::new(HeaderSpec {
        version,
        endian,
        metadata: pairs.iter().cloned().collect::<Metadata>(),
        tensors: tensors.iter().map(spec).collect(),
    })
    .unwrap();
    let mut bytes = layout.encode_header();
    bytes.resize(layout.file_bytes() as usize, 0);
    for (i, (.., data)) in tensors.iter().enumerate() {
        let at = layout.tensor_offset(i) as usize;
        bytes[at..at + data.len()].copy_from_slice(data);
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.gguf");
    std::fs::write(&path, bytes).unwrap();
    let file = GgufFile::open(&path).unwrap();
    (dir, file)
}

#[test]
fn equal_content_has_none_whatever_the_container() {
    let pairs = [("a", 1u32.into()), ("b", Array::from_i32s(&[1]).into())];
    let swapped = [pairs[1].clone(), pairs[0].clone()];
    let (_x, a) = file(2, &pairs, &[("t", 3, 1), ("u", 8, 2)]);
    let (_y, b) = file(3, &swapped, &[("u", 8, 2), ("t", 3, 1)]);
    assert_eq!(differences(&a, &b), []);
}

#[test]
fn byte_orders_are_compared_as_numbers() {
    let pairs = [("a", 1u32.into()), ("b", Array::from_i32s(&[1, 2]).into())];
    // More blocks than are swapped at a time.
    let blocks = 5000;
    let q8: Vec<u8> = (0..34 * blocks).map(|i| (i % 251) as u8).collect();
    let f32s: Vec<u8> = (0..40).collect();
    let tensors = [
        ("q", TensorType::Q8_0, 32 * blocks as u64, q8),
        ("f", TensorType::F32, 10, f32s),
    ];
    let mut turned = tensors.clone();
    for (_, ty, _, bytes) in &mut turned {
        swap_rows(*ty, bytes).unwrap();
    }
    let (_x, a) = file_of(2, Endian::Little, &pairs, &tensors);
    let (_y, b) = file_of(3, Endian::Big, &pairs, &turned);
    assert_eq!(differences(&a, &b), []);
    assert_eq!(differences(&b, &a), []);

    // The low byte of a scale, which stands second in the big-endian block.
    turned[0].3[34 * 4900 + 1] ^= 1;
    let (_y, b) = file_of(3, Endian::Big, &pairs, &turned);
    let text: Vec<String> = differences(&a, &b).iter().map(|d| d.to_string()).collect();
    let expected = "tensor q: 1 of 170000 bytes differs, the first at 166600";
    assert_eq!(text, [expected]);
}

#[test]
fn everything_that_differs_is_listed_in_order() {
    let long = "x".repeat(100);
    let (_x, a) = file(
        3,
        &[
            ("gone", 1u32.into()),
            ("number", 1u32.into()),
            ("text", long.into()),
            ("same", true.into()),
        ],
        &[
            ("only_a", 1, 0),
            ("shape", 2, 0),
            ("bytes", 2, 7),
            ("same", 1, 9),
        ],
    );
    let (_y, b) = file(
        3,
        &[
            ("number", 1i32.into()),
            ("text", "y".into()),
            ("same", true.into()),
            ("new", Array::from_f32s(&[0.0]).into()),
        ],
        &[
            ("bytes", 2, 8),
            ("shape", 3, 0),
            ("same", 1, 9),
            ("only_b", 1, 0),
        ],
    );
    let found = differences(&a, &b);
    let text: Vec<String> = found.iter().map(Difference::to_string).collect();
    let shown = "x".repeat(47);
    assert_eq!(
        text,
        [
            "key gone: only in A",
            "key number: UINT32 1 in A, INT32 1 in B",
            &format!("key text: STRING \"{shown}... in A, STRING \"y\" in B"),
            "key new: only in B",
            "tensor only_a: only in A",
            "tensor shape: F32 2 in A, F32 3 in B",
            "tensor bytes: 8 of 8 bytes differ, the first at 0",
            "tensor only_b: only in B",
        ]
    );
    let kinds: Vec<&str> = found.iter().map(Difference::kind).collect();
    assert_eq!(kinds[..4], [Difference::METADATA; 4]);
    assert_eq!(kinds[4..], [Difference::TENSOR; 4]);
    assert_eq!(found[5].name(), "shape");
}
