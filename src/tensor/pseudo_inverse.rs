//! What singular values are computed for: ranks, condition numbers, norms, pseudo-inverses, polar decompositions.
//!
//! Shapes: matrices are the last two axes, axes before them a batch. Types: floats. First and second derivatives are right, third
//! ones are errors.

use super::eigen::{inverse_sums, root_change};
use super::jacobi::{Diagonalized, epsilon, inverse_values};
use super::{Operand, Tensor, keep};
use kiln_ir::DType;

impl Tensor {
    /// The number of singular values that are not zero but for rounding, `i64`: greater than the greatest one times the
    /// greater extent and the type's precision.
    #[track_caller]
    pub fn matrix_rank(&self) -> Tensor {
        self.called("matrix_rank", || self.matrix_rank_within(0.0, self.default_tolerance()))
    }

    /// The number of singular values, `i64`, that are greater than `absolute` and than `relative` times the greatest one.
    /// Shapes: tolerances broadcast to the batch.
    #[track_caller]
    pub fn matrix_rank_within(&self, absolute: impl Into<Operand>, relative: impl Into<Operand>) -> Tensor {
        let (absolute, relative) = (absolute.into(), relative.into());
        if let Err(poisoned) = self.require_matrix("matrix_rank_within") {
            return poisoned;
        }
        self.within("matrix_rank_within", || {
            self.svdvals().which_count(absolute, relative).cast(DType::I64).sum(-1)
        })
    }

    /// Which singular values are greater than both tolerances.
    fn which_count(&self, absolute: Operand, relative: Operand) -> Tensor {
        if self.shape()[self.rank() - 1] == 0 {
            return self.gt(0.0);
        }
        let least = self.select_index(-1, 0).mul(relative).maximum(absolute);
        self.gt(least.detach().unsqueeze(-1))
    }

    /// The precision of the type times the greater extent.
    fn default_tolerance(&self) -> f64 {
        let greater = self.shape().iter().rev().take(2).max().copied().unwrap_or(1);
        epsilon(self.dtype()) * greater as f64
    }

    /// Condition numbers: the norm of order `p` (2, 1 or infinite, or negative) times that of the inverse; of order 2 the
    /// greatest singular value divided by the least one, of -2 the inverse of that. Shapes: `[.., m, n]` -> `[..]`; other
    /// orders than 2 and -2 are for square matrices.
    ///
    /// Errors: another `p`.
    #[track_caller]
    pub fn cond(&self, p: f64) -> Tensor {
        if let Err(poisoned) = self.require_matrix("cond") {
            return poisoned;
        }
        self.within("cond", || {
            let (m, n) = self.matrix_extents();
            if p.abs() != 2.0 {
                return self.matrix_norm(p, [-2, -1], false) * self.inverse().matrix_norm(p, [-2, -1], false);
            }
            if m.min(n) == 0 {
                return self.refuse("cond", "a matrix without elements has no singular values");
            }
            let values = self.svdvals();
            let (greatest, least) = (values.select_index(-1, 0), values.select_index(-1, -1));
            if p > 0.0 { greatest / least } else { least / greatest }
        })
    }

    /// Norms of the matrices of two axes: the sum of the singular values.
    #[track_caller]
    pub fn nuclear_norm(&self, axes: [i64; 2], keep_axes: bool) -> Tensor {
        self.within("nuclear_norm", || {
            self.of_singular_values(axes, keep_axes, |values| values.sum(keep(-1)))
        })
    }

    /// A number for each of the matrices of two axes, from its singular values.
    pub(super) fn of_singular_values(
        &self,
        axes: [i64; 2],
        keep_axes: bool,
        function: impl Fn(&Tensor) -> Tensor,
    ) -> Tensor {
        let (row, column) = match (self.axis("matrix_norm", axes[0]), self.axis("matrix_norm", axes[1])) {
            (Ok(row), Ok(column)) => (row as i64, column as i64),
            (Err(poisoned), _) | (_, Err(poisoned)) => return poisoned,
        };
        if row == column {
            return self.refuse("matrix_norm", "rows and columns need two axes");
        }
        let norms = function(&self.movedims([row, column], [-2, -1]).svdvals());
        if !keep_axes {
            return norms.squeeze(-1);
        }
        norms.unsqueeze(-1).movedims([-2, -1], [row, column])
    }

    /// The pseudo-inverse, the inverse in the sense of least squares: of singular values that are not zero but for rounding
    /// (see [`matrix_rank`](Tensor::matrix_rank)).
    ///
    /// Shapes: `[.., m, n]` -> `[.., n, m]`. Derivatives are those among matrices of the same rank; there is no other one.
    #[track_caller]
    pub fn pinverse(&self) -> Tensor {
        self.called("pinverse", || self.pinverse_within(0.0, self.default_tolerance()))
    }

