//! Positions for the names of points, so that none overlaps another, a point, or the frame.

use super::canvas::Rect;

/// A name that wants to be near its point.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Label {
    /// The point.
    pub at: (i32, i32),
    /// The name's size in pixels.
    pub width: i32,
    pub height: i32,
}

/// Where names may be, and what is in their way.
pub(crate) struct Surroundings<'a> {
    /// Names stay inside it.
    pub frame: Rect,
    /// Pixels around a point that are its mark.
    pub radius: i32,
    /// Other text.
    pub taken: &'a [Rect],
    /// A line that they would rather not cross.
    pub line: &'a [(i32, i32)],
}

/// A position for each name, in their order; `None` where none is free.
pub(crate) fn arrange(labels: &[Label], around: &Surroundings<'_>) -> Vec<Option<Rect>> {
    let marks: Vec<Rect> = labels
        .iter()
        .map(|l| {
            Rect {
                x: l.at.0,
                y: l.at.1,
                width: 0,
                height: 0,
            }
            .grown(around.radius + 1)
        })
        .collect();
    let crowd = |l: &Label| {
        labels
            .iter()
            .filter(|o| (o.at.0 - l.at.0).abs() < 60 && (o.at.1 - l.at.1).abs() < 30)
            .count()
    };
    let mut order: Vec<usize> = (0..labels.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(crowd(&labels[i])));

    let mut positions: Vec<Option<Rect>> = vec![None; labels.len()];
    // The first pass goes in order; later ones use the space that it left.
    for _ in 0..PASSES {
        let before = positions.clone();
        for &i in &order {
            positions[i] = None;
            positions[i] = best(i, labels, &marks, &positions, around);
        }
        if positions == before {
            break;
        }
    }
    positions
}

/// How often every name is positioned again.
const PASSES: usize = 8;

/// The cheapest free position for a name among the others.
fn best(
    i: usize,
    labels: &[Label],
    marks: &[Rect],
    positions: &[Option<Rect>],
    around: &Surroundings<'_>,
) -> Option<Rect> {
    let free = |rect: &Rect| {
        around.frame.contains(rect)
            && !around.taken.iter().any(|t| t.intersects(rect))
            && !marks.iter().any(|m| m.intersects(rect))
            && !positions
                .iter()
                .flatten()
                .any(|p| p.grown(2).intersects(rect))
    };
    let over = |rect: &Rect, line: Option<Line>| line.is_some_and(|l| crosses(rect, &l));
    let cost = |rect: &Rect| {
        let line = if crosses(rect, around.line) { 40 } else { 0 };
        let own = leader(&labels[i], rect);
        let tangled = labels.iter().zip(positions).any(|(other, position)| {
            position.is_some_and(|position| {
                over(&position, own) || over(rect, leader(other, &position))
            })
        });
        let others = marks.iter().enumerate().filter(|(other, _)| *other != i);
        let through = others.map(|(_, mark)| mark).any(|mark| over(mark, own));
        let tangle = if tangled || through { 70 } else { 0 };
        line + tangle + nearness(rect, i, labels)
    };
    candidates(&labels[i], around.radius)
        .filter(|(rect, _)| free(rect))
        .min_by_key(|(rect, distance)| distance + cost(rect))
        .map(|(rect, _)| rect)
}

/// Both ends of a line.
pub(crate) type Line = [(i32, i32); 2];

/// The line between a point and its name, where they are not side by side.
pub(crate) fn leader(label: &Label, position: &Rect) -> Option<Line> {
    let end = nearest(position, label.at);
    let (dx, dy) = (end.0 - label.at.0, end.1 - label.at.1);
    (dx * dx + dy * dy > 14 * 14).then_some([label.at, end])
}

/// What it costs that a name is about as near to another point as to its own: readers would take
/// it for the other's.
fn nearness(rect: &Rect, own: usize, labels: &[Label]) -> i32 {
    let distance = |label: &Label| {
        let (x, y) = nearest(rect, label.at);
        let (dx, dy) = (f64::from(x - label.at.0), f64::from(y - label.at.1));
        dx.hypot(dy)
    };
    let mine = distance(&labels[own]);
    let others = labels.iter().enumerate().filter(|(i, _)| *i != own);
    let nearest = others
        .map(|(_, l)| distance(l))
        .fold(f64::INFINITY, f64::min);
    // Nothing from one and a half times the own distance on, 60 at the same distance or less.
    ((1.5 - nearest / mine.max(1.0)).clamp(0.0, 0.5) * 120.0) as i32
}

