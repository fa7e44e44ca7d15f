//! Solutions, inverses, determinants and decompositions of matrices.
//!
//! Shapes: matrices are the last two axes; axes before them are a batch, and broadcast. Types: floats. Each algorithm is a
//! loop over rows or columns, whose step works on whole matrices: neither the graph nor compile time grow with the
//! extents, work grows with their third power. Gradients of all orders go through the loop, which keeps a matrix for each
//! step. Errors: extents that do not fit. What cannot be solved gives infinities or NaN.
//!
//! Source: Golub and Van Loan, *Matrix Computations*, fourth edition; the section is named at each function.

use super::convert::broadcast_shapes;
use super::diagonal::unit_matrix;
use super::{Scan, Tensor, cat, keep};
use kiln_ir::{DType, Shape, TensorData};

/// What elimination gives.
struct Eliminated {
    /// The matrix after it, and what stood beside it.
    joined: Tensor,
    /// The pivots, along the last axis.
    pivots: Tensor,
    /// -1 after an odd number of exchanged rows, else 1.
    sign: Tensor,
}

impl Tensor {
    /// `x` of `self x = right`.
    ///
    /// Gauss and Jordan's elimination with partial pivoting (3.4). Shapes: `self: [.., n, n]`, `right: [.., n, m]`.
    #[track_caller]
    pub fn solve(&self, right: &Tensor) -> Tensor {
        if let Err(poisoned) = self.require_square("solve") {
            return poisoned;
        }
        let n = self.shape()[self.rank() - 1];
        if right.rank() < 2 || right.shape()[right.rank() - 2] != n {
            return right.refuse("solve", format!("the right side needs {n} rows"));
        }
        self.within("solve", || {
            let (left, right) = same_batch(self, right);
            if right.n_elements() == 0 || n == 0 {
                return right;
            }
            let joined = cat(&[&left, &right], -1);
            joined.eliminated(n, true).joined.slice(-1, n as i64..)
        })
    }

    /// The inverse matrix: [`solve`](Tensor::solve) for the unit matrix.
    #[track_caller]
    pub fn inverse(&self) -> Tensor {
        if let Err(poisoned) = self.require_square("inverse") {
            return poisoned;
        }
        self.within("inverse", || self.solve(&unit_matrix(self, self.shape()[self.rank() - 1])))
    }

    /// The determinant: the product of the pivots of elimination (3.4).
    #[track_caller]
    pub fn det(&self) -> Tensor {
        if let Err(poisoned) = self.require_square("det") {
            return poisoned;
        }
        self.within("det", || {
            let n = self.shape()[self.rank() - 1];
            if n == 0 {
                return self.ones_like().prod([-2, -1]);
            }
            let Eliminated { pivots, sign, .. } = self.eliminated(n, false);
            pivots.prod(-1) * sign
        })
    }

    /// The determinant's sign and the logarithm of its size, without overflow.
    #[track_caller]
    pub fn slogdet(&self) -> (Tensor, Tensor) {
        if let Err(poisoned) = self.require_square("slogdet") {
            return (poisoned.clone(), poisoned);
        }
        self.within("slogdet", || {
            let n = self.shape()[self.rank() - 1];
            if n == 0 {
                return (self.ones_like().prod([-2, -1]), self.sum([-2, -1]));
            }
            let Eliminated { pivots, sign, .. } = self.eliminated(n, false);
            (pivots.sign().prod(-1) * sign, pivots.abs().log().sum(-1))
        })
    }

    /// The logarithm of the determinant; NaN of a negative one.
    #[track_caller]
    pub fn logdet(&self) -> Tensor {
        self.within("logdet", || {
            let (sign, log) = self.slogdet();
            sign.lt(0.0).select(f64::NAN, log)
        })
    }

