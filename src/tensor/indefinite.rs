//! The decomposition of symmetric matrices whose eigenvalues may have either sign, and solutions by it.
//!
//! Shapes: matrices are the last two axes, axes before them a batch. Types: floats. Only the lower triangle of a matrix is
//! read. Errors: extents that do not fit. As in `linalg.rs` each algorithm is a loop over columns, and gradients of all
//! orders go through it; PyTorch has none.
//!
//! Source: Golub and Van Loan, *Matrix Computations*, fourth edition, section 4.4.4, after Bunch and Kaufman, *Some Stable
//! Methods for Calculating Inertia and Solving Symmetric Linear Systems*, 1977. The form and the order of the steps are those
//! of LAPACK's `sytf2` and `sytrs` for lower triangles.

use super::{Scan, Tensor, keep};
use kiln_ir::DType;

impl Tensor {
    /// `L` and `D` in one matrix, and the pivots, of which a symmetric matrix is the product `P L D L' P'`: `D` has blocks
    /// of one or two rows on its diagonal, `L` has ones there (PyTorch's `linalg.ldl_factor`).
    ///
    /// A positive pivot at `k` is the row, from 1, that changed places with row `k`. Two equal negative ones at `k` and
    /// `k + 1` are a block of two rows, of which the second changed places with the row that they name.
    ///
    /// Shapes: `[.., n, n]` -> `[.., n, n]`, and `[.., n]` of `i32`.
    #[track_caller]
    pub fn ldl_factor(&self) -> (Tensor, Tensor) {
        if let Err(poisoned) = self.require_square("ldl_factor") {
            return (poisoned.clone(), poisoned);
        }
        self.within("ldl_factor", || {
            let n = self.shape()[self.rank() - 1];
            if self.n_elements() == 0 {
                return (self.clone(), self.sum(-1).cast(DType::I32));
            }
            let symmetric = self.tril(0) + self.tril(-1).transpose(-1, -2);
            let last = symmetric.select_index(-1, 0).select_index(-1, 0).zeros_like().cast(DType::I64);
            let scanned = Scan::over(&[&self.counts(n)]).carry(&[&symmetric, &last]).run(|carried, k| {
                let (rest, last) = (&carried[0], &carried[1]);
                let Step { next, pivot } = rest.pivoted(&k[0], n);
                // The second row of a block: all is done.
                let is_second = last.lt(0);
                let next = is_second.unsqueeze(-1).unsqueeze(-1).select(rest, next);
                let pivot = is_second.select(last, &pivot);
                let last = is_second.select(0, &pivot);
                (vec![next, last], vec![pivot])
            });
            (scanned.carried[0].tril(0), scanned.stacked[0].movedim(0, -1).cast(DType::I32))
        })
    }

    /// `x` of `A x = right`, from what [`ldl_factor`](Tensor::ldl_factor) gives for `A`.
    ///
    /// Shapes: `self: [.., n, n]`, `pivots: [.., n]`, `right: [.., n, m]`.
    #[track_caller]
    pub fn ldl_solve(&self, pivots: &Tensor, right: &Tensor) -> Tensor {
        if let Err(poisoned) = self.require_square("ldl_solve") {
            return poisoned;
        }
        let n = self.shape()[self.rank() - 1];
        if pivots.rank() < 1 || pivots.shape()[pivots.rank() - 1] != n || pivots.dtype().is_float() {
            return pivots.refuse("ldl_solve", format!("there must be {n} pivots, which are integers"));
        }
        if right.rank() < 2 || right.shape()[right.rank() - 2] != n {
            return right.refuse("ldl_solve", format!("the right side needs {n} rows"));
        }
        self.within("ldl_solve", || {
            let (left, right) = super::linalg::same_batch(self, right);
            if right.n_elements() == 0 {
                return right;
            }
            let blocks = Blocks::new(pivots);
            // The column of `L` below a block's first row is `D`'s.
            let below = blocks.is_coupled().select(0.0, left.tril(-1));
            let y = blocks.substituted(&below, &right, false);
            blocks.substituted(&below, &left.blocks_solved(&blocks, &y), true)
        })
    }

