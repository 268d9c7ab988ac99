//! Sizes and kinds of single layers: from a file's arrays, and where it has none from the family's
//! pattern and the numbers that hold for a kind.

use super::{Bounds, Field, Hyperparameters, Key, Problem, Value};
use crate::{Family, Layer, LayerKind, LayerPattern, Recurrence};
use aeolus_gguf::{Metadata, Value as GgufValue};
use std::collections::BTreeMap;

/// Keys of arrays of true and false, one item a layer.
pub(super) const RECURRENT: &str = "attention.recurrent_layers";
pub(super) const LOCAL: &str = "attention.sliding_window_pattern";

/// A size that differs between layers, as a file's array: one item a layer. `None` for a number, and
/// for fields whose array must repeat one number.
pub(super) fn read(
    family: &Family,
    key: &Key,
    metadata: &Metadata<'_>,
    bounds: &Bounds,
) -> Result<Option<Vec<u32>>, Problem> {
    if !matches!(key.field, Field::KvHeads | Field::FeedForward) {
        return Ok(None);
    }
    let name = format!("{}.{}", family.architecture, key.gguf);
    let Some(GgufValue::Array(items)) = metadata.get(&name) else {
        return Ok(None);
    };
    let max = key.field.max(bounds);
    let sizes = items.iter().map(|item| {
        let size = item.as_integer().map(u32::try_from);
        size.and_then(Result::ok).filter(|size| *size <= max)
    });
    let sizes: Option<Vec<u32>> = sizes.collect();
    let problem = || Problem {
        field: key.field,
        problem: format!("expected whole numbers from 0 to {max}"),
    };
    sizes.map(Some).ok_or_else(problem)
}

impl Hyperparameters {
    /// The kind of a layer where nothing says it.
    pub(super) fn usual_kind(&self, n: u32) -> LayerKind {
        let Some(graph) = self.family.graph else {
            return LayerKind::Local;
        };
        let recurrent = match self.size(Field::AttentionInterval) {
            0 => graph.recurrent_layers,
            interval => LayerPattern::AllButEvery(interval),
        };
        match recurrent.contains(n as usize) {
            true => LayerKind::Recurrent,
            false if graph.window_layers.contains(n as usize) => LayerKind::Local,
            false => LayerKind::Global,
        }
    }

    /// The layers of these kinds, by the numbers that hold for a kind.
    pub(super) fn usual_layers(&self, kinds: &[LayerKind]) -> Vec<Layer> {
        let owned = self
            .layers()
            .saturating_sub(self.size(Field::SharedKvLayers));
        let layers = (0..).zip(kinds).map(|(n, kind)| {
            let or = |wanted: bool, field, other| match self.get(field) {
                Some(Value::Size(size)) if wanted => size,
                _ => other,
            };
            let (is_local, is_global) = (*kind == LayerKind::Local, *kind == LayerKind::Global);
            let is_double = n >= owned && self.flag(Field::DoubleWide) == Some(true);
            Layer {
                kind: *kind,
                kv_heads: match (kind, self.recurrence()) {
                    (LayerKind::Recurrent, Recurrence::ShortConvolution) => 0,
                    _ => or(is_global, Field::GlobalKvHeads, self.kv_heads()),
                },
                head_dim: or(is_local, Field::LocalHeadDim, self.head_dim()),
                rotary_dims: or(is_local, Field::LocalRotaryDims, self.rotary_dims()),
                feed_forward: self.feed_forward() * (1 + u32::from(is_double)),
                owns_keys: n < owned,
            }
        });
        layers.collect()
    }

