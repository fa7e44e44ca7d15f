//! Modified Bessel functions of the first kind, of orders 0 and 1.
//!
//! Shapes: as `self`. Types: floats; integers are converted to `f32` first. Accuracy: relative errors of about 2e-7.
//! Source: Abramowitz and Stegun, *Handbook of Mathematical Functions*, 1964, 9.8.1 to 9.8.4.

use super::Tensor;

/// Coefficients in `(x / 3.75)^2`, up to 3.75, of order 0, and of order 1 divided by `x`.
const NEAR: [[f64; 7]; 2] = [
    [0.0045813, 0.0360768, 0.2659732, 1.2067492, 3.0899424, 3.5156229, 1.0],
    [0.00032411, 0.00301532, 0.02658733, 0.15084934, 0.51498869, 0.87890594, 0.5],
];

/// Coefficients in `3.75 / x`, from 3.75 on, of the functions times `sqrt(x) e^-x`.
const FAR: [[f64; 9]; 2] = [
    [
        0.00392377,
        -0.01647633,
        0.02635537,
        -0.02057706,
        0.00916281,
        -0.00157565,
        0.00225319,
        0.01328592,
        0.39894228,
    ],
    [
        -0.00420059,
        0.01787654,
        -0.02895312,
        0.02282967,
        -0.01031555,
        0.00163801,
        -0.00362018,
        -0.03988024,
        0.39894228,
    ],
];

/// Where the two approximations meet.
const BORDER: f64 = 3.75;

impl Tensor {
    /// Modified Bessel function of the first kind, of order 0.
    #[track_caller]
    pub fn i0(&self) -> Tensor {
        self.within("i0", || self.to_float().bessel_i(0, false))
    }

    /// `e^-|x| i0(x)`.
    #[track_caller]
    pub fn i0e(&self) -> Tensor {
        self.within("i0e", || self.to_float().bessel_i(0, true))
    }

    /// Modified Bessel function of the first kind, of order 1.
    #[track_caller]
    pub fn i1(&self) -> Tensor {
        self.within("i1", || self.to_float().bessel_i(1, false))
    }

    /// `e^-|x| i1(x)`.
    #[track_caller]
    pub fn i1e(&self) -> Tensor {
        self.within("i1e", || self.to_float().bessel_i(1, true))
    }

    fn bessel_i(&self, order: usize, scaled: bool) -> Tensor {
        let is_below = self.lt(0.0);
        // Not `abs`, whose slope at 0 is 0: that of order 1 is 1/2 there.
        let size = is_below.select(-self, self);
        let is_far = size.gt(BORDER);
        let near = is_far.select(0.0, self);
        let mut near_value = (&near / BORDER).square().polynomial(&NEAR[order]);
        if order == 1 {
            near_value = near_value * &near;
        }
        if scaled {
            near_value = near_value * (-is_far.select(0.0, &size)).exp();
        }
        let far = is_far.select(&size, BORDER);
        let mut far_value = (BORDER / &far).polynomial(&FAR[order]) * far.rsqrt();
        if !scaled {
            far_value = far_value * far.exp();
        }
        if order == 1 {
            far_value = is_below.select(-&far_value, &far_value);
        }
        is_far.select(far_value, near_value)
    }
}
