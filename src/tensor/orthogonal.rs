//! Orthogonal polynomials, by their recurrences in the degree.
//!
//! Shapes: as `self`. Types: floats; integers are converted to `f32` first. The graph grows with the degree. Source of the
//! recurrences: *NIST Digital Library of Mathematical Functions*, <https://dlmf.nist.gov/18.9>.

use super::Tensor;

/// A family of orthogonal polynomials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polynomial {
    /// Chebyshev's of the first kind: `cos(n t)` at `cos(t)`.
    ChebyshevT,
    /// Chebyshev's of the second kind.
    ChebyshevU,
    /// Chebyshev's of the third kind.
    ChebyshevV,
    /// Chebyshev's of the fourth kind.
    ChebyshevW,
    /// Hermite's, as physicists define them.
    HermiteH,
    /// Hermite's, as probability theory defines them.
    HermiteHe,
    /// Laguerre's.
    Laguerre,
    /// Legendre's.
    Legendre,
}

impl Tensor {
    /// The polynomial of a family and a degree, at each element.
    #[track_caller]
    pub fn orthogonal(&self, family: Polynomial, degree: usize) -> Tensor {
        self.within("orthogonal", || {
            let x = self.to_float();
            let (mut last, mut value) = (x.ones_like(), x.first_of(family));
            if degree == 0 {
                return last;
            }
            for k in 1..degree {
                let next = x.next_of(family, k as f64, &value, &last);
                (last, value) = (value, next);
            }
            value
        })
    }

    /// The polynomial of degree 1.
    fn first_of(&self, family: Polynomial) -> Tensor {
        match family {
            Polynomial::ChebyshevT | Polynomial::HermiteHe | Polynomial::Legendre => self.clone(),
            Polynomial::ChebyshevU | Polynomial::HermiteH => self * 2.0,
            Polynomial::ChebyshevV => self * 2.0 - 1.0,
            Polynomial::ChebyshevW => self * 2.0 + 1.0,
            Polynomial::Laguerre => 1.0 - self,
        }
    }

    /// The polynomial of degree `k + 1`, from those of degrees `k` and `k - 1`.
    fn next_of(&self, family: Polynomial, k: f64, value: &Tensor, last: &Tensor) -> Tensor {
        match family {
            Polynomial::ChebyshevT
            | Polynomial::ChebyshevU
            | Polynomial::ChebyshevV
            | Polynomial::ChebyshevW => self * value * 2.0 - last,
            Polynomial::HermiteH => (self * value - last * k) * 2.0,
            Polynomial::HermiteHe => self * value - last * k,
            Polynomial::Laguerre => ((2.0 * k + 1.0 - self) * value - last * k) / (k + 1.0),
            Polynomial::Legendre => (self * value * (2.0 * k + 1.0) - last * k) / (k + 1.0),
        }
    }
}
