//! What `encode_rows` and its neighbours accept and refuse, and the unquantized types.

use aeolus_gguf::TensorType;
use aeolus_quant::{
    DecodeError, EncodeError, Overflow, ShapeError, decode_rows, encode_rows, first_nonfinite,
    is_decodable, is_encodable, is_guided, needs_guide, round_through_f16,
};

fn encodable() -> impl Iterator<Item = TensorType> {
    TensorType::all().filter(|ty| is_encodable(*ty))
}

/// With a guide if the type needs one.
fn encode(ty: TensorType, x: &[f32], cols: usize, out: &mut [u8]) -> Result<(), EncodeError> {
    let guide = needs_guide(ty).then(|| vec![1.0; cols]);
    encode_rows(ty, x, cols, guide.as_deref(), out)
}

fn out_for(ty: TensorType, elems: usize) -> Vec<u8> {
    vec![0; elems / ty.block_elems() * ty.block_bytes()]
}

#[test]
fn twenty_eight_types_have_a_codec_and_f64_is_only_read() {
    assert_eq!(encodable().count(), 28);
    let decodable: Vec<_> = TensorType::all().filter(|ty| is_decodable(*ty)).collect();
    assert_eq!(decodable.len(), 29);
    assert!(decodable.contains(&TensorType::F64) && !is_encodable(TensorType::F64));
    let ty = TensorType::Q8_K;
    assert_eq!(
        encode(ty, &[0.0; 256], 256, &mut [0; 292]),
        Err(EncodeError::NotEncodable { ty })
    );
    assert_eq!(
        decode_rows(ty, &[0; 292], 256, &mut [0.0; 256]),
        Err(DecodeError::NotDecodable { ty })
    );
}

#[test]
fn lengths_that_do_not_fit_are_errors() {
    for ty in encodable() {
        let block = ty.block_elems();
        let cols = 2 * block;
        let x = vec![0.5; 3 * cols];
        let mut out = out_for(ty, x.len());
        let expected = out.len();
        for bad in [0, cols + block / 2] {
            if bad != 0 && bad % block == 0 {
                continue; // blocks of one element
            }
            let error = ShapeError::Cols {
                ty,
                cols: bad,
                block,
            };
            assert_eq!(
                encode(ty, &x, bad, &mut out),
                Err(EncodeError::Shape(error.clone()))
            );
            let mut y = x.clone();
            assert_eq!(
                decode_rows(ty, &out, bad, &mut y),
                Err(DecodeError::Shape(error))
            );
        }
        let elems = x.len() - block;
        let error = ShapeError::Rows { found: elems, cols };
        assert_eq!(
            encode(ty, &x[block..], cols, &mut out),
            Err(EncodeError::Shape(error))
        );
        out.push(0);
        let error = ShapeError::Bytes {
            ty,
            elems: x.len(),
            expected,
            found: expected + 1,
        };
        assert_eq!(
            encode(ty, &x, cols, &mut out),
            Err(EncodeError::Shape(error))
        );
        encode(ty, &[], cols, &mut []).unwrap();
    }
}

#[test]
fn a_guide_is_one_importance_for_each_column() {
    for ty in encodable() {
        let cols = 2 * ty.block_elems();
        let (x, mut out) = (vec![1.0; 3 * cols], out_for(ty, 3 * cols));
        for found in [0, cols - 1, cols + 1, 3 * cols] {
            assert_eq!(
                encode_rows(ty, &x, cols, Some(&x[..found.min(x.len())]), &mut out),
                Err(EncodeError::GuideLength { found, cols })
            );
        }
        for value in [-1.0, f32::INFINITY, -f32::MIN_POSITIVE] {
            let mut guide = vec![0.0; cols];
            guide[cols - 1] = value;
            let column = cols - 1;
            assert_eq!(
                encode_rows(ty, &x, cols, Some(&guide), &mut out),
                Err(EncodeError::Importance { column, value })
            );
        }
        let guide = vec![f32::NAN; cols];
        let error = encode_rows(ty, &x, cols, Some(&guide), &mut out).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("importance of column 0 is NaN"),
            "{error}"
        );
        encode_rows(ty, &x, cols, Some(&vec![0.0; cols]), &mut out).unwrap();
    }
}

#[test]
fn types_that_need_a_guide_are_refused_without() {
    let needing: Vec<_> = encodable().filter(|ty| needs_guide(*ty)).collect();
    let expected = [TensorType::IQ2_XXS, TensorType::IQ2_XS, TensorType::IQ1_S];
    assert_eq!(needing, expected);
    for ty in needing {
        assert_eq!(
            encode_rows(ty, &[1.0; 256], 256, None, &mut out_for(ty, 256)),
            Err(EncodeError::NoGuide { ty })
        );
    }
}

#[test]
fn types_that_ignore_a_guide_write_the_same_bytes() {
    let ignoring: Vec<_> = encodable().filter(|ty| !is_guided(*ty)).collect();
    assert!(ignoring.contains(&TensorType::Q8_0) && !ignoring.contains(&TensorType::Q4_K));
    for ty in ignoring {
        let x: Vec<f32> = (0..512).map(|i| (i as f32 * 0.7).sin()).collect();
        let guide: Vec<f32> = (0..256).map(|i| (i % 7) as f32).collect();
        let (mut plain, mut guided) = (out_for(ty, 512), out_for(ty, 512));
        encode(ty, &x, 256, &mut plain).unwrap();
        encode_rows(ty, &x, 256, Some(&guide), &mut guided).unwrap();
        assert!(plain == guided, "{ty}");
    }
}

