//! LAPACK's packed forms of decompositions: triangles and reflections in the place of the matrix they were made from.
//!
//! Shapes: matrices are the last two axes, axes before them a batch. Types: floats. Errors: extents that do not fit. As in
//! `linalg.rs` each algorithm is a loop over columns, and gradients of all orders go through it.
//!
//! Source: Golub and Van Loan, *Matrix Computations*, fourth edition; the section is named at each function. The forms are
//! those of the LAPACK Users' Guide, third edition, 1999.

use super::diagonal::unit_matrix;
use super::{Scan, Tensor, keep};
use kiln_ir::DType;

impl Tensor {
    /// Both triangles of [`lu`](Tensor::lu) in one matrix, without the ones on the diagonal of the lower one, and for each
    /// row the one that it changed places with, from 1, one after the other (3.4).
    ///
    /// Shapes: `[.., m, n]` -> `[.., m, n]`, and `[.., k]` of `i32` with `k` the lesser of `m` and `n`.
    #[track_caller]
    pub fn lu_factor(&self) -> (Tensor, Tensor) {
        if let Err(poisoned) = self.require_matrix("lu_factor") {
            return (poisoned.clone(), poisoned);
        }
        self.within("lu_factor", || {
            let (m, n) = self.matrix_extents();
            let k = m.min(n);
            if self.n_elements() == 0 {
                let batch = self.rank() - 2;
                let shape = self.shape().iter().take(batch).copied().chain([k]).collect();
                return (self.clone(), self.fill(DType::I32, shape, 1.0));
            }
            let (packed, places) = self.eliminated_below(k, n);
            (packed, (places + 1).cast(DType::I32))
        })
    }

    /// Permutation, lower and upper triangle, as [`lu`](Tensor::lu) gives them, of what
    /// [`lu_factor`](Tensor::lu_factor) gives.
    #[track_caller]
    pub fn lu_unpack(&self, pivots: &Tensor) -> [Tensor; 3] {
        if let Err(poisoned) = self.require_matrix("lu_unpack") {
            return [(); 3].map(|()| poisoned.clone());
        }
        self.within("lu_unpack", || {
            let (m, n) = self.matrix_extents();
            let k = m.min(n) as i64;
            let lower = self.slice(-1, ..k).tril(-1);
            let unit = unit_matrix(self, m).slice(-1, ..k);
            [self.permutation(pivots), lower + unit, self.slice(-2, ..k).triu(0)]
        })
    }

    /// `x` of `A x = right`, or of `A' x = right` with `transposed`, or with the factors exchanged unless `left`, from what
    /// [`lu_factor`](Tensor::lu_factor) gives for `A` (3.4.3).
    ///
    /// Shapes: `self: [.., n, n]`, `right: [.., n, m]`, or `[.., m, n]` unless `left`.
    #[track_caller]
    pub fn lu_solve(&self, pivots: &Tensor, right: &Tensor, left: bool, transposed: bool) -> Tensor {
        if let Err(poisoned) = self.require_square("lu_solve") {
            return poisoned;
        }
        self.within("lu_solve", || {
            if !left {
                // x A = b is A' x' = b'.
                let turned = right.transpose(-1, -2);
                return self.lu_solve(pivots, &turned, true, !transposed).transpose(-1, -2);
            }
            let order = self.permutation(pivots);
            if transposed {
                let both = self.transpose(-1, -2);
                let y = both.solve_triangular(right, false, false);
                return order.matmul(&both.solve_triangular(&y, true, true));
            }
            let y = self.solve_triangular(&order.transpose(-1, -2).matmul(right), false, true);
            self.solve_triangular(&y, true, false)
        })
    }

    /// The permutation matrix of rows that changed places one after the other, with the rows of `self`.
    fn permutation(&self, pivots: &Tensor) -> Tensor {
        let m = self.shape()[self.rank() - 2];
        let k = pivots.shape()[pivots.rank() - 1];
        let places = self.places(m);
        let start = places.broadcast_to(pivots.shape().with_extent(pivots.rank() - 1, m));
        let order = if pivots.n_elements() == 0 {
            start
        } else {
            let others = (pivots.cast(DType::I64) - 1).movedim(-1, 0);
            let scanned = Scan::over(&[&self.counts(k), &others]).carry(&[&start]).run(|order, parts| {
                let (order, k, other) = (&order[0], &parts[0], parts[1].unsqueeze(-1));
                let (is_one, is_other) = (places.eq(k), places.eq(&other));
                let at = |place: &Tensor| place.select(order, 0).sum(keep(-1));
                let next = is_one.select(at(&is_other), is_other.select(at(&is_one), order));
                (vec![next], vec![])
            });
            scanned.carried[0].clone()
        };
        places.unsqueeze(-1).eq(order.unsqueeze(-2)).cast(self.dtype())
    }

