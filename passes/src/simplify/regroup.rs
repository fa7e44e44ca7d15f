//! How a reshape maps axes: the smallest runs of axes on both sides that hold the same number of elements.

use kiln_ir::Axes;
use std::ops::Range;

/// A run of axes before a reshape, and the run with as many elements after it. One of them is empty where an axis of
/// extent 1 comes or goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Axes of the operand.
    pub from: Range<usize>,
    /// Axes of the result.
    pub to: Range<usize>,
}

/// The groups of a reshape, in order; `None` when there are no elements, where any axis may map to any other.
pub fn groups(from: &[usize], to: &[usize]) -> Option<Vec<Group>> {
    if from.contains(&0) || to.contains(&0) {
        return None;
    }
    let mut groups = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < from.len() || j < to.len() {
        let start = (i, j);
        match (from.get(i), to.get(j)) {
            (Some(a), Some(b)) if a == b => (i, j) = (i + 1, j + 1),
            (Some(1), _) => i += 1,
            (_, Some(1)) => j += 1,
            (Some(&a), Some(&b)) => {
                let (mut n_from, mut n_to) = (a, b);
                (i, j) = (i + 1, j + 1);
                while n_from != n_to {
                    let (n, extents, next) =
                        if n_from < n_to { (&mut n_from, from, &mut i) } else { (&mut n_to, to, &mut j) };
                    *n *= extents.get(*next)?;
                    *next += 1;
                }
            }
            (None, _) | (_, None) => return None,
        }
        groups.push(Group { from: start.0..i, to: start.1..j });
    }
    Some(groups)
}

/// Whether two shapes differ only in axes of extent 1.
pub fn same_but_for_units(a: &[usize], b: &[usize]) -> bool {
    a.iter().filter(|&&extent| extent != 1).eq(b.iter().filter(|&&extent| extent != 1))
}

/// The permutation that undoes one.
pub fn inverse(permutation: &[usize]) -> Axes {
    let mut inverse = Axes::from_elem(0, permutation.len());
    for (to, &from) in permutation.iter().enumerate() {
        inverse[from] = to;
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(from: &[usize], to: &[usize]) -> String {
        match groups(from, to) {
            Some(groups) => groups.iter().map(|g| format!("{:?}->{:?} ", g.from, g.to)).collect(),
            None => "none".to_string(),
        }
    }

    #[test]
    fn groups_are_the_smallest() {
        assert_eq!(text(&[2, 3, 4], &[6, 4]), "0..2->0..1 2..3->1..2 ");
        assert_eq!(text(&[2, 12], &[2, 3, 4]), "0..1->0..1 1..2->1..3 ");
        assert_eq!(text(&[4, 6], &[6, 4]), "0..2->0..2 ");
        assert_eq!(text(&[], &[]), "");
    }

    #[test]
    fn unit_axes_are_groups_of_their_own() {
        assert_eq!(text(&[2, 1, 3], &[2, 3]), "0..1->0..1 1..2->1..1 2..3->1..2 ");
        assert_eq!(text(&[2], &[1, 2, 1]), "0..0->0..1 0..1->1..2 1..1->2..3 ");
        assert_eq!(text(&[1, 1], &[1]), "0..1->0..1 1..2->1..1 ");
    }

    #[test]
    fn without_elements_there_are_no_groups() {
        assert_eq!(text(&[0, 2], &[3, 0]), "none");
    }
}