    /// Permutation, lower and upper triangle of which `self` is the product (3.4): the lower one has ones on its diagonal,
    /// the greatest element of each column is the pivot.
    ///
    /// Shapes: `[.., m, n]` -> `[.., m, m]`, `[.., m, k]`, `[.., k, n]` with `k` the lesser of `m` and `n`.
    #[track_caller]
    pub fn lu(&self) -> [Tensor; 3] {
        if let Err(poisoned) = self.require_matrix("lu") {
            return [(); 3].map(|()| poisoned.clone());
        }
        self.within("lu", || {
            let (m, n) = self.matrix_extents();
            let k = m.min(n);
            let (left, unit) = same_batch(self, &unit_matrix(self, m));
            if k == 0 {
                return [unit, left.slice(-1, ..0), left.slice(-2, ..0)];
            }
            let (joined, _) = cat(&[&left, &unit], -1).eliminated_below(k, n);
            let (packed, order) = (joined.slice(-1, ..n as i64), joined.slice(-1, n as i64..));
            let lower = packed.slice(-1, ..k as i64).tril(-1) + unit.slice(-1, ..k as i64);
            [order.transpose(-1, -2), lower, packed.slice(-2, ..k as i64).triu(0)]
        })
    }

    /// The lower triangle of which `self` is the product with its transpose, for a symmetric positive definite matrix (4.2).
    /// The gradient is that of the mean of `self` and its transpose.
    #[track_caller]
    pub fn cholesky(&self) -> Tensor {
        if let Err(poisoned) = self.require_square("cholesky") {
            return poisoned;
        }
        self.within("cholesky", || {
            let n = self.shape()[self.rank() - 1];
            if self.n_elements() == 0 {
                return self.clone();
            }
            let symmetric = (self + self.transpose(-1, -2)) * 0.5;
            let (rows, index) = (self.places(n), self.counts(n));
            let scanned = Scan::over(&[&index]).carry(&[&symmetric]).run(|rest, k| {
                let (rest, k) = (&rest[0], &k[0]);
                let column = rows.eq(k).select(rest, 0.0).sum(-1);
                let column = rows.ge(k).select(column, 0.0);
                let diagonal = rows.eq(k).select(&column, 0.0).sum(keep(-1));
                let column = column / diagonal.sqrt();
                let next = rest - column.unsqueeze(-1) * column.unsqueeze(-2);
                (vec![next], vec![column])
            });
            scanned.stacked[0].movedim(0, -1)
        })
    }

    /// `x` of `A x = right`, where `A` is the product of `self`, a lower triangle, and its transpose, or of the transpose of an
    /// upper one and that: two substitutions (4.2). Elements of the other triangle are not read. As in PyTorch the gradient is
    /// that of the product all the same, in both triangles; for derivatives of a second order, in the one that is read.
    ///
    /// Shapes: `self: [.., n, n]`, `right: [.., n, m]`.
    #[track_caller]
    pub fn cholesky_solve(&self, right: &Tensor, upper: bool) -> Tensor {
        if let Err(poisoned) = self.require_square("cholesky_solve") {
            return poisoned;
        }
        self.within("cholesky_solve", || {
            let triangle = if upper { self.triu(0) } else { self.tril(0) };
            // Zeros: to the first order `(T + Z)^-1 = T^-1 - T^-1 Z T^-1`, and `Z` takes the gradient of the other triangle.
            let zeros = self - self.detach();
            let zeros = if upper { zeros.tril(-1) } else { zeros.triu(1) };
            let turned = [&triangle, &zeros].map(|matrix| matrix.transpose(-1, -2));
            let straight = [triangle, zeros];
            let (first, second) = if upper { (&turned, &straight) } else { (&straight, &turned) };
            let substitute = |[triangle, zeros]: &[Tensor; 2], right: &Tensor, upper| {
                let x = triangle.solve_triangular(right, upper, false);
                let by_zeros = triangle.solve_triangular(&zeros.matmul(&x), upper, false);
                x - by_zeros
            };
            substitute(second, &substitute(first, right, false), true)
        })
    }

    /// The inverse of the matrix that has this triangle: [`cholesky_solve`](Tensor::cholesky_solve) for the unit matrix.
    #[track_caller]
    pub fn cholesky_inverse(&self, upper: bool) -> Tensor {
        if let Err(poisoned) = self.require_square("cholesky_inverse") {
            return poisoned;
        }
        self.within("cholesky_inverse", || {
            self.cholesky_solve(&unit_matrix(self, self.shape()[self.rank() - 1]), upper)
        })
    }

