//! The other byte order of a tensor's data.
//!
//! Blocks are C structs: half floats, 16- and 32-bit numbers, and bytes. A file in the other
//! byte order has every multi-byte number reversed where it stands; bytes, nibbles and packed
//! bits stay. Which is which follows from how ggml reads the block, because that decides what a
//! big-endian reader finds there: fields that are declared as bytes but loaded as one number
//! (the high bits of Q5_0 and Q5_1, signs and scales of IQ3_XXS, the scales of IQ1_M) are
//! numbers, and in IQ2_XXS, whose groups are declared as four 16-bit numbers, the reader takes
//! four byte indices and one 32-bit number.

use crate::tensor_type::TensorType;

/// A run of equal fields in a block.
#[derive(Clone, Copy)]
struct Fields {
    /// Bytes of one field; 1 stays as it is.
    width: usize,
    count: usize,
}

const fn bytes(count: usize) -> Fields {
    Fields { width: 1, count }
}
const fn u16s(count: usize) -> Fields {
    Fields { width: 2, count }
}
const fn u32s(count: usize) -> Fields {
    Fields { width: 4, count }
}
const fn u64s(count: usize) -> Fields {
    Fields { width: 8, count }
}

/// Groups of four codebook indices and one 32-bit number.
const IQ2_XXS: &[Fields] = &{
    let mut fields = [u16s(1); 17];
    let mut group = 0;
    while group < 8 {
        fields[1 + 2 * group] = bytes(4);
        fields[2 + 2 * group] = u32s(1);
        group += 1;
    }
    fields
};

/// The fields of one block, front to back.
fn fields(ty: TensorType) -> &'static [Fields] {
    use TensorType as T;
    match ty {
        T::F16 | T::BF16 | T::I16 => const { &[u16s(1)] },
        T::F32 | T::I32 => const { &[u32s(1)] },
        T::F64 | T::I64 => const { &[u64s(1)] },
        T::I8 => const { &[bytes(1)] },
        // d, quants
        T::Q4_0 | T::IQ4_NL | T::Q1_0 | T::Q2_0 => const { &[u16s(1), bytes(16)] },
        // d, m, quants
        T::Q4_1 => const { &[u16s(2), bytes(16)] },
        // d, high bits, quants
        T::Q5_0 => const { &[u16s(1), u32s(1), bytes(16)] },
        T::Q5_1 => const { &[u16s(2), u32s(1), bytes(16)] },
        T::Q8_0 => const { &[u16s(1), bytes(32)] },
        // d, d times the sum, quants
        T::Q8_1 => const { &[u16s(2), bytes(32)] },
        // scales, quants, d, dmin
        T::Q2_K => const { &[bytes(16 + 64), u16s(2)] },
        // high bits, quants, scales, d
        T::Q3_K => const { &[bytes(32 + 64 + 12), u16s(1)] },
        // d, dmin, scales, quants
        T::Q4_K => const { &[u16s(2), bytes(12 + 128)] },
        T::Q5_K => const { &[u16s(2), bytes(12 + 32 + 128)] },
        // low bits, high bits, scales, d
        T::Q6_K => const { &[bytes(128 + 64 + 16), u16s(1)] },
        // d, quants, sums of 16
        T::Q8_K => const { &[u32s(1), bytes(256), u16s(16)] },
        T::IQ2_XXS => IQ2_XXS,
        // d, indices with signs, scales
        T::IQ2_XS => const { &[u16s(1), u16s(32), bytes(8)] },
        // d, indices and signs, high bits, scales
        T::IQ2_S => const { &[u16s(1), bytes(64 + 8 + 8)] },
        // d, indices, signs with scales
        T::IQ3_XXS => const { &[u16s(1), bytes(64), u32s(8)] },
        // d, indices, high bits, signs, scales
        T::IQ3_S => const { &[u16s(1), bytes(64 + 8 + 32 + 4)] },
        // d, indices, high bits with scales
        T::IQ1_S => const { &[u16s(1), bytes(32), u16s(8)] },
        // indices, high bits, scales with d
        T::IQ1_M => const { &[bytes(32 + 16), u16s(4)] },
        // d, high bits of the scales, low bits, quants
        T::IQ4_XS => const { &[u16s(1), u16s(1), bytes(4 + 128)] },
        // base-3 quants, the rest, d
        T::TQ1_0 => const { &[bytes(48 + 4), u16s(1)] },
        T::TQ2_0 => const { &[bytes(64), u16s(1)] },
        // exponent, quants
        T::MXFP4 => const { &[bytes(1 + 16)] },
        // 8-bit scales, quants
        T::NVFP4 => const { &[bytes(4 + 32)] },
        // Foreign types, and any that a test finds missing here.
        _ => &[],
    }
}

/// The bytes are not whole blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{bytes} bytes are not a multiple of the {block_bytes} bytes of a {ty} block")]
pub struct SwapError {
    /// The tensor type.
    pub ty: TensorType,
    /// The bytes given.
    pub bytes: usize,
    /// Bytes of one block.
    pub block_bytes: usize,
}

