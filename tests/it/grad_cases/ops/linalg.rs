//! Solutions, inverses, determinants, decompositions.

use super::sort::pair;
use crate::grad_cases::call::{NotSupported, functions, not_supported};
use kiln::prelude::*;

functions! {
    "linalg.det": (x: Tensor) => x.det();
    "logdet": (x: Tensor) => x.logdet();
    "linalg.slogdet": (x: Tensor) => pair(x.slogdet());
    "linalg.inv": (x: Tensor) => x.inverse();
    "linalg.inv_ex": (x: Tensor, _check_errors: bool = false) => [x.inverse(), no_error(&x)];
    "linalg.solve": (x: Tensor, other: Tensor, left: bool = true) => solve(&x, &other, left);
    "linalg.solve_ex": (x: Tensor, other: Tensor, left: bool = true, _check_errors: bool = false) => {
        let y = solve(&x, &other, left);
        let batch = if is_vector(&x, &other) { y.sum(-1) } else { y.sum([-2, -1]) };
        [y, (batch * 0.0).cast(DType::I32)]
    };
    "linalg.solve_triangular": (x: Tensor, other: Tensor, upper: bool, left: bool = true, unitriangular: bool = false) => {
        if left {
            x.solve_triangular(&other, upper, unitriangular)
        } else {
            t(&t(&x).solve_triangular(&t(&other), !upper, unitriangular))
        }
    };
    "triangular_solve": (x: Tensor, a: Tensor, upper: bool = true, transpose: bool = false, unitriangular: bool = false) => {
        let kept = if upper { a.triu(0) } else { a.tril(0) };
        let y = match transpose {
            true => t(&kept).solve_triangular(&x, !upper, unitriangular),
            false => kept.solve_triangular(&x, upper, unitriangular),
        };
        let batch: Vec<usize> = y.extents()[..y.rank() - 2].iter().chain(&a.extents()[a.rank() - 2..]).copied().collect();
        [y, a.broadcast_to(&batch[..])]
    };
    "linalg.cholesky": (x: Tensor, upper: bool = false) => triangle(&x, upper);
    "linalg.cholesky_ex": (x: Tensor, upper: bool = false, _check_errors: bool = false) => [triangle(&x, upper), no_error(&x)];
    "cholesky_solve": (x: Tensor, l: Tensor, upper: bool = false) => {
        l.cholesky_solve(&x, upper)
    };
    "cholesky_inverse": (x: Tensor, upper: bool = false) => {
        x.cholesky_inverse(upper)
    };
    "linalg.lu": (x: Tensor, pivot: bool = true) => {
        if !pivot {
            return not_supported("a decomposition without pivots");
        }
        x.lu()
    };
    "linalg.qr": (x: Tensor, mode: String = "reduced".to_string()) => {
        if mode == "r" {
            return not_supported("a triangle without its orthogonal matrix");
        }
        pair(x.qr(mode == "complete"))
    };
    "matrix_exp": (x: Tensor) => x.matrix_exp();
    "linalg.lstsq": (x: Tensor, other: Tensor, rcond: Option<f64>, driver: String = "gelsy".to_string()) => {
        if rcond.is_some() {
            return not_supported("a tolerance of least squares");
        }
        let [y, residual] = least_squares(&x, &other, &driver)?;
        let none = || x.reshape([-1]).slice(0, ..0);
        // Which of LAPACK's functions solves it decides what else there is.
        let rank = if driver == "gels" { none().cast(DType::I64) } else { x.matrix_rank() };
        let values = if ["gelss", "gelsd"].contains(&driver.as_str()) { x.svdvals() } else { none() };
        [y, residual, rank, values]
    };
    "linalg.lstsq/grad_oriented": (x: Tensor, other: Tensor, _rcond: Option<f64>, driver: String = "gelsy".to_string()) => {
        least_squares(&x, &other, &driver)?
    };
    "linalg.tensorinv": (x: Tensor, ind: usize = 2) => {
        let (first, last) = x.extents().split_at(ind);
        let n = first.iter().product::<usize>() as i64;
        let shape: Vec<i64> = last.iter().chain(first).map(|&extent| extent as i64).collect();
        x.reshape([n, -1]).inverse().reshape(shape)
    };
    "linalg.tensorsolve": (x: Tensor, other: Tensor, dims: Option<Vec<i64>>) => {
        let moved = dims.map_or(x.clone(), |dims| {
            let ends: Vec<i64> = (0..dims.len()).map(|i| (x.rank() - dims.len() + i) as i64).collect();
            x.movedims(dims, ends)
        });
        let shape: Vec<i64> = moved.extents()[other.rank()..].iter().map(|&extent| extent as i64).collect();
        let n = other.n_elements() as i64;
        moved.reshape([n, -1]).solve(&other.reshape([n, 1])).reshape(shape)
    };
}

/// The solution, and the squares of what it leaves, where LAPACK's function says these.
fn least_squares(x: &Tensor, other: &Tensor, driver: &str) -> Result<[Tensor; 2], NotSupported> {
    let y = x.lstsq(other);
    let [.., m, n] = *x.extents() else { return not_supported("no matrix") };
    let residual = (x.matmul(&y) - other).square().sum(-2);
    Ok([y, if m > n && driver != "gelsy" { residual } else { x.reshape([-1]).slice(0, ..0) }])
}

/// Rows as columns.
fn t(x: &Tensor) -> Tensor {
    x.transpose(-1, -2)
}

fn triangle(x: &Tensor, upper: bool) -> Tensor {
    if upper { t(&x.cholesky()) } else { x.cholesky() }
}

/// LAPACK's report that nothing went wrong, for each matrix of a batch.
pub fn no_error(x: &Tensor) -> Tensor {
    x.zeros_like().sum([-2, -1]).cast(DType::I32)
}

/// Whether the right side of `solve` is a batch of vectors.
fn is_vector(x: &Tensor, right: &Tensor) -> bool {
    right.rank() == 1 || (right.rank() + 1 == x.rank() && right.extents() == &x.extents()[..x.rank() - 1])
}

fn solve(x: &Tensor, right: &Tensor, left: bool) -> Tensor {
    let is_vector = is_vector(x, right);
    let columns = if is_vector { right.unsqueeze(-1) } else { right.clone() };
    let y = if left || is_vector { x.solve(&columns) } else { t(&t(x).solve(&t(&columns))) };
    if is_vector { y.squeeze(-1) } else { y }
}
