//! Attention of some new positions to all positions they may see.

use aeolus_quant::dot::{Matmul, PANEL};
use rayon::prelude::*;

use super::cache::{KvCache, padded};
use super::hyper::Hyperparameters;
use super::math::{softcap, softmax};
use crate::matmul::{Compute, column_blocks};

/// Queries (tokens times heads of a group) that share a pass over keys and values: four rounds
/// of the kernel's twelve rows.
const QUERIES: usize = 48;

/// One head group's share: some tokens.
struct Task<'a> {
    kv_head: usize,
    /// Number of the first token within the batch.
    first_token: usize,
    /// For each token, the outputs of this group's heads, `[group, head_dim]`.
    outputs: Vec<&'a mut [f32]>,
}

/// `out[t] = softmax(q[t] · keys * query_scale) · values` for every head, the scores bounded by the
/// model's softcap where it has one.
///
/// `q` and `out` are `[tokens, heads, head_dim]`; the keys and values of all tokens are in the
/// cache already, the first token at `cache.used()`.
pub(super) fn attend(
    compute: Compute,
    hyper: &Hyperparameters,
    cache: &KvCache,
    layer: usize,
    q: &[f32],
    out: &mut [f32],
) {
    let group = hyper.heads / hyper.kv_heads;
    let tokens_of_a_task = (QUERIES / group).max(1);
    let mut tasks = Vec::new();
    let block_len = tokens_of_a_task * hyper.q_dim();
    for (block, out) in out.chunks_mut(block_len).enumerate() {
        let columns = column_blocks(out, hyper.q_dim(), group * hyper.head_dim);
        for (kv_head, outputs) in columns.into_iter().enumerate() {
            let first_token = block * tokens_of_a_task;
            tasks.push(Task {
                kv_head,
                first_token,
                outputs,
            });
        }
    }
    let run = |task| attend_group(compute, hyper, cache, layer, q, task);
    if compute.parallel {
        tasks.into_par_iter().with_max_len(1).for_each(run);
    } else {
        tasks.into_iter().for_each(run);
    }
}

fn attend_group(
    compute: Compute,
    hyper: &Hyperparameters,
    cache: &KvCache,
    layer: usize,
    q: &[f32],
    mut task: Task<'_>,
) {
    let Hyperparameters {
        head_dim,
        heads,
        kv_heads,
        query_scale,
        attention_softcap,
        ..
    } = *hyper;
    let group = heads / kv_heads;
    let tokens = task.outputs.len();
    let queries = tokens * group;

    // q of this group, scaled: [tokens * group, head_dim]
    let mut scaled = Vec::with_capacity(queries * head_dim);
    for token in task.first_token..task.first_token + tokens {
        let start = token * hyper.q_dim() + task.kv_head * group * head_dim;
        scaled.extend(
            q[start..start + group * head_dim]
                .iter()
                .map(|q| q * query_scale),
        );
    }

    // Positions that any of the tokens sees, and the panels of 32 that hold them.
    let window = hyper.window(layer);
    let visible = |token: usize| {
        let position = cache.used() + task.first_token + token;
        (position + 1).saturating_sub(window)..position + 1
    };
    let (start, end) = (visible(0).start, visible(tokens - 1).end);
    let first_panel = start / PANEL * PANEL;
    let width = end.next_multiple_of(PANEL) - first_panel;

    // scores: [queries, positions from first_panel on]
    let mut scores = vec![0.0; queries * width];
    for position in (first_panel..end).step_by(PANEL) {
        let operands = Matmul {
            x: &scaled,
            x_stride: head_dim,
            rows: queries,
            depth: head_dim,
            y: &mut scores[position - first_panel..],
            y_stride: width,
        };
        cache.scores(compute.kernels, (layer, task.kv_head, position), operands);
    }
    for (query, scores) in scores.chunks_exact_mut(width).enumerate() {
        let seen = visible(query / group);
        let (before, rest) = scores.split_at_mut(seen.start - first_panel);
        let (seen, after) = rest.split_at_mut(seen.end - seen.start);
        before.fill(0.0);
        if let Some(cap) = attention_softcap {
            softcap(seen, cap);
        }
        softmax(seen);
        after.fill(0.0);
    }

    // sums of values: [queries, head_dim padded]
    let row = padded(head_dim);
    let mut sums = vec![0.0; queries * row];
    for first_dim in (0..row).step_by(PANEL) {
        let operands = Matmul {
            x: &scores[start - first_panel..],
            x_stride: width,
            rows: queries,
            depth: end - start,
            y: &mut sums[first_dim..],
            y_stride: row,
        };
        cache.weighted_values(
            compute.kernels,
            (layer, task.kv_head, start),
            first_dim,
            operands,
        );
    }
    let heads = task
        .outputs
        .iter_mut()
        .flat_map(|out| out.chunks_exact_mut(head_dim));
    for (out, sums) in heads.zip(sums.chunks_exact(row)) {
        out.copy_from_slice(&sums[..head_dim]);
    }
}