    /// The pseudo-inverse of the singular values that are greater than `absolute` and than `relative` times the greatest
    /// one; the others count as zero. Shapes: tolerances broadcast to the batch.
    ///
    /// Source of the derivative: Golub and Pereyra, *The Differentiation of Pseudo-Inverses and Nonlinear Least Squares
    /// Problems Whose Variables Separate*, 1973, theorem 4.3.
    #[track_caller]
    pub fn pinverse_within(&self, absolute: impl Into<Operand>, relative: impl Into<Operand>) -> Tensor {
        let (absolute, relative) = (absolute.into(), relative.into());
        if let Err(poisoned) = self.require_matrix("pinverse_within") {
            return poisoned;
        }
        let (m, n) = self.matrix_extents();
        if self.n_elements() == 0 {
            return self.within("pinverse", || self.transpose(-1, -2));
        }
        if m < n {
            return self.within("pinverse", || {
                self.transpose(-1, -2).pinverse_within(absolute, relative).transpose(-1, -2)
            });
        }
        self.expanded("pinverse", |matrix| {
            let Diagonalized { values, left, right } = matrix.singular_diagonalized(false);
            let is_counted = values.which_count(absolute, relative);
            let inverse = is_counted.select(1.0 / is_counted.select(&values, 1.0), 0.0);
            let found = (right.transpose(-1, -2) * inverse.unsqueeze(-2)).matmul(&left.transpose(-1, -2));
            // The trapezoidal rule along the change, exact to second order; both terms are zero but for their derivatives.
            let change = matrix.change();
            let first = pinverse_change(&found, &matrix.detach(), &change);
            let second = pinverse_change(&(&found + &first), matrix, &change);
            found + (first + second) * 0.5
        })
    }

    /// Polar decomposition (PyTorch's `linalg.polar`): the nearest matrix with orthogonal columns, and a symmetric one without
    /// negative eigenvalues; `self` is their product.
    ///
    /// Shapes: `[.., m, n]` with `m` at least `n` -> `[.., m, n]` and `[.., n, n]`. Derivatives hold for matrices of full rank,
    /// of which singular values may be equal. Source: Higham, *Functions of Matrices*, 2008, chapter 8.
    #[track_caller]
    pub fn polar(&self) -> (Tensor, Tensor) {
        if let Err(poisoned) = self.require_matrix("polar") {
            return (poisoned.clone(), poisoned);
        }
        let (m, n) = self.matrix_extents();
        if m < n {
            let poisoned = self.refuse("polar", "it is for matrices with at least as many rows as columns");
            return (poisoned.clone(), poisoned);
        }
        if self.n_elements() == 0 {
            let (u, _, vt) = self.svd(false);
            return (u, vt);
        }
        self.expanded("polar", |matrix| {
            let Diagonalized { values, left, right } = matrix.singular_diagonalized(false);
            let t = |x: &Tensor| x.transpose(-1, -2);
            let moved = matrix.change().matmul(&t(&right));
            let inside = t(&left).matmul(&moved);
            let outside = moved - left.matmul(&inside);
            // In the coordinates of the singular vectors the symmetric factor is diagonal, and its square changes so.
            let stretched = &inside * values.unsqueeze(-1);
            let of_square = &stretched + t(&stretched);
            let second = t(&inside).matmul(&inside) + t(&outside).matmul(&outside);
            let growth = root_change(&values, &(&of_square + second));
            // The other factor is `1 + turn` there, `(1 + turn) (values + growth) = values + inside`, and beside its columns
            // `tilt (values + growth) = outside`: one order after the other.
            let (by_values, by_sums) = (inverse_values(&values).unsqueeze(-2), inverse_sums(&values));
            let turn = (&inside - t(&inside)) * &by_sums;
            let tilt = &outside * &by_values;
            let later_growth = &growth - of_square * by_sums;
            let second_turn = (turn.matmul(&growth) + later_growth) * &by_values;
            let second_tilt = tilt.matmul(&growth) * by_values;
            let turned = &left + left.matmul(&(turn - second_turn)) + tilt - second_tilt;
            let symmetric = t(&right) * values.unsqueeze(-2) + t(&right).matmul(&growth);
            (turned.matmul(&right), symmetric.matmul(&right))
        })
    }
}

/// The first derivative of a pseudo-inverse, multiplied by a change of the matrix.
fn pinverse_change(inverse: &Tensor, matrix: &Tensor, change: &Tensor) -> Tensor {
    let t = |x: &Tensor| x.transpose(-1, -2);
    let across = t(change);
    let beyond_rows = &across - across.matmul(matrix).matmul(inverse);
    let beyond_columns = &across - inverse.matmul(matrix).matmul(&across);
    inverse.matmul(&t(inverse)).matmul(&beyond_rows) + beyond_columns.matmul(&t(inverse)).matmul(inverse)
        - inverse.matmul(change).matmul(inverse)
}
