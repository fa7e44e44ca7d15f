//! Jacobi's method: rotations of pairs of rows, until what the pairs have in common vanishes.
//!
//! In a round of a tournament each row has a partner, and all pairs are rotated at once; in a *sweep* of rounds each row
//! meets each other one. Once the rest is small a sweep squares it, so that the number of sweeps grows with the logarithm
//! of the extent; it is fixed, since a compiled program takes the same steps for all values. One round is the body of a
//! loop: neither the graph nor compile time grow with the extent, work grows with its third power.
//!
//! What they give has no gradient; see [`eigh`](Tensor::eigh) for where that comes from.
//!
//! Sources: Golub and Van Loan, *Matrix Computations*, fourth edition, sections 8.5 (symmetric matrices, orders in
//! parallel) and 8.6.3 (singular values, Hestenes' one-sided method); Rutishauser, *The Jacobi Method for Real Symmetric
//! Matrices*, 1966, for rotations as small corrections, which lose much less to rounding.

use super::diagonal::unit_matrix;
use super::{Scan, Tensor, keep};
use kiln_ir::DType;

/// Eigenvalues or singular values and their vectors.
pub(super) struct Diagonalized {
    /// Along the last axis, in order.
    pub values: Tensor,
    /// As columns: eigenvectors, or singular vectors on the left.
    pub left: Tensor,
    /// As rows: the same eigenvectors, or singular vectors on the right.
    pub right: Tensor,
}

impl Tensor {
    /// Eigenvalues, in ascending order, and eigenvectors of symmetric matrices.
    pub(super) fn symmetric_diagonalized(&self) -> Diagonalized {
        let start = self.detach();
        let [_, rows] = start.rotated(0, |moved, vectors| [vectors.clone(), moved.clone()]);
        // Rayleigh's quotients, from the matrix itself.
        let values = (rows.matmul(&start) * &rows).sum(-1);
        let order = values.argsort(-1, false);
        let right = rows.gather(-2, &order.unsqueeze(-1).expand_as(&rows));
        Diagonalized { values: values.gather(-1, &order), left: right.transpose(-1, -2), right }
    }

    /// Singular values, in descending order, and singular vectors of matrices with at least as many rows as columns; as many
    /// on the left as there are rows if `complete`.
    pub(super) fn singular_diagonalized(&self, complete: bool) -> Diagonalized {
        let n = self.shape()[self.rank() - 1];
        // Scaled, so that squares neither overflow nor vanish.
        let greatest = self.abs().max(keep([-2, -1])).detach();
        let scale = greatest.eq(0.0).select(1.0, &greatest);
        let start = (self.detach() / &scale).transpose(-1, -2);
        let [columns, vectors] = start.rotated(1, |moved, _| [moved.clone(), moved.clone()]);
        let values = columns.square().sum(-1).sqrt();
        let order = values.argsort(-1, true);
        let in_order = |x: &Tensor| x.gather(-2, &order.unsqueeze(-1).expand_as(x));
        // The columns are orthogonal, but may vanish: reflections make unit vectors of all of them.
        let (q, r) = in_order(&columns).transpose(-1, -2).qr(complete);
        let is_turned = r.slice(-2, ..n as i64).at_columns(&self.places(n)).lt(0.0);
        let signs = is_turned.select(-1.0, values.ones_like());
        let n_more = q.shape()[q.rank() - 1] - n;
        let signs = signs.pad(&[(0, n_more as i64)], 1.0);
        Diagonalized {
            values: values.gather(-1, &order) * scale.squeeze(-1),
            left: (q * signs.unsqueeze(-2)).detach(),
            right: in_order(&vectors),
        }
    }

    /// The rows `x` of this matrix, and those of a unit matrix, rotated until what the rows have in common vanishes: the
    /// products of those that `factors` makes of both. So many sweeps more than usual are taken.
    ///
    /// With the rows `v` of the rotated unit matrix and `x = v A`, products `v x'` are those of the two-sided method for a
    /// symmetric `A`, and `x x'` those of the one-sided one for `A'`: rows are all that is ever rotated.
    fn rotated(&self, n_more: usize, factors: impl Fn(&Tensor, &Tensor) -> [Tensor; 2]) -> [Tensor; 2] {
        let n = self.shape()[self.rank() - 2];
        let square = self.shape().with_extent(self.rank() - 1, n);
        let unit = unit_matrix(self, n).broadcast_to(square);
        let index = self.counts(n_rounds(n, n_more));
        let scanned = Scan::over(&[&index]).carry(&[self, &unit]).run(|carried, k| {
            let (moved, vectors) = (&carried[0], &carried[1]);
            let round = Round::of(moved, &k[0], n);
            let [x, y] = factors(moved, vectors);
            let common = (&x * y.index_select(-2, &round.partner)).sum(-1);
            // Partners must see the same number, of products that are equal up to rounding.
            let common = (&common + round.of_partner(&common)) * 0.5;
            let rotation = round.rotation(&(x * y).sum(-1), &common);
            (vec![rotation.of_rows(moved), rotation.of_rows(vectors)], vec![])
        });
        [0, 1].map(|i| scanned.carried[i].detach())
    }

