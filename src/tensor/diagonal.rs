//! Diagonals of matrices, and matrices made of them. `offset` counts diagonals from the main one, above it positive.
//!
//! Types: any. Errors: axes that do not exist or are the same.

use super::convert::Checked;
use super::{Tensor, cat};
use kiln_ir::{DType, Shape};

impl Tensor {
    /// The elements on a diagonal of the matrices of two axes, as a new last axis.
    #[track_caller]
    pub fn diagonal(&self, offset: i64, row_axis: i64, column_axis: i64) -> Tensor {
        self.within("diagonal", || match self.matrices("diagonal", row_axis, column_axis) {
            Ok(matrices) => {
                let flat = matrices.flatten(-2, -1);
                flat.index_select(-1, &self.indices(matrices.diagonal_places(offset)))
            }
            Err(poisoned) => poisoned,
        })
    }

    /// `self` with the elements on a diagonal of the matrices of two axes replaced by those of `source`.
    ///
    /// Shapes: `source` as the result of [`diagonal`](Tensor::diagonal).
    #[track_caller]
    pub fn diagonal_scatter(&self, source: &Tensor, offset: i64, row_axis: i64, column_axis: i64) -> Tensor {
        self.within("diagonal_scatter", || match self.matrices("diagonal_scatter", row_axis, column_axis) {
            Ok(matrices) => {
                let [rows, columns] = matrices.last_extents();
                let at = self.indices(matrices.diagonal_places(offset));
                let flat = matrices.flatten(-2, -1).index_copy(-1, &at, source);
                let replaced = flat.unflatten(-1, [rows, columns]);
                // Rows and columns back to where they were: the lesser axis first.
                let rank = self.rank() as i64;
                let (row_axis, column_axis) = (row_axis.rem_euclid(rank), column_axis.rem_euclid(rank));
                replaced.with_matrices_at(row_axis, column_axis)
            }
            Err(poisoned) => poisoned,
        })
    }

    /// The last two axes at these places.
    fn with_matrices_at(&self, row_axis: i64, column_axis: i64) -> Tensor {
        if row_axis < column_axis {
            self.movedim(-2, row_axis).movedim(-1, column_axis)
        } else {
            self.movedim(-1, column_axis).movedim(-1, row_axis)
        }
    }

    /// Two axes as the last ones.
    fn matrices(&self, op: &'static str, row_axis: i64, column_axis: i64) -> Checked<Tensor> {
        let (row, column) = (self.axis(op, row_axis)?, self.axis(op, column_axis)?);
        if row == column {
            return Err(self.refuse(op, "rows and columns need two axes"));
        }
        let order: Vec<i64> = (0..self.rank())
            .filter(|axis| ![row, column].contains(axis))
            .chain([row, column])
            .map(|a| a as i64)
            .collect();
        Ok(self.permute(order))
    }

    fn last_extents(&self) -> [i64; 2] {
        [2, 1].map(|back| self.shape()[self.rank() - back] as i64)
    }

    /// The places of a diagonal in the matrix of the last two axes.
    fn diagonal_places(&self, offset: i64) -> Vec<i64> {
        let [rows, columns] = self.last_extents();
        let on_matrix = (0..rows).map(|row| (row, row + offset)).filter(|at| (0..columns).contains(&at.1));
        on_matrix.map(|(row, column)| row * columns + column).collect()
    }

    /// Matrices of zeros with the last axis on a diagonal, as two axes at these places of the result.
    #[track_caller]
    pub fn diag_embed(&self, offset: i64, row_axis: i64, column_axis: i64) -> Tensor {
        if self.rank() == 0 {
            return self.refuse("diag_embed", "it needs an axis");
        }
        let rank = self.rank() + 1;
        let (row_axis, column_axis) = match (
            self.axis_below("diag_embed", row_axis, rank),
            self.axis_below("diag_embed", column_axis, rank),
        ) {
            (Ok(row), Ok(column)) => (row as i64, column as i64),
            (Err(poisoned), _) | (_, Err(poisoned)) => return poisoned,
        };
        self.within("diag_embed", || {
            let n = self.shape()[self.rank() - 1];
            let size = n + offset.unsigned_abs() as usize;
            let (above, below) = (offset.max(0), (-offset).max(0));
            // Each element repeated along a row, and kept where it is on the diagonal.
            let wide = self.pad(&[(below, above)], 0.0).unsqueeze(-1);
            let shape: Shape = wide.shape()[..rank - 1].iter().copied().chain([size]).collect();
            let place = |axis: usize| self.iota(DType::I64, shape.clone(), axis);
            let is_on = place(rank - 1).eq(place(rank - 2) + offset);
            let matrices =
                is_on.select(wide.broadcast_to(shape.clone()), self.fill(self.dtype(), shape.clone(), 0.0));
            matrices.with_matrices_at(row_axis, column_axis)
        })
    }

    /// Of a vector the matrix with it on a diagonal; of a matrix that diagonal. Errors: other ranks.
    #[track_caller]
    pub fn diag(&self, offset: i64) -> Tensor {
        match self.rank() {
            1 => self.diag_embed(offset, 0, 1),
            2 => self.diagonal(offset, 0, 1),
            _ => self.refuse("diag", "it is for vectors and matrices"),
        }
    }

    /// The matrix with all elements on a diagonal.
    #[track_caller]
    pub fn diagflat(&self, offset: i64) -> Tensor {
        self.within("diagflat", || self.reshape([-1]).diag_embed(offset, 0, 1))
    }

    /// The sum of the main diagonal. Errors: no matrix.
    #[track_caller]
    pub fn trace(&self) -> Tensor {
        if self.rank() != 2 {
            return self.refuse("trace", "it is for matrices");
        }
        self.within("trace", || self.diagonal(0, 0, 1).sum(..))
    }
}

/// The matrix with these matrices on its diagonal, and zeros elsewhere; vectors are rows, scalars matrices of one element.
///
/// # Panics
/// When there are no tensors.
#[track_caller]
pub fn block_diag(tensors: &[&Tensor]) -> Tensor {
    let first = tensors.first().expect("`block_diag` of no tensors");
    first.within("block_diag", || {
        let blocks: Vec<Tensor> = tensors.iter().map(|x| x.atleast_2d()).collect();
        let width: usize = blocks.iter().map(|x| x.shape()[x.rank() - 1]).sum();
        let mut before = 0;
        let mut rows = Vec::new();
        for block in &blocks {
            if block.rank() != 2 {
                return block.refuse("block_diag", "it is for matrices");
            }
            let columns = block.shape()[1];
            rows.push(block.pad(&[(before as i64, (width - before - columns) as i64)], 0.0));
            before += columns;
        }
        cat(&rows.iter().collect::<Vec<_>>(), 0)
    })
}

/// A unit matrix of `n` rows, in the type of `x`.
pub(super) fn unit_matrix(x: &Tensor, n: usize) -> Tensor {
    let shape = Shape::new(&[n, n]);
    let place = |axis| x.iota(DType::I64, shape.clone(), axis);
    place(0).eq(place(1)).cast(x.dtype())
}