#[test]
fn the_first_nan_or_infinity_is_named() {
    for len in [1, 255, 256, 2048, 2049, 10_240] {
        for at in [0, len / 2, len - 1] {
            for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut x = vec![f32::MAX; len];
                assert_eq!(first_nonfinite(&x), None);
                x[at] = bad;
                x[len - 1] = bad;
                assert_eq!(first_nonfinite(&x), Some(at));
            }
        }
    }
    for ty in encodable() {
        let cols = 3 * ty.block_elems();
        let mut x = vec![1.0; 2 * cols];
        let mut out = out_for(ty, x.len());
        x[cols + 2] = f32::INFINITY;
        let error = EncodeError::NonFinite {
            index: cols + 2,
            value: f32::INFINITY,
        };
        assert_eq!(encode(ty, &x, cols, &mut out), Err(error));
    }
}

#[test]
fn values_too_large_for_sixteen_bits_are_named() {
    for (ty, fits, too_large) in [
        (TensorType::F16, 65_519.996, 65_520.0),
        (
            TensorType::BF16,
            f32::from_bits(0x7f7f_7fff),
            f32::from_bits(0x7f7f_8000),
        ),
    ] {
        let mut x = [1.0, -fits, fits, 0.0];
        let mut out = [0; 8];
        encode(ty, &x, 4, &mut out).unwrap();
        x[2] = -too_large;
        let overflow = Overflow {
            index: 2,
            value: -too_large,
            ty,
        };
        assert_eq!(
            encode(ty, &x, 4, &mut out),
            Err(EncodeError::Overflow(overflow))
        );
    }
}

#[test]
fn all_f16_and_bf16_patterns_survive_a_round_trip() {
    for ty in [TensorType::F16, TensorType::BF16] {
        let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        let mut x = vec![0.0; 65_536];
        decode_rows(ty, &bytes, 65_536, &mut x).unwrap();
        for (bits, v) in (0..=u16::MAX).zip(&x) {
            let expected = match ty {
                TensorType::F16 => half::f16::from_bits(bits).to_f32_const().to_bits(),
                _ => u32::from(bits) << 16,
            };
            assert_eq!(v.to_bits(), expected, "{ty} {bits:#06x}");
        }
        let (x, bytes): (Vec<f32>, Vec<[u8; 2]>) = x
            .into_iter()
            .zip(bytes.as_chunks::<2>().0)
            .filter(|(v, _)| v.is_finite())
            .unzip();
        let mut out = vec![0; 2 * x.len()];
        encode_rows(ty, &x, x.len(), None, &mut out).unwrap();
        assert_eq!(out, bytes.as_flattened());
    }
}

#[test]
fn f32_bytes_are_the_bits() {
    let x = [1.5, -0.0, f32::MIN_POSITIVE / 8.0, f32::MAX];
    let mut out = [0; 16];
    encode_rows(TensorType::F32, &x, 2, None, &mut out).unwrap();
    assert_eq!(out[..8], [0, 0, 0xc0, 0x3f, 0, 0, 0, 0x80]);
    let mut y = [f32::NAN; 4];
    decode_rows(TensorType::F32, &out, 4, &mut y).unwrap();
    assert_eq!(y.map(f32::to_bits), x.map(f32::to_bits));
}

#[test]
fn rounding_through_f16() {
    let mut x = [1.0 + f32::EPSILON, -65_519.0, 1e-8, 0.1, -0.0];
    round_through_f16(&mut x).unwrap();
    let expected: [f32; 5] = [1.0, -65_504.0, 0.0, 0.099_975_586, -0.0];
    assert_eq!(x.map(f32::to_bits), expected.map(f32::to_bits));

    let mut x = vec![1.0; 5000];
    x[4321] = -65_520.0;
    x[4800] = 1e9;
    let overflow = Overflow {
        index: 4321,
        value: -65_520.0,
        ty: TensorType::F16,
    };
    assert_eq!(round_through_f16(&mut x), Err(overflow));
}

/// A file may hold any bits in a block: decoding gives some value and does not panic.
#[test]
fn any_bytes_decode() {
    let mut state = 1u32;
    for ty in TensorType::all().filter(|ty| is_decodable(*ty)) {
        for fill in [Some(0x00), Some(0x80), Some(0xff), None] {
            let cols = 4 * ty.block_elems();
            let mut bytes = out_for(ty, 8 * cols);
            for b in &mut bytes {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *b = fill.unwrap_or((state >> 24) as u8);
            }
            decode_rows(ty, &bytes, cols, &mut vec![0.0; 8 * cols]).unwrap();
        }
    }
}

#[test]
fn f64_is_rounded_to_the_nearest_f32() {
    let x = [1.0, 0.1, 1.0 + f64::from(f32::EPSILON) / 2.0, -1e300, 1e-60];
    let bytes: Vec<u8> = x.iter().flat_map(|x| x.to_le_bytes()).collect();
    let mut y = [0.0; 5];
    decode_rows(TensorType::F64, &bytes, 5, &mut y).unwrap();
    assert_eq!(y, [1.0, 0.1, 1.0, f32::NEG_INFINITY, 0.0]);
}

#[test]
fn q8_0_decodes_minus_128() {
    let mut block = [0x80; 34];
    block[..2].copy_from_slice(&0x3c00u16.to_le_bytes());
    let mut y = [0.0; 32];
    decode_rows(TensorType::Q8_0, &block, 32, &mut y).unwrap();
    assert_eq!(y, [-128.0; 32]);
}
