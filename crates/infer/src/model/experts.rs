//! A mixture of experts: a router sends every token through a few of many small networks.
//!
//! The tokens of a batch are put in order of the experts that they go to, so that each expert's weights
//! are unpacked once for all of its tokens. What the experts give is summed in the order of their
//! numbers, so that a token's result does not depend on the others in the batch.

use std::ops::Range;

use aeolus_arch::{Dim, Field, Router};

use super::feed_forward::Dense;
use super::hyper::Hyperparameters;
use super::linear::Linear;
use super::math::{add, gate_with, scale, sigmoid, softmax};
use super::pass::Pass;
use super::reader::Reader;
use crate::error::Result;
use crate::matmul::Matrix;

/// Tokens that are in work at a time, each counted once for every expert that it goes to: this bounds
/// the memory of long prompts.
const AT_ONCE: usize = 4096;

/// The least that a sum of weights is taken for when weights are divided by it.
const LEAST_SUM: f32 = 6.103_515_6e-5;

/// The weights of one layer's experts.
#[derive(Debug)]
pub(super) struct Experts {
    router: Linear, // [experts, hidden]
    /// What is added to the router's results for the choice alone.
    correction: Option<Vec<f32>>, // [experts]
    networks: Vec<Network>,
    /// What each expert's results are multiplied with.
    scales: Option<Vec<f32>>, // [experts]
    shared: Option<Shared>,
    choice: Choice,
}

/// One expert.
#[derive(Debug)]
struct Network {
    gate: Linear, // [expert_forward, hidden]
    up: Linear,   // [expert_forward, hidden]
    down: Linear, // [hidden, expert_forward]
}

/// The network that all tokens share.
#[derive(Debug)]
struct Shared {
    network: Dense,
    /// What it gives is multiplied with the sigmoid of this product with the token.
    gate: Option<Matrix>, // [1, hidden]
}

/// How a router's scores choose experts and become weights.
#[derive(Clone, Copy, Debug)]
struct Choice {
    router: Router,
    /// Experts that a token goes to.
    used: usize,
    /// Groups of experts, and how many of them a token chooses first.
    groups: usize,
    groups_used: usize,
    /// Weights are divided by their sum.
    normed: bool,
    /// What weights are multiplied with.
    scale: f32,
}

impl Choice {
    fn of(hyper: &Hyperparameters) -> Self {
        let numbers = &hyper.numbers;
        let count = |field| numbers.count(field).map_or(1, |n| n as usize);
        Self {
            router: numbers.router(),
            used: count(Field::ExpertsUsed),
            groups: count(Field::ExpertGroups),
            groups_used: count(Field::ExpertGroupsUsed),
            normed: numbers
                .flag(Field::ExpertNorm)
                .unwrap_or(hyper.graph.normed_experts),
            scale: numbers.factor(Field::ExpertScale).unwrap_or(1.0),
        }
    }

    /// The experts of one token with their weights, by number. `scores` are the router's, `[experts]`, and
    /// are used up.
    fn choose(&self, scores: &mut [f32], correction: Option<&[f32]>) -> Vec<(usize, f32)> {
        match self.router {
            Router::Softmax => softmax(scores),
            Router::Sigmoid => scores.iter_mut().for_each(|x| *x = sigmoid(*x)),
            Router::SoftmaxOfChosen => {}
        }
        let mut ranks = scores.to_vec();
        if let Some(correction) = correction {
            add(&mut ranks, correction);
        }
        self.leave_groups(&mut ranks);
        let mut chosen = largest(&ranks, self.used);
        chosen.sort_unstable();
        let mut weights: Vec<f32> = chosen.iter().map(|&expert| scores[expert]).collect();
        if self.router == Router::SoftmaxOfChosen {
            softmax(&mut weights);
        }
        if self.normed {
            let sum: f32 = weights.iter().sum();
            scale(&mut weights, 1.0 / sum.max(LEAST_SUM));
        }
        scale(&mut weights, self.scale);
        chosen.into_iter().zip(weights).collect()
    }

