//! Which files to recommend to those who do not want to compare.

use crate::{Collection, Quality};
use aeolus_recipe::FileType;

/// The types that the field recommends.
const BY_THE_FIELD: [FileType; 3] = [FileType::Q4_K_M, FileType::Q5_K_S, FileType::Q5_K_M];

/// The choice, for each file of a collection in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recommended {
    /// Take one of these.
    pub files: Vec<bool>,
    /// No other file is both no larger and no worse; all false without measurements.
    pub frontier: Vec<bool>,
    /// The best of the files that are no larger and better, or smaller and no worse.
    pub beaten_by: Vec<Option<usize>>,
    /// The choice rests on measurements.
    pub measured: bool,
}

/// Chooses. Without measurements: what the field recommends. With them: of those, the ones that
/// no other file beats at their size; if none is left (or none was there), the file on the
/// frontier where a byte more starts to buy less.
pub fn recommend(collection: &Collection, quality: Option<&Quality>) -> Recommended {
    let files = &collection.files;
    let by_the_field: Vec<bool> = files
        .iter()
        .map(|file| file.file_type.is_some_and(|ty| BY_THE_FIELD.contains(&ty)))
        .collect();
    let points: Vec<Option<(f64, f64)>> = files
        .iter()
        .map(|file| {
            let kld = quality?.of(file)?.kld_mean?.value;
            kld.is_finite().then_some((file.bytes as f64, kld))
        })
        .collect();
    let (frontier, beaten_by) = (frontier(&points), beaten_by(&points));
    if !frontier.contains(&true) {
        return Recommended {
            files: by_the_field,
            frontier,
            beaten_by,
            measured: false,
        };
    }
    let mut chosen: Vec<bool> = by_the_field
        .iter()
        .zip(&frontier)
        .zip(&points)
        // A file that was not measured keeps the field's word.
        .map(|((field, frontier), point)| *field && (*frontier || point.is_none()))
        .collect();
    if !chosen.contains(&true) {
        chosen = knee(&points, &frontier);
    }
    Recommended {
        files: chosen,
        frontier,
        beaten_by,
        measured: true,
    }
}

/// For each point (size, loss) the best of those that beat it: they are no worse in both and better in one.
pub fn beaten_by(points: &[Option<(f64, f64)>]) -> Vec<Option<usize>> {
    let beats = |a: (f64, f64), b: (f64, f64)| a.0 <= b.0 && a.1 <= b.1 && (a.0 < b.0 || a.1 < b.1);
    let all = || points.iter().enumerate();
    let best = |point: &Option<(f64, f64)>| {
        let point = (*point)?;
        let beating = all().filter_map(|(i, other)| Some((i, (*other)?)));
        let beating = beating.filter(|(_, other)| beats(*other, point));
        let order = |a: (f64, f64), b: (f64, f64)| a.1.total_cmp(&b.1).then(a.0.total_cmp(&b.0));
        beating.min_by(|a, b| order(a.1, b.1)).map(|(i, _)| i)
    };
    points.iter().map(best).collect()
}

/// The points (size, loss) that no other point beats in one and equals or beats in the other.
pub(crate) fn frontier(points: &[Option<(f64, f64)>]) -> Vec<bool> {
    let beaten = beaten_by(points).into_iter().zip(points);
    beaten
        .map(|(by, point)| point.is_some() && by.is_none())
        .collect()
}

/// The frontier's point farthest below the line between its ends, both axes logarithmic.
fn knee(points: &[Option<(f64, f64)>], frontier: &[bool]) -> Vec<bool> {
    let log = |(x, y): (f64, f64)| (x.max(1.0).ln(), y.max(1e-12).ln());
    let mut line: Vec<(usize, (f64, f64))> = (0..points.len())
        .filter(|&i| frontier[i])
        .filter_map(|i| Some((i, log(points[i]?))))
        .collect();
    line.sort_by(|a, b| a.1.0.total_cmp(&b.1.0));
    let mut chosen = vec![false; points.len()];
    if let (Some(&(_, a)), Some(&(_, b))) = (line.first(), line.last()) {
        let below = |p: (f64, f64)| (b.0 - a.0) * (a.1 - p.1) - (a.0 - p.0) * (b.1 - a.1);
        let best = line.iter().max_by(|x, y| below(x.1).total_cmp(&below(y.1)));
        if let Some((i, _)) = best {
            chosen[*i] = true;
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frontier_leaves_out_what_is_beaten() {
        let points = [
            Some((3.0, 0.04)),
            Some((4.0, 0.02)),
            Some((4.5, 0.03)),
            Some((4.0, 0.02)),
            None,
            Some((5.0, 0.001)),
        ];
        assert_eq!(frontier(&points), [true, true, false, true, false, true]);
        let by = [None, None, Some(1), None, None, None];
        assert_eq!(beaten_by(&points), by, "the first of two that are alike");
        let points = [(1.0, 0.5), (2.0, 0.1), (3.0, 0.2), (4.0, 0.6)].map(Some);
        assert_eq!(beaten_by(&points), [None, None, Some(1), Some(1)]);
    }

    #[test]
    fn the_knee_is_where_more_bytes_buy_less() {
        let points = [Some((1.0, 1.0)), Some((2.0, 0.01)), Some((8.0, 0.005))];
        assert_eq!(knee(&points, &[true; 3]), [false, true, false]);
        assert_eq!(knee(&[Some((1.0, 1.0))], &[true]), [true]);
        assert_eq!(knee(&[], &[]), Vec::<bool>::new());
    }
}
