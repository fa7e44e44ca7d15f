//! Workloads that are models: a step of training, or a prediction.

use super::measure::Running;
use super::workload::Way;
use crate::cli::error::CliError;
use crate::cli::recipe::{self, Recipe};
use crate::error::Error;
use crate::loss::cross_entropy;
use crate::models::{CharLstm, Dcgan, Ddpm, Gpt, GptConfig, Resnet18, Vae};
use crate::nn::Init;
use crate::optim::{Adam, Sgd};
use crate::tensor::Tensor;
use crate::trainer::Trainer;
use clap::ValueEnum;
use kiln_ir::{DType, Shape, TensorData, TensorType, random_data};

/// A model by its name, and what is done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ModelWorkload {
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

/// Makes a trainer.
type Make<'a> = Box<dyn Fn(&Way) -> Result<Trainer<'a>, Error> + 'a>;
/// Takes a step and returns a number that depends on its result.
type Step<'a> = Box<dyn FnMut(&mut Trainer<'a>) -> Result<Outcome, Error> + 'a>;

/// What a step returns: a number of it is asked for outside of the time that is measured.
enum Outcome {
    Loss(f64),
    Prediction(TensorData),
}

/// A model with a batch, run again and again.
struct Steps<'a> {
    way: Way,
    make: Make<'a>,
    step: Step<'a>,
    trainer: Option<Trainer<'a>>,
    last: Option<Outcome>,
}

impl<'a> Steps<'a> {
    fn new(way: Way, make: Make<'a>, step: Step<'a>) -> Steps<'a> {
        Steps { way, make, step, trainer: None, last: None }
    }
}

impl Running for Steps<'_> {
    fn step(&mut self) -> Result<(), CliError> {
        let trainer = match &mut self.trainer {
            Some(trainer) => trainer,
            None => self.trainer.insert((self.make)(&self.way)?),
        };
        self.last = Some((self.step)(trainer)?);
        Ok(())
    }

    fn value(&self) -> f64 {
        match &self.last {
            None => f64::NAN,
            Some(Outcome::Loss(loss)) => *loss,
            Some(Outcome::Prediction(results)) => results.to_f64_vec().iter().sum(),
        }
    }
}

fn f32(extents: &[usize]) -> TensorType {
    TensorType::new(DType::F32, Shape::new(extents))
}

fn i64(extents: &[usize]) -> TensorType {
    TensorType::new(DType::I64, Shape::new(extents))
}

fn normal(extents: &[usize]) -> TensorData {
    Init::Normal { mean: 0.0, std: 1.0 }.sample(&f32(extents), 1, 0)
}

/// Uniform in `low..1`.
fn uniform(extents: &[usize], low: f64) -> TensorData {
    Init::Uniform { low, high: 1.0 }.sample(&f32(extents), 1, 0)
}

/// Whole numbers below the bound.
fn whole(extents: &[usize], bound: usize, seed: u64) -> TensorData {
    random_data(&i64(extents), seed, 0.0..bound as f64)
}

/// Normal noise of these extents, drawn in the program.
fn noise(like: &Tensor, extents: &[usize]) -> Tensor {
    like.fill(DType::F32, Shape::new(extents), 0.0).randn_like()
}

/// A step with a loss on one batch.
fn training<'a>(inputs: TensorData, targets: TensorData) -> Step<'a> {
    Box::new(move |trainer| trainer.step(&inputs, &targets).map(|loss| Outcome::Loss(loss.into())))
}

/// A step of a model that computes its loss itself.
fn minimizing<'a>(inputs: TensorData) -> Step<'a> {
    Box::new(move |trainer| trainer.step(&inputs, &()).map(|loss| Outcome::Loss(loss.into())))
}

fn predicting<'a>(inputs: TensorData) -> Step<'a> {
    Box::new(move |trainer| trainer.predict(&inputs).map(Outcome::Prediction))
}