    /// Takes experts of groups that are not chosen out of the ranking. A group counts by its best expert,
    /// or by its best two where scores are sigmoids.
    fn leave_groups(&self, ranks: &mut [f32]) {
        if self.groups < 2 || self.groups_used >= self.groups {
            return;
        }
        let size = ranks.len() / self.groups;
        let counted = if self.router == Router::Sigmoid { 2 } else { 1 };
        let group_rank = |group: &[f32]| -> f32 {
            let best = largest(group, counted);
            best.into_iter().map(|expert| group[expert]).sum()
        };
        let group_ranks: Vec<f32> = ranks.chunks_exact(size).map(group_rank).collect();
        let chosen = largest(&group_ranks, self.groups_used);
        for (group, ranks) in ranks.chunks_exact_mut(size).enumerate() {
            if !chosen.contains(&group) {
                ranks.fill(f32::NEG_INFINITY);
            }
        }
    }
}

/// Places of the `count` largest numbers, the largest first; of equal ones the first.
fn largest(x: &[f32], count: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..x.len()).collect();
    let order = |a: &usize, b: &usize| x[*b].total_cmp(&x[*a]).then(a.cmp(b));
    let count = count.min(places.len());
    if count < places.len() {
        places.select_nth_unstable_by(count, order);
    }
    places.truncate(count);
    places.sort_unstable_by(order);
    places
}

/// A token's way through one expert.
#[derive(Clone, Copy, Debug)]
struct Visit {
    expert: usize,
    token: usize,
    weight: f32,
}

impl Experts {
    /// Those of a layer.
    pub(super) fn read(file: &Reader<'_>, layer: usize, hyper: &Hyperparameters) -> Result<Self> {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let dim = |dim| hyper.numbers.dim(dim, None) as usize;
        let width = dim(Dim::ExpertForward);
        // Gate and up may be one stack, the gate's rows first in each matrix.
        let both = file.linears(&name("ffn_gate_up_exps"), 2 * width);
        let (gate, up) = match both {
            Ok(both) => {
                let half = |rows: Range<usize>| both.iter().map(move |l| l.part(rows.clone()));
                (half(0..width).collect(), half(width..2 * width).collect())
            }
            Err(_) => (
                file.linears(&name("ffn_gate_exps"), width)?,
                file.linears(&name("ffn_up_exps"), width)?,
            ),
        };
        let down = file.linears(&name("ffn_down_exps"), hyper.hidden)?;
        let networks = gate.into_iter().zip(up).zip(down);
        let networks = networks.map(|((gate, up), down)| Network { gate, up, down });
        let shared = match file.has(&name("ffn_up_shexp.weight")) {
            true => Some(Shared {
                network: Dense::called(file, layer, "_shexp", dim(Dim::SharedForward))?,
                gate: match file.has(&name("ffn_gate_inp_shexp.weight")) {
                    true => Some(file.matrix(&name("ffn_gate_inp_shexp.weight"))?),
                    false => None,
                },
            }),
            false => None,
        };
        Ok(Self {
            router: file.linear(&name("ffn_gate_inp"))?,
            correction: file.optional_vector(&name("exp_probs_b.bias"))?,
            networks: networks.collect(),
            scales: file.optional_vector(&name("ffn_down_exps.scale"))?,
            shared,
            choice: Choice::of(hyper),
        })
    }

    /// Bytes of the matrices that one token needs: of the experts, those that it goes to.
    pub(super) fn bytes_for_a_token(&self) -> u64 {
        let bytes = |linear: &Linear| linear.matrix.size_bytes() as u64;
        let of_one =
            |network: &Network| bytes(&network.gate) + bytes(&network.up) + bytes(&network.down);
        let experts = self.networks.first().map_or(0, of_one) * self.choice.used as u64;
        let shared = self.shared.as_ref().map_or(0, |shared| {
            let gate = shared
                .gate
                .as_ref()
                .map_or(0, |gate| gate.size_bytes() as u64);
            shared.network.linears().map(bytes).sum::<u64>() + gate
        });
        bytes(&self.router) + experts + shared
    }

    /// `out = sum of weight_e * expert_e(x) + shared(x)`, both `x` and `out` being `[tokens, hidden]`.
    pub(super) fn apply(&self, pass: &Pass<'_>, x: &[f32], out: &mut [f32]) -> Result<()> {
        self.apply_routed(pass, x, x, out)
    }

