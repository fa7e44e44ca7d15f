//! A denoising diffusion model.

use crate::loss::mse;
use crate::nn::{Conv2d, GroupNorm, Linear, Model};
use crate::tensor::{Tensor, cat};
use kiln_ir::TensorData;

/// Predicts the noise in images `[n, 1, 32, 32]` after so many of 1,000 steps of added noise.
///
/// Source: Ho, Jain, Abbeel, *Denoising Diffusion Probabilistic Models*, 2020.
#[derive(Debug)]
pub struct Ddpm {
    /// The first layer of the step's features.
    pub t1: Linear,
    /// The second.
    pub t2: Linear,
    /// Of the image.
    pub stem: Conv2d,
    /// 32 x 32 pixels.
    pub down1: DdpmBlock,
    /// To half of the pixels along each axis.
    pub s1: Conv2d,
    /// 16 x 16 pixels.
    pub down2: DdpmBlock,
    /// To half of the pixels.
    pub s2: Conv2d,
    /// 8 x 8 pixels.
    pub mid: DdpmBlock,
    /// Twice the pixels.
    pub u1: Conv2d,
    /// 16 x 16 pixels.
    pub up1: DdpmBlock,
    /// Twice the pixels.
    pub u2: Conv2d,
    /// 32 x 32 pixels.
    pub up2: DdpmBlock,
    /// Before the last convolution.
    pub gn: GroupNorm,
    /// The noise.
    pub out: Conv2d,
}
crate::parameters!(Ddpm { t1, t2, stem, down1, s1, down2, s2, mid, u1, up1, u2, up2, gn, out });

/// Two convolutions that know the step, and a way around them.
#[derive(Debug)]
pub struct DdpmBlock {
    /// Before the first convolution.
    pub gn1: GroupNorm,
    /// The first convolution.
    pub conv1: Conv2d,
    /// What the step adds to each channel.
    pub temb: Linear,
    /// Before the second convolution.
    pub gn2: GroupNorm,
    /// The second convolution.
    pub conv2: Conv2d,
    /// The way around, where the number of channels changes.
    pub short: Option<Conv2d>,
}
crate::parameters!(DdpmBlock { gn1, conv1, temb, gn2, conv2, short });

/// Features of a step.
const STEP_FEATURES: usize = 128;

/// A convolution of 3 x 3.
fn conv(n_in: usize, n_out: usize, stride: usize) -> Conv2d {
    Conv2d::new(n_in, n_out, 3).stride(stride).padding(1)
}

impl Ddpm {
    /// Number of steps in which noise is added.
    pub const STEPS: usize = 1000;

    /// A new model.
    pub fn new() -> Ddpm {
        Ddpm {
            t1: Linear::new(STEP_FEATURES, STEP_FEATURES),
            t2: Linear::new(STEP_FEATURES, STEP_FEATURES),
            stem: conv(1, 32, 1),
            down1: DdpmBlock::new(32, 32),
            s1: conv(32, 64, 2),
            down2: DdpmBlock::new(64, 64),
            s2: conv(64, 128, 2),
            mid: DdpmBlock::new(128, 128),
            u1: conv(128, 64, 1),
            up1: DdpmBlock::new(128, 64),
            u2: conv(64, 32, 1),
            up2: DdpmBlock::new(64, 32),
            gn: GroupNorm::new(8, 32),
            out: conv(32, 1, 1),
        }
    }

    /// The share of noise that each of the steps adds: in a line from 1e-4 to 0.02.
    pub fn betas() -> Vec<f64> {
        (0..Ddpm::STEPS).map(|i| 1e-4 + (0.02 - 1e-4) * i as f64 / (Ddpm::STEPS - 1) as f64).collect()
    }

    /// The noise in images after steps `t: i64[n]`.
    pub fn forward(&self, x: &Tensor, t: &Tensor) -> Tensor {
        let step = self.t2.forward(&self.t1.forward(&sinusoids(t, x)).silu());
        let x1 = self.down1.forward(&self.stem.forward(x), &step);
        let x2 = self.down2.forward(&self.s1.forward(&x1), &step);
        let x = self.mid.forward(&self.s2.forward(&x2), &step);
        let x = self.u1.forward(&x.upsample_nearest(2));
        let x = self.up1.forward(&cat(&[&x, &x2], 1), &step);
        let x = self.u2.forward(&x.upsample_nearest(2));
        let x = self.up2.forward(&cat(&[&x, &x1], 1), &step);
        self.out.forward(&self.gn.forward(&x).silu())
    }

    /// The loss of images to which noise is added as after steps `t`: the mean square of what the prediction of the noise is
    /// wrong by.
    pub fn loss(&self, x: &Tensor, t: &Tensor, noise: &Tensor) -> Tensor {
        // What is left of the image after each step, as a share of its variance.
        let left = Ddpm::betas().into_iter().scan(1.0, |product, beta| {
            *product *= 1.0 - beta;
            Some(*product)
        });
        let left: Vec<f64> = left.collect();
        let share = |of: fn(f64) -> f64| {
            let table = TensorData::new([Ddpm::STEPS], left.iter().map(|&left| of(left) as f32).collect());
            x.constant(table).take(t).reshape([-1, 1, 1, 1])
        };
        let noisy = share(f64::sqrt) * x + share(|left| (1.0 - left).sqrt()) * noise;
        mse(&self.forward(&noisy, t), noise)
    }
}

impl Default for Ddpm {
    fn default() -> Ddpm {
        Ddpm::new()
    }
}

/// Sines and cosines of the steps at frequencies from 1 down to 1 / 10,000. Source: Vaswani and others, *Attention Is All
/// You Need*, 2017, section 3.5.
fn sinusoids(t: &Tensor, like: &Tensor) -> Tensor {
    const HALF: usize = STEP_FEATURES / 2;
    let frequency = |i: usize| (-(10_000f64.ln()) * i as f64 / HALF as f64).exp() as f32;
    let frequencies = like.constant(TensorData::new([1, HALF], (0..HALF).map(frequency).collect()));
    let angle = t.unsqueeze(1).cast(like.dtype()) * frequencies;
    cat(&[&angle.sin(), &angle.cos()], 1)
}

impl DdpmBlock {
    fn new(n_in: usize, n_out: usize) -> DdpmBlock {
        DdpmBlock {
            gn1: GroupNorm::new(8, n_in),
            conv1: conv(n_in, n_out, 1),
            temb: Linear::new(STEP_FEATURES, n_out),
            gn2: GroupNorm::new(8, n_out),
            conv2: conv(n_out, n_out, 1),
            short: (n_in != n_out).then(|| Conv2d::new(n_in, n_out, 1)),
        }
    }

    fn forward(&self, x: &Tensor, step: &Tensor) -> Tensor {
        let h = self.conv1.forward(&self.gn1.forward(x).silu());
        let h = h + self.temb.forward(&step.silu()).reshape([x.extents()[0] as i64, -1, 1, 1]);
        let h = self.conv2.forward(&self.gn2.forward(&h).silu());
        h + self.short.as_ref().map_or_else(|| x.clone(), |short| short.forward(x))
    }
}