    /// The triangle of [`qr`](Tensor::qr), below it the reflections whose product the orthogonal matrix is, and their
    /// factors (5.1.3, 5.2.2): reflection `i` is `1 - factor v v'`, with zeros above place `i` of `v`, a one there, and below
    /// it what is below the diagonal.
    ///
    /// Shapes: `[.., m, n]` -> `[.., m, n]` and `[.., k]` with `k` the lesser of `m` and `n`.
    #[track_caller]
    pub fn geqrf(&self) -> (Tensor, Tensor) {
        if let Err(poisoned) = self.require_matrix("geqrf") {
            return (poisoned.clone(), poisoned);
        }
        self.within("geqrf", || {
            let (m, n) = self.matrix_extents();
            if self.n_elements() == 0 {
                return (self.clone(), self.sum(if m < n { -1 } else { -2 }));
            }
            let (rows, columns, index) = (self.places(m), self.places(n), self.counts(m.min(n)));
            let scanned = Scan::over(&[&index]).carry(&[self]).run(|carried, k| {
                let (rest, k) = (&carried[0], &k[0]);
                let column = columns.eq(k).select(rest, 0.0).sum(-1);
                let first = rows.eq(k).select(&column, 0.0).sum(keep(-1));
                let below = rows.gt(k).select(&column, 0.0).square().sum(keep(-1));
                let is_done = below.eq(0.0);
                let size = is_done.select(1.0, first.square() + below).sqrt();
                let corner = is_done.select(&first, first.lt(0.0).select(&size, -&size));
                let divisor = is_done.select(1.0, &first - &corner);
                let factor = is_done.select(0.0, -&divisor / is_done.select(1.0, &corner));
                let axis = rows.eq(k).select(1.0, rows.gt(k).select(&column / divisor, 0.0));
                let along = (axis.unsqueeze(-1) * rest).sum(keep(-2));
                let reflected = rest - (&axis * &factor).unsqueeze(-1) * along;
                let packed = rows.eq(k).select(&corner, rows.gt(k).select(&axis, &column));
                let next = columns.gt(k).select(reflected, columns.eq(k).select(packed.unsqueeze(-1), rest));
                (vec![next], vec![factor.squeeze(-1)])
            });
            (scanned.carried[0].clone(), scanned.stacked[0].movedim(0, -1))
        })
    }

    /// The first columns of the product of the reflections that [`geqrf`](Tensor::geqrf) packs (5.1.6): as many as `self`
    /// has.
    ///
    /// Shapes: `self: [.., m, n]`, `factors: [.., k]` with `k` at most `n`, and `n` at most `m` -> `[.., m, n]`.
    #[track_caller]
    pub fn householder_product(&self, factors: &Tensor) -> Tensor {
        if let Err(poisoned) = self.require_matrix("householder_product") {
            return poisoned;
        }
        self.within("householder_product", || {
            let (m, n) = self.matrix_extents();
            let unit = unit_matrix(self, m).slice(-1, ..n as i64).broadcast_to(self.shape().clone());
            self.reflected(factors, &unit, false)
        })
    }

    /// The product `Q other` of the orthogonal matrix whose reflections [`geqrf`](Tensor::geqrf) packs, or `Q' other` with
    /// `transposed`, or with the factors exchanged unless `left` (5.1.4).
    ///
    /// Shapes: `self: [.., m, k]`, `factors: [.., k]`, `other: [.., m, p]`, or `[.., p, m]` unless `left`.
    #[track_caller]
    pub fn ormqr(&self, factors: &Tensor, other: &Tensor, left: bool, transposed: bool) -> Tensor {
        if let Err(poisoned) = self.require_matrix("ormqr") {
            return poisoned;
        }
        self.within("ormqr", || match left {
            true => self.reflected(factors, other, transposed),
            // C Q is (Q' C')'.
            false => self.reflected(factors, &other.transpose(-1, -2), !transposed).transpose(-1, -2),
        })
    }

    /// `x` reflected one after the other: by the first reflection first, or last.
    fn reflected(&self, factors: &Tensor, x: &Tensor, first_to_last: bool) -> Tensor {
        let (m, _) = self.matrix_extents();
        let k = factors.shape()[factors.rank() - 1];
        if x.rank() < 2 || x.shape()[x.rank() - 2] != m {
            return x.refuse("ormqr", format!("it needs {m} rows"));
        }
        if k == 0 || x.n_elements() == 0 {
            return x.clone();
        }
        let rows = self.places(m);
        let columns = self.slice(-1, ..k as i64).movedim(-1, 0);
        let (index, factors) = (self.counts(k), factors.movedim(-1, 0));
        let parts = [&index, &columns, &factors];
        let scan = Scan::over(&parts).carry(&[x]);
        let scan = if first_to_last { scan } else { scan.reversed() };
        let scanned = scan.run(|x, parts| {
            let (x, [k, column, factor]) = (&x[0], [&parts[0], &parts[1], &parts[2]]);
            let axis = rows.eq(k).select(1.0, rows.gt(k).select(column, 0.0));
            let along = (axis.unsqueeze(-1) * x).sum(keep(-2));
            (vec![x - (axis * factor.unsqueeze(-1)).unsqueeze(-1) * along], vec![])
        });
        scanned.carried[0].clone()
    }
}
