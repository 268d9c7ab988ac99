//! Whether the numbers of a model fit each other.

use super::{Bounds, Field, Hyperparameters, Problem, missing};
use crate::{Dim, Layer, LayerKind, Recurrence};

impl Hyperparameters {
    /// The first problem of all numbers together.
    pub(super) fn check(&self, bounds: &Bounds) -> Result<(), Problem> {
        let problem = |field, problem| Err(Problem { field, problem });
        for (value, key) in [
            (Field::ValueDim, Field::HeadDim),
            (Field::LocalValueDim, Field::LocalHeadDim),
        ] {
            let (found, keys) = (self.size(value), self.size(key));
            if found != keys && self.latent_rank().is_none() {
                let text =
                    format!("{found} differs from the {keys} of keys, which is not supported");
                return problem(value, text);
            }
        }
        if self.size(Field::SharedKvLayers) >= self.layers() {
            let text = format!("no layer of {} has keys of its own", self.layers());
            return problem(Field::SharedKvLayers, text);
        }
        for (n, layer) in (0..).zip(&self.layers) {
            self.check_layer(layer, bounds)?;
            let owner = self.layer(self.keys_of(n));
            if !owner.owns_keys
                || (owner.kv_heads, owner.head_dim) != (layer.kv_heads, layer.head_dim)
            {
                let text = format!("layer {n} has no keys, and no layer of its kind before it has");
                return problem(Field::SharedKvLayers, text);
            }
        }
        self.check_delta(bounds)?;
        self.check_experts(bounds)?;
        self.check_latent(bounds)
    }

    fn check_layer(&self, layer: &Layer, bounds: &Bounds) -> Result<(), Problem> {
        let problem = |field, problem| Err(Problem { field, problem });
        let Layer {
            kv_heads,
            head_dim,
            rotary_dims: rotated,
            ..
        } = *layer;
        let heads = self.heads();
        if layer.kind != LayerKind::Recurrent && (kv_heads == 0 || !heads.is_multiple_of(kv_heads))
        {
            let text = format!("{kv_heads} does not divide the {heads} heads");
            return problem(Field::KvHeads, text);
        }
        if rotated == head_dim && !rotated.is_multiple_of(2) {
            let text =
                format!("a head of {head_dim} elements is odd, and rotary embeddings turn pairs");
            return problem(Field::HeadDim, text);
        }
        if rotated == 0 || !rotated.is_multiple_of(2) || rotated > head_dim {
            let text = format!(
                "expected an even number up to the {head_dim} elements of a head, found {rotated}"
            );
            return problem(Field::RotaryDims, text);
        }
        let max = bounds.dimension;
        if u64::from(heads) * u64::from(head_dim) > u64::from(max) {
            let text = format!("{heads} heads of it make more than {max} rows");
            return problem(Field::HeadDim, text);
        }
        Ok(())
    }

    /// The numbers of a delta net fit each other.
    fn check_delta(&self, bounds: &Bounds) -> Result<(), Problem> {
        let problem = |field, problem| Err(Problem { field, problem });
        if self.recurrence() != Recurrence::DeltaNet {
            return Ok(());
        }
        let (keys, heads) = (
            self.size(Field::DeltaKeyHeads),
            self.size(Field::DeltaHeads),
        );
        let values = self.size(Field::DeltaValues);
        for field in [
            Field::Convolution,
            Field::DeltaKeyHeads,
            Field::DeltaKeyDim,
            Field::DeltaHeads,
            Field::DeltaValues,
        ] {
            if self.size(field) == 0 {
                return Err(missing(field));
            }
        }
        if !heads.is_multiple_of(keys) {
            let text = format!("{heads} is not a multiple of the {keys} key heads");
            return problem(Field::DeltaHeads, text);
        }
        if !values.is_multiple_of(heads) {
            let text = format!("{values} is not a multiple of the {heads} value heads");
            return problem(Field::DeltaValues, text);
        }
        if self.dim(Dim::DeltaQueryKeyValueGate, None) > u64::from(bounds.dimension) {
            let text = format!(
                "{keys} heads of it make more than {} rows",
                bounds.dimension
            );
            return problem(Field::DeltaKeyDim, text);
        }
        Ok(())
    }

    /// Numbers of experts that fit each other: a router chooses some of some.
    fn check_experts(&self, bounds: &Bounds) -> Result<(), Problem> {
        let problem = |field, problem| Err(Problem { field, problem });
        if self.predict_layers() >= self.layers() {
            let text = format!("expected fewer than the {} layers", self.layers());
            return problem(Field::PredictLayers, text);
        }
        let Some(experts) = self.experts() else {
            return Ok(());
        };
        let used = self.size(Field::ExpertsUsed);
        if used == 0 {
            return Err(missing(Field::ExpertsUsed));
        }
        if used > experts {
            let text = format!("expected at most the {experts} experts, found {used}");
            return problem(Field::ExpertsUsed, text);
        }
        let groups = self.size(Field::ExpertGroups).max(1);
        if !experts.is_multiple_of(groups) {
            let text = format!("{groups} does not divide the {experts} experts");
            return problem(Field::ExpertGroups, text);
        }
        let chosen = self.size(Field::ExpertGroupsUsed).max(1);
        if groups > 1
            && (chosen > groups
                || u64::from(used) > u64::from(chosen) * u64::from(experts / groups))
        {
            let text =
                format!("{chosen} of {groups} groups hold no {used} of the {experts} experts");
            return problem(Field::ExpertGroupsUsed, text);
        }
        if self.dim(Dim::SharedForward, None) > u64::from(bounds.dimension) {
            let text = format!("more than {} elements together", bounds.dimension);
            return problem(Field::SharedExperts, text);
        }
        Ok(())
    }

    /// Sizes of latent keys and values that fit each other: see [`Mixer::LatentAttention`](crate::Mixer).
    fn check_latent(&self, bounds: &Bounds) -> Result<(), Problem> {
        let problem = |field, problem| Err(Problem { field, problem });
        let Some(rank) = self.latent_rank() else {
            return Ok(());
        };
        for field in [Field::LatentKeyDim, Field::LatentValueDim] {
            if self.get(field).is_none() {
                return Err(missing(field));
            }
        }
        let rotated = self.rotary_dims();
        if self.size(Field::LatentKeyDim) <= rotated {
            let text = format!("expected more than the {rotated} elements that are rotated");
            return problem(Field::LatentKeyDim, text);
        }
        if (self.head_dim(), self.value_dim()) != (rank.saturating_add(rotated), rank) {
            let text = format!(
                "expected {rank} and the {rotated} elements that are rotated, found {}",
                self.head_dim()
            );
            return problem(Field::HeadDim, text);
        }
        if self.kv_heads() != 1 {
            let text = format!("expected 1, found {}", self.kv_heads());
            return problem(Field::KvHeads, text);
        }
        for dim in [Dim::LatentQueries, Dim::LatentOutput] {
            if self.dim(dim, None) > u64::from(bounds.dimension) {
                let text = format!("more than {} rows of all heads", bounds.dimension);
                return problem(Field::LatentKeyDim, text);
            }
        }
        Ok(())
    }
}
