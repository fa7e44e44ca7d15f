//! Special functions: Bessel's, orthogonal polynomials, incomplete gamma functions.

use crate::grad_cases::call::{Call, NotSupported, functions, not_supported};
use kiln::Polynomial;
use kiln::prelude::*;

functions! {
    "special.bessel_j0": (x: Tensor) => x.bessel_j0();
    "special.bessel_j1": (x: Tensor) => x.bessel_j1();
    "special.bessel_y0": (x: Tensor) => x.bessel_y0();
    "special.bessel_y1": (x: Tensor) => x.bessel_y1();
    "special.modified_bessel_k0": (x: Tensor) => x.bessel_k0();
    "special.modified_bessel_k1": (x: Tensor) => x.bessel_k1();
    "special.scaled_modified_bessel_k0": (x: Tensor) => x.bessel_k0e();
    "special.scaled_modified_bessel_k1": (x: Tensor) => x.bessel_k1e();
    "special.spherical_bessel_j0": (x: Tensor) => x.spherical_bessel_j0();
    "special.zeta": (x: Tensor, other: Operand) => x.zeta(other);
    "igamma": (x: Tensor, other: Operand) => x.igamma(other);
    "igammac": (x: Tensor, other: Operand) => x.igammac(other);
    "special.chebyshev_polynomial_t": (x: Tensor, n: Operand) |call| => polynomial(call, x, n, Polynomial::ChebyshevT)?;
    "special.chebyshev_polynomial_u": (x: Tensor, n: Operand) |call| => polynomial(call, x, n, Polynomial::ChebyshevU)?;
    "special.chebyshev_polynomial_v": (x: Tensor, n: Operand) |call| => polynomial(call, x, n, Polynomial::ChebyshevV)?;
    "special.chebyshev_polynomial_w": (x: Tensor, n: Operand) |call| => polynomial(call, x, n, Polynomial::ChebyshevW)?;
    "special.hermite_polynomial_h": (x: Tensor, n: Operand) |call| => polynomial(call, x, n, Polynomial::HermiteH)?;
    "special.hermite_polynomial_he": (x: Tensor, n: Operand) |call| => polynomial(call, x, n, Polynomial::HermiteHe)?;
    "special.laguerre_polynomial_l": (x: Tensor, n: Operand) |call| => polynomial(call, x, n, Polynomial::Laguerre)?;
    "special.legendre_polynomial_p": (x: Tensor, n: Operand) |call| => polynomial(call, x, n, Polynomial::Legendre)?;
    "special.shifted_chebyshev_polynomial_t": (x: Tensor, n: Operand) |call| => {
        polynomial(call, x * 2.0 - 1.0, n, Polynomial::ChebyshevT)?
    };
    "special.shifted_chebyshev_polynomial_u": (x: Tensor, n: Operand) |call| => {
        polynomial(call, x * 2.0 - 1.0, n, Polynomial::ChebyshevU)?
    };
    "special.shifted_chebyshev_polynomial_v": (x: Tensor, n: Operand) |call| => {
        polynomial(call, x * 2.0 - 1.0, n, Polynomial::ChebyshevV)?
    };
    "special.shifted_chebyshev_polynomial_w": (x: Tensor, n: Operand) |call| => {
        polynomial(call, x * 2.0 - 1.0, n, Polynomial::ChebyshevW)?
    };
}

/// A polynomial of the degree that stands beside each element, 0 of a negative one.
fn polynomial(call: &Call, x: Tensor, degree: Operand, family: Polynomial) -> Result<Tensor, NotSupported> {
    let (degrees, values) = match degree {
        Operand::Tensor(degrees) => {
            let values = call.data(&degrees).to_f64_vec();
            (degrees, values)
        }
        Operand::Float(degree) => (x.full_like(degree), vec![degree]),
        Operand::Int(degree) => (x.full_like(degree as f64), vec![degree as f64]),
        Operand::Bool(_) => return not_supported("a degree that is a truth value"),
    };
    let mut known: Vec<usize> = values.iter().filter(|&&n| n > -1.0).map(|&n| n as usize).collect();
    known.sort_unstable();
    known.dedup();
    let degrees = degrees.trunc();
    let zero = &x * 0.0 + &degrees.cast(x.dtype()) * 0.0;
    Ok(known.into_iter().fold(zero, |sum, n| degrees.eq(n as f64).select(x.orthogonal(family, n), sum)))
}
