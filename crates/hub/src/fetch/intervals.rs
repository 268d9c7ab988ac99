//! Which bytes of a partial file are there.

use std::ops::Range;

/// Disjoint stretches of bytes, ascending, none touching the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Intervals(Vec<Range<u64>>);

impl Intervals {
    /// The same bytes as these, in as few stretches as possible.
    pub fn of(mut ranges: Vec<Range<u64>>) -> Self {
        ranges.retain(|range| !range.is_empty());
        ranges.sort_unstable_by_key(|range| range.start);
        ranges.dedup_by(|next, last| {
            let touches = next.start <= last.end;
            if touches {
                last.end = last.end.max(next.end);
            }
            touches
        });
        Self(ranges)
    }

    /// Adds one: a search and, for one that touches no other, a move of those behind it.
    pub fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let first = self.0.partition_point(|r| r.end < range.start);
        let last = self.0.partition_point(|r| r.start <= range.end);
        let touched = &self.0[first..last];
        let start = touched
            .first()
            .map_or(range.start, |r| r.start.min(range.start));
        let end = touched.last().map_or(range.end, |r| r.end.max(range.end));
        self.0.splice(first..last, std::iter::once(start..end));
    }

    /// How many bytes there are from the start without a gap.
    pub fn prefix(&self) -> u64 {
        self.0.first().filter(|r| r.start == 0).map_or(0, |r| r.end)
    }

    pub fn total(&self) -> u64 {
        self.0.iter().map(|r| r.end - r.start).sum()
    }

    /// What is missing of `bytes`, in pieces of at most `most`.
    pub fn gaps(&self, bytes: u64, most: u64) -> Vec<Range<u64>> {
        let (mut gaps, mut at) = (Vec::new(), 0);
        let end = bytes..bytes;
        for range in self.0.iter().chain([&end]) {
            while at < range.start {
                let to = range.start.min(at.saturating_add(most.max(1)));
                gaps.push(at..to);
                at = to;
            }
            at = range.end;
        }
        gaps
    }
}

/// What is noted of a stretch of bytes: `FIRST-END`, the end not included.
pub(super) fn text(range: &Range<u64>) -> String {
    format!("{}-{}", range.start, range.end)
}

/// The stretch that is noted, of a file of `bytes`; `None` if it says nothing.
pub(super) fn stretch(text: &str, bytes: u64) -> Option<Range<u64>> {
    let (first, end) = text.split_once('-')?;
    let (first, end) = (first.parse().ok()?, end.parse().ok()?);
    (first <= end && end <= bytes).then_some(first..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_join_and_leave_gaps() {
        let mut done = Intervals::default();
        for range in [10..20, 40..50, 30..30, 20..25, 5..12, 48..60] {
            done.insert(range);
        }
        assert_eq!(done.0, [5..25, 40..60]);
        assert_eq!((done.prefix(), done.total()), (0, 40));
        assert_eq!(done.gaps(70, 8), [0..5, 25..33, 33..40, 60..68, 68..70]);
        done.insert(0..45);
        assert_eq!((done.prefix(), done.gaps(60, 100)), (60, vec![]));
    }

    #[test]
    fn a_note_that_no_file_has_says_nothing() {
        assert_eq!(stretch("50-60", 100), Some(50..60));
        assert_eq!(stretch(&text(&(0..100)), 100), Some(0..100));
        for bad in [
            "60-101",
            "9-8",
            "x",
            "-5",
            "5-",
            "",
            "18446744073709551616-1",
        ] {
            assert_eq!(stretch(bad, 100), None, "{bad}");
        }
    }

    #[test]
    fn many_stretches_are_joined_as_one_after_the_other_would_be() {
        // Numbers that look random: touching, overlapping, within others, empty, twice.
        let mut state = 7_u64;
        let mut random = |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) % below
        };
        for (lines, bytes, longest) in [(50, 60, 9), (3000, 1 << 20, 200), (9000, 1 << 16, 40)] {
            let mut one_by_one = Intervals::default();
            let mut all = Vec::new();
            for _ in 0..lines {
                let first = random(bytes - longest);
                let end = first + random(longest);
                one_by_one.insert(first..end);
                all.push(first..end);
            }
            assert!(all.iter().all(|range| range.end <= bytes));
            assert_eq!(Intervals::of(all), one_by_one);
        }
        // Each before all others: put in one after the other, they take minutes of moving.
        let lines = 600_000_u64;
        let all = (0..lines).rev().map(|i| 3 * i..3 * i + 1).collect();
        let done = Intervals::of(all);
        assert_eq!((done.0.len() as u64, done.total()), (lines, lines));
        assert_eq!((done.0[0].clone(), done.prefix()), (0..1, 1));
    }
}