    /// One step of the decomposition: the pivot of column `k` is chosen, brought to its place, and eliminated.
    fn pivoted(&self, k: &Tensor, n: usize) -> Step {
        /// Bunch and Kaufman's `alpha`, which makes the bound of growth least.
        const ALPHA: f64 = 0.640_388_203_202_207_6; // (1 + sqrt(17)) / 8
        let places = self.places(n);
        let (is_k, is_later) = (places.eq(k), places.gt(k));
        let column = self.column(&is_k);
        let corner = is_k.select(&column, 0.0).sum(keep(-1)).abs();
        let below = is_later.select(column.abs(), 0.0);
        let colmax = below.max(keep(-1));
        let greatest = is_later.select(column.abs(), -1.0).argmax(keep(-1));
        let is_greatest = places.eq(&greatest);
        let row = self.column(&is_greatest);
        let candidate = is_greatest.select(&row, 0.0).sum(keep(-1)).abs();
        let rowmax = places.ge(k).logical_and(is_greatest.logical_not()).select(row.abs(), 0.0).max(keep(-1));
        // Divided only where the column below is not zero, and then neither is the greatest of its row.
        let ratio = &colmax / colmax.eq(0.0).select(1.0, &rowmax);
        let stays = corner.ge(&colmax * ALPHA).logical_or(corner.ge(&colmax * ratio * ALPHA));
        let moves = stays.logical_not();
        let is_pair = moves.logical_and(candidate.lt(rowmax * ALPHA));
        let place = stays.select(k, &greatest);
        let from = is_pair.select(k + 1, k);
        let exchanged = self.exchanged_both(&places, k, &from, &place);
        let next = Elimination { places: &places, k, is_pair: &is_pair }.of(&exchanged);
        let pivot = is_pair.select(-(&place + 1), &place + 1);
        Step { next, pivot: pivot.squeeze(-1) }
    }

    /// The column where `is_here`, as a vector.
    fn column(&self, is_here: &Tensor) -> Tensor {
        is_here.unsqueeze(-2).select(self, 0.0).sum(-1)
    }

    /// Rows and columns `a` and `b` of the part from `k` on, exchanged.
    fn exchanged_both(&self, places: &Tensor, k: &Tensor, a: &Tensor, b: &Tensor) -> Tensor {
        let is_rest = places.ge(k);
        let is_rest = is_rest.unsqueeze(-1).logical_and(is_rest.unsqueeze(-2));
        let rows = self.exchanged_rows(places, a, b);
        let both = rows.transpose(-1, -2).exchanged_rows(places, a, b).transpose(-1, -2);
        is_rest.select(both, self)
    }

    /// Rows `a` and `b` exchanged.
    fn exchanged_rows(&self, places: &Tensor, a: &Tensor, b: &Tensor) -> Tensor {
        let [is_a, is_b] = [a, b].map(|row| places.eq(row).unsqueeze(-1));
        let at = |is_here: &Tensor| is_here.select(self, 0.0).sum(keep(-2));
        is_a.select(at(&is_b), is_b.select(at(&is_a), self))
    }

    /// `x` of `D x = right`, block by block, by Cramer's rule in a form that does not overflow, as LAPACK has it.
    fn blocks_solved(&self, blocks: &Blocks, right: &Tensor) -> Tensor {
        let diagonal = self.diagonal(0, -2, -1).unsqueeze(-1);
        let coupling = blocks.is_coupled().select(self, 0.0);
        // At the first row of a block: the element beside the diagonal; at the second one the same.
        let [is_first, is_second] = [&blocks.is_first, &blocks.is_second].map(|is| is.unsqueeze(-1));
        let is_paired = is_first.logical_or(&is_second);
        let beside = coupling.sum(-2).unsqueeze(-1) + coupling.sum(keep(-1));
        let beside = is_paired.select(beside, 1.0);
        let other = |x: &Tensor| {
            // Rows of blocks in one another's places.
            is_first.select(x.roll(-1, -2), is_second.select(x.roll(1, -2), x))
        };
        let (own, others) = (&diagonal / &beside, other(&diagonal) / &beside);
        let scaled = right / &beside;
        let divisor = is_paired.select(&own * &others - 1.0, 1.0);
        let paired = (others * &scaled - other(&scaled)) / divisor;
        let alone = right / is_paired.select(1.0, diagonal);
        is_paired.select(paired, alone)
    }
}

/// What a step of the decomposition gives.
struct Step {
    next: Tensor,
    /// The pivot, as LAPACK writes it.
    pivot: Tensor,
}

/// The elimination of a pivot of one row, or of two.
struct Elimination<'a> {
    places: &'a Tensor,
    k: &'a Tensor,
    is_pair: &'a Tensor,
}