/// Prepares a model of this workload and hands it, not yet compiled, to `measure`.
pub(super) fn run<R>(
    workload: ModelWorkload,
    way: Way,
    measure: impl FnOnce(&mut dyn Running) -> Result<R, CliError>,
) -> Result<R, CliError> {
    match workload {
        ModelWorkload::Xor => train_recipe(&recipe::xor(), way, measure),
        ModelWorkload::Mlp => train_recipe(&recipe::mnist_mlp(), way, measure),
        ModelWorkload::Cnn => train_recipe(&recipe::mnist_cnn(), way, measure),
        ModelWorkload::MlpInfer => {
            let recipe = recipe::mnist_mlp();
            let make = |way: &Way| {
                let [inputs, _] = recipe.types(1);
                way.of(recipe.trainer(recipe.learning_rate)).compile_for_inference(inputs)
            };
            let (x, _) = recipe.random_batch(1, 1);
            measure(&mut Steps::new(way, Box::new(make), predicting(x)))
        }
        ModelWorkload::Lstm => {
            let (model, shape) = (CharLstm::new(65), [32, 64]);
            let make = |way: &Way| way.of(model.trainer(1e-3)).compile(i64(&shape), i64(&shape));
            let [ids, targets] = [1, 2].map(|seed| whole(&shape, 65, seed));
            measure(&mut Steps::new(way, Box::new(make), training(ids, targets)))
        }
        ModelWorkload::Gpt => train_gpt(GptConfig::SMALL, 12, 1e-3, way, measure),
        ModelWorkload::Gpt2 => train_gpt(GptConfig::GPT2, 1, 3e-4, way, measure),
        ModelWorkload::GptInfer => infer_gpt(GptConfig::SMALL, way, measure),
        ModelWorkload::Gpt2Infer => infer_gpt(GptConfig::GPT2, way, measure),
        ModelWorkload::Resnet18 => {
            let (model, shape) = (Resnet18::new(3, 10), [32, 3, 32, 32]);
            let make = |way: &Way| {
                let sgd = Sgd::new(0.1).momentum(0.9).weight_decay(5e-4);
                let trainer = Trainer::new(&model).loss(cross_entropy).optimizer(sgd);
                way.of(trainer).compile(f32(&shape), i64(&[32]))
            };
            measure(&mut Steps::new(way, Box::new(make), training(normal(&shape), whole(&[32], 10, 2))))
        }
        ModelWorkload::Resnet18Infer => {
            let (model, shape) = (Resnet18::new(3, 10), [1, 3, 32, 32]);
            let make = |way: &Way| way.of(Trainer::new(&model)).compile_for_inference(f32(&shape));
            measure(&mut Steps::new(way, Box::new(make), predicting(normal(&shape))))
        }
        ModelWorkload::Vae => {
            let (model, shape) = (Vae::new(), [128, 784]);
            let make = |way: &Way| {
                let loss = |x: &[Tensor]| model.loss(&x[0], &noise(&x[0], &[128, Vae::LATENT]));
                let trainer = Trainer::minimizing(&model, loss).optimizer(Adam::new(1e-3));
                way.of(trainer).compile(f32(&shape), ())
            };
            measure(&mut Steps::new(way, Box::new(make), minimizing(uniform(&shape, 0.0))))
        }
        ModelWorkload::Ddpm => {
            let (model, shape) = (Ddpm::new(), [32, 1, 32, 32]);
            let make = |way: &Way| {
                let loss = |x: &[Tensor]| {
                    let unit = x[0].fill(DType::F32, Shape::new(&[32]), 0.0).rand_like();
                    let t = (unit * Ddpm::STEPS as f64).cast(DType::I64);
                    model.loss(&x[0], &t, &x[0].randn_like())
                };
                let trainer = Trainer::minimizing(&model, loss).optimizer(Adam::new(2e-4));
                way.of(trainer).compile(f32(&shape), ())
            };
            measure(&mut Steps::new(way, Box::new(make), minimizing(uniform(&shape, -1.0))))
        }
        ModelWorkload::Dcgan => {
            let (model, shape) = (Dcgan::new(), [32, 1, 32, 32]);
            let make = |way: &Way| {
                let trainer = model.trainer(2e-4).training_program("drawn", |step, batch| {
                    model.step(step, &batch[0], &noise(&batch[0], &[32, Dcgan::NOISE, 1, 1]))
                });
                way.of(trainer).build()
            };
            let real = uniform(&shape, -1.0);
            let step: Step<'_> = Box::new(move |trainer| {
                let results = trainer.run("drawn", &real)?;
                Ok(Outcome::Loss(results[0].get(0).as_f64()))
            });
            measure(&mut Steps::new(way, Box::new(make), step))
        }
    }
}

fn train_recipe<R>(
    recipe: &Recipe,
    way: Way,
    measure: impl FnOnce(&mut dyn Running) -> Result<R, CliError>,
) -> Result<R, CliError> {
    let make = |way: &Way| {
        let [inputs, targets] = recipe.types(recipe.batch);
        way.of(recipe.trainer(recipe.learning_rate)).compile(inputs, targets)
    };
    let (x, y) = recipe.random_batch(recipe.batch, 1);
    measure(&mut Steps::new(way, Box::new(make), training(x, y)))
}

fn train_gpt<R>(
    config: GptConfig,
    batch: usize,
    learning_rate: f64,
    way: Way,
    measure: impl FnOnce(&mut dyn Running) -> Result<R, CliError>,
) -> Result<R, CliError> {
    let (model, shape) = (Gpt::new(config), [batch, config.context]);
    let make = |way: &Way| way.of(model.trainer(learning_rate)).compile(i64(&shape), i64(&shape));
    let [tokens, targets] = [1, 2].map(|seed| whole(&shape, config.vocabulary, seed));
    measure(&mut Steps::new(way, Box::new(make), training(tokens, targets)))
}

fn infer_gpt<R>(
    config: GptConfig,
    way: Way,
    measure: impl FnOnce(&mut dyn Running) -> Result<R, CliError>,
) -> Result<R, CliError> {
    let (model, shape) = (Gpt::new(config), [1, config.context]);
    let make = |way: &Way| way.of(Trainer::new(&model)).compile_for_inference(i64(&shape));
    measure(&mut Steps::new(way, Box::new(make), predicting(whole(&shape, config.vocabulary, 1))))
}
