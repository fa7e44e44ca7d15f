//! A variational autoencoder.

use crate::loss::{Bce, Reduction};
use crate::nn::{Linear, Model};
use crate::tensor::Tensor;

/// A variational autoencoder of images of 784 pixels, with 20 latent features.
///
/// Source: Kingma and Welling, *Auto-Encoding Variational Bayes*, 2014.
#[derive(Debug)]
pub struct Vae {
    /// Into the encoder.
    pub fc1: Linear,
    /// The means of the latent features.
    pub mu: Linear,
    /// The logarithms of their variances.
    pub logvar: Linear,
    /// Into the decoder.
    pub fc3: Linear,
    /// The pixels.
    pub fc4: Linear,
}
crate::parameters!(Vae { fc1, mu, logvar, fc3, fc4 });

impl Vae {
    /// Number of latent features.
    pub const LATENT: usize = 20;

    /// A new model.
    pub fn new() -> Vae {
        Vae {
            fc1: Linear::new(784, 400),
            mu: Linear::new(400, Vae::LATENT),
            logvar: Linear::new(400, Vae::LATENT),
            fc3: Linear::new(Vae::LATENT, 400),
            fc4: Linear::new(400, 784),
        }
    }

    /// Mean and logarithm of the variance of the latent features of images `[n, 784]`.
    pub fn encode(&self, x: &Tensor) -> (Tensor, Tensor) {
        let hidden = self.fc1.forward(x).relu();
        (self.mu.forward(&hidden), self.logvar.forward(&hidden))
    }

    /// The images of latent features `[n, 20]`.
    pub fn decode(&self, z: &Tensor) -> Tensor {
        self.fc4.forward(&self.fc3.forward(z).relu()).sigmoid()
    }

    /// The loss of images in `0..=1` with normal noise `[n, 20]`: binary cross entropy and divergence from the normal
    /// distribution, both summed.
    pub fn loss(&self, x: &Tensor, noise: &Tensor) -> Tensor {
        let (mu, logvar) = self.encode(x);
        let y = self.decode(&(&mu + noise * (&logvar * 0.5).exp()));
        let divergence = (1.0 + &logvar - mu.square() - logvar.exp()).sum(..) * -0.5;
        Bce::new().reduction(Reduction::Sum).of(&y, x) + divergence
    }
}

impl Default for Vae {
    fn default() -> Vae {
        Vae::new()
    }
}
