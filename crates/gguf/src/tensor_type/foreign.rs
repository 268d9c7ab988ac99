//! The types that are not ggml's: those of its forks and those that it removed.
//!
//! A file with them can be shown, and its other tensors used. Sizes follow from the block structs
//! and row sizes of ik_llama.cpp and of the ggml that had the removed types. Ids from 36 to 38 have
//! had two meanings of different sizes, so their layout counts as unknown.

/// One line of the table.
pub(super) struct Foreign {
    pub(super) id: u32,
    pub(super) name: &'static str,
    /// Whose it is, to be read after the name.
    pub(super) origin: &'static str,
    /// Weights in a block; 1 if the layout is not known.
    pub(super) block_elems: u32,
    /// Bytes of a block; 0 if the layout is not known.
    pub(super) block_bytes: u32,
    /// Bytes of a row beside its blocks.
    pub(super) row_bytes: u32,
}

const REMOVED: &str = ", removed from ggml";
const IK: &str = " of ik_llama.cpp";

const fn row(
    id: u32,
    name: &'static str,
    origin: &'static str,
    (block_elems, block_bytes, row_bytes): (u32, u32, u32),
) -> Foreign {
    Foreign {
        id,
        name,
        origin,
        block_elems,
        block_bytes,
        row_bytes,
    }
}

/// Weights and bytes of a block of the type with this id.
pub(super) const fn layout(id: u32) -> (u32, u32) {
    let mut i = 0;
    while i < TABLE.len() {
        if TABLE[i].id == id {
            return (TABLE[i].block_elems, TABLE[i].block_bytes);
        }
        i += 1;
    }
    (1, 0)
}

/// In the order of the ids.
pub(super) static TABLE: &[Foreign] = &[
    row(4, "Q4_2", REMOVED, (16, 10, 0)),
    row(5, "Q4_3", REMOVED, (16, 12, 0)),
    row(31, "Q4_0_4_4", REMOVED, (32, 18, 0)),
    row(32, "Q4_0_4_8", REMOVED, (32, 18, 0)),
    row(33, "Q4_0_8_8", REMOVED, (32, 18, 0)),
    row(
        36,
        "I2_S",
        " of bitnet.cpp, or IQ4_NL_4_4, removed from ggml",
        (1, 0, 0),
    ),
    row(
        37,
        "I8_S",
        " of bitnet.cpp, or IQ4_NL_4_8, removed from ggml",
        (1, 0, 0),
    ),
    row(
        38,
        "TL1",
        " of bitnet.cpp, or IQ4_NL_8_8, removed from ggml",
        (1, 0, 0),
    ),
    row(97, "Q8_0_X4", IK, (32, 34, 0)),
    row(98, "Q8_1_X4", IK, (32, 36, 0)),
    row(99, "Q8_2_X4", IK, (32, 36, 0)),
    row(133, "Q6_0", IK, (32, 26, 0)),
    row(134, "IQ1_BN", IK, (64, 13, 2)),
    row(135, "IQ2_BN", IK, (64, 16, 4)),
    row(136, "Q8_K64", IK, (64, 68, 0)),
    row(137, "IQ2_K", IK, (256, 76, 0)),
    row(138, "IQ3_K", IK, (256, 110, 0)),
    row(139, "IQ4_K", IK, (256, 144, 0)),
    row(140, "IQ5_K", IK, (256, 176, 0)),
    row(141, "IQ6_K", IK, (256, 212, 0)),
    row(
        142,
        "IQ2_TN",
        " of ik_llama.cpp, or PQ2_0 of PrismML",
        (1, 0, 0),
    ),
    row(143, "IQ1_TN", IK, (1, 0, 0)),
    row(144, "IQ4_KS", IK, (256, 136, 4)),
    row(145, "IQ2_KS", IK, (256, 70, 2)),
    row(146, "IQ4_KSS", IK, (256, 128, 4)),
    row(147, "Q8_K16", IK, (64, 64, 20)),
    row(148, "Q8_K32", IK, (256, 296, 0)),
    row(149, "Q8_KR8", IK, (256, 296, 0)),
    row(150, "Q8_K128", IK, (128, 140, 0)),
    row(151, "Q8_KV", IK, (32, 32, 8)),
    row(152, "IQ5_KS", IK, (256, 168, 4)),
    row(153, "IQ2_KT", IK, (256, 68, 4)),
    row(154, "IQ3_KT", IK, (256, 100, 4)),
    row(155, "IQ4_KT", IK, (256, 128, 4)),
    row(156, "IQ3_KS", IK, (256, 102, 2)),
    row(157, "IQ2_KL", IK, (256, 86, 2)),
    row(158, "IQ1_KT", IK, (256, 56, 4)),
    row(202, "Q4_0_R8", IK, (32, 18, 0)),
    row(206, "Q5_0_R4", IK, (32, 22, 0)),
    row(208, "Q8_0_R8", IK, (32, 34, 0)),
    row(210, "Q2_K_R4", IK, (256, 84, 0)),
    row(211, "Q3_K_R4", IK, (256, 110, 0)),
    row(212, "Q4_K_R4", IK, (256, 144, 0)),
    row(213, "Q5_K_R4", IK, (256, 176, 0)),
    row(214, "Q6_K_R4", IK, (256, 210, 0)),
    row(216, "IQ2_XXS_R4", IK, (256, 66, 0)),
    row(217, "IQ2_XS_R4", IK, (256, 74, 0)),
    row(218, "IQ3_XXS_R4", IK, (256, 98, 0)),
    row(219, "IQ1_S_R4", IK, (32, 6, 2)),
    row(220, "IQ4_NL_R4", IK, (32, 18, 0)),
    row(221, "IQ3_S_R4", IK, (256, 110, 0)),
    row(222, "IQ2_S_R4", IK, (256, 82, 0)),
    row(223, "IQ4_XS_R8", IK, (256, 136, 0)),
    row(229, "IQ1_M_R4", IK, (32, 7, 2)),
    row(230, "BF16_R16", IK, (1, 2, 0)),
    row(233, "Q6_0_R4", IK, (32, 26, 0)),
    row(335, "IQ2_BN_R4", IK, (64, 16, 4)),
    row(337, "IQ2_K_R4", IK, (256, 76, 0)),
    row(338, "IQ3_K_R4", IK, (256, 110, 0)),
    row(339, "IQ4_K_R4", IK, (256, 144, 0)),
    row(340, "IQ5_K_R4", IK, (256, 176, 0)),
    row(344, "IQ4_KS_R4", IK, (256, 136, 4)),
    row(352, "IQ5_KS_R4", IK, (256, 168, 4)),
    row(353, "MXFP4_R8", IK, (32, 17, 0)),
    row(397, "Q8_K_R16", IK, (256, 258, 0)),
    row(398, "Q8_KV_R8", IK, (32, 32, 4)),
    row(399, "Q8_K_R8", IK, (256, 258, 0)),
];