/// Turns rows of a tensor (whole blocks, as many as there are) into the other byte order, in
/// place. Doing it twice gives the bytes back. Every type of ggml is known; blocks of foreign types are
/// left as they are.
///
/// # Errors
/// [`SwapError`] if the bytes are not whole blocks; they are left as they were.
pub fn swap_rows(ty: TensorType, rows: &mut [u8]) -> Result<(), SwapError> {
    let block_bytes = ty.block_bytes();
    if ty.is_foreign() {
        return Ok(());
    }
    if !rows.len().is_multiple_of(block_bytes) {
        return Err(SwapError {
            ty,
            bytes: rows.len(),
            block_bytes,
        });
    }
    let fields = fields(ty);
    match fields {
        // Plain numbers: one loop over all, which the compiler turns into shuffles.
        [field] => reverse(field.width, rows),
        _ => {
            for block in rows.chunks_exact_mut(block_bytes) {
                let mut rest = block;
                for field in fields {
                    let (run, after) = rest.split_at_mut(field.width * field.count);
                    reverse(field.width, run);
                    rest = after;
                }
            }
        }
    }
    Ok(())
}

fn reverse(width: usize, run: &mut [u8]) {
    match width {
        2 => run
            .as_chunks_mut::<2>()
            .0
            .iter_mut()
            .for_each(|n| n.reverse()),
        4 => run
            .as_chunks_mut::<4>()
            .0
            .iter_mut()
            .for_each(|n| n.reverse()),
        8 => run
            .as_chunks_mut::<8>()
            .0
            .iter_mut()
            .for_each(|n| n.reverse()),
        _ => (),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_fill_the_block_of_every_type() {
        for ty in TensorType::all() {
            let sum: usize = fields(ty).iter().map(|f| f.width * f.count).sum();
            assert_eq!(sum, ty.block_bytes(), "{ty}");
        }
    }

    /// Where each byte of a block of 0, 1, 2, ... goes.
    fn swapped(ty: TensorType) -> Vec<usize> {
        let mut order = Vec::new();
        let mut start = 0;
        for field in fields(ty) {
            for _ in 0..field.count {
                order.extend((start..start + field.width).rev());
                start += field.width;
            }
        }
        order
    }

    #[test]
    fn swapping_moves_numbers_and_twice_gives_the_bytes_back() {
        for ty in TensorType::all() {
            let block = ty.block_bytes();
            let before: Vec<u8> = (0..3 * block).map(|i| (i * 7 % 251) as u8).collect();
            let mut rows = before.clone();
            swap_rows(ty, &mut rows).unwrap();
            for (i, source) in (0..3)
                .flat_map(|n| swapped(ty).into_iter().map(move |at| n * block + at))
                .enumerate()
            {
                assert_eq!(rows[i], before[source], "{ty} byte {i}");
            }
            swap_rows(ty, &mut rows).unwrap();
            assert_eq!(rows, before, "{ty}");
        }
    }

    /// Spelled out apart from the table, as the C structs and their readers have them.
    #[test]
    fn known_blocks_swap_where_the_structs_say() {
        let order = |ty| {
            let mut rows: Vec<u8> = (0..=255)
                .chain(0..=255)
                .take(TensorType::block_bytes(ty))
                .collect();
            swap_rows(ty, &mut rows).unwrap();
            rows
        };
        assert_eq!(order(TensorType::Q4_K)[..5], [1, 0, 3, 2, 4]);
        assert_eq!(order(TensorType::Q6_K)[206..], [206, 207, 209, 208]);
        assert_eq!(order(TensorType::Q2_K)[78..], [78, 79, 81, 80, 83, 82]);
        assert_eq!(order(TensorType::Q3_K)[106..], [106, 107, 109, 108]);
        assert_eq!(order(TensorType::Q5_0)[..8], [1, 0, 5, 4, 3, 2, 6, 7]);
        assert_eq!(order(TensorType::Q5_1)[..9], [1, 0, 3, 2, 7, 6, 5, 4, 8]);
        assert_eq!(
            order(TensorType::IQ2_XXS)[..12],
            [1, 0, 2, 3, 4, 5, 9, 8, 7, 6, 10, 11]
        );
        assert_eq!(
            order(TensorType::IQ3_XXS)[64..72],
            [64, 65, 69, 68, 67, 66, 73, 72]
        );
        assert_eq!(
            order(TensorType::IQ1_M)[46..],
            [46, 47, 49, 48, 51, 50, 53, 52, 55, 54]
        );
        assert_eq!(order(TensorType::IQ4_XS)[..6], [1, 0, 3, 2, 4, 5]);
        assert_eq!(order(TensorType::F64), [7, 6, 5, 4, 3, 2, 1, 0]);
    }

    #[test]
    fn parts_of_blocks_are_refused_untouched() {
        let mut rows = [1, 2, 3];
        let error = swap_rows(TensorType::F16, &mut rows).unwrap_err();
        assert_eq!(
            error.to_string(),
            "3 bytes are not a multiple of the 2 bytes of a F16 block"
        );
        assert_eq!(rows, [1, 2, 3]);
    }
}