/// Positions around a point, nearer ones cheaper, right and above before left and below.
fn candidates(label: &Label, radius: i32) -> impl Iterator<Item = (Rect, i32)> {
    let Label {
        at: (x, y),
        width,
        height,
    } = *label;
    let near = radius + 4;
    (0..14).flat_map(move |ring| {
        let d = near + ring * 8;
        let diagonal = d * 7 / 10;
        [
            ((x + d, y - height / 2), 0),
            ((x + diagonal, y - diagonal - height), 2),
            ((x - width / 2, y - d - height), 4),
            ((x - diagonal - width, y + diagonal), 5),
            ((x - d - width, y - height / 2), 5),
            ((x + diagonal, y + diagonal), 3),
            ((x - width / 2, y + d), 6),
            ((x - diagonal - width, y - diagonal - height), 7),
        ]
        .map(|((x, y), cost)| {
            (
                Rect {
                    x,
                    y,
                    width,
                    height,
                },
                cost + ring * 9,
            )
        })
    })
}

/// True if a piece of the line goes through the rectangle.
pub(crate) fn crosses(rect: &Rect, line: &[(i32, i32)]) -> bool {
    line.windows(2).any(|ends| {
        let ((x0, y0), (x1, y1)) = (ends[0], ends[1]);
        // The part of the piece that is inside, clipped side by side.
        let (dx, dy) = (f64::from(x1 - x0), f64::from(y1 - y0));
        let sides = [
            (-dx, f64::from(x0 - rect.x)),
            (dx, f64::from(rect.right() - x0)),
            (-dy, f64::from(y0 - rect.y)),
            (dy, f64::from(rect.bottom() - y0)),
        ];
        let (mut from, mut to) = (0.0f64, 1.0f64);
        for (step, gap) in sides {
            if step == 0.0 {
                if gap < 0.0 {
                    return false;
                }
            } else if step < 0.0 {
                from = from.max(gap / step);
            } else {
                to = to.min(gap / step);
            }
        }
        from <= to
    })
}

/// The point of the rectangle that is nearest to `at`: where a leader ends.
fn nearest(rect: &Rect, at: (i32, i32)) -> (i32, i32) {
    (
        at.0.clamp(rect.x, rect.right()),
        at.1.clamp(rect.y, rect.bottom()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crowded_points_get_positions_that_do_not_overlap() {
        let frame = Rect {
            x: 0,
            y: 0,
            width: 300,
            height: 260,
        };
        let labels: Vec<Label> = (0..12)
            .map(|i| Label {
                at: (120 + i % 4 * 5, 120 + i / 4 * 6),
                width: 44,
                height: 14,
            })
            .collect();
        let taken = [Rect {
            x: 0,
            y: 0,
            width: 80,
            height: 20,
        }];
        let around = Surroundings {
            frame,
            radius: 5,
            taken: &taken,
            line: &[(0, 0), (300, 260)],
        };
        let positions: Vec<Rect> = arrange(&labels, &around).into_iter().flatten().collect();
        assert_eq!(positions.len(), 12);
        for (i, a) in positions.iter().enumerate() {
            assert!(frame.contains(a) && !a.intersects(&taken[0]));
            assert!(positions[..i].iter().all(|b| !a.intersects(b)), "{a:?}");
            for label in &labels {
                let (x, y) = label.at;
                let mark = Rect {
                    x: x - 5,
                    y: y - 5,
                    width: 10,
                    height: 10,
                };
                assert!(!a.intersects(&mark));
            }
        }
    }

    #[test]
    fn a_name_that_fits_nowhere_gets_no_position() {
        let frame = Rect {
            x: 0,
            y: 0,
            width: 20,
            height: 20,
        };
        let label = Label {
            at: (10, 10),
            width: 50,
            height: 14,
        };
        let around = Surroundings {
            frame,
            radius: 5,
            taken: &[],
            line: &[],
        };
        assert_eq!(arrange(&[label], &around), [None]);
    }

    #[test]
    fn lines_cross_rectangles() {
        let rect = Rect {
            x: 10,
            y: 10,
            width: 10,
            height: 10,
        };
        assert!(crosses(&rect, &[(0, 0), (30, 30)]));
        assert!(crosses(&rect, &[(15, 0), (15, 40)]));
        assert!(!crosses(&rect, &[(0, 0), (5, 40)]));
        assert!(!crosses(&rect, &[(0, 0), (9, 9)]));
        assert!(!crosses(&rect, &[]));
    }
}