    /// The same where the router sees `routed` in place of `x`.
    pub(super) fn apply_routed(
        &self,
        pass: &Pass<'_>,
        routed: &[f32],
        x: &[f32],
        out: &mut [f32],
    ) -> Result<()> {
        self.apply_shared(pass, x, out)?;
        let visits = self.visits(pass, routed)?;
        let mut start = 0;
        while start < visits.len() {
            // Whole experts, so that none is unpacked twice.
            let mut end = visits.len().min(start + AT_ONCE);
            while end < visits.len() && visits[end].expert == visits[end - 1].expert {
                end += 1;
            }
            self.visit(pass, &visits[start..end], x, out)?;
            start = end;
        }
        Ok(())
    }

    /// The experts of all tokens, in the order of experts, then of tokens.
    fn visits(&self, pass: &Pass<'_>, x: &[f32]) -> Result<Vec<Visit>> {
        let experts = self.networks.len();
        let mut scores = vec![0.0; pass.tokens * experts]; //  [tokens, experts]
        let input = pass.compute.input(x, pass.hyper.hidden);
        pass.compute
            .multiply(&input, &mut [(&self.router.matrix, &mut scores)])?;
        self.router.add_bias(pass.compute, &mut scores);
        let mut visits = Vec::with_capacity(pass.tokens * self.choice.used);
        for (token, scores) in scores.chunks_exact_mut(experts).enumerate() {
            let chosen = self.choice.choose(scores, self.correction.as_deref());
            let scale = |expert: usize| self.scales.as_ref().map_or(1.0, |scales| scales[expert]);
            visits.extend(chosen.into_iter().map(|(expert, weight)| Visit {
                expert,
                token,
                weight: weight * scale(expert),
            }));
        }
        visits.sort_by_key(|visit| visit.expert);
        Ok(visits)
    }

    /// Sends tokens through their experts and adds the results.
    fn visit(&self, pass: &Pass<'_>, visits: &[Visit], x: &[f32], out: &mut [f32]) -> Result<()> {
        let (compute, hidden) = (pass.compute, pass.hyper.hidden);
        let mut runs: Vec<(&Network, Range<usize>)> = Vec::new();
        for (i, visit) in visits.iter().enumerate() {
            match runs.last_mut() {
                Some((_, run)) if visits[run.start].expert == visit.expert => run.end = i + 1,
                _ => runs.push((&self.networks[visit.expert], i..i + 1)),
            }
        }
        let width = runs
            .first()
            .map_or(0, |(network, _)| network.up.matrix.rows());
        let mut inputs = vec![0.0; visits.len() * hidden]; //  [visits, hidden]
        for (input, visit) in inputs.chunks_exact_mut(hidden).zip(visits) {
            input.copy_from_slice(&x[visit.token * hidden..][..hidden]);
        }
        let mut gate = vec![0.0; visits.len() * width]; //     [visits, expert_forward]
        let mut up = vec![0.0; visits.len() * width]; //       [visits, expert_forward]
        let prepared: Vec<_> = runs
            .iter()
            .map(|(_, run)| compute.input(&inputs[run.start * hidden..run.end * hidden], hidden))
            .collect();
        let gates = split(&mut gate, &runs, width);
        let ups = split(&mut up, &runs, width);
        let gates = runs.iter().zip(&prepared).zip(gates);
        let ups = runs.iter().zip(&prepared).zip(ups);
        let gates = gates.map(|(((network, _), x), y)| (x, &network.gate.matrix, y));
        let ups = ups.map(|(((network, _), x), y)| (x, &network.up.matrix, y));
        compute.multiply_each(gates.chain(ups))?;
        for (network, run) in &runs {
            let rows = run.start * width..run.end * width;
            network.gate.add_bias(compute, &mut gate[rows.clone()]);
            network.up.add_bias(compute, &mut up[rows]);
        }
        let activation = pass.hyper.graph.activation;
        compute.for_rows(&mut gate, width, |i, gate| {
            gate_with(gate, &up[i * width..][..width], activation);
        });

        let results = &mut inputs;
        let prepared: Vec<_> = runs
            .iter()
            .map(|(_, run)| compute.input(&gate[run.start * width..run.end * width], width))
            .collect();
        let downs = split(results, &runs, hidden);
        let downs = runs.iter().zip(&prepared).zip(downs);
        compute.multiply_each(downs.map(|(((network, _), x), y)| (x, &network.down.matrix, y)))?;
        for (network, run) in &runs {
            let rows = run.start * hidden..run.end * hidden;
            network.down.add_bias(compute, &mut results[rows]);
        }
        for (result, visit) in results.chunks_exact(hidden).zip(visits) {
            let out = &mut out[visit.token * hidden..][..hidden];
            for (out, result) in out.iter_mut().zip(result) {
                *out += visit.weight * result;
            }
        }
        Ok(())
    }

