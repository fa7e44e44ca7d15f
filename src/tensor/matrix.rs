//! Products of matrices beyond the plain one, and their norms.
//!
//! Types: both operands are promoted to one type of numbers. Errors: extents that do not fit.

use super::binary::scaled;
use super::diagonal::unit_matrix;
use super::{Over, Tensor, keep};

impl Tensor {
    /// `beta * self + alpha * sum of a[i] b[i]`. Shapes: `a: [n, m, k]`, `b: [n, k, p]`; `self` broadcasts to `[m, p]`.
    #[track_caller]
    pub fn addbmm(&self, a: &Tensor, b: &Tensor, beta: f64, alpha: f64) -> Tensor {
        self.within("addbmm", || self.weighed(beta) + scaled(a.bmm(b).sum(0), alpha))
    }

    /// `beta * self + alpha * a v`. Shapes: `a: [m, k]`, `v: [k]`; `self` broadcasts to `[m]`.
    #[track_caller]
    pub fn addmv(&self, a: &Tensor, v: &Tensor, beta: f64, alpha: f64) -> Tensor {
        self.within("addmv", || self.weighed(beta) + scaled(a.mv(v), alpha))
    }

    /// `beta * self + alpha * u v'`. Shapes: `u: [m]`, `v: [n]`; `self` broadcasts to `[m, n]`.
    #[track_caller]
    pub fn addr(&self, u: &Tensor, v: &Tensor, beta: f64, alpha: f64) -> Tensor {
        self.within("addr", || self.weighed(beta) + scaled(u.outer(v), alpha))
    }

    /// Sums of products over the last axis of both; with a scalar, the product.
    #[track_caller]
    pub fn inner(&self, other: &Tensor) -> Tensor {
        self.within("inner", || match (self.rank(), other.rank()) {
            (0, _) | (_, 0) => self * other,
            (_, 1) => self.matmul(other),
            _ => self.tensordot(other, [-1], [-1]),
        })
    }

    /// Sums of products along an axis, after broadcasting.
    #[track_caller]
    pub fn vecdot(&self, other: &Tensor, axis: i64) -> Tensor {
        self.within("vecdot", || (self * other).sum(axis))
    }

    /// Kronecker product: each element of `self` times the whole of `other`.
    #[track_caller]
    pub fn kron(&self, other: &Tensor) -> Tensor {
        self.within("kron", || {
            let rank = self.rank().max(other.rank());
            let wide = |x: &Tensor| -> Vec<i64> {
                std::iter::repeat_n(1, rank - x.rank()).chain(x.shape().iter().map(|&e| e as i64)).collect()
            };
            let (a, b) = (wide(self), wide(other));
            let spread = |first: &[i64], second: &[i64]| -> Vec<i64> {
                first.iter().zip(second).flat_map(|(&x, &y)| [x, y]).collect()
            };
            let ones = vec![1; rank];
            let product = self.reshape(spread(&a, &ones)) * other.reshape(spread(&ones, &b));
            product.reshape(a.iter().zip(&b).map(|(x, y)| x * y).collect::<Vec<_>>())
        })
    }

    /// Cross product of vectors of three elements along an axis.
    #[track_caller]
    pub fn cross(&self, other: &Tensor, axis: i64) -> Tensor {
        self.within("cross", || match self.pair("cross", other.into()) {
            Ok((x, y)) => x.roll(-1, axis) * y.roll(-2, axis) - x.roll(-2, axis) * y.roll(-1, axis),
            Err(poisoned) => poisoned,
        })
    }

    /// The product of `n` times the matrices of the last two axes; the unit matrix for `n` of 0.
    #[track_caller]
    pub fn matrix_power(&self, n: usize) -> Tensor {
        if self.rank() < 2 || self.shape()[self.rank() - 1] != self.shape()[self.rank() - 2] {
            return self.refuse("matrix_power", "it is for square matrices");
        }
        self.within("matrix_power", || {
            if n == 0 {
                return unit_matrix(self, self.shape()[self.rank() - 1]).expand_as(self);
            }
            // Squares of squares: as many products as n has binary digits.
            let mut result: Option<Tensor> = None;
            let (mut square, mut rest) = (self.clone(), n);
            loop {
                if rest % 2 == 1 {
                    result = Some(result.map_or(square.clone(), |result| result.matmul(&square)));
                }
                rest /= 2;
                match (rest, &result) {
                    (0, Some(result)) => return result.clone(),
                    _ => square = square.matmul(&square),
                }
            }
        })
    }

    /// `x1[.., i] weight[o, i, j] x2[.., j]`, summed over `i` and `j`, and a bias.
    ///
    /// Shapes: `self: [.., m]`, `other: [.., n]`, `weight: [o, m, n]`, `bias: [o]` -> `[.., o]`.
    #[track_caller]
    pub fn bilinear(&self, other: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
        self.within("bilinear", || {
            let product = super::einsum("...i,oij,...j->...o", &[self, weight, other]);
            bias.into_iter().fold(product, |y, bias| y + bias)
        })
    }

