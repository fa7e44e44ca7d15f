//! The inverse of the error function.
//!
//! Shapes: as `self`. Types: floats; integers are converted to `f32` first. Accuracy: 4 units in the last place of the value;
//! derivatives of all orders to 12 digits in `f64`.
//!
//! Source: Giles, *Approximating the erfinv function*, in *GPU Computing Gems*, 2012, the polynomials for double precision,
//! in `w = -log((1 - x) (1 + x))`.

use super::Tensor;
use std::f64::consts::SQRT_2;

/// `sqrt(pi) / 2`.
const HALF_SQRT_PI: f64 = 0.886_226_925_452_758;

/// Where the polynomials change, in `w`.
const BOUNDS: [f64; 2] = [6.25, 16.0];

/// Beyond, the last polynomial loses its digits: the value counts as infinite. No `x` of `f64` but 1 is there.
const END: f64 = 40.0;

/// In `w - 3.125`.
const CENTRAL: [f64; 23] = [
    -3.64441206401782e-21,
    -1.6850591381820166e-19,
    1.28584807152564e-18,
    1.1157877678025181e-17,
    -1.333171662854621e-16,
    2.0972767875968562e-17,
    6.637638134358324e-15,
    -4.054566272975207e-14,
    -8.151934197605472e-14,
    2.6335093153082323e-12,
    -1.2975133253453532e-11,
    -5.415412054294628e-11,
    1.0512122733215323e-09,
    -4.112633980346984e-09,
    -2.9070369957882005e-08,
    4.2347877827932404e-07,
    -1.3654692000834679e-06,
    -1.3882523362786469e-05,
    0.00018673420803405714,
    -0.000740702534166267,
    -0.006033670871430149,
    0.24015818242558962,
    1.6536545626831027,
];

/// In `sqrt(w) - 3.25`.
const MIDDLE: [f64; 19] = [
    2.2137376921775787e-09,
    9.075656193888539e-08,
    -2.7517406297064545e-07,
    1.8239629214389228e-08,
    1.5027403968909828e-06,
    -4.013867526981546e-06,
    2.9234449089955446e-06,
    1.2475304481671779e-05,
    -4.7318229009055734e-05,
    6.828485145957318e-05,
    2.4031110387097894e-05,
    -0.0003550375203628475,
    0.0009532893797373805,
    -0.0016882755560235047,
    0.002491442096107851,
    -0.003751208507569241,
    0.005370914553590064,
    1.0052589676941592,
    3.0838856104922208,
];

/// In `sqrt(w) - 5`.
const TAIL: [f64; 17] = [
    -2.7109920616438573e-11,
    -2.555641816996525e-10,
    1.5076572693500548e-09,
    -3.789465440126737e-09,
    7.61570120807834e-09,
    -1.496002662714924e-08,
    2.914795345090108e-08,
    -6.771199775845234e-08,
    2.2900482228026655e-07,
    -9.9298272942317e-07,
    4.526062597223154e-06,
    -1.968177810553167e-05,
    7.599527703001776e-05,
    -0.00021503011930044477,
    -0.00013871931833623122,
    1.0103004648645344,
    4.849906401408584,
];

impl Tensor {
    /// The inverse of the error function; infinite at -1 and 1, NaN beyond.
    #[track_caller]
    pub fn erfinv(&self) -> Tensor {
        self.within("erfinv", || {
            let x = self.to_float();
            x.erfinv_of(&((1.0 - &x) * (1.0 + &x)))
        })
    }

    /// The inverse of [`ndtr`](Tensor::ndtr): quantiles of the standard normal distribution, as
    /// `sqrt(2) erfinv(2 p - 1)`; infinite below 2e-18.
    #[track_caller]
    pub fn ndtri(&self) -> Tensor {
        self.within("ndtri", || {
            let p = self.to_float();
            // Where 2 p - 1 rounds to -1 this product still has its digits.
            let product = (&p * 4.0) * (1.0 - &p);
            (&p * 2.0 - 1.0).erfinv_of(&product) * SQRT_2
        })
    }

    /// The inverse of the error function, where `product` is `(1 - x) (1 + x)`.
    fn erfinv_of(&self, product: &Tensor) -> Tensor {
        let w = -product.detach().log();
        let is_end = w.gt(END);
        let x = is_end.select(0.0, self);
        let w = -is_end.select(1.0, product).log();
        let y = erfinv_polynomial(&w) * &x;
        // A step of Newton's method that adds 0, whose derivatives are right: those of the polynomials have fewer digits.
        let rest = y.erf() - &x;
        let y = &y - (&rest - rest.detach()) * y.square().exp() * HALF_SQRT_PI;
        // The selection inside keeps infinity from elements that are none.
        is_end.select(is_end.select(self, 1.0) * f64::INFINITY, y)
    }
}

/// `erfinv(x) / x`.
fn erfinv_polynomial(w: &Tensor) -> Tensor {
    let [is_central, is_tail] = [w.lt(BOUNDS[0]), w.ge(BOUNDS[1])];
    let central = (is_central.select(w, 3.125) - 3.125).polynomial(&CENTRAL);
    let middle = (is_central.logical_or(&is_tail).select(BOUNDS[1], w).sqrt() - 3.25).polynomial(&MIDDLE);
    let tail = (is_tail.select(w, BOUNDS[1]).sqrt() - 5.0).polynomial(&TAIL);
    is_tail.select(tail, is_central.select(central, middle))
}
