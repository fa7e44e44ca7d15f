//! Singular values and singular vectors.
//!
//! Shapes: matrices are the last two axes, axes before them a batch. Types: floats. As for eigenvalues, first and second
//! derivatives are right where singular values differ and none is zero; where two are equal but for rounding, or one is zero,
//! that part of the derivative of vectors counts as zero which is infinite. Errors: third derivatives.
//!
//! Source of the first derivative: Townsend, *Differentiating the Singular Value Decomposition*, 2016; of the second the
//! same equations, one order further.

use super::eigen::inverse_sums;
use super::jacobi::{Diagonalized, inverse_gaps, inverse_values};
use super::{Tensor, cat, keep};

impl Tensor {
    /// Singular value decomposition (PyTorch's `linalg.svd`): matrices with orthogonal columns, singular values in descending
    /// order, and matrices with orthogonal rows, of which `self` is the product.
    ///
    /// Shapes: `[.., m, n]` -> `[.., m, k]`, `[.., k]` and `[.., k, n]` with `k` the lesser of `m` and `n`; square matrices if
    /// `complete`, where no gradient flows through what is added. The signs of pairs of vectors are arbitrary.
    ///
    /// ```
    /// use kiln::prelude::*;
    ///
    /// let tracer = Tracer::new("nearest matrix of rank 2");
    /// let x = tracer.input("x", f32(&[8, 5]));
    /// let (u, s, vt) = x.svd(false);
    /// let nearest = (u * s.unsqueeze(-2)).slice(-1, ..2).matmul(&vt.slice(-2, ..2));
    /// assert_eq!(nearest.extents(), [8, 5]);
    /// ```
    #[track_caller]
    pub fn svd(&self, complete: bool) -> (Tensor, Tensor, Tensor) {
        if let Err(poisoned) = self.require_matrix("svd") {
            return (poisoned.clone(), poisoned.clone(), poisoned);
        }
        let (m, n) = self.matrix_extents();
        if self.n_elements() == 0 {
            return self.within("svd", || self.empty_svd(complete));
        }
        if m < n {
            return self.within("svd", || {
                let (u, s, vt) = self.transpose(-1, -2).svd(complete);
                (vt.transpose(-1, -2), s, u.transpose(-1, -2))
            });
        }
        self.expanded("svd", |matrix| {
            let found = matrix.singular_diagonalized(complete);
            let (columns, others) = (found.left.slice(-1, ..n as i64), found.left.slice(-1, n as i64..));
            let found = Diagonalized { left: columns, ..found };
            let Diagonalized { left, values, right } = Perturbed::of(matrix, &found).result(&found);
            let left = if m > n && complete { cat(&[&left, &others], -1) } else { left };
            (left, values, right)
        })
    }

    /// Singular values in descending order. Shapes: `[.., m, n]` -> `[.., k]` with `k` the lesser of `m` and `n`.
    #[track_caller]
    pub fn svdvals(&self) -> Tensor {
        self.called("svdvals", || self.svd(false).1)
    }

    /// The decomposition of matrices without elements, or of none.
    fn empty_svd(&self, complete: bool) -> (Tensor, Tensor, Tensor) {
        let (m, n) = self.matrix_extents();
        let k = m.min(n);
        let batch = self.rank() - 2;
        let square = |n: usize| {
            let shape = self.shape().with_extent(batch, n).with_extent(batch + 1, n);
            super::diagonal::unit_matrix(self, n).broadcast_to(shape)
        };
        let kept = |n: usize| if complete { n as i64 } else { k as i64 };
        let values = self.sum(if m < n { -1 } else { -2 });
        (square(m).slice(-1, ..kept(m)), values, square(n).slice(-2, ..kept(n)))
    }
}

/// A change of a decomposition, in the coordinates of its vectors. Of each the first and second order, which are zero but
/// for their derivatives.
struct Perturbed {
    /// Of the vectors on the left, among themselves.
    left: Tensor,
    /// The same on the right.
    right: Tensor,
    /// Of the vectors on the left, out of the space they span.
    outward: Tensor,
    values: Tensor,
}

impl Perturbed {
    /// With `(U + dU)(S + dS) = (A + dA)(V + dV)` and `(V + dV)(S + dS) = (A + dA)'(U + dU)`, solved one order after the
    /// other: each is a system of the same form, with what the orders before leave on its right side.
    fn of(matrix: &Tensor, found: &Diagonalized) -> Perturbed {
        let t = |x: &Tensor| x.transpose(-1, -2);
        let moved = matrix.change().matmul(&t(&found.right));
        let inside = t(&found.left).matmul(&moved);
        let outside = moved - found.left.matmul(&inside);
        let diagonal = inside.places(inside.shape()[inside.rank() - 1]);
        let system = System::of(&found.values);
        let by_values = inverse_values(&found.values).unsqueeze(-2);

        let [left1, right1] = system.solve(&inside, &t(&inside));
        let values1 = inside.at_columns(&diagonal);
        let outward1 = &outside * &by_values;
        let stretch = values1.unsqueeze(-2);
        let above = inside.matmul(&right1) - &left1 * &stretch;
        let below = t(&inside).matmul(&left1) + t(&outside).matmul(&outward1) - &right1 * &stretch;
        let [left2, right2] = system.solve(&above, &below);
        let values2 = (&above + &below).at_columns(&diagonal) * 0.5;
        let outward2 = (outside.matmul(&right1) - &outward1 * stretch) * by_values;
        // What makes them unit vectors again.
        let shrink = |x: Tensor| super::diagonal::unit_matrix(&x, x.shape()[x.rank() - 1]) * x * 0.5;
        let squares = |x: &Tensor| x.square().sum(keep(-2));
        let lengths = squares(&left1) + squares(&outward1);
        let (left_lengths, right_lengths) = (lengths.expand_as(&left1), squares(&right1).expand_as(&right1));
        Perturbed {
            left: left1 + left2 - shrink(left_lengths),
            right: right1 + right2 - shrink(right_lengths),
            outward: outward1 + outward2,
            values: values1 + values2,
        }
    }

    /// The decomposition with its derivatives.
    fn result(self, found: &Diagonalized) -> Diagonalized {
        let turned = found.right.transpose(-1, -2).matmul(&self.right);
        Diagonalized {
            values: &found.values + self.values,
            left: &found.left + found.left.matmul(&self.left) + self.outward,
            right: &found.right + turned.transpose(-1, -2),
        }
    }
}

/// The equations `s_i z + b = x s_j` and `s_i x + c = z s_j` for the elements beside the diagonals of `x` and `z`.
struct System {
    /// `1 / (s_j^2 - s_i^2)`, 0 where they are equal.
    inverse: Tensor,
    values: Tensor,
}

impl System {
    fn of(values: &Tensor) -> System {
        System { inverse: inverse_gaps(values) * inverse_sums(values), values: values.clone() }
    }

    fn solve(&self, b: &Tensor, c: &Tensor) -> [Tensor; 2] {
        let (of_row, of_column) = (self.values.unsqueeze(-1), self.values.unsqueeze(-2));
        let solution = |p: &Tensor, q: &Tensor| &self.inverse * (p * &of_column + q * &of_row);
        [solution(b, c), solution(c, b)]
    }
}
