//! LAPACK's packed forms of decompositions.

use super::linalg::no_error;
use super::sort::pair;
use crate::grad_cases::call::{functions, not_supported};
use kiln::prelude::*;

functions! {
    "linalg.lu_factor": (x: Tensor, pivot: bool = true) => {
        if !pivot {
            return not_supported("a decomposition without pivots");
        }
        pair(x.lu_factor())
    };
    "linalg.lu_factor_ex": (x: Tensor, pivot: bool = true, _check_errors: bool = false) => {
        if !pivot {
            return not_supported("a decomposition without pivots");
        }
        let (packed, pivots) = x.lu_factor();
        [packed, pivots, no_error(&x)]
    };
    "lu": (x: Tensor, pivot: bool = true, get_infos: bool = false) => {
        if !pivot {
            return not_supported("a decomposition without pivots");
        }
        let (packed, pivots) = x.lu_factor();
        if get_infos { vec![packed, pivots, no_error(&x)] } else { vec![packed, pivots] }
    };
    "lu_unpack": (x: Tensor, pivots: Tensor, _unpack_data: bool = true, _unpack_pivots: bool = true) => x.lu_unpack(&pivots);
    "lu_solve": (right: Tensor, x: Tensor, pivots: Tensor) => x.lu_solve(&pivots, &right, true, false);
    "linalg.lu_solve": (x: Tensor, pivots: Tensor, right: Tensor, left: bool = true, adjoint: bool = false) => {
        x.lu_solve(&pivots, &right, left, adjoint)
    };
    "geqrf": (x: Tensor) => pair(x.geqrf());
    "linalg.householder_product": (x: Tensor, tau: Tensor) => x.householder_product(&tau);
    "ormqr": (x: Tensor, tau: Tensor, other: Tensor, left: bool = true, transpose: bool = false) => {
        x.ormqr(&tau, &other, left, transpose)
    };
    "linalg.ldl_factor": (x: Tensor, _hermitian: bool = false) => pair(x.ldl_factor());
    "linalg.ldl_factor_ex": (x: Tensor, _hermitian: bool = false, _check_errors: bool = false) => {
        let (packed, pivots) = x.ldl_factor();
        [packed, pivots, no_error(&x)]
    };
    "linalg.ldl_solve": (x: Tensor, pivots: Tensor, right: Tensor, _hermitian: bool = false) => {
        x.ldl_solve(&pivots, &right)
    };
}
