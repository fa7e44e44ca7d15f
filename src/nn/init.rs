//! How parameters start.

use crate::kernels::isa::Isa;
use crate::kernels::random::Stream;
use crate::state::write_bytes;
use kiln_ir::{DType, Literal, TensorData, TensorType};
use std::ops::Range;

/// The distribution that a parameter is drawn from.
///
/// Fans are those of PyTorch: a weight `[out, in, kernel..]` has fan in `in * kernel` and fan out `out * kernel`.
/// Sources: Glorot and Bengio, *Understanding the difficulty of training deep feedforward neural networks*, 2010,
/// equations 12 and 16 (Xavier); He and others, *Delving Deep into Rectifiers*, 2015, equations 10, 14 and 15 (Kaiming).
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
    /// Normal with deviation `gain / sqrt(fan out)`, with the gain of a leaky ReLU.
    KaimingNormalFanOut {
        /// The slope of the leaky ReLU below 0.
        slope: f64,
    },
    /// As another, but for one row (index along the first axis) of zeros.
    WithZeroRow {
        /// How the other rows start.
        init: Box<Init>,
        /// The row.
        row: usize,
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

    /// A value drawn with this seed; `index` tells the parameters of a model apart. Numbers have the precision of `f32`.
    pub fn sample(&self, ty: &TensorType, seed: u64, index: u64) -> TensorData {
        if let Init::WithZeroRow { init, row } = self {
            let full = init.sample(ty, seed, index);
            let row = row_range(&ty.shape, *row);
            return TensorData::from_fn(ty, |i| {
                if row.contains(&i) { Literal::zero(ty.dtype) } else { full.get(i) }
            });
        }
        let distribution = self.distribution(&ty.shape);
        if let Distribution::Constant(value) = distribution {
            return TensorData::filled(ty.shape.clone(), Literal::from_f64(ty.dtype, value));
        }
        let mut elements = Vec::with_capacity(ty.n_elements());
        distribution.draw(seed, index, ty.n_elements(), |block| elements.extend_from_slice(block));
        match ty.dtype {
            DType::F32 => TensorData::new(ty.shape.clone(), elements),
            DType::F64 | DType::I32 | DType::I64 | DType::U8 | DType::Bool => {
                TensorData::from_fn(ty, |i| Literal::from_f64(ty.dtype, f64::from(elements[i])))
            }
        }
    }

    /// Writes what [`sample`](Init::sample) returns over the bytes of a buffer, which are zero.
    pub(crate) fn write(&self, ty: &TensorType, seed: u64, index: u64, bytes: &mut [u8]) {
        if let Init::WithZeroRow { init, row } = self {
            init.write(ty, seed, index, bytes);
            let (row, size) = (row_range(&ty.shape, *row), ty.dtype.n_bytes());
            bytes[row.start * size..row.end * size].fill(0);
            return;
        }
        match (self.distribution(&ty.shape), ty.dtype) {
            // The bits of 0; those of -0 are others.
            (Distribution::Constant(value), _) if value.to_bits() == 0 => {}
            (distribution, DType::F32) => {
                let mut rest = bytes.as_chunks_mut().0;
                distribution.draw(seed, index, ty.n_elements(), |block| {
                    let (elements, after) = std::mem::take(&mut rest).split_at_mut(block.len());
                    elements
                        .iter_mut()
                        .zip(block)
                        .for_each(|(element, drawn)| *element = drawn.to_ne_bytes());
                    rest = after;
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
            Init::KaimingNormalFanOut { slope } => normal(leaky_gain(slope) / fan_out.sqrt()),
            Init::WithZeroRow { ref init, .. } => init.distribution(shape),
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
    /// Hands over `n` elements in blocks.
    fn draw(self, seed: u64, index: u64, n: usize, mut take: impl FnMut(&[f32])) {
        // A wrong choice of instruction set is reported where programs are compiled.
        let stream = Stream::new(Isa::detect().unwrap_or(Isa::Portable), seed, index);
        match self {
            Distribution::Constant(value) => {
                let block = [value as f32; 512];
                (0..n).step_by(block.len()).for_each(|start| take(&block[..block.len().min(n - start)]));
            }
            Distribution::Uniform { low, high } => stream.uniform(n, low as f32, high as f32, take),
            Distribution::Normal { mean, std } => stream.normal(n, mean as f32, std as f32, take),
        }
    }
}

/// The elements of a row, none when there is no such row.
fn row_range(shape: &[usize], row: usize) -> Range<usize> {
    let (n_rows, width) = (shape.first().copied().unwrap_or(0), shape.iter().skip(1).product::<usize>());
    if row < n_rows { row * width..(row + 1) * width } else { 0..0 }
}

/// Fan in and fan out; a vector counts as its own fan.
fn fans(shape: &[usize]) -> (f64, f64) {
    let kernel: usize = shape.iter().skip(2).product();
    let out = shape.first().copied().unwrap_or(1);
    let input = shape.get(1).copied().unwrap_or(out);
    ((input * kernel).max(1) as f64, (out * kernel).max(1) as f64)
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