    /// `x` of `self x = right` for a lower triangle, by forward substitution (3.1), or for an upper one. Elements of the
    /// other triangle are not read; with `unit` neither is the diagonal, which counts as ones.
    ///
    /// Shapes: `self: [.., n, n]`, `right: [.., n, m]`.
    #[track_caller]
    pub fn solve_triangular(&self, right: &Tensor, upper: bool, unit: bool) -> Tensor {
        if let Err(poisoned) = self.require_square("solve_triangular") {
            return poisoned;
        }
        let n = self.shape()[self.rank() - 1];
        if right.rank() < 2 || right.shape()[right.rank() - 2] != n {
            return right.refuse("solve_triangular", format!("the right side needs {n} rows"));
        }
        let batches = [self, right].map(|x| Shape::new(&x.shape()[..x.rank() - 2]));
        if broadcast_shapes(&batches[0], &batches[1]).is_none() {
            let problem = format!("batches of {} and {} do not broadcast", batches[0], batches[1]);
            return self.refuse_with(("matrix", self), ("right", right), "solve_triangular", &problem);
        }
        self.within("solve_triangular", || {
            if upper {
                // Both axes turned around it is a lower triangle.
                let lower = self.flip([-2, -1]);
                return lower.solve_triangular(&right.flip(-2), false, unit).flip(-2);
            }
            let (left, right) = same_batch(self, right);
            if right.n_elements() == 0 {
                return right;
            }
            let (places, index) = (self.places(n), self.counts(n));
            let (rows, sides) = (left.movedim(-2, 0), right.movedim(-2, 0));
            let scanned =
                Scan::over(&[&index, &rows, &sides]).carry(&[&right.zeros_like()]).run(|x, parts| {
                    let (x, [k, row, side]) = (&x[0], [&parts[0], &parts[1], &parts[2]]);
                    // What is not solved yet is zero.
                    let rest = side - (row.unsqueeze(-1) * x).sum(-2);
                    let solved = match unit {
                        true => rest,
                        false => rest / places.eq(k).select(row, 0.0).sum(keep(-1)),
                    };
                    let next = places.eq(k).unsqueeze(-1).select(solved.unsqueeze(-2), x);
                    (vec![next], vec![])
                });
            scanned.carried[0].clone()
        })
    }

    /// An orthogonal matrix and an upper triangle of which `self` is the product, by reflections (5.2). The signs are
    /// LAPACK's. With `complete` the orthogonal matrix is square.
    ///
    /// Shapes: `[.., m, n]` -> `[.., m, k]` and `[.., k, n]` with `k` the lesser of `m` and `n`, or `m` if complete.
    #[track_caller]
    pub fn qr(&self, complete: bool) -> (Tensor, Tensor) {
        if let Err(poisoned) = self.require_matrix("qr") {
            return (poisoned.clone(), poisoned);
        }
        self.within("qr", || {
            let (m, n) = self.matrix_extents();
            let k = m.min(n);
            let kept = if complete { m } else { k } as i64;
            let (start, unit) = same_batch(self, &unit_matrix(self, m));
            if k == 0 {
                return (unit.slice(-1, ..kept), start.slice(-2, ..kept));
            }
            let (rows, columns, index) = (self.places(m), self.places(n), self.counts(k));
            let scanned = Scan::over(&[&index]).carry(&[&start, &unit]).run(|carried, k| {
                let ([r, q], k) = ([&carried[0], &carried[1]], &k[0]);
                let column = rows.ge(k).select(columns.eq(k).select(r, 0.0).sum(-1), 0.0);
                let first = rows.eq(k).select(&column, 0.0).sum(keep(-1));
                let below = rows.gt(k).select(&column, 0.0).square().sum(keep(-1));
                // Nothing to reflect: the column is one already.
                let is_done = below.eq(0.0);
                let size = is_done.select(1.0, first.square() + below).sqrt();
                let shift = first.lt(0.0).select(-&size, &size);
                let axis = &column + rows.eq(k).select(shift, 0.0);
                let scale = is_done.select(0.0, 2.0 / is_done.select(1.0, axis.square().sum(keep(-1))));
                let scaled = (&axis * scale).unsqueeze(-1);
                let along = |x: &Tensor| (axis.unsqueeze(-1) * x).sum(keep(-2));
                let next_r = r - &scaled * along(r);
                // Transposed, so that reflections come from the left as well.
                let next_q = q - &scaled * along(q);
                (vec![next_r, next_q], vec![])
            });
            let [r, q] = [0, 1].map(|i| scanned.carried[i].clone());
            (q.transpose(-1, -2).slice(-1, ..kept), r.slice(-2, ..kept).triu(0))
        })
    }

