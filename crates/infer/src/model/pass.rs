//! What the blocks of one forward pass share: tokens, their positions, and room for numbers.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

use super::Hyperparameters;
use super::norm::Norm;
use super::rope::Turns;
use crate::error::Result;
use crate::matmul::Compute;

/// What the blocks of one forward pass work with: the next tokens of one sequence, or windows of one
/// length side by side, whose tokens meet a matrix together and look at none of another window.
#[derive(Clone, Copy)]
pub(super) struct Pass<'a> {
    pub(super) compute: Compute<'a>,
    pub(super) hyper: &'a Hyperparameters,
    /// Number of tokens, of all windows.
    pub(super) tokens: usize,
    /// Number of tokens of one window.
    pub(super) window: usize,
    /// Position of the first token of each window.
    pub(super) first: usize,
    /// Rotations of one window's positions.
    pub(super) turns: &'a Turns,
    pub(super) buffers: &'a Buffers,
}

impl<'a> Pass<'a> {
    /// The number of a token within its window.
    pub(super) fn place(&self, token: usize) -> usize {
        token % self.window
    }

    /// The position of a token in its sequence.
    pub(super) fn position(&self, token: usize) -> usize {
        self.first + self.place(token)
    }

    /// The pass of one window alone.
    pub(super) fn of_one_window(&self) -> Pass<'a> {
        Pass {
            tokens: self.window,
            ..*self
        }
    }

    /// `out = norm(x)`, `[tokens, hidden]`; without a norm `out = x`.
    pub(super) fn norm(&self, norm: &Option<Norm>, x: &[f32], out: &mut [f32]) {
        let hidden = self.hyper.hidden;
        self.compute.for_rows(out, hidden, |t, out| {
            out.copy_from_slice(&x[t * hidden..][..hidden]);
            if let Some(norm) = norm {
                norm.apply(self.hyper.graph.norm, self.hyper.norm_eps, out);
            }
        });
    }

    /// `x = norm(x)`, `[tokens, hidden]`; without a norm nothing happens.
    pub(super) fn norm_in_place(&self, norm: &Option<Norm>, x: &mut [f32]) {
        if let Some(norm) = norm {
            self.compute.for_rows(x, self.hyper.hidden, |_, x| {
                norm.apply(self.hyper.graph.norm, self.hyper.norm_eps, x);
            });
        }
    }

    /// Calls `work` with each window's pass, number, inputs and outputs, `[window, hidden]`, one window
    /// after the other.
    pub(super) fn each_window(
        &self,
        x: &[f32],
        out: &mut [f32],
        mut work: impl FnMut(&Pass<'a>, usize, &[f32], &mut [f32]) -> Result<()>,
    ) -> Result<()> {
        let (one, len) = (self.of_one_window(), self.window * self.hyper.hidden);
        let windows = x.chunks_exact(len).zip(out.chunks_exact_mut(len));
        let mut windows = windows.enumerate();
        windows.try_for_each(|(number, (x, out))| work(&one, number, x, out))
    }
}

/// Room for the numbers between products, from one layer to the next: new memory costs a page fault
/// for every 4 KiB of it.
#[derive(Debug, Default)]
pub(super) struct Buffers(Mutex<Vec<Vec<f32>>>);

impl Buffers {
    /// Room for `len` numbers, which are whatever they were: all of them are to be written first.
    pub(super) fn take(&self, len: usize) -> Buffer<'_> {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The smallest that has the room, or else a new one.
        let fits = free.iter().enumerate().filter(|(_, b)| b.capacity() >= len);
        let place = fits
            .min_by_key(|(_, b)| b.capacity())
            .map(|(place, _)| place);
        let mut numbers = place.map_or_else(Vec::new, |place| free.swap_remove(place));
        numbers.resize(len, 0.0);
        Buffer {
            numbers,
            buffers: self,
        }
    }
}

/// Numbers that go back to where they came from.
pub(super) struct Buffer<'b> {
    numbers: Vec<f32>,
    buffers: &'b Buffers,
}

impl Deref for Buffer<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.numbers
    }
}

impl DerefMut for Buffer<'_> {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.numbers
    }
}

impl Drop for Buffer<'_> {
    fn drop(&mut self) {
        let mut free = self
            .buffers
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        free.push(std::mem::take(&mut self.numbers));
    }
}
