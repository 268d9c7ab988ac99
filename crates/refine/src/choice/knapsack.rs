//! One candidate of each item, within a budget of bytes, at the least cost.

/// Steps that a budget is counted in.
const STEPS: u64 = 1 << 17;

/// One way to store an item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Bytes that it takes.
    pub bytes: u64,
    /// What it costs, in nats of KL divergence per token; finite and not negative.
    pub cost: f64,
}

/// What is stored in one of several ways.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// At least one.
    pub candidates: Vec<Candidate>,
}

/// One candidate of each item.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// The number of the candidate of each item.
    pub of: Vec<usize>,
    /// Bytes of all.
    pub bytes: u64,
    /// Cost of all.
    pub cost: f64,
}

/// The choice that costs least among those of at most `budget` bytes; `None` if even the smallest
/// candidates take more.
///
/// Bytes are counted in steps of a 131,072nd of the budget and rounded up, so that a choice which needs the last
/// of them may be missed by up to a step for each item. What is left over is then spent on the exchanges of
/// one candidate that gain most.
pub fn choose(items: &[Item], budget: u64) -> Option<Choice> {
    let smallest = items.iter().map(|item| {
        let bytes = item.candidates.iter().map(|candidate| candidate.bytes);
        bytes.min()
    });
    let smallest: Vec<u64> = smallest.collect::<Option<_>>()?;
    let least = smallest
        .iter()
        .try_fold(0_u64, |sum, bytes| sum.checked_add(*bytes))?;
    let spare = budget.checked_sub(least)?;
    // What an item takes beyond its smallest candidate is counted: no step is lost to the rest.
    let step = spare.div_ceil(STEPS).max(1);
    let steps = usize::try_from(spare / step).ok()?;

    // The least cost of the items so far within so many steps, and which candidate the last one has.
    let mut costs = vec![0.0_f64; steps + 1];
    let mut chosen: Vec<Vec<u8>> = Vec::with_capacity(items.len());
    for (item, smallest) in items.iter().zip(&smallest) {
        let mut next = vec![f64::INFINITY; steps + 1];
        let mut which = vec![0_u8; steps + 1];
        for (number, candidate) in item.candidates.iter().take(1 << 8).enumerate() {
            let taken = usize::try_from((candidate.bytes - smallest).div_ceil(step)).ok()?;
            for at in taken..=steps {
                let cost = costs[at - taken] + candidate.cost;
                if cost < next[at] {
                    (next[at], which[at]) = (cost, number as u8);
                }
            }
        }
        costs = next;
        chosen.push(which);
    }
    let mut at = steps;
    let mut of = vec![0; items.len()];
    for (i, which) in chosen.iter().enumerate().rev() {
        of[i] = usize::from(which[at]);
        let bytes = items[i].candidates[of[i]].bytes - smallest[i];
        at -= usize::try_from(bytes.div_ceil(step)).ok()?;
    }
    let mut choice = Choice {
        bytes: 0,
        cost: 0.0,
        of,
    };
    choice.count(items);
    choice.fill(items, budget);
    Some(choice)
}

impl Choice {
    fn count(&mut self, items: &[Item]) {
        let each = || {
            let pairs = items.iter().zip(&self.of);
            pairs.map(|(item, number)| item.candidates[*number])
        };
        (self.bytes, self.cost) = (
            each().map(|candidate| candidate.bytes).sum(),
            each().map(|candidate| candidate.cost).sum(),
        );
    }

    /// Spends what is left on single exchanges, the one that gains most first.
    fn fill(&mut self, items: &[Item], budget: u64) {
        loop {
            let mut best: Option<(f64, usize, usize)> = None;
            for (i, (item, number)) in items.iter().zip(&self.of).enumerate() {
                let now = item.candidates[*number];
                for (other, candidate) in item.candidates.iter().enumerate() {
                    let gain = now.cost - candidate.cost;
                    let bytes = self.bytes - now.bytes + candidate.bytes;
                    if bytes <= budget && gain > best.map_or(0.0, |(gain, ..)| gain) {
                        best = Some((gain, i, other));
                    }
                }
            }
            let Some((_, i, other)) = best else {
                return;
            };
            self.of[i] = other;
            self.count(items);
        }
    }
}
