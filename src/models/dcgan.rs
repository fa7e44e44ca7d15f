//! A pair of convolutional networks that train against each other.

use crate::loss::bce_with_logits;
use crate::nn::{BatchNorm2d, Conv2d, ConvTranspose2d, Init, Model};
use crate::optim::Adam;
use crate::tensor::Tensor;
use crate::trainer::{Step, Trainer, TrainerBuilder};

/// A generator of images of 32 x 32 and a discriminator that tells them from real ones.
///
/// Source: Radford, Metz, Chintala, *Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
/// Networks*, 2016.
#[derive(Debug)]
pub struct Dcgan {
    /// Makes images.
    pub g: Generator,
    /// Judges images.
    pub d: Discriminator,
}
crate::parameters!(Dcgan { g, d });

/// Makes images `[n, 1, 32, 32]` from noise `[n, 64, 1, 1]`.
#[derive(Debug)]
pub struct Generator {
    /// To 4 x 4 pixels.
    pub ct1: ConvTranspose2d,
    /// After `ct1`.
    pub bn1: BatchNorm2d,
    /// To 8 x 8 pixels.
    pub ct2: ConvTranspose2d,
    /// After `ct2`.
    pub bn2: BatchNorm2d,
    /// To 16 x 16 pixels.
    pub ct3: ConvTranspose2d,
    /// After `ct3`.
    pub bn3: BatchNorm2d,
    /// To 32 x 32 pixels.
    pub ct4: ConvTranspose2d,
}
crate::parameters!(Generator { ct1, bn1, ct2, bn2, ct3, bn3, ct4 });

/// Scores images `[n, 1, 32, 32]`: `[n]`, the greater the more real.
#[derive(Debug)]
pub struct Discriminator {
    /// To 16 x 16 pixels.
    pub c1: Conv2d,
    /// To 8 x 8 pixels.
    pub c2: Conv2d,
    /// After `c2`.
    pub bn2: BatchNorm2d,
    /// To 4 x 4 pixels.
    pub c3: Conv2d,
    /// After `c3`.
    pub bn3: BatchNorm2d,
    /// To one score.
    pub c4: Conv2d,
}
crate::parameters!(Discriminator { c1, c2, bn2, c3, bn3, c4 });

/// How all weights of convolutions start.
const NORMAL: Init = Init::Normal { mean: 0.0, std: 0.02 };

fn up(n_in: usize, n_out: usize, stride: usize, padding: usize) -> ConvTranspose2d {
    let conv = ConvTranspose2d::new(n_in, n_out, 4).stride(stride).padding(padding);
    conv.without_bias().weight_init(NORMAL)
}

fn down(n_in: usize, n_out: usize, stride: usize, padding: usize) -> Conv2d {
    Conv2d::new(n_in, n_out, 4).stride(stride).padding(padding).without_bias().weight_init(NORMAL)
}

fn norm(channels: usize) -> BatchNorm2d {
    BatchNorm2d::new(channels).weight_init(Init::Normal { mean: 1.0, std: 0.02 })
}

impl Dcgan {
    /// Channels of the noise.
    pub const NOISE: usize = 64;

    /// A new pair.
    pub fn new() -> Dcgan {
        let g = Generator {
            ct1: up(Dcgan::NOISE, 128, 1, 0),
            bn1: norm(128),
            ct2: up(128, 64, 2, 1),
            bn2: norm(64),
            ct3: up(64, 32, 2, 1),
            bn3: norm(32),
            ct4: up(32, 1, 2, 1),
        };
        let d = Discriminator {
            c1: down(1, 32, 2, 1),
            c2: down(32, 64, 2, 1),
            bn2: norm(64),
            c3: down(64, 128, 2, 1),
            bn3: norm(128),
            c4: down(128, 1, 1, 0),
        };
        Dcgan { g, d }
    }

    /// The loss of the discriminator.
    pub fn d_loss(&self, real: &Tensor, fake: &Tensor) -> Tensor {
        let (real, fake) = (self.d.forward(real), self.d.forward(fake));
        bce_with_logits(&real, &real.ones_like()) + bce_with_logits(&fake, &fake.zeros_like())
    }

    /// The loss of the generator.
    pub fn g_loss(&self, fake: &Tensor) -> Tensor {
        let score = self.d.forward(fake);
        bce_with_logits(&score, &score.ones_like())
    }

    /// A step of the discriminator on real images and images made from noise, then one of the generator, through the new
    /// discriminator: both losses. For a program of a trainer whose groups are `d` and `g`.
    pub fn step(&self, step: &Step<'_>, real: &Tensor, noise: &Tensor) -> Vec<Tensor> {
        let fake = self.g.forward(noise);
        let d_loss = self.d_loss(real, &fake.detach());
        step.minimize("d", &d_loss);
        let g_loss = self.g_loss(&fake);
        step.minimize("g", &g_loss);
        vec![d_loss, g_loss]
    }

    /// Begins a trainer with the program `step`, which takes real images and noise: a step of the discriminator, then one
    /// of the generator; it returns both losses. The program `generate` makes images from noise.
    pub fn trainer(&self, learning_rate: f64) -> TrainerBuilder<'_> {
        let adam = || Adam::new(learning_rate).betas(0.5, 0.999);
        Trainer::with_programs(self)
            .optimizer_of("g", adam())
            .optimizer_of("d", adam())
            .training_program("step", |step, batch| self.step(step, &batch[0], &batch[1]))
            .program("generate", |batch| vec![self.g.forward(&batch[0])])
    }
}

impl Default for Dcgan {
    fn default() -> Dcgan {
        Dcgan::new()
    }
}

impl Model for Generator {
    fn forward(&self, z: &Tensor) -> Tensor {
        let x = self.bn1.forward(&self.ct1.forward(z)).relu();
        let x = self.bn2.forward(&self.ct2.forward(&x)).relu();
        let x = self.bn3.forward(&self.ct3.forward(&x)).relu();
        self.ct4.forward(&x).tanh()
    }
}

impl Model for Discriminator {
    fn forward(&self, x: &Tensor) -> Tensor {
        let x = self.c1.forward(x).leaky_relu(0.2);
        let x = self.bn2.forward(&self.c2.forward(&x)).leaky_relu(0.2);
        let x = self.bn3.forward(&self.c3.forward(&x)).leaky_relu(0.2);
        self.c4.forward(&x).flatten(0, -1)
    }
}
