//! How parameters start.

use crate::state::write_bytes;
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
        let distribution = self.distribution(&ty.shape);
        match (distribution, ty.dtype) {
            (Distribution::Constant(value), dtype) => {
                TensorData::filled(ty.shape.clone(), Literal::from_f64(dtype, value))
            }
            // Most parameters: a vector of the type, without a literal for each element.
            (distribution, DType::F32) => {
                let mut elements = vec![0f32; ty.n_elements()];
                distribution.draw(seed, index, elements.iter_mut(), |element, drawn| *element = drawn as f32);
                TensorData::new(ty.shape.clone(), elements)
            }
            (distribution, dtype) => {
                let mut elements = vec![Literal::zero(dtype); ty.n_elements()];
                let put = |element: &mut Literal, drawn| *element = Literal::from_f64(dtype, drawn);
                distribution.draw(seed, index, elements.iter_mut(), put);
                TensorData::from_fn(ty, |i| elements[i])
            }
        }
    }

    /// Writes what [`sample`](Init::sample) returns over the bytes of a buffer, which are zero.
    pub(crate) fn write(&self, ty: &TensorType, seed: u64, index: u64, bytes: &mut [u8]) {
        match (self.distribution(&ty.shape), ty.dtype) {
            // The bits of 0; those of -0 are others.
            (Distribution::Constant(value), _) if value.to_bits() == 0 => {}
            (distribution, DType::F32) => {
                let elements = bytes.as_chunks_mut().0.iter_mut();
                distribution.draw(seed, index, elements, |element, drawn| {
                    *element = (drawn as f32).to_ne_bytes();
                });
            }
            (_, DType::F64 | DType::I32 | DType::I64 | DType::U8 | DType::Bool) => {
                write_bytes(&self.sample(ty, seed, index), bytes);
            }
        }
    }

    fn distribution(&self, shape: &[usize]) -> Distribution {
        let (fan_in, fan_out) = fans(shape);
        let leaky_gain = |slope: f64| (2.0 / (1.0 + slope * slope)).sqrt();
        let uniform = |bound: f64| Distribution::Uniform { low: -bound, high: bound };
        let normal = |std: f64| Distribution::Normal { mean: 0.0, std };
        match *self {
            Init::Zeros => Distribution::Constant(0.0),
            Init::Ones => Distribution::Constant(1.0),
            Init::Constant(value) => Distribution::Constant(value),
            Init::Uniform { low, high } => Distribution::Uniform { low, high },
            Init::Normal { mean, std } => Distribution::Normal { mean, std },
            Init::XavierUniform { gain } => uniform(gain * (6.0 / (fan_in + fan_out)).sqrt()),
            Init::XavierNormal { gain } => normal(gain * (2.0 / (fan_in + fan_out)).sqrt()),
            Init::KaimingUniform { slope } => uniform(leaky_gain(slope) * (3.0 / fan_in).sqrt()),
            Init::KaimingNormal { slope } => normal(leaky_gain(slope) / fan_in.sqrt()),
        }
    }
}

/// A distribution with its numbers.
#[derive(Clone, Copy)]
enum Distribution {
    Constant(f64),
    Uniform { low: f64, high: f64 },
    Normal { mean: f64, std: f64 },
}

impl Distribution {
    /// Draws a number for each element.
    fn draw<T>(self, seed: u64, index: u64, elements: impl Iterator<Item = T>, put: impl Fn(T, f64)) {
        let mut random = SplitMix64::new(seed, index);
        match self {
            Distribution::Constant(value) => elements.for_each(|element| put(element, value)),
            Distribution::Uniform { low, high } => {
                let range = high - low;
                elements.for_each(|element| put(element, low + range * random.next_unit()));
            }
            Distribution::Normal { mean, std } => {
                let mut elements = elements;
                while let Some(first) = elements.next() {
                    let [a, b] = random.next_normal();
                    put(first, mean + std * a);
                    if let Some(second) = elements.next() {
                        put(second, mean + std * b);
                    }
                }
            }
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

    /// Two independent normal deviates.
    ///
    /// Source: Box and Muller, *A note on the generation of random normal deviates*, 1958.
    fn next_normal(&mut self) -> [f64; 2] {
        // 1 - u is in (0, 1], where the logarithm is finite.
        let radius = (-2.0 * (1.0 - self.next_unit()).ln()).sqrt();
        let (sin, cos) = (TAU * self.next_unit()).sin_cos();
        [radius * cos, radius * sin]
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
    fn what_is_written_is_what_is_sampled() {
        let inits =
            [Init::Zeros, Init::Constant(2.5), Init::layer_bias(3), Init::Normal { mean: 1.0, std: 2.0 }];
        for (init, dtype) in inits.iter().flat_map(|init| [(init, DType::F32), (init, DType::F64)]) {
            let ty = TensorType::new(dtype, [3, 7]);
            let mut bytes = vec![0; ty.n_bytes()];
            init.write(&ty, 5, 1, &mut bytes);
            assert_eq!(crate::state::read_bytes(&ty, &bytes), init.sample(&ty, 5, 1));
        }
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
