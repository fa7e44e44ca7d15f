//! How parameters start.

use kiln_ir::{DType, Literal, TensorData, TensorType};
use std::f64::consts::TAU;

/// The distribution that a parameter is drawn from.
///
/// Fans are those of PyTorch: a weight `[out, in, kernel..]` has fan in `in * kernel` and fan out `out * kernel`.
/// Sources: Glorot and Bengio, *Understanding the difficulty of training deep feedforward neural networks*, 2010
/// (Xavier); He and others, *Delving Deep into Rectifiers*, 2015 (Kaiming).
#[derive(Clone, Debug, PartialEq)]
pub enum Init {
    /// All zeros.
    Zeros,
    /// All ones.
    Ones,
    /// All equal.
    Constant(f64),
    /// Uniform in `low..high`.
    Uniform {
        /// The least value.
        low: f64,
        /// The bound above.
        high: f64,
    },
    /// Normal.
    Normal {
        /// The mean.
        mean: f64,
        /// The standard deviation.
        std: f64,
    },
    /// Uniform in `±gain sqrt(6 / (fan in + fan out))`.
    XavierUniform {
        /// The gain.
        gain: f64,
    },
    /// Normal with deviation `gain sqrt(2 / (fan in + fan out))`.
    XavierNormal {
        /// The gain.
        gain: f64,
    },
    /// Uniform in `±gain sqrt(3 / fan in)`, with the gain of a leaky ReLU: `sqrt(2 / (1 + slope^2))`.
    KaimingUniform {
        /// The slope of the leaky ReLU below 0; PyTorch's layers start with `sqrt(5)`.
        slope: f64,
    },
    /// Normal with deviation `gain / sqrt(fan in)`, with the gain of a leaky ReLU.
    KaimingNormal {
        /// The slope of the leaky ReLU below 0.
        slope: f64,
    },
}

impl Init {
    /// What PyTorch's Linear and convolutions start their weights with.
    pub fn layer_weight() -> Init {
        Init::KaimingUniform { slope: 5f64.sqrt() }
    }

    /// What PyTorch's Linear and convolutions start their biases with: uniform in `±1 / sqrt(fan in)`.
    pub fn layer_bias(fan_in: usize) -> Init {
        let bound = if fan_in == 0 { 0.0 } else { (fan_in as f64).sqrt().recip() };
        Init::Uniform { low: -bound, high: bound }
    }

    /// A value drawn with this seed; `index` tells the parameters of a model apart.
    pub fn sample(&self, ty: &TensorType, seed: u64, index: u64) -> TensorData {
        let (fan_in, fan_out) = fans(&ty.shape);
        let leaky_gain = |slope: f64| (2.0 / (1.0 + slope * slope)).sqrt();
        match *self {
            Init::Zeros => TensorData::zeros(ty),
            Init::Ones => TensorData::filled(ty.shape.clone(), Literal::one(ty.dtype)),
            Init::Constant(value) => TensorData::filled(ty.shape.clone(), Literal::from_f64(ty.dtype, value)),
            Init::Uniform { low, high } => uniform(ty, low, high, seed, index),
            Init::Normal { mean, std } => normal(ty, mean, std, seed, index),
            Init::XavierUniform { gain } => {
                let bound = gain * (6.0 / (fan_in + fan_out)).sqrt();
                uniform(ty, -bound, bound, seed, index)
            }
            Init::XavierNormal { gain } => {
                normal(ty, 0.0, gain * (2.0 / (fan_in + fan_out)).sqrt(), seed, index)
            }
            Init::KaimingUniform { slope } => {
                let bound = leaky_gain(slope) * (3.0 / fan_in).sqrt();
                uniform(ty, -bound, bound, seed, index)
            }
            Init::KaimingNormal { slope } => normal(ty, 0.0, leaky_gain(slope) / fan_in.sqrt(), seed, index),
        }
    }
}

/// Fan in and fan out; a vector counts as its own fan.
fn fans(shape: &[usize]) -> (f64, f64) {
    let kernel: usize = shape.iter().skip(2).product();
    let out = shape.first().copied().unwrap_or(1);
    let input = shape.get(1).copied().unwrap_or(out);
    ((input * kernel).max(1) as f64, (out * kernel).max(1) as f64)
}

