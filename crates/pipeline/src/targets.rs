//! What each tensor of the source turns into: its distinct types and guides, and where each goes.

use crate::{Codes, Error, Output, TensorGuide, Via};
use aeolus_checkpoint::{Checkpoint, Tensor};
use aeolus_gguf::{Endian, TensorType};
use std::sync::Arc;

/// One encoding of a tensor, and every place that wants it.
#[derive(Debug)]
pub(crate) struct Target {
    pub ty: TensorType,
    pub endian: Endian,
    /// The source holds this very type: its bytes are copied.
    pub copy: bool,
    /// What its weights are rounded to first.
    pub via: Via,
    /// What guides the encoder, if that heeds a guide.
    pub guide: Option<TensorGuide>,
    /// What has its blocks already.
    pub codes: Option<Arc<dyn Codes>>,
    /// Output (index) and offset of the tensor there, in bytes from the start of the file.
    pub places: Vec<(usize, u64)>,
}

/// The targets of every tensor, in source order.
///
/// Those via f16 come last: rounding changes the tile in place, and must not reach the others.
/// `via` is the same for all if it is given.
pub(crate) fn collect(
    checkpoint: &Checkpoint,
    outputs: &[Output],
    allow_requantize: bool,
    via: Option<Via>,
) -> Result<Vec<Vec<Target>>, Error> {
    let mut all: Vec<Vec<Target>> = Vec::with_capacity(checkpoint.tensors.len());
    for (i, tensor) in checkpoint.tensors.iter().enumerate() {
        let mut targets: Vec<Target> = Vec::new();
        for (o, output) in outputs.iter().enumerate() {
            let planned = &output.types().tensors[i];
            let place = (o, output.layout().tensor_offset(i));
            let endian = output.format().endian;
            let copy = tensor.ty == planned.ty && tensor.ty.is_quantized();
            let via = match planned.ty.is_quantized() && !copy {
                true => via.unwrap_or(Via::default_for(output.types().vintage, tensor.ty)),
                false => Via::Source,
            };
            let heeded = output
                .guide()
                .filter(|_| !copy && aeolus_quant::is_guided(planned.ty));
            let guide = heeded.and_then(|guide| guide.of(&tensor.name, &tensor.shape));
            let codes = output
                .codes()
                .filter(|codes| !copy && codes.has(&tensor.name, planned.ty, via));
            let same = |t: &&mut Target| {
                let same_codes = match (&t.codes, codes) {
                    (Some(a), Some(b)) => Arc::ptr_eq(a, b),
                    (a, b) => a.is_none() && b.is_none(),
                };
                (t.ty, t.endian, t.via) == (planned.ty, endian, via)
                    && t.guide == guide
                    && same_codes
            };
            match targets.iter_mut().find(same) {
                Some(target) => target.places.push(place),
                None => targets.push(Target {
                    ty: planned.ty,
                    endian,
                    copy,
                    via,
                    guide,
                    codes: codes.cloned(),
                    places: vec![place],
                }),
            }
        }
        targets.sort_by_key(|t| t.via == Via::F16);
        for target in &targets {
            check(tensor, target, allow_requantize)?;
        }
        all.push(targets);
    }
    Ok(all)
}

/// Refuses what cannot or should not be encoded, before any work.
fn check(tensor: &Tensor, target: &Target, allow_requantize: bool) -> Result<(), Error> {
    if target.copy {
        return Ok(());
    }
    if tensor.ty.is_quantized() && target.ty.is_quantized() && !allow_requantize {
        return Err(Error::Requantize {
            path: source_path(tensor),
            tensor: tensor.name.clone(),
            found: tensor.ty,
            wanted: target.ty,
        });
    }
    if !aeolus_quant::is_decodable(tensor.ty) {
        return Err(Error::codec(
            tensor,
            format!("weights of type {} cannot be read", tensor.ty),
        ));
    }
    if !aeolus_quant::is_encodable(target.ty) {
        return Err(Error::codec(
            tensor,
            format!("type {} cannot be written", target.ty),
        ));
    }
    Ok(())
}

/// The file a tensor comes from, for messages; empty for the few that are computed.
pub(crate) fn source_path(tensor: &Tensor) -> std::path::PathBuf {
    let first = tensor.maps().next();
    first.map_or_else(Default::default, |map| map.path().into())
}