    /// The element of each row at the column that a vector names.
    pub(super) fn at_columns(&self, columns: &Tensor) -> Tensor {
        let places = self.places(self.shape()[self.rank() - 1]);
        places.eq(columns.unsqueeze(-1)).select(self, 0.0).sum(-1)
    }
}

/// Rounds enough for `n` rows, with so many sweeps more: one to four sweeps beyond those that were needed in `f64` for random
/// matrices and for such with many equal or very different eigenvalues.
fn n_rounds(n: usize, n_more: usize) -> usize {
    /// Sweeps besides one for each doubling of the extent.
    const SWEEPS: usize = 5;
    (SWEEPS + n_more + n.next_power_of_two().ilog2() as usize) * n_rounds_of_sweep(n)
}

/// The rounds in which each of `n` rows meets each other one: an odd number.
fn n_rounds_of_sweep(n: usize) -> usize {
    n - 1 + n % 2
}

/// A round of a tournament.
struct Round {
    /// The number of each row.
    places: Tensor,
    /// That of its partner; its own for one that has none.
    partner: Tensor,
}

impl Round {
    /// Round `k` of `n` rows, in the order of the circle: partners are rows whose numbers have the sum `k`, modulo an odd
    /// number. Of an even number of rows the one that would meet itself meets the last one.
    fn of(x: &Tensor, k: &Tensor, n: usize) -> Round {
        let places = x.places(n);
        let modulus = n_rounds_of_sweep(n) as i64;
        let mut partner = (k - &places).remainder(modulus);
        if n.is_multiple_of(2) {
            let last = n as i64 - 1;
            partner = partner.eq(&places).select(last, &partner);
            // Times n / 2 is half of it: two of these are n, which is 1 modulo n - 1.
            let opponent = (k * (n as i64 / 2)).remainder(modulus);
            partner = places.eq(last).select(opponent, &partner);
        }
        Round { places, partner }
    }

    /// What the partner has.
    fn of_partner(&self, x: &Tensor) -> Tensor {
        x.index_select(-1, &self.partner)
    }

    /// The rotations after which partners have nothing in common, from what each row has with itself and with its partner.
    fn rotation(&self, own: &Tensor, common: &Tensor) -> Rotation<'_> {
        let is_done = self.partner.eq(&self.places).logical_or(common.eq(0.0));
        let ratio = (self.of_partner(own) - own) / (is_done.select(1.0, common) * 2.0);
        // Of equal rows the first one counts as the lesser.
        let is_negative = ratio.lt(0.0).logical_or(ratio.eq(0.0).logical_and(self.partner.lt(&self.places)));
        let sign = is_negative.select(-1.0, own.ones_like());
        let tangent = sign / (ratio.abs() + (ratio.square() + 1.0).sqrt());
        let tangent = is_done.select(0.0, tangent);
        let cosine = (tangent.square() + 1.0).rsqrt();
        let sine = tangent * &cosine;
        let half_tangent = &sine / (cosine + 1.0);
        Rotation { round: self, sine: sine.unsqueeze(-1), half_tangent: half_tangent.unsqueeze(-1) }
    }
}

/// Rotations of all pairs of a round, as seen by each row: a row `x` with the partner `y` becomes `cos x - sin y`.
struct Rotation<'a> {
    round: &'a Round,
    sine: Tensor,
    half_tangent: Tensor,
}

impl Rotation<'_> {
    fn of_rows(&self, x: &Tensor) -> Tensor {
        let other = x.index_select(-2, &self.round.partner);
        x - &self.sine * (other + &self.half_tangent * x)
    }
}

/// One divided by the differences of values, later ones minus earlier ones by column and row; 0 for values that are equal
/// but for rounding.
pub(super) fn inverse_gaps(values: &Tensor) -> Tensor {
    let gap = values.unsqueeze(-2) - values.unsqueeze(-1);
    let is_equal = gap.abs().le(rounding(values).unsqueeze(-1));
    is_equal.select(0.0, 1.0 / is_equal.select(1.0, gap))
}

/// One divided by values; 0 for what is zero but for rounding.
pub(super) fn inverse_values(values: &Tensor) -> Tensor {
    let is_zero = values.abs().le(rounding(values));
    is_zero.select(0.0, 1.0 / is_zero.select(1.0, values))
}

/// What differences of the values may be by rounding alone, for each matrix.
fn rounding(values: &Tensor) -> Tensor {
    let n = values.shape()[values.rank() - 1];
    values.abs().max(keep(-1)) * (epsilon(values.dtype()) * n as f64)
}

/// The distance from one to the next number of the type.
pub(super) fn epsilon(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => f64::EPSILON,
        DType::F32 | DType::I32 | DType::I64 | DType::U8 | DType::Bool => f64::from(f32::EPSILON),
    }
}
