//! Eigenvalues and eigenvectors of symmetric matrices.
//!
//! Shapes: matrices are the last two axes, axes before them a batch. Types: floats. Only the symmetric part of a matrix
//! counts, the mean of it and its transpose; so gradients are symmetric. Errors: matrices that are not square; third
//! derivatives.
//!
//! Values come from Jacobi's method, a loop that no gradient flows through. The gradient is that of a perturbation to
//! second order, written around the values and multiplied by the difference of the matrix and itself: nothing is added to
//! the values, and first and second derivatives are right; a third one is an error. Derivatives of vectors hold for
//! eigenvalues that differ. Where two are equal but for rounding their vectors do not turn towards one another, where the
//! true derivative is infinite and PyTorch's infinite or NaN.
//!
//! Source of the perturbation: Landau and Lifshitz, *Quantum Mechanics*, section 38; of the first derivative also Giles,
//! *An Extended Collection of Matrix Derivative Results for Forward and Reverse Mode Algorithmic Differentiation*, 2008,
//! section 3.1.

use super::Tensor;
use super::jacobi::{Diagonalized, inverse_gaps};

impl Tensor {
    /// Eigenvalues in ascending order, and eigenvectors as columns, of symmetric matrices (PyTorch's `linalg.eigh`).
    ///
    /// Shapes: `[.., n, n]` -> `[.., n]` and `[.., n, n]`. The sign of each vector is arbitrary, and may be another one than
    /// LAPACK's.
    ///
    /// ```
    /// use kiln::prelude::*;
    ///
    /// let tracer = Tracer::new("axes of an ellipse");
    /// let x = tracer.input("x", f32(&[100, 3]));
    /// let covariance = x.transpose(0, 1).matmul(&x) / 100.0;
    /// let (values, vectors) = covariance.eigh();
    /// assert_eq!((values.extents(), vectors.extents()), (&[3][..], &[3, 3][..]));
    /// ```
    #[track_caller]
    pub fn eigh(&self) -> (Tensor, Tensor) {
        if let Err(poisoned) = self.require_square("eigh") {
            return (poisoned.clone(), poisoned);
        }
        if self.n_elements() == 0 {
            return (self.sum(-1), self.clone());
        }
        self.expanded("eigh", |matrix| {
            let symmetric = matrix.symmetric_part();
            let Diagonalized { values, left: vectors, right } = symmetric.symmetric_diagonalized();
            let change = right.matmul(&symmetric.change()).matmul(&vectors);
            let gaps = inverse_gaps(&values);
            let turn = &gaps * &change;
            let shift = change.at_columns(&self.places(change.shape()[change.rank() - 1]));
            let second = &gaps * (change.matmul(&turn) - &turn * shift.unsqueeze(-2));
            // What makes them unit vectors again.
            let shrink = turn.square().sum(super::keep(-2)) * 0.5;
            let turned = &vectors + vectors.matmul(&(&turn + second)) - &vectors * shrink;
            (values + shift + (change * turn).sum(-2), turned)
        })
    }

    /// Eigenvalues of symmetric matrices, in ascending order: those of [`eigh`](Tensor::eigh).
    #[track_caller]
    pub fn eigvalsh(&self) -> Tensor {
        self.called("eigvalsh", || self.eigh().0)
    }

    /// The symmetric square root of symmetric matrices without negative eigenvalues; NaN of others.
    ///
    /// Its derivatives are right where eigenvalues are equal, too, but not where they are zero.
    #[track_caller]
    pub fn matrix_sqrth(&self) -> Tensor {
        if let Err(poisoned) = self.require_square("matrix_sqrth") {
            return poisoned;
        }
        if self.n_elements() == 0 {
            return self.clone();
        }
        self.expanded("matrix_sqrth", |matrix| {
            let symmetric = matrix.symmetric_part();
            let Diagonalized { values, left: vectors, right } = symmetric.symmetric_diagonalized();
            let roots = values.sqrt();
            let change = right.matmul(&symmetric.change()).matmul(&vectors);
            let root = (&vectors * roots.unsqueeze(-2)).matmul(&right);
            root + vectors.matmul(&root_change(&roots, &change)).matmul(&right)
        })
    }

    /// The mean of the matrix and its transpose.
    pub(super) fn symmetric_part(&self) -> Tensor {
        (self + self.transpose(-1, -2)) * 0.5
    }

    /// Zero, with the derivative of `self`.
    pub(super) fn change(&self) -> Tensor {
        self - self.detach()
    }
}

/// The change of a square root, where the root is diagonal and its square changes, to second order: from
/// `(root + y)^2 = root^2 + change`.
pub(super) fn root_change(roots: &Tensor, change: &Tensor) -> Tensor {
    let inverse = inverse_sums(roots);
    let first = change * &inverse;
    &first - first.matmul(&first) * inverse
}

/// One divided by the sum of the values of row and column; 0 where that is zero.
pub(super) fn inverse_sums(values: &Tensor) -> Tensor {
    let sums = values.unsqueeze(-1) + values.unsqueeze(-2);
    let is_zero = sums.eq(0.0);
    is_zero.select(0.0, 1.0 / is_zero.select(1.0, sums))
}