    /// The exponential function of a square matrix: Taylor's series of a matrix made small, squared as often as it was
    /// halved (9.3).
    #[track_caller]
    pub fn matrix_exp(&self) -> Tensor {
        /// Halvings at most: for norms up to 8,000.
        const SQUARINGS: usize = 16;
        /// Terms after the first: the next one of a matrix of norm 1/8 is below 1e-16 of the sum.
        const TERMS: i32 = 10;
        if let Err(poisoned) = self.require_square("matrix_exp") {
            return poisoned;
        }
        self.within("matrix_exp", || {
            let n = self.shape()[self.rank() - 1];
            if self.n_elements() == 0 {
                return self.clone();
            }
            let norm = self.abs().sum(keep(-1)).max(keep([-2, -1])).detach();
            let halvings = (norm * 8.0).clamp_min(1.0).log2().ceil().clamp_max(SQUARINGS as f64);
            let x = self * (-&halvings).exp2();
            let unit = unit_matrix(self, n);
            // Horner's rule: 1 + x (1 + x/2 (1 + x/3 (..))).
            let mut sum = unit.expand_as(&x);
            for k in (1..=TERMS).rev() {
                sum = x.matmul(&sum) / k + &unit;
            }
            let index = self.counts(SQUARINGS);
            let scanned = Scan::over(&[&index]).carry(&[&sum]).run(|y, k| {
                let is_wanted = halvings.gt(k[0].cast(halvings.dtype()));
                (vec![is_wanted.select(y[0].matmul(&y[0]), &y[0])], vec![])
            });
            scanned.carried[0].clone()
        })
    }

    /// `x` that makes `self x - right` least, for a matrix of full rank: by its [`qr`](Tensor::qr) with at least as many rows
    /// as columns (5.3), else the least such `x`.
    #[track_caller]
    pub fn lstsq(&self, right: &Tensor) -> Tensor {
        if let Err(poisoned) = self.require_matrix("lstsq") {
            return poisoned;
        }
        self.within("lstsq", || {
            let (m, n) = self.matrix_extents();
            if m >= n {
                let (q, r) = self.qr(false);
                r.solve_triangular(&q.transpose(-1, -2).matmul(right), true, false)
            } else {
                let (q, r) = self.transpose(-1, -2).qr(false);
                q.matmul(&r.transpose(-1, -2).solve_triangular(right, false, false))
            }
        })
    }

    /// Elimination of the first `n` columns with partial pivoting: below the pivots, or above them too (`fully`), where a
    /// pivot row is also divided by its pivot.
    fn eliminated(&self, n: usize, fully: bool) -> Eliminated {
        let (m, width) = self.matrix_extents();
        let (rows, columns, index) = (self.places(m), self.places(width), self.counts(n));
        let sign = self.select_index(-1, 0).select_index(-1, 0).ones_like();
        let scanned = Scan::over(&[&index]).carry(&[self, &sign]).run(|carried, k| {
            let k = &k[0];
            let Exchanged { rest, top, place } = carried[0].exchanged(k, &rows, &columns);
            let is_column = columns.eq(k);
            let pivot = is_column.select(&top, 0.0).sum(keep(-1));
            // Below a pivot of zero all is zero already; a solution there is none.
            let row = if fully { &top / &pivot } else { &top / pivot.eq(0.0).select(1.0, &pivot) };
            let factor = is_column.select(&rest, 0.0).sum(keep(-1));
            let is_row = rows.eq(k).unsqueeze(-1);
            let eliminated = &rest - factor * &row;
            let next = match fully {
                true => is_row.select(row, eliminated),
                false => rows.gt(k).unsqueeze(-1).select(eliminated, rest),
            };
            let sign = place.ne(k).select(-&carried[1], &carried[1]);
            (vec![next, sign], vec![pivot.squeeze([-2, -1])])
        });
        let [joined, sign] = [0, 1].map(|i| scanned.carried[i].clone());
        Eliminated { joined, pivots: scanned.stacked[0].movedim(0, -1), sign }
    }

