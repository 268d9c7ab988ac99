//! Write, read, write again: equal bytes, whatever is in the file.

use crate::raw::parse;
use aeolus_gguf::{
    ALIGNMENT_KEY, Array, Endian, Header, HeaderSpec, Layout, Limits, Metadata, Shape, TensorInfo,
    TensorSpec, TensorType, Value, ValueType,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn scalar() -> impl Strategy<Value = Value<'static>> {
    prop_oneof![
        any::<u8>().prop_map(Value::U8),
        any::<i8>().prop_map(Value::I8),
        any::<u16>().prop_map(Value::U16),
        any::<i16>().prop_map(Value::I16),
        any::<u32>().prop_map(Value::U32),
        any::<i32>().prop_map(Value::I32),
        any::<u64>().prop_map(Value::U64),
        any::<i64>().prop_map(Value::I64),
        any::<u32>().prop_map(|bits| Value::F32(f32::from_bits(bits))),
        any::<u64>().prop_map(|bits| Value::F64(f64::from_bits(bits))),
        any::<bool>().prop_map(Value::Bool),
        ".{0,12}".prop_map(Value::from),
    ]
}

/// Values of the type of the first: what an array can hold.
fn array(item: impl Strategy<Value = Value<'static>>) -> impl Strategy<Value = Value<'static>> {
    (vec(item, 1..20), 0..20usize).prop_map(|(mut items, len)| {
        let ty = items[0].value_type();
        items.retain(|item| item.value_type() == ty);
        items.truncate(len);
        Array::from_values(ty, items).unwrap().into()
    })
}

fn value() -> impl Strategy<Value = Value<'static>> {
    let nested = array(array(array(scalar())));
    prop_oneof![4 => scalar(), 2 => array(scalar()), 1 => nested]
}

fn metadata() -> impl Strategy<Value = Metadata<'static>> {
    let pairs = vec(("[a-z._\u{e9}]{1,12}", value()), 0..12);
    let alignment = prop_oneof![Just(None), (3..=12u32).prop_map(|bits| Some(1u32 << bits))];
    (pairs, alignment).prop_map(|(pairs, alignment)| {
        let mut metadata: Metadata = pairs.into_iter().collect();
        if let Some(alignment) = alignment {
            metadata.insert(ALIGNMENT_KEY, alignment);
        }
        metadata
    })
}

fn tensors() -> impl Strategy<Value = Vec<TensorSpec>> {
    let types: Vec<TensorType> = TensorType::all().collect();
    let tensor = (proptest::sample::select(types), 1..4u64, vec(1..4u64, 0..4));
    vec(tensor, 0..8).prop_map(|tensors| {
        let tensors = tensors.into_iter().enumerate();
        let spec = |(i, (ty, blocks, rest)): (usize, (TensorType, u64, Vec<u64>))| {
            let mut dims = vec![blocks * ty.block_elems() as u64];
            dims.extend(rest);
            TensorSpec {
                name: format!("blk.{i}.weight"),
                shape: Shape::from_gguf(&dims).unwrap(),
                ty,
            }
        };
        tensors.map(spec).collect()
    })
}

fn form() -> impl Strategy<Value = (u32, Endian)> {
    prop_oneof![
        Just((2, Endian::Little)),
        Just((3, Endian::Little)),
        Just((3, Endian::Big)),
    ]
}

/// Header, and data whose bytes are the numbers of the tensors.
fn write(layout: &Layout<'_>) -> Vec<u8> {
    let mut file = layout.encode_header();
    assert_eq!(file.len() as u64, layout.data_offset());
    file.resize(layout.file_bytes() as usize, 0);
    for (i, info) in layout.tensors().iter().enumerate() {
        let start = layout.tensor_offset(i) as usize;
        file[start..start + info.bytes() as usize].fill(i as u8 + 1);
    }
    file
}

fn specs(tensors: &[TensorInfo]) -> Vec<TensorSpec> {
    let spec = |info: &TensorInfo| TensorSpec {
        name: info.name.clone(),
        shape: info.shape,
        ty: info.ty,
    };
    tensors.iter().map(spec).collect()
}

proptest! {
    #[test]
    fn a_file_read_and_written_again_has_the_same_bytes(
        metadata in metadata(),
        tensors in tensors(),
        (version, endian) in form(),
        (other_version, other_endian) in form(),
    ) {
        let spec = HeaderSpec { version, endian, metadata, tensors };
        let layout = Layout::new(spec.clone()).unwrap();
        let file = write(&layout);
        let header = parse(&file).unwrap();
        prop_assert_eq!(&header.metadata, &spec.metadata);
        prop_assert_eq!(&header.tensors, layout.tensors());
        prop_assert_eq!(header.data_offset, layout.data_offset());
        prop_assert_eq!(header.alignment, layout.alignment());
        for (i, info) in header.tensors.iter().enumerate() {
            let start = (header.data_offset + info.offset) as usize;
            let bytes = &file[start..start + info.bytes() as usize];
            prop_assert!(bytes.iter().all(|&b| b == i as u8 + 1));
        }

        // The same form, then another and back.
        let again = |header: &Header<'_>, version, endian| {
            let tensors = specs(&header.tensors);
            let metadata = header.metadata.borrowed();
            write(&Layout::new(HeaderSpec { version, endian, metadata, tensors }).unwrap())
        };
        prop_assert!(again(&header, version, endian) == file);
        prop_assert!(again(&header.clone().into_owned(), version, endian) == file);
        let other = again(&header, other_version, other_endian);
        let back = parse(&other).unwrap();
        prop_assert_eq!(&back.metadata, &spec.metadata);
        prop_assert!(again(&back, version, endian) == file);
    }

    #[test]
    fn any_bytes_after_a_good_start_are_read_or_refused(
        (version, endian) in form(),
        bytes in vec(any::<u8>(), 0..300),
    ) {
        let mut file = crate::raw::Raw::new(version, endian, 1, 2).bytes;
        file.extend(bytes);
        let _ = parse(&file);
    }

    #[test]
    fn a_file_with_several_wrong_bytes_is_read_or_refused(
        (version, endian) in form(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        kept in any::<prop::sample::Index>(),
    ) {
        let (mut file, _) = crate::raw::good_file(version, endian);
        for (at, byte) in changes {
            *at.get_mut(&mut file) = byte;
        }
        let cut = &file[..kept.index(file.len() + 1)];
        for file in [&file[..], cut] {
            if let Ok(header) = parse(file) {
                crate::every_byte::walk_all(&header.metadata);
            }
            let _ = Header::parse(cut, Some(file.len() as u64), &Limits::default());
        }
    }
}

#[test]
fn types_of_every_array_come_back() {
    for ty in ValueType::ALL {
        let array = Array::from_values(ty, []).unwrap();
        let layout = Layout::new(HeaderSpec {
            version: 3,
            endian: Endian::Big,
            metadata: [("k", array)].into_iter().collect(),
            tensors: Vec::new(),
        })
        .unwrap();
        let file = write(&layout);
        let header = parse(&file).unwrap();
        let array = header.metadata.array("k").unwrap().unwrap();
        assert_eq!((array.element_type(), array.len()), (ty, 0));
    }
}
