//! The importance matrix, as far as a plan asks: whether there is one, and what does not go
//! without.
//!
//! An importance matrix tells for each column of a weight matrix how much its errors count. It
//! guides the encoders, and some rules of a mix ask whether it is there. What is in it is no
//! affair of a plan.

use crate::{FileType, Role};
use aeolus_gguf::TensorType as T;

/// Whether tensors are encoded with an importance matrix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Importance {
    /// There is none: every column counts the same.
    #[default]
    None,
    /// There is one.
    Given,
}

/// Types whose encoders exist only with importance.
const GUIDED_ONLY: [T; 3] = [T::IQ1_S, T::IQ2_XXS, T::IQ2_XS];

/// Types that the reference refuses to encode without importance, since the result is no use,
/// except in the embedding and the output: nothing collects importance for those.
const GUIDED_IN_LAYERS: [T; 3] = [T::IQ1_M, T::IQ2_S, T::IQ3_XXS];

/// Whether a tensor of `role` in a file of `file_type` cannot be `ty` without importance.
pub(crate) fn is_needed(ty: T, role: Role, file_type: FileType) -> bool {
    let in_layers = !matches!(role, Role::TokenEmbd | Role::Output);
    // Other files with Q2_K have more around it.
    let small = ty == T::Q2_K && file_type == FileType::Q2_K_S;
    GUIDED_ONLY.contains(&ty) || (in_layers && (small || GUIDED_IN_LAYERS.contains(&ty)))
}