    /// Elimination of the first `k` columns below the pivots, of which the factors stay where they made zeros. Of the other
    /// columns the first ones up to `n` belong to the matrix, those behind are only exchanged. Also the places of the rows
    /// that the first ones were exchanged with, along the last axis.
    pub(super) fn eliminated_below(&self, k: usize, n: usize) -> (Tensor, Tensor) {
        let (m, width) = self.matrix_extents();
        let (rows, columns, index) = (self.places(m), self.places(width), self.counts(k));
        let scanned = Scan::over(&[&index]).carry(&[self]).run(|carried, k| {
            let k = &k[0];
            let Exchanged { rest, top, place } = carried[0].exchanged(k, &rows, &columns);
            let is_column = columns.eq(k);
            let pivot = is_column.select(&top, 0.0).sum(keep(-1));
            let factor = is_column.select(&rest, 0.0).sum(keep(-1)) / pivot.eq(0.0).select(1.0, &pivot);
            let is_changed = columns.gt(k).logical_and(columns.lt(n as i64));
            let right = is_changed.select(&rest - &factor * &top, &rest);
            let below = is_column.select(&factor, right);
            (vec![rows.gt(k).unsqueeze(-1).select(below, rest)], vec![place])
        });
        (scanned.carried[0].clone(), scanned.stacked[0].movedim(0, -1))
    }

    /// Row `k` exchanged with the one, from there on, whose element in column `k` is the greatest.
    fn exchanged(&self, k: &Tensor, rows: &Tensor, columns: &Tensor) -> Exchanged {
        let column = columns.eq(k).select(self, 0.0).sum(-1);
        let best = rows.ge(k).select(column.abs(), -1.0).argmax(keep(-1));
        let is_best = rows.eq(&best).unsqueeze(-1);
        let is_row = rows.eq(k).unsqueeze(-1);
        let top = is_best.select(self, 0.0).sum(keep(-2));
        let old = is_row.select(self, 0.0).sum(keep(-2));
        let rest = is_row.select(&top, is_best.select(old, self));
        Exchanged { rest, top, place: best.squeeze(-1) }
    }

    /// Rows and columns.
    pub(super) fn matrix_extents(&self) -> (usize, usize) {
        (self.shape()[self.rank() - 2], self.shape()[self.rank() - 1])
    }

    /// The numbers from 0 to `n - 1`, to compare with the number of a step.
    pub(super) fn places(&self, n: usize) -> Tensor {
        self.iota(DType::I64, Shape::new(&[n]), 0)
    }

    /// The numbers from 0 to `n - 1`, as what a loop walks over.
    pub(super) fn counts(&self, n: usize) -> Tensor {
        self.constant(TensorData::new([n], (0..n as i64).collect::<Vec<_>>()))
    }

    #[track_caller]
    pub(super) fn require_matrix(&self, op: &'static str) -> Result<(), Tensor> {
        if self.rank() < 2 || !self.dtype().is_float() {
            return Err(self.refuse(op, "it is for matrices of floating-point numbers"));
        }
        Ok(())
    }

    #[track_caller]
    pub(super) fn require_square(&self, op: &'static str) -> Result<(), Tensor> {
        self.require_matrix(op)?;
        let (m, n) = self.matrix_extents();
        if m == n { Ok(()) } else { Err(self.refuse(op, "it is for square matrices")) }
    }
}

/// A matrix after rows have changed places.
struct Exchanged {
    rest: Tensor,
    /// The row that is at the place in question now.
    top: Tensor,
    /// Where it was.
    place: Tensor,
}

/// Two tensors of matrices with one batch; as they are when theirs do not broadcast, which the next function refuses.
pub(super) fn same_batch(a: &Tensor, b: &Tensor) -> (Tensor, Tensor) {
    let batch = |x: &Tensor| Shape::new(&x.shape()[..x.rank() - 2]);
    let Some(common) = broadcast_shapes(&batch(a), &batch(b)) else { return (a.clone(), b.clone()) };
    let to = |x: &Tensor| {
        let shape: Shape = common.iter().chain(&x.shape()[x.rank() - 2..]).copied().collect();
        x.broadcast_to(shape)
    };
    (to(a), to(b))
}