    /// Powers of the elements of vectors (the last axis), from 0 to `n - 1`, as rows of matrices; from `n - 1` down unless
    /// `increasing`.
    #[track_caller]
    pub fn vander(&self, n: usize, increasing: bool) -> Tensor {
        if self.rank() == 0 {
            return self.reshape([1]).vander(n, increasing);
        }
        self.within("vander", || {
            let ones = self.ones_like();
            let mut columns: Vec<Tensor> = Vec::new();
            for _ in 0..n {
                columns.push(columns.last().map_or(ones.clone(), |last| last * self));
            }
            if !increasing {
                columns.reverse();
            }
            match columns.is_empty() {
                true => self.unsqueeze(-1).slice(-1, ..0),
                false => super::stack(&columns.iter().collect::<Vec<_>>(), -1),
            }
        })
    }

    /// Norms of the matrices of two axes: the square root of the sum of squares.
    #[track_caller]
    pub fn frobenius_norm(&self, axes: [i64; 2], keep_axes: bool) -> Tensor {
        self.within("frobenius_norm", || self.norm(2.0, over(axes, keep_axes)))
    }

    /// Norms of the matrices of two axes: the greatest sum of absolute values of a column (`p` of 1) or of a row (`p`
    /// infinite), or the greatest singular value (`p` of 2); with a negative `p` the least one. Errors: another `p`.
    #[track_caller]
    pub fn matrix_norm(&self, p: f64, axes: [i64; 2], keep_axes: bool) -> Tensor {
        let [row, column] = match (self.axis("matrix_norm", axes[0]), self.axis("matrix_norm", axes[1])) {
            (Ok(row), Ok(column)) => [row as i64, column as i64],
            (Err(poisoned), _) | (_, Err(poisoned)) => return poisoned,
        };
        let extremum = |x: &Tensor, axis: i64| if p > 0.0 { x.max(keep(axis)) } else { x.min(keep(axis)) };
        let (summed, compared) = match p.abs() {
            1.0 => (row, column),
            f64::INFINITY => (column, row),
            2.0 => {
                return self.within("matrix_norm", || {
                    self.of_singular_values([row, column], keep_axes, |values| extremum(values, -1))
                });
            }
            _ => return self.refuse("matrix_norm", format!("there is no norm of order {p}")),
        };
        self.within("matrix_norm", || {
            let norm = extremum(&self.abs().sum(keep(summed)), compared);
            if keep_axes { norm } else { norm.squeeze([row, column]) }
        })
    }
}

fn over(axes: [i64; 2], keep_axes: bool) -> Over {
    if keep_axes { keep(axes) } else { axes.into() }
}

/// The product of several matrices, multiplied in the order that takes the fewest operations; the first and last may be
/// vectors.
///
/// Source: Cormen and others, *Introduction to Algorithms*, section 15.2.
///
/// # Panics
/// When there are no matrices.
#[track_caller]
pub fn multi_dot(matrices: &[&Tensor]) -> Tensor {
    let first = *matrices.first().expect("`multi_dot` of no matrices");
    let last = matrices[matrices.len() - 1];
    if matrices.len() == 1 {
        return first.clone();
    }
    first.within("multi_dot", || {
        let mut all: Vec<Tensor> = matrices.iter().map(|&x| x.clone()).collect();
        if first.rank() == 1 {
            all[0] = first.unsqueeze(0);
        }
        if last.rank() == 1 {
            all[matrices.len() - 1] = last.unsqueeze(1);
        }
        if let Some(odd) = all.iter().find(|x| x.rank() != 2) {
            return odd.refuse("multi_dot", "it is for matrices");
        }
        let mut product = in_best_order(&all);
        if last.rank() == 1 {
            product = product.squeeze(1);
        }
        if first.rank() == 1 { product.squeeze(0) } else { product }
    })
}

fn in_best_order(matrices: &[Tensor]) -> Tensor {
    let n = matrices.len();
    let extent = |i: usize| if i < n { matrices[i].shape()[0] } else { matrices[n - 1].shape()[1] } as f64;
    // Of each range of matrices: the fewest operations, and where the last product divides it.
    let mut best = vec![vec![(0.0, 0); n]; n];
    for length in 1..n {
        for i in 0..n - length {
            let j = i + length;
            let cost = |k: usize| best[i][k].0 + best[k + 1][j].0 + extent(i) * extent(k + 1) * extent(j + 1);
            let costs = (i..j).map(|k| (cost(k), k));
            best[i][j] =
                costs.fold((f64::INFINITY, i), |least, next| if next.0 < least.0 { next } else { least });
        }
    }
    fn product(matrices: &[Tensor], best: &[Vec<(f64, usize)>], i: usize, j: usize) -> Tensor {
        if i == j {
            return matrices[i].clone();
        }
        let k = best[i][j].1;
        product(matrices, best, i, k).mm(&product(matrices, best, k + 1, j))
    }
    product(matrices, &best, 0, n - 1)
}
