//! Eigenvalues, singular values, and what is made of them. Signs of vectors are arbitrary: cases have absolute values of
//! vectors and products of theirs, as in PyTorch's own tests, which also make matrices symmetric by adding the transpose.

use super::sort::pair;
use crate::grad_cases::call::{functions, not_supported};
use kiln::prelude::*;

functions! {
    "linalg.eigh": (x: Tensor, _uplo: Option<String>) => {
        let (values, vectors) = doubled(&x).eigh();
        [values, vectors.abs()]
    };
    "linalg.eigvalsh": (x: Tensor, _uplo: Option<String>) => doubled(&x).eigvalsh();
    "linalg.matrix_sqrth": (x: Tensor) => doubled(&x).matrix_sqrth();
    "linalg.svd": (x: Tensor, full_matrices: bool = true) => phase_free(x.svd(full_matrices));
    "svd": (x: Tensor, some: bool = true) => phase_free(x.svd(!some));
    "linalg.svdvals": (x: Tensor) => x.svdvals();
    "svd_lowrank": (a: Tensor, b: Tensor, q: i64, _niter: usize = 2, m: Option<Tensor>) => {
        if m.is_some() {
            return not_supported("an approximation by random vectors");
        }
        of_low_rank(&a.matmul(&t(&b)), q)
    };
    "pca_lowrank": (a: Tensor, b: Tensor, q: i64, center: bool = true) => {
        let x = a.matmul(&t(&b));
        of_low_rank(&if center { &x - x.mean(keep(-2)) } else { x }, q)
    };
    "linalg.cond": (x: Tensor, p: f64 = 2.0) => x.cond(p);
    "linalg.matrix_rank": (x: Tensor, tol: Option<Operand>, _hermitian: bool = false, atol: Option<Operand>, rtol: Option<Operand>) => {
        match tolerances(&x, tol.or(atol), rtol) {
            Some((absolute, relative)) => x.matrix_rank_within(absolute, relative),
            None => x.matrix_rank(),
        }
    };
    "linalg.matrix_rank/hermitian": (x: Tensor, _hermitian: bool = false) => doubled(&x).matrix_rank();
    "linalg.pinv": (x: Tensor, atol: Option<Operand>, rtol: Option<Operand>, _hermitian: bool = false) => {
        match tolerances(&x, atol, rtol) {
            Some((absolute, relative)) => x.pinverse_within(absolute, relative),
            None => x.pinverse(),
        }
    };
    "linalg.pinv/hermitian": (x: Tensor, _hermitian: bool = false) => doubled(&x).pinverse();
    "linalg.pinv/singular": (a: Tensor, b: Tensor) => a.matmul(&t(&b)).pinverse();
    "pinverse": (x: Tensor) => x.pinverse();
    "linalg.polar": (x: Tensor) => pair(x.polar());
}

/// Rows as columns.
fn t(x: &Tensor) -> Tensor {
    x.transpose(-1, -2)
}

/// A matrix and its transpose.
fn doubled(x: &Tensor) -> Tensor {
    x + t(x)
}

/// What of a decomposition does not depend on signs.
fn phase_free((u, s, vt): (Tensor, Tensor, Tensor)) -> [Tensor; 4] {
    let k = s.extents()[s.rank() - 1] as i64;
    let (u, vt) = (u.slice(-1, ..k), vt.slice(-2, ..k));
    [u.abs(), s, vt.abs(), u.matmul(&vt)]
}

/// The first `q` singular values, and the product of their vectors.
fn of_low_rank(x: &Tensor, q: i64) -> [Tensor; 2] {
    let (u, s, vt) = x.svd(false);
    [u.slice(-1, ..q).matmul(&vt.slice(-2, ..q)), s.slice(-1, ..q)]
}

/// Both tolerances, where one is given: a positive absolute one replaces the relative one's default.
fn tolerances(
    x: &Tensor,
    absolute: Option<Operand>,
    relative: Option<Operand>,
) -> Option<(Operand, Operand)> {
    let [.., m, n] = *x.extents() else { return None };
    let default = f64::from(f32::EPSILON) * m.max(n) as f64;
    match (absolute, relative) {
        (None, None) => None,
        (Some(Operand::Tensor(absolute)), None) => {
            let relative = absolute.gt(0.0).select(0.0, absolute.full_like(default));
            Some((absolute.into(), relative.into()))
        }
        (Some(absolute), None) => Some((absolute, 0.0.into())),
        (absolute, Some(relative)) => Some((absolute.unwrap_or(0.0.into()), relative)),
    }
}