impl Elimination<'_> {
    /// Columns of `L` in the place of those of the pivot, and what is left behind them.
    fn of(&self, matrix: &Tensor) -> Tensor {
        let (single, single_rest) = self.single(matrix);
        let (pair, pair_rest) = self.pair(matrix);
        let is_pair = self.is_pair.unsqueeze(-1);
        let is_rest = self.places.gt(self.k + self.is_pair.cast(DType::I64));
        let is_below = is_rest.unsqueeze(-1);
        let is_rest = is_below.logical_and(is_rest.unsqueeze(-2));
        let rest = is_rest.select(is_pair.select(pair_rest, single_rest), matrix);
        let [is_first, is_second] = [0, 1].map(|i| self.places.eq(self.k + i).unsqueeze(-2));
        let first = is_pair.select(pair[0].unsqueeze(-1), single.unsqueeze(-1));
        let second = is_pair.logical_and(is_second).logical_and(&is_below);
        let rest = is_below.logical_and(is_first).select(first, rest);
        second.select(pair[1].unsqueeze(-1), rest)
    }

    /// A column of `L`, and the matrix behind it; of a column of zeros nothing is left to eliminate.
    fn single(&self, matrix: &Tensor) -> (Tensor, Tensor) {
        let is_k = self.places.eq(self.k);
        let column = matrix.column(&is_k);
        let corner = is_k.select(&column, 0.0).sum(keep(-1));
        let factors = &column / corner.eq(0.0).select(1.0, &corner);
        let rest = matrix - factors.unsqueeze(-1) * column.unsqueeze(-2);
        (factors, rest)
    }

    /// Two columns of `L`, and the matrix behind them: divided by the block in a form that does not overflow.
    fn pair(&self, matrix: &Tensor) -> ([Tensor; 2], Tensor) {
        let [is_first, is_second] = [0, 1].map(|i| self.places.eq(self.k + i));
        let [first, second] = [&is_first, &is_second].map(|is| matrix.column(is));
        let at = |is: &Tensor, x: &Tensor| is.select(x, 0.0).sum(keep(-1));
        // Where the pivot is one row this is not used, and must not become infinite or NaN, whose gradient would be NaN.
        let one = |x: Tensor, y: f64| self.is_pair.select(x, y);
        let beside = one(at(&is_second, &first), 1.0);
        let d11 = one(at(&is_second, &second), 0.0) / &beside;
        let d22 = one(at(&is_first, &first), 0.0) / &beside;
        let scale = (&d11 * &d22 - 1.0).reciprocal() / beside;
        let factors = [(d11 * &first - &second) * &scale, (d22 * &second - &first) * &scale];
        let product = |factor: &Tensor, column: &Tensor| factor.unsqueeze(-1) * column.unsqueeze(-2);
        let rest = matrix - product(&factors[0], &first) - product(&factors[1], &second);
        (factors, rest)
    }
}

/// What the pivots say.
struct Blocks {
    /// Whether a row is the first of a block of two.
    is_first: Tensor,
    /// Whether it is the second.
    is_second: Tensor,
    /// The two rows that change places at each column; one and the same where none do.
    exchanged: [Tensor; 2],
}

impl Blocks {
    fn new(pivots: &Tensor) -> Blocks {
        let pivots = pivots.cast(DType::I64);
        let n = pivots.shape()[pivots.rank() - 1];
        let is_negative = pivots.lt(0);
        // Negative ones come in pairs.
        let is_odd = is_negative.cast(DType::I64).cumsum(-1).remainder(2).eq(1);
        let is_first = is_negative.logical_and(&is_odd);
        let is_second = is_negative.logical_and(is_odd.logical_not());
        let places = pivots.places(n);
        let from = &places + is_first.cast(DType::I64);
        let to = is_second.select(&places, pivots.abs() - 1);
        Blocks { is_first, is_second, exchanged: [from, to] }
    }

    /// Where `D` has elements below its diagonal: a matrix.
    fn is_coupled(&self) -> Tensor {
        let places = self.is_first.places(self.is_first.shape()[self.is_first.rank() - 1]);
        places.unsqueeze(-1).eq(&places + 1).logical_and(self.is_first.unsqueeze(-2))
    }

    /// `x` of `P L x = right`, where `below` is `L` without its ones; or of `L' P' x = right` with `backwards`.
    fn substituted(&self, below: &Tensor, right: &Tensor, backwards: bool) -> Tensor {
        let n = below.shape()[below.rank() - 1];
        let places = below.places(n);
        let [from, to] = self.exchanged.each_ref().map(|rows| rows.movedim(-1, 0));
        let parts = [&below.counts(n), &below.movedim(-1, 0), &from, &to];
        let scan = Scan::over(&parts).carry(&[right]);
        let scan = if backwards { scan.reversed() } else { scan };
        let scanned = scan.run(|x, parts| {
            let (x, [k, column]) = (&x[0], [&parts[0], &parts[1]]);
            let [from, to] = [&parts[2], &parts[3]].map(|row| row.unsqueeze(-1));
            let is_k = places.eq(k).unsqueeze(-1);
            let column = column.unsqueeze(-1);
            let next = if backwards {
                let known = (&column * x).sum(keep(-2));
                is_k.select(x - known, x).exchanged_rows(&places, &from, &to)
            } else {
                let x = x.exchanged_rows(&places, &from, &to);
                let known = is_k.select(&x, 0.0).sum(keep(-2));
                x - column * known
            };
            (vec![next], vec![])
        });
        scanned.carried[0].clone()
    }
}