    /// `out = shared(x)`, zero without a network that all tokens share.
    fn apply_shared(&self, pass: &Pass<'_>, x: &[f32], out: &mut [f32]) -> Result<()> {
        let Some(shared) = &self.shared else {
            out.fill(0.0);
            return Ok(());
        };
        shared.network.apply(pass, x, out)?;
        if let Some(gate) = &shared.gate {
            let hidden = pass.hyper.hidden;
            let mut gates = vec![0.0; pass.tokens]; //  [tokens]
            let input = pass.compute.input(x, hidden);
            pass.compute.multiply(&input, &mut [(gate, &mut gates)])?;
            for (out, gate) in out.chunks_exact_mut(hidden).zip(gates) {
                scale(out, sigmoid(gate));
            }
        }
        Ok(())
    }
}

/// Rows of `width` numbers, cut into runs that follow each other.
fn split<'y>(
    mut y: &'y mut [f32],
    runs: &[(&Network, Range<usize>)],
    width: usize,
) -> Vec<&'y mut [f32]> {
    let mut parts = Vec::with_capacity(runs.len());
    for (_, run) in runs {
        let (part, rest) = y.split_at_mut(run.len() * width);
        parts.push(part);
        y = rest;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Choice = Choice {
        router: Router::Softmax,
        used: 2,
        groups: 1,
        groups_used: 1,
        normed: false,
        scale: 1.0,
    };

    /// Experts, and weights in thousandths.
    fn chosen(choice: Choice, scores: &[f32], correction: Option<&[f32]>) -> Vec<(usize, i32)> {
        let chosen = choice.choose(&mut scores.to_vec(), correction);
        let rounded = chosen.into_iter();
        rounded
            .map(|(expert, weight)| (expert, (weight * 1000.0).round() as i32))
            .collect()
    }

    #[test]
    fn routers_choose_and_weigh() {
        // Of e^1, e^3, e^0, e^2: 0.087, 0.644, 0.032, 0.237.
        let scores = [1.0, 3.0, 0.0, 2.0];
        assert_eq!(chosen(PLAIN, &scores, None), [(1, 644), (3, 237)]);
        let normed = Choice {
            normed: true,
            ..PLAIN
        };
        assert_eq!(chosen(normed, &scores, None), [(1, 731), (3, 269)]);
        let scaled = Choice {
            scale: 2.5,
            ..normed
        };
        assert_eq!(chosen(scaled, &scores, None), [(1, 1828), (3, 672)]);
        let of_chosen = Choice {
            router: Router::SoftmaxOfChosen,
            ..PLAIN
        };
        assert_eq!(chosen(of_chosen, &scores, None), [(1, 731), (3, 269)]);
        // Sigmoids: 0.731, 0.953, 0.5, 0.881. The correction counts for the choice and not for the weight.
        let sigmoid = Choice {
            router: Router::Sigmoid,
            ..PLAIN
        };
        assert_eq!(chosen(sigmoid, &scores, None), [(1, 953), (3, 881)]);
        let correction = [0.0, 0.0, 0.5, -0.5];
        assert_eq!(
            chosen(sigmoid, &scores, Some(&correction)),
            [(1, 953), (2, 500)]
        );
        // The first of equal ones.
        assert_eq!(chosen(PLAIN, &[0.0; 4], None), [(0, 250), (1, 250)]);
    }

    #[test]
    fn groups_count_by_their_best_expert_or_their_best_two() {
        let of_group = Choice {
            groups: 2,
            groups_used: 1,
            ..PLAIN
        };
        // The first group has the best expert, the second the best two.
        let scores = [3.0, -9.0, -9.0, 2.0, 2.5, -9.0];
        let experts = |choice| -> Vec<usize> {
            chosen(choice, &scores, None)
                .into_iter()
                .map(|(expert, _)| expert)
                .collect()
        };
        assert_eq!(experts(of_group), [0, 1]);
        let sigmoid = Choice {
            router: Router::Sigmoid,
            ..of_group
        };
        assert_eq!(experts(sigmoid), [3, 4]);
        assert_eq!(experts(PLAIN), [0, 4]);
    }
}
