//! Codes that were chosen beforehand, by other rules than the encoders have.

use crate::Via;
use aeolus_gguf::TensorType;
use std::fmt::Debug;
use std::io;
use std::ops::Range;

/// The key that says with which effort an output's codes were refined: u32.
pub const REFINE_EFFORT_KEY: &str = "aeolus.refine.effort";

/// The digest of the calibration windows, in hex.
pub const REFINE_CALIBRATION_KEY: &str = "aeolus.refine.calibration";

/// Marks of the calibration windows, by which measured texts are searched for them: an array of u64.
pub const REFINE_MARKS_KEY: &str = "aeolus.refine.marks";

/// Whether the vectors of an output's norms were tuned, where that was asked for: bool.
pub const REFINE_NORMS_KEY: &str = "aeolus.refine.norms";

/// All keys that refined outputs have.
pub const REFINE_KEYS: [&str; 4] = [
    REFINE_EFFORT_KEY,
    REFINE_CALIBRATION_KEY,
    REFINE_MARKS_KEY,
    REFINE_NORMS_KEY,
];

/// Blocks of some tensors of a model, ready to be written.
///
/// What is not among them is encoded as in any other run; so the walk over the source, the journal and the
/// file are the same.
pub trait Codes: Debug + Send + Sync {
    /// Whether it has the blocks of a tensor in a type, made of weights that were rounded so.
    fn has(&self, tensor: &str, ty: TensorType, via: Via) -> bool;

    /// Writes the blocks of some rows of a tensor that it has into `out`, little-endian.
    ///
    /// # Errors
    /// If they cannot be read.
    fn read(
        &self,
        tensor: &str,
        ty: TensorType,
        via: Via,
        rows: Range<usize>,
        out: &mut [u8],
    ) -> io::Result<()>;

    /// What tells these codes from others of the same model: part of the identity of an unfinished output.
    fn identity(&self) -> String;

    /// Keys that say in an output how its codes were chosen.
    fn keys(&self) -> Vec<(String, aeolus_gguf::Value<'static>)>;
}