    /// The layers of a file; `arrays` are those that [`read`] gives.
    pub(super) fn read_layers(
        &self,
        metadata: &Metadata<'_>,
        arrays: &BTreeMap<Field, Vec<u32>>,
    ) -> Result<Vec<Layer>, Problem> {
        let count = self.layers() as usize;
        for (field, array) in arrays {
            if array.len() != count {
                let found = array.len();
                let problem =
                    format!("an array of {found} items, expected one for each of {count} layers");
                return Err(Problem {
                    field: *field,
                    problem,
                });
            }
        }
        let mut kinds: Vec<LayerKind> = (0..self.layers()).map(|n| self.usual_kind(n)).collect();
        if let Some(local) = self.read_flags(metadata, LOCAL, Field::SlidingWindow)? {
            for (kind, local) in kinds.iter_mut().zip(local) {
                *kind = match local {
                    true => LayerKind::Local,
                    false => LayerKind::Global,
                };
            }
        }
        let kv_heads = arrays.get(&Field::KvHeads);
        let recurrent = match self.recurrence() {
            Recurrence::None => None,
            Recurrence::DeltaNet => {
                self.read_flags(metadata, RECURRENT, Field::AttentionInterval)?
            }
            // A layer without key heads is one.
            Recurrence::ShortConvolution => {
                kv_heads.map(|heads| heads.iter().map(|heads| *heads == 0).collect())
            }
        };
        if let Some(recurrent) = recurrent {
            for (kind, is_recurrent) in kinds.iter_mut().zip(recurrent) {
                match (is_recurrent, *kind) {
                    (true, _) => *kind = LayerKind::Recurrent,
                    (false, LayerKind::Recurrent) => *kind = LayerKind::Global,
                    (false, _) => {}
                }
            }
        }
        let mut layers = self.usual_layers(&kinds);
        for (n, layer) in layers.iter_mut().enumerate() {
            if let Some(heads) = kv_heads {
                layer.kv_heads = heads[n];
            }
            if let Some(sizes) = arrays.get(&Field::FeedForward) {
                layer.feed_forward = sizes[n];
            }
            if layer.feed_forward == 0 {
                let problem = "0 in a layer, which is not supported".to_owned();
                return Err(Problem {
                    field: Field::FeedForward,
                    problem,
                });
            }
        }
        Ok(layers)
    }

    /// True or false for every layer: an array, or a number of layers of which the last is not one.
    fn read_flags(
        &self,
        metadata: &Metadata<'_>,
        key: &str,
        field: Field,
    ) -> Result<Option<Vec<bool>>, Problem> {
        let layers = self.layers() as usize;
        let wrong = |found: String| Problem {
            field,
            problem: format!(
                "{key}: expected a whole number, or true or false for each of {layers} layers, found \
                 {found}"
            ),
        };
        match metadata.get(&format!("{}.{key}", self.family.architecture)) {
            None => Ok(None),
            Some(GgufValue::Array(array)) => {
                let flags = array.iter().map(|item| match item {
                    GgufValue::Bool(flag) => Some(flag),
                    _ => None,
                });
                let flags: Option<Vec<bool>> = flags.collect();
                let flags = flags.filter(|flags| flags.len() == layers);
                match flags {
                    Some(flags) => Ok(Some(flags)),
                    None => Err(wrong(format!("an array of {} items", array.len()))),
                }
            }
            // 0 for none.
            Some(number) => match number.as_integer().map(u32::try_from) {
                Some(Ok(0)) => Ok(Some(vec![true; layers])),
                Some(Ok(period)) => {
                    let pattern = LayerPattern::AllButEvery(period);
                    Ok(Some((0..layers).map(|n| pattern.contains(n)).collect()))
                }
                _ => Err(wrong(format!("{number:?}"))),
            },
        }
    }

    /// The sizes of all layers, where conversion writes an array of them.
    pub(super) fn by_layer(&self, field: Field) -> Option<Vec<i32>> {
        let (is_array, of): (bool, fn(&Layer) -> u32) = match field {
            Field::KvHeads => (
                self.recurrence() == Recurrence::ShortConvolution
                    || self.stated(Field::GlobalKvHeads).is_some(),
                |layer| layer.kv_heads,
            ),
            Field::FeedForward => (self.flag(Field::DoubleWide) == Some(true), |layer| {
                layer.feed_forward
            }),
            _ => return None,
        };
        // As the reference's writer types a list of whole numbers.
        let sizes = || self.layers.iter().map(|layer| of(layer) as i32).collect();
        is_array.then(sizes)
    }
}
