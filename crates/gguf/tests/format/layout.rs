//! Where things lie in files to be written, and what is not written.

use crate::raw::parse;
use aeolus_gguf::{
    ALIGNMENT_KEY, Array, Endian, FormatErrorKind, HeaderSpec, Layout, LayoutError, Metadata,
    Place, Shape, TensorSpec, TensorType, Value, ValueType,
};

fn tensor(name: &str, dims: &[u64], ty: TensorType) -> TensorSpec {
    TensorSpec {
        name: name.into(),
        shape: Shape::from_gguf(dims).unwrap(),
        ty,
    }
}

fn layout(
    version: u32,
    endian: Endian,
    metadata: Metadata<'static>,
    tensors: Vec<TensorSpec>,
) -> Result<Layout<'static>, LayoutError> {
    Layout::new(HeaderSpec {
        version,
        endian,
        metadata,
        tensors,
    })
}

fn v3(
    metadata: Metadata<'static>,
    tensors: Vec<TensorSpec>,
) -> Result<Layout<'static>, LayoutError> {
    layout(3, Endian::Little, metadata, tensors)
}

#[test]
fn tensors_follow_each_other_padded_to_the_alignment() {
    let tensors = || {
        vec![
            tensor("a", &[3], TensorType::F32),
            tensor("b", &[32, 2], TensorType::Q4_0),
            tensor("c", &[1], TensorType::I8),
        ]
    };
    for (alignment, offsets, data) in [
        (None, [0, 32, 96], 128),
        (Some(8u32), [0, 16, 56], 64),
        (Some(64), [0, 64, 128], 192),
    ] {
        let mut metadata = Metadata::new();
        if let Some(alignment) = alignment {
            metadata.insert(ALIGNMENT_KEY, alignment);
        }
        let layout = v3(metadata, tensors()).unwrap();
        let found: Vec<u64> = layout.tensors().iter().map(|t| t.offset).collect();
        assert_eq!(found, offsets, "alignment {alignment:?}");
        assert_eq!(layout.file_bytes() - layout.data_offset(), data);
        assert_eq!(layout.tensor_offset(2), layout.data_offset() + offsets[2]);
        assert_eq!(layout.alignment(), alignment.unwrap_or(32));
        assert!(layout.header_bytes() <= layout.data_offset());
    }
}

#[test]
fn a_file_without_tensors_ends_with_its_padding() {
    let layout = v3([("k", "v")].into_iter().collect(), Vec::new()).unwrap();
    // 24 of preamble, 9 of key, 4 of type, 9 of value.
    assert_eq!((layout.header_bytes(), layout.data_offset()), (46, 64));
    assert_eq!(layout.file_bytes(), 64);
    let file = layout.encode_header();
    assert_eq!(file[46..], [0; 18]);
    // Read with the padding, and without.
    assert_eq!(parse(&file).unwrap().metadata.len(), 1);
    assert_eq!(parse(&file[..46]).unwrap().data_offset, 64);
}

#[test]
fn version_1_and_old_big_endian_are_not_written() {
    let write = |version, endian| layout(version, endian, Metadata::new(), Vec::new());
    for version in [0, 1, 4] {
        for endian in [Endian::Little, Endian::Big] {
            let error = write(version, endian).unwrap_err();
            assert_eq!(error, LayoutError::Version { found: version });
        }
    }
    let error = write(2, Endian::Big).unwrap_err();
    assert_eq!(
        error.to_string(),
        "GGUF version 2 is not written in big endian, expected version 3"
    );
    assert!(write(2, Endian::Little).is_ok());
}

/// What the reader would refuse is not laid out.
#[test]
fn content_that_cannot_be_read_back_is_refused() {
    use FormatErrorKind as Kind;
    let good = || tensor("t", &[32], TensorType::F32);
    let metadata = |key: &'static str, value: Value<'static>| {
        v3([(key, value)].into_iter().collect(), vec![good()])
    };
    let deep = (0..8).fold(Array::from_slice(&[1u8]), |inner, _| {
        Array::from_values(ValueType::Array, [inner.into()]).unwrap()
    });
    let huge = "x".repeat((16 << 20) + 1);
    let long_key: &'static str = "k".repeat(65_536).leak();
    for (result, kind) in [
        (metadata("", 1u8.into()), Kind::EmptyName),
        (
            metadata(long_key, 1u8.into()),
            Kind::Limit {
                what: "a string length",
                found: 65_536,
                limit: 65_535,
            },
        ),
        (
            metadata("general.alignment", 32u64.into()),
            Kind::AlignmentType {
                found: ValueType::U64,
            },
        ),
        (
            metadata("general.alignment", 48u32.into()),
            Kind::Alignment {
                found: 48,
                min: 8,
                max: 1 << 20,
            },
        ),
        (
            metadata("deep", deep.into()),
            Kind::Limit {
                what: "an array nesting",
                found: 9,
                limit: 8,
            },
        ),
        (
            metadata("text", Array::from_strings([huge]).into()),
            Kind::Limit {
                what: "a string length",
                found: (16 << 20) + 1,
                limit: 16 << 20,
            },
        ),
        (v3(Metadata::new(), vec![good(), good()]), Kind::Duplicate),
        (
            v3(Metadata::new(), vec![tensor("", &[32], TensorType::F32)]),
            Kind::EmptyName,
        ),
        (
            v3(Metadata::new(), vec![tensor("t", &[48], TensorType::Q8_0)]),
            Kind::Row {
                ty: TensorType::Q8_0,
                cols: 48,
                block: 32,
            },
        ),
        (
            v3(
                Metadata::new(),
                vec![tensor("t", &[1 << 60], TensorType::F64)],
            ),
            Kind::FarOffset {
                offset: 0,
                bytes: 1 << 63,
            },
        ),
    ] {
        match result.unwrap_err() {
            LayoutError::Content(error) => {
                assert_eq!(error.kind, kind);
                assert_eq!(error.offset, None);
                assert_ne!(error.place, Place::Preamble);
            }
            other => panic!("{other}"),
        }
    }
}
