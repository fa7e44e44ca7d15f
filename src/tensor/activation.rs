//! Activation functions, with PyTorch's definitions, default constants and slopes at kinks.
//!
//! Shapes: as `self`. Types: floats. Errors: other types.
//!
//! Where a function has a branch whose slope overflows, the operand of that branch is replaced where it is not
//! taken: an infinite slope times the zero of the branch not taken would be NaN.

use super::{Operand, Tensor};

impl Tensor {
    /// `max(x, 0)`; slope 0 at 0; NaN stays.
    /// Source: Nair and Hinton, *Rectified Linear Units Improve Restricted Boltzmann Machines*, 2010.
    #[track_caller]
    pub fn relu(&self) -> Tensor {
        self.within("relu", || self.le(0).select(self.zeros_like(), self))
    }

    /// `x` above 0, `slope * x` below.
    /// Source: Maas and others, *Rectifier Nonlinearities Improve Neural Network Acoustic Models*, 2013.
    #[track_caller]
    pub fn leaky_relu(&self, slope: f64) -> Tensor {
        self.within("leaky_relu", || self.gt(0.0).select(self, self * slope))
    }

    /// `x` above 0, `weight * x` below, with a weight for all elements or one for each channel (axis 1).
    /// Source: He and others, *Delving Deep into Rectifiers*, 2015.
    #[track_caller]
    pub fn prelu(&self, weight: &Tensor) -> Tensor {
        self.within("prelu", || {
            let weight = match (weight.n_elements(), self.rank()) {
                (1, _) => weight.reshape_exact(kiln_ir::Shape::scalar()),
                (n, rank) if rank >= 2 => {
                    weight.reshape_exact([n].into_iter().chain(std::iter::repeat_n(1, rank - 2)).collect())
                }
                _ => weight.clone(),
            };
            self.gt(0.0).select(self, self * weight)
        })
    }

    /// What a randomized leaky unit computes in evaluation: [`leaky_relu`](Tensor::leaky_relu) with the mean of the
    /// slopes that it draws from in training (PyTorch: 1/8 and 1/3). In training each element at or below 0 gets a slope
    /// of its own, uniform between the two; the gradient draws the same ones.
    ///
    /// Errors: in training also a trace without random state. Source: Xu and others, *Empirical Evaluation of Rectified
    /// Activations in Convolutional Network*, 2015.
    #[track_caller]
    pub fn rrelu(&self, lower: f64, upper: f64) -> Tensor {
        self.within("rrelu", || {
            if !self.tracer().is_training() {
                return self.leaky_relu((lower + upper) / 2.0);
            }
            let slope = self.rand_like() * (upper - lower) + lower;
            self.gt(0.0).select(self, self * slope)
        })
    }

    /// `x` above 0, `alpha (e^x - 1)` below.
    /// Source: Clevert and others, *Fast and Accurate Deep Network Learning by Exponential Linear Units*, 2016.
    #[track_caller]
    pub fn elu(&self, alpha: f64) -> Tensor {
        self.within("elu", || self.exponential_below(alpha, 1.0))
    }

    /// The self-normalizing unit: `1.0507 elu(x, 1.67326)`.
    ///
    /// Source: Klambauer and others, *Self-Normalizing Neural Networks*, 2017, which gives both constants.
    #[track_caller]
    pub fn selu(&self) -> Tensor {
        const ALPHA: f64 = 1.6732632423543772848170429916717;
        const SCALE: f64 = 1.0507009873554804934193349852946;
        self.within("selu", || self.exponential_below(ALPHA, 1.0) * SCALE)
    }

    /// `x` above 0, `alpha (e^(x / alpha) - 1)` below.
    /// Source: Barron, *Continuously Differentiable Exponential Linear Units*, 2017.
    #[track_caller]
    pub fn celu(&self, alpha: f64) -> Tensor {
        self.within("celu", || self.exponential_below(alpha, 1.0 / alpha))
    }

    /// `x` above 0, `alpha (e^(rate x) - 1)` from 0 down.
    fn exponential_below(&self, alpha: f64, rate: f64) -> Tensor {
        let above = self.gt(0.0);
        let below = above.select(0.0, self);
        above.select(self, (super::binary::scaled(below, rate)).expm1() * alpha)
    }

    /// `x Phi(x)`, with the distribution function of the normal distribution by its error function.
    ///
    /// Source: Hendrycks and Gimpel, *Gaussian Error Linear Units*, 2016.
    #[track_caller]
    pub fn gelu(&self) -> Tensor {
        self.within("gelu", || {
            let phi = ((self * std::f64::consts::FRAC_1_SQRT_2).erf() + 1.0) * 0.5;
            self * phi
        })
    }

    /// GELU with the distribution function approximated by `tanh`.
    ///
    /// Source: as [`gelu`](Tensor::gelu), section 2.
    #[track_caller]
    pub fn gelu_tanh(&self) -> Tensor {
        self.within("gelu_tanh", || {
            let sqrt_2_over_pi = std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2;
            let cubic = self + self.square() * self * 0.044715;
            self * (((cubic * sqrt_2_over_pi).tanh() + 1.0) * 0.5)
        })
    }

    /// `x sigmoid(x)`, also called swish.
    /// Source: Elfwing and others, *Sigmoid-Weighted Linear Units for Neural Network Function Approximation*, 2018.
    #[track_caller]
    pub fn silu(&self) -> Tensor {
        self.within("silu", || self * self.sigmoid())
    }

    /// `x tanh(softplus(x))`. Source: Misra, *Mish: A Self Regularized Non-Monotonic Activation Function*, 2019.
    #[track_caller]
    pub fn mish(&self) -> Tensor {
        self.within("mish", || self * self.log1p_exp().tanh())
    }