fn uniform(ty: &TensorType, low: f64, high: f64, seed: u64, index: u64) -> TensorData {
    let mut random = SplitMix64::new(seed, index);
    fill(ty, || low + (high - low) * random.next_unit())
}

/// Source: Box and Muller, *A note on the generation of random normal deviates*, 1958; one of each two deviates.
fn normal(ty: &TensorType, mean: f64, std: f64, seed: u64, index: u64) -> TensorData {
    let mut random = SplitMix64::new(seed, index);
    fill(ty, || {
        // 1 - u is in (0, 1], where the logarithm is finite.
        let radius = (-2.0 * (1.0 - random.next_unit()).ln()).sqrt();
        mean + std * radius * (TAU * random.next_unit()).cos()
    })
}

fn fill(ty: &TensorType, mut draw: impl FnMut() -> f64) -> TensorData {
    match ty.dtype {
        // Most parameters: a vector of the type, without a literal for each element.
        DType::F32 => {
            let n = ty.n_elements();
            TensorData::new(ty.shape.clone(), (0..n).map(|_| draw() as f32).collect())
        }
        DType::F64 | DType::I32 | DType::I64 | DType::U8 | DType::Bool => {
            TensorData::from_fn(ty, |_| Literal::from_f64(ty.dtype, draw()))
        }
    }
}

/// A generator of 64 random bits at a time.
///
/// Source: Steele, Lea, Flood, *Fast Splittable Pseudorandom Number Generators*, 2014; constants of `splitmix64.c`
/// by Vigna.
struct SplitMix64(u64);

impl SplitMix64 {
    fn new(seed: u64, index: u64) -> SplitMix64 {
        // The index goes through the generator once, so that neighbouring seeds and indices have nothing in common.
        let mixed = SplitMix64(index).next();
        SplitMix64(seed ^ mixed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in `[0, 1)`, 53 bits.
    fn next_unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean and standard deviation.
    fn moments(data: &TensorData) -> (f64, f64) {
        let values = data.to_f64_vec();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
        (mean, (squares / values.len() as f64).sqrt())
    }

    #[test]
    fn the_generator_is_splitmix64() {
        // From seed 0, as printed in the tests of many implementations of `splitmix64.c`.
        let mut random = SplitMix64(0);
        assert_eq!(random.next(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(random.next(), 0x6e78_9e6a_a1b9_65f4);
    }

    #[test]
    fn distributions_have_their_moments() {
        let ty = TensorType::new(DType::F32, [64, 400]);
        let std = |init: Init| moments(&init.sample(&ty, 7, 0));
        // 25,600 draws: the mean is off by less than four of its own deviations, the deviation by 2%.
        let check = |(mean, std): (f64, f64), expected: f64| {
            assert!(mean.abs() < 4.0 * expected / 160.0, "mean {mean}");
            assert!((std / expected - 1.0).abs() < 0.02, "deviation {std}, expected {expected}");
        };
        check(std(Init::layer_weight()), (1.0 / 400f64).sqrt() / 3f64.sqrt());
        check(std(Init::KaimingNormal { slope: 0.0 }), (2.0 / 400f64).sqrt());
        check(std(Init::XavierUniform { gain: 1.0 }), (2.0 / 464f64).sqrt());
        check(std(Init::XavierNormal { gain: 2.0 }), 2.0 * (2.0 / 464f64).sqrt());
    }

    #[test]
    fn bounds_hold_and_draws_differ_by_seed_and_index() {
        let ty = TensorType::new(DType::F32, [1000]);
        let draw = |seed, index| Init::layer_bias(16).sample(&ty, seed, index);
        assert!(draw(0, 0).to_f64_vec().iter().all(|v| v.abs() <= 0.25));
        assert_eq!(draw(0, 0), draw(0, 0));
        assert_ne!(draw(0, 0), draw(0, 1));
        assert_ne!(draw(0, 0), draw(1, 0));
    }
}
