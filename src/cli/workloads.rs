//! The models whose training or prediction `kiln bench` measures, as the comparison with other frameworks defines them.

use super::examples::{mnist_cnn, mnist_mlp, xor};
use super::feed::Feed;
use super::recipe::{Recipe, Recipes};
use crate::loss::cross_entropy;
use crate::models::{CharLstm, Dcgan, Ddpm, Gpt, GptConfig, Resnet18, Vae};
use crate::optim::{Adam, Sgd};
use crate::tensor::Tensor;
use crate::trainer::Trainer;
use clap::ValueEnum;
use kiln_ir::{DType, Shape};

/// A model by its name, and what is done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModelWorkload {
    /// A step of `xor`.
    Xor,
    /// A step of `mnist-mlp`, 128 samples.
    Mlp,
    /// A step of `mnist-cnn`, 64 samples.
    Cnn,
    /// A step of a recurrent model, 32 sequences of 64 characters.
    Lstm,
    /// A step of a small transformer, 12 sequences of 64 characters.
    Gpt,
    /// A step of a transformer of the size of GPT-2, one sequence of 256 tokens.
    #[value(name = "gpt2")]
    Gpt2,
    /// A step of ResNet-18, 32 images of 32 x 32.
    #[value(name = "resnet18")]
    Resnet18,
    /// A step of a variational autoencoder, 128 images of 784 pixels.
    Vae,
    /// A step of both networks of a DCGAN, 32 images of 32 x 32.
    Dcgan,
    /// A step of a diffusion model, 32 images of 32 x 32.
    Ddpm,
    /// A prediction of `mnist-mlp` for one sample.
    MlpInfer,
    /// A prediction of `gpt` for one sequence.
    GptInfer,
    /// A prediction of `gpt2` for one sequence.
    #[value(name = "gpt2-infer")]
    Gpt2Infer,
    /// A prediction of `resnet18` for one image.
    #[value(name = "resnet18-infer")]
    Resnet18Infer,
}

/// Characters of the language models.
const CHARACTERS: usize = 65;
/// Places in a sequence of the recurrent model.
const LENGTH: usize = 64;

impl ModelWorkload {
    /// The model, and how it is trained.
    pub fn recipes(self) -> Recipes {
        match self {
            ModelWorkload::Xor => xor::recipe().into(),
            ModelWorkload::Mlp => mnist_mlp::recipe().into(),
            ModelWorkload::Cnn => mnist_cnn::recipe().into(),
            ModelWorkload::Lstm => lstm().into(),
            ModelWorkload::Gpt => gpt().into(),
            ModelWorkload::Gpt2 => gpt2().into(),
            ModelWorkload::Resnet18 => resnet18().into(),
            ModelWorkload::Vae => vae().into(),
            ModelWorkload::Dcgan => dcgan().into(),
            ModelWorkload::Ddpm => ddpm().into(),
            ModelWorkload::MlpInfer => mnist_mlp::recipe().for_inference().into(),
            ModelWorkload::GptInfer => gpt().for_inference().into(),
            ModelWorkload::Gpt2Infer => gpt2().for_inference().into(),
            ModelWorkload::Resnet18Infer => resnet18().for_inference().into(),
        }
    }

    /// Whether it is the step of the example of its name.
    pub fn is_example(self) -> bool {
        matches!(self, ModelWorkload::Xor | ModelWorkload::Mlp | ModelWorkload::Cnn)
    }
}

fn lstm() -> Recipe<CharLstm> {
    let characters = Feed::sequences(LENGTH, CHARACTERS);
    Recipe::new(CharLstm::new(CHARACTERS), 32, 1e-3, |model, rate| model.trainer(rate))
        .step(characters.clone(), [characters])
}

fn gpt() -> Recipe<Gpt> {
    transformer(GptConfig::SMALL, 12, 1e-3)
}

fn gpt2() -> Recipe<Gpt> {
    transformer(GptConfig::GPT2, 1, 3e-4)
}

fn transformer(config: GptConfig, batch: usize, learning_rate: f64) -> Recipe<Gpt> {
    let tokens = Feed::sequences(config.context, config.vocabulary);
    Recipe::new(Gpt::new(config), batch, learning_rate, |model, rate| model.trainer(rate))
        .step(tokens.clone(), [tokens])
}

fn resnet18() -> Recipe<Resnet18> {
    Recipe::new(Resnet18::new(3, 10), 32, 0.1, |model, rate| {
        let sgd = Sgd::new(rate).momentum(0.9).weight_decay(5e-4);
        Trainer::new(model).loss(cross_entropy).optimizer(sgd)
    })
    .step(Feed::normal(&[3, 32, 32]), [Feed::classes(10)])
}

fn vae() -> Recipe<Vae> {
    Recipe::new(Vae::new(), 128, 1e-3, |model, rate| {
        let loss = |x: &[Tensor]| model.loss(&x[0], &noise(&x[0], &[Vae::LATENT]));
        Trainer::minimizing(model, loss).optimizer(Adam::new(rate))
    })
    .step(Feed::images(&[784]), [])
}

fn ddpm() -> Recipe<Ddpm> {
    Recipe::new(Ddpm::new(), 32, 2e-4, |model, rate| {
        let loss = |x: &[Tensor]| {
            let unit = zeros(&x[0], &[]).rand_like();
            let t = (unit * Ddpm::STEPS as f64).cast(DType::I64);
            model.loss(&x[0], &t, &x[0].randn_like())
        };
        Trainer::minimizing(model, loss).optimizer(Adam::new(rate))
    })
    .step(Feed::uniform(&[1, 32, 32], -1.0, 1.0), [])
}

fn dcgan() -> Recipe<Dcgan> {
    Recipe::new(Dcgan::new(), 32, 2e-4, |model, rate| {
        model.trainer(rate).training_program("drawn", |step, batch| {
            model.step(step, &batch[0], &noise(&batch[0], &[Dcgan::NOISE, 1, 1]))
        })
    })
    .training("drawn", [Feed::uniform(&[1, 32, 32], -1.0, 1.0)])
}

/// Zeros of these extents for each sample of a batch.
fn zeros(batch: &Tensor, extents: &[usize]) -> Tensor {
    batch.fill(DType::F32, Shape::new(&[&batch.extents()[..1], extents].concat()), 0.0)
}

/// Normal noise of these extents for each sample of a batch, drawn in the program.
fn noise(batch: &Tensor, extents: &[usize]) -> Tensor {
    zeros(batch, extents).randn_like()
}