    /// `log(1 + e^(beta x)) / beta`, and `x` itself where `beta x` is above `threshold` (PyTorch: 1 and 20).
    /// Source: Dugas and others, *Incorporating Second-Order Functional Knowledge for Better Option Pricing*, 2000.
    #[track_caller]
    pub fn softplus(&self, beta: f64, threshold: f64) -> Tensor {
        self.within("softplus", || {
            let x = super::binary::scaled(self.clone(), beta);
            x.gt(threshold).select(self, super::binary::scaled(x.log1p_exp(), 1.0 / beta))
        })
    }

    /// `log(1 + e^x)` as `max(x, 0) + log1p(e^-|x|)`, which does not overflow.
    pub(crate) fn log1p_exp(&self) -> Tensor {
        // One choice for both terms, so that the slope at 0 is sigmoid(0) = 1/2: 1 - 1/2 from above, with
        // the `-x` of |x| above and the `x` below.
        let above = self.gt(0.0);
        let minus_abs = above.select(-self, self);
        above.select(self, 0.0) + minus_abs.exp().log1p()
    }

    /// `log(sigmoid(x)) = -log(1 + e^-x)`, without overflow.
    /// Source: Bishop, *Pattern Recognition and Machine Learning*, 2006, equation 4.59, for the sigmoid.
    #[track_caller]
    pub fn logsigmoid(&self) -> Tensor {
        self.within("logsigmoid", || -(-self).log1p_exp())
    }

    /// `x` held between two numbers; slope 0 at both, unlike [`clamp`](Tensor::clamp).
    /// Source: Collobert, *Large Scale Machine Learning*, 2004.
    #[track_caller]
    pub fn hardtanh(&self, low: f64, high: f64) -> Tensor {
        self.within("hardtanh", || {
            let capped = self.ge(high).select(high, self);
            self.le(low).select(low, capped)
        })
    }

    /// `x` held between 0 and 6.
    /// Source: Krizhevsky, *Convolutional Deep Belief Networks on CIFAR-10*, 2010.
    #[track_caller]
    pub fn relu6(&self) -> Tensor {
        self.within("relu6", || self.hardtanh(0.0, 6.0))
    }

    /// `relu6(x + 3) / 6`.
    /// Source: Howard and others, *Searching for MobileNetV3*, 2019.
    #[track_caller]
    pub fn hardsigmoid(&self) -> Tensor {
        self.within("hardsigmoid", || (self + 3.0).relu6() / 6.0)
    }

    /// `x relu6(x + 3) / 6`. Source: Howard and others, *Searching for MobileNetV3*, 2019.
    #[track_caller]
    pub fn hardswish(&self) -> Tensor {
        self.within("hardswish", || self * (self + 3.0).relu6() / 6.0)
    }

    /// `x` where `|x|` is above `lambda`, otherwise 0.
    /// Source: Donoho and Johnstone, *Ideal Spatial Adaptation by Wavelet Shrinkage*, 1994.
    #[track_caller]
    pub fn hardshrink(&self, lambda: f64) -> Tensor {
        self.within("hardshrink", || self.abs().le(lambda).select(0.0, self))
    }

    /// `x` moved `lambda` toward 0, and 0 where it is nearer than that.
    /// Source: as [`hardshrink`](Tensor::hardshrink).
    #[track_caller]
    pub fn softshrink(&self, lambda: f64) -> Tensor {
        self.within("softshrink", || {
            let below = self.lt(-lambda).select(self + lambda, self * 0.0);
            self.gt(lambda).select(self - lambda, below)
        })
    }

    /// `x` where it is above `threshold`, otherwise `value`.
    /// Source: Konda and others, *Zero-Bias Autoencoders and the Benefits of Co-Adapting Features*, 2015, with a `value` of 0.
    #[track_caller]
    pub fn threshold(&self, threshold: f64, value: f64) -> Tensor {
        self.within("threshold", || self.le(threshold).select(self.full_like(value), self))
    }

    /// `x / (1 + |x|)`.
    /// Source: Glorot and Bengio, *Understanding the Difficulty of Training Deep Feedforward Neural Networks*, 2010.
    #[track_caller]
    pub fn softsign(&self) -> Tensor {
        self.within("softsign", || self / (self.abs() + 1.0))
    }

    /// `x - tanh(x)`. No paper is known: the function came with Collobert and others, *Torch7*, 2011.
    #[track_caller]
    pub fn tanhshrink(&self) -> Tensor {
        self.within("tanhshrink", || self - self.tanh())
    }

    /// The first half of an axis times the sigmoid of the second: `[.., 2 n, ..]` -> `[.., n, ..]`. Errors: its extent is
    /// odd.
    ///
    /// Source: Dauphin and others, *Language Modeling with Gated Convolutional Networks*, 2017, equation 1.
    #[track_caller]
    pub fn glu(&self, axis: i64) -> Tensor {
        self.within("glu", || match self.axis("glu", axis) {
            Ok(at) if self.shape()[at].is_multiple_of(2) => {
                let half = self.shape()[at] / 2;
                let gate = self.slice_exact(at, half, 2 * half, 1).sigmoid();
                self.slice_exact(at, 0, half, 1) * gate
            }
            Ok(at) => self.refuse("glu", format!("extent {} of axis {at} is odd", self.shape()[at])),
            Err(poisoned) => poisoned,
        })
    }

    /// `self` where a draw says so, as dropout does; see [`dropout`](Tensor::dropout).
    pub(crate) fn kept_where(&self, keep: &Tensor, scale: impl Into<Operand>) -> Tensor {
        keep.select(self.mul(scale), 0.0)
    }
}
