//! The workloads: what is computed, on what, and how much work it is.
//!
//! Definitions and counts of work are those of the comparison with other frameworks: a step of training is forward,
//! loss, backward and update on a batch in memory, with dropout on; a kernel writes into its own memory each time.
//! Work is what the mathematics asks for, two operations a multiply-add of products and convolutions, whatever a
//! program does; bytes are operands and results of a kernel, the traffic of parameters in training.

use super::measure::Running;
use super::model::{self, ModelWorkload, Way};
use crate::cli::error::CliError;
use crate::cli::recipe::{ModelName, Recipe};
use crate::compile::{CompileOptions, compile};
use crate::eager::{CompiledEvaluator, SharedEvaluator, Value};
use crate::executable::Executable;
use crate::models::GptConfig;
use crate::nn::Init;
use crate::state::State;
use crate::tensor::{ConvOptions, Tensor};
use crate::trace::Tracer;
use crate::trainer::Trainer;
use clap::ValueEnum;
use kiln_ir::{DType, Shape, TensorData, TensorType};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// A workload by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Workload {
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
    Gpt2,
    /// A step of ResNet-18, 32 images of 32 x 32.
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
    /// tanh(a x + b) sigmoid(x) + x^2 / 2 over 16 million elements.
    Pointwise,
    /// Softmax over the rows of [8192, 1024].
    Softmax,
    /// Layer norm over the rows of [8192, 1024].
    Layernorm,
    /// A product of two square matrices of this size.
    #[value(name = "matmul-256")]
    Matmul256,
    /// As above.
    #[value(name = "matmul-512")]
    Matmul512,
    /// As above.
    #[value(name = "matmul-1024")]
    Matmul1024,
    /// As above.
    #[value(name = "matmul-2048")]
    Matmul2048,
    /// GELU([1024, 768] x [768, 3072] + bias).
    MatmulBiasGelu,
    /// A convolution 3 x 3 of 64 to 64 channels over [32, 64, 32, 32].
    Conv2d,
    /// Causal attention over [8, 12, 512, 64], and its gradient.
    Attention,
}

/// Work of one step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Work {
    /// Floating-point operations of products and convolutions, if there are any.
    pub flops: Option<f64>,
    /// Bytes that must cross memory.
    pub bytes: Option<f64>,
}

const POINTWISE_N: usize = 16_777_216;
const POINTWISE_A: f64 = 1.25;
const POINTWISE_B: f64 = 0.5;
const ROWS: [usize; 2] = [8192, 1024];
/// The epsilon of PyTorch's layer norm.
const LAYER_NORM_EPSILON: f64 = 1e-5;

impl Workload {
    pub fn all() -> Vec<Workload> {
        Workload::value_variants().to_vec()
    }

    /// The name in records and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Workload::Xor => "xor",
            Workload::Mlp => "mlp",
            Workload::Cnn => "cnn",
            Workload::Lstm => "lstm",
            Workload::Gpt => "gpt",
            Workload::Gpt2 => "gpt2",
            Workload::Resnet18 => "resnet18",
            Workload::Vae => "vae",
            Workload::Dcgan => "dcgan",
            Workload::Ddpm => "ddpm",
            Workload::MlpInfer => "mlp-infer",
            Workload::GptInfer => "gpt-infer",
            Workload::Gpt2Infer => "gpt2-infer",
            Workload::Resnet18Infer => "resnet18-infer",
            Workload::Pointwise => "pointwise",
            Workload::Softmax => "softmax",
            Workload::Layernorm => "layernorm",
            Workload::Matmul256 => "matmul-256",
            Workload::Matmul512 => "matmul-512",
            Workload::Matmul1024 => "matmul-1024",
            Workload::Matmul2048 => "matmul-2048",
            Workload::MatmulBiasGelu => "matmul-bias-gelu",
            Workload::Conv2d => "conv2d",
            Workload::Attention => "attention",
        }
    }

    /// Work of one step.
    pub fn work(self) -> Work {
        const F32: f64 = 4.0;
        let kernel = |multiply_adds: usize, elements: usize| Work {
            flops: (multiply_adds > 0).then_some(2.0 * multiply_adds as f64),
            bytes: Some(F32 * elements as f64),
        };
        match self {
            // Reads and writes of a step of SGD (3 words a parameter more), or of Adam (7).
            Workload::Xor => training(4, &[16, 8], 33, 6),
            Workload::Mlp => training(128, &[784 * 512, 512 * 256, 256 * 10], 535_818, 10),
            Workload::Cnn => {
                let convolutions = [26 * 26 * 32 * 9, 24 * 24 * 64 * 32 * 9];
                let layers = [convolutions[0], convolutions[1], 9216 * 128, 128 * 10];
                training(64, &layers, 1_199_882, 10)
            }
            // No gradient ends at the input of a first layer that is a table.
            Workload::Lstm => training(32, &[0, 64 * ((128 + 256) * 1024 + 256 * 65)], 420_289, 10),
            Workload::Gpt => training(12, &[0, gpt_multiply_adds(GptConfig::SMALL)], 804_096, 10),
            Workload::Gpt2 => training(1, &[0, gpt_multiply_adds(GptConfig::GPT2)], 123_849_984, 10),
            Workload::Resnet18 => training(32, &RESNET18_MULTIPLY_ADDS, 11_173_962, 8),
            Workload::Vae => training(128, &[784 * 400, 3 * 400 * 20, 400 * 784], 652_824, 10),
            Workload::Dcgan => dcgan(),
            Workload::Ddpm => training(32, &DDPM_MULTIPLY_ADDS, 797_345, 10),
            Workload::MlpInfer => inference(784 * 512 + 512 * 256 + 256 * 10, 535_818),
            Workload::GptInfer => inference(gpt_multiply_adds(GptConfig::SMALL), 804_096),
            Workload::Gpt2Infer => inference(gpt_multiply_adds(GptConfig::GPT2), 123_849_984),
            Workload::Resnet18Infer => inference(RESNET18_MULTIPLY_ADDS.iter().sum(), 11_173_962),
            Workload::Pointwise => kernel(0, 2 * POINTWISE_N),
            Workload::Softmax | Workload::Layernorm => kernel(0, 2 * ROWS[0] * ROWS[1]),
            Workload::Matmul256 => kernel(256 * 256 * 256, 3 * 256 * 256),
            Workload::Matmul512 => kernel(512 * 512 * 512, 3 * 512 * 512),
            Workload::Matmul1024 => kernel(1024 * 1024 * 1024, 3 * 1024 * 1024),
            Workload::Matmul2048 => kernel(2048 * 2048 * 2048, 3 * 2048 * 2048),
            Workload::MatmulBiasGelu => kernel(1024 * 768 * 3072, 1024 * 768 + 768 * 3072 + 1024 * 3072),
            Workload::Conv2d => kernel(32 * 32 * 32 * 64 * 64 * 9, 2 * 32 * 64 * 1024),
            // Two products forward and five backward, which computes the scores again; half of each is masked.
            Workload::Attention => kernel(7 * 8 * 12 * 512 * 512 * 64 / 2, 8 * 8 * 12 * 512 * 64),
        }
    }

    /// Prepares the workload's data and hands it, not yet compiled, to `measure`.
    pub fn run<R>(
        self,
        threads: usize,
        eager: bool,
        measure: impl FnOnce(&mut dyn Running) -> Result<R, CliError>,
    ) -> Result<R, CliError> {
        let training =
            |model: ModelName, measure: &mut dyn FnMut(&mut dyn Running) -> Result<R, CliError>| {
                let recipe = model.recipe();
                let batch = recipe.random_batch(recipe.batch, 1);
                measure(&mut Training { recipe: &recipe, threads, eager, batch, trainer: None, loss: 0.0 })
            };
        let mut measure = Some(measure);
        let mut once = |running: &mut dyn Running| measure.take().expect("each workload runs once")(running);
        let way = Way { threads, eager };
        match self {
            Workload::Xor => training(ModelName::Xor, &mut once),
            Workload::Mlp => training(ModelName::MnistMlp, &mut once),
            Workload::Cnn => training(ModelName::MnistCnn, &mut once),
            Workload::Lstm => model::run(ModelWorkload::Lstm, way, once),
            Workload::Gpt => model::run(ModelWorkload::Gpt, way, once),
            Workload::Gpt2 => model::run(ModelWorkload::Gpt2, way, once),
            Workload::Resnet18 => model::run(ModelWorkload::Resnet18, way, once),
            Workload::Vae => model::run(ModelWorkload::Vae, way, once),
            Workload::Dcgan => model::run(ModelWorkload::Dcgan, way, once),
            Workload::Ddpm => model::run(ModelWorkload::Ddpm, way, once),
            Workload::GptInfer => model::run(ModelWorkload::GptInfer, way, once),
            Workload::Gpt2Infer => model::run(ModelWorkload::Gpt2Infer, way, once),
            Workload::Resnet18Infer => model::run(ModelWorkload::Resnet18Infer, way, once),
            Workload::MlpInfer => {
                let recipe = ModelName::MnistMlp.recipe();
                let (x, _) = recipe.random_batch(1, 1);
                let mut inference =
                    Inference { recipe: &recipe, threads, eager, x, trainer: None, prediction: None };
                once(&mut inference)
            }
            Workload::Pointwise
            | Workload::Softmax
            | Workload::Layernorm
            | Workload::Matmul256
            | Workload::Matmul512
            | Workload::Matmul1024
            | Workload::Matmul2048
            | Workload::MatmulBiasGelu
            | Workload::Conv2d
            | Workload::Attention => {
                let operands: Vec<Value> = self.operands();
                if eager {
                    once(&mut EagerKernel {
                        workload: self,
                        threads,
                        operands,
                        evaluator: None,
                        result: None,
                    })
                } else {
                    once(&mut Kernel { workload: self, threads, operands, program: None })
                }
            }
        }
    }

    /// The operands of a kernel: normal numbers.
    fn operands(self) -> Vec<Value> {
        let shapes: Vec<Vec<usize>> = match self {
            Workload::Attention => vec![vec![8, 12, 512, 64]; 4],
            Workload::Xor
            | Workload::Mlp
            | Workload::Cnn
            | Workload::Lstm
            | Workload::Gpt
            | Workload::Gpt2
            | Workload::Resnet18
            | Workload::Vae
            | Workload::Dcgan
            | Workload::Ddpm
            | Workload::MlpInfer
            | Workload::GptInfer
            | Workload::Gpt2Infer
            | Workload::Resnet18Infer => Vec::new(),
            Workload::Pointwise => vec![vec![POINTWISE_N]],
            Workload::Softmax => vec![ROWS.to_vec()],
            Workload::Layernorm => vec![ROWS.to_vec(), vec![ROWS[1]], vec![ROWS[1]]],
            Workload::Matmul256 => vec![vec![256, 256]; 2],
            Workload::Matmul512 => vec![vec![512, 512]; 2],
            Workload::Matmul1024 => vec![vec![1024, 1024]; 2],
            Workload::Matmul2048 => vec![vec![2048, 2048]; 2],
            Workload::MatmulBiasGelu => vec![vec![1024, 768], vec![768, 3072], vec![3072]],
            Workload::Conv2d => vec![vec![32, 64, 32, 32], vec![64, 64, 3, 3]],
        };
        let normal = Init::Normal { mean: 0.0, std: 1.0 };
        let operand = |(i, shape): (usize, Vec<usize>)| {
            Arc::new(normal.sample(&TensorType::new(DType::F32, Shape::new(&shape)), 1, i as u64))
        };
        shapes.into_iter().enumerate().map(operand).collect()
    }

    /// What a kernel computes.
    fn compute(self, x: &[Tensor]) -> Vec<Tensor> {
        vec![match self {
            Workload::Pointwise => {
                let gate = (&x[0] * POINTWISE_A + POINTWISE_B).tanh() * x[0].sigmoid();
                gate + &x[0] * 0.5 * &x[0]
            }
            Workload::Softmax => x[0].softmax(-1),
            Workload::Layernorm => x[0].layer_norm(1, Some(&x[1]), Some(&x[2]), LAYER_NORM_EPSILON),
            Workload::MatmulBiasGelu => (x[0].matmul(&x[1]) + &x[2]).gelu(),
            Workload::Conv2d => x[0].conv2d(&x[1], None, ConvOptions::new().padding(1)),
            Workload::Matmul256 | Workload::Matmul512 | Workload::Matmul1024 | Workload::Matmul2048 => {
                x[0].matmul(&x[1])
            }
            Workload::Attention => {
                // The last operand is the gradient of the result: that of the sum of their product.
                let product = x[0].attention(&x[1], &x[2], None, true) * &x[3];
                return x[0].tracer().gradient(&product.sum(..), &[&x[0], &x[1], &x[2]]);
            }
            Workload::Xor
            | Workload::Mlp
            | Workload::Cnn
            | Workload::Lstm
            | Workload::Gpt
            | Workload::Gpt2
            | Workload::Resnet18
            | Workload::Vae
            | Workload::Dcgan
            | Workload::Ddpm
            | Workload::MlpInfer
            | Workload::GptInfer
            | Workload::Gpt2Infer
            | Workload::Resnet18Infer => unreachable!("a model is no kernel"),
        }]
    }
}

/// Work of a step of training. Layers have so many multiply-adds a sample, each three times: for the prediction, for the
/// gradient of its parameters and for that of its input, which the first layer needs not.
fn training(batch: usize, layers: &[usize], n_parameters: usize, words: usize) -> Work {
    let multiply_adds = batch * (3 * layers.iter().sum::<usize>() - layers[0]);
    Work { flops: Some(2.0 * multiply_adds as f64), bytes: Some((4 * words * n_parameters) as f64) }
}

/// Work of a prediction.
fn inference(multiply_adds: usize, n_parameters: usize) -> Work {
    Work { flops: Some(2.0 * multiply_adds as f64), bytes: Some(4.0 * n_parameters as f64) }
}

/// Multiply-adds of a transformer for one sequence, of which attention is counted as if nothing were masked.
fn gpt_multiply_adds(config: GptConfig) -> usize {
    let GptConfig { layers, width, context, vocabulary, .. } = config;
    let products = 12 * layers * width * width + vocabulary * width;
    context * products + 2 * layers * context * context * width
}

/// Multiply-adds of ResNet-18 for one image: first convolution, the four stages, the last layer.
const RESNET18_MULTIPLY_ADDS: [usize; 6] = {
    const SAME: usize = 64 * 64 * 9 * 1024;
    // Half the pixels along each axis and twice the channels: the first convolution of a stage is half of the others.
    const STAGE: usize = 3 * SAME + SAME / 2 + 64 * 128 * 256;
    [3 * 64 * 9 * 1024, 4 * SAME, STAGE, STAGE, STAGE, 512 * 10]
};

/// Multiply-adds of the diffusion model for one image: stem, the way down, the middle, the way up, the last convolution.
const DDPM_MULTIPLY_ADDS: [usize; 5] = {
    const BLOCK: usize = 2 * 32 * 32 * 9 * 1024;
    // A block with a skip: its first convolution has twice the channels as input, and so has its way around.
    const UP: usize = BLOCK + BLOCK + BLOCK / 2 + 64 * 32 * 1024;
    [32 * 9 * 1024, 2 * (BLOCK + BLOCK / 4), BLOCK, 2 * UP, 32 * 9 * 1024]
};

/// Work of a step of the pair: the discriminator on real and made images, then the generator through it.
fn dcgan() -> Work {
    let (first_g, first_d) = (64 * 128 * 16, 32 * 16 * 256);
    let generator = first_g + 128 * 64 * 16 * 16 + 64 * 32 * 16 * 64 + 32 * 16 * 256;
    let discriminator = first_d + 32 * 64 * 16 * 64 + 64 * 128 * 16 * 16 + 128 * 16;
    // Of the discriminator, the generator needs no gradients of parameters.
    let multiply_adds = 3 * generator - first_g + 2 * (3 * discriminator - first_d) + 2 * discriminator;
    Work { flops: Some(2.0 * 32.0 * multiply_adds as f64), bytes: Some(4.0 * 10.0 * 462_656.0) }
}

/// A step of training, again and again on one batch.
struct Training<'a> {
    recipe: &'a Recipe,
    threads: usize,
    eager: bool,
    batch: (TensorData, TensorData),
    trainer: Option<Trainer<'a>>,
    loss: f32,
}

impl Running for Training<'_> {
    fn step(&mut self) -> Result<(), CliError> {
        let trainer = match &mut self.trainer {
            Some(trainer) => trainer,
            None => {
                let [inputs, targets] = self.recipe.types(self.recipe.batch);
                let builder = self.recipe.trainer(self.recipe.learning_rate).threads(self.threads);
                self.trainer.insert(builder.eager(self.eager).compile(inputs, targets)?)
            }
        };
        self.loss = trainer.step(&self.batch.0, &self.batch.1)?;
        Ok(())
    }

    fn value(&self) -> f64 {
        f64::from(self.loss)
    }
}

/// A prediction for one sample.
struct Inference<'a> {
    recipe: &'a Recipe,
    threads: usize,
    eager: bool,
    x: TensorData,
    trainer: Option<Trainer<'a>>,
    prediction: Option<TensorData>,
}

impl Running for Inference<'_> {
    fn step(&mut self) -> Result<(), CliError> {
        let trainer = match &mut self.trainer {
            Some(trainer) => trainer,
            None => {
                let [inputs, _] = self.recipe.types(1);
                let builder = self.recipe.trainer(self.recipe.learning_rate).threads(self.threads);
                self.trainer.insert(builder.eager(self.eager).compile_for_inference(inputs)?)
            }
        };
        self.prediction = Some(trainer.predict(&self.x)?);
        Ok(())
    }

    fn value(&self) -> f64 {
        self.prediction.as_ref().map_or(f64::NAN, |prediction| prediction.to_f64_vec().iter().sum())
    }
}

/// A compiled kernel.
struct Kernel {
    workload: Workload,
    threads: usize,
    operands: Vec<Value>,
    program: Option<(Executable, State)>,
}

impl Kernel {
    fn compile(&self) -> Result<Executable, CliError> {
        let tracer = Tracer::new(self.workload.name());
        let named = |(i, value): (usize, &Value)| tracer.input(&format!("x{i}"), value.ty());
        let operands: Vec<Tensor> = self.operands.iter().enumerate().map(named).collect();
        let graph = tracer.finish(&self.workload.compute(&operands).iter().collect::<Vec<_>>())?;
        Ok(compile(graph, &CompileOptions::new(0, self.threads)?))
    }
}

impl Running for Kernel {
    fn step(&mut self) -> Result<(), CliError> {
        if self.program.is_none() {
            self.program = Some((self.compile()?, State::new(&[])));
        }
        let operands: smallvec::SmallVec<[&TensorData; 3]> =
            self.operands.iter().map(|value| &**value).collect();
        if let Some((executable, state)) = &mut self.program {
            executable.run(state, &operands);
        }
        Ok(())
    }

    fn value(&self) -> f64 {
        self.program.as_ref().map_or(f64::NAN, |(executable, _)| mean_magnitude(&executable.output(0)))
    }
}

/// A kernel op by op.
struct EagerKernel {
    workload: Workload,
    threads: usize,
    operands: Vec<Value>,
    evaluator: Option<SharedEvaluator>,
    result: Option<Value>,
}

impl Running for EagerKernel {
    fn step(&mut self) -> Result<(), CliError> {
        let evaluator = match &self.evaluator {
            Some(evaluator) => evaluator.clone(),
            None => {
                let evaluator = CompiledEvaluator::new(CompileOptions::new(0, self.threads)?);
                self.evaluator.insert(Rc::new(RefCell::new(evaluator))).clone()
            }
        };
        let tracer = Tracer::eager(self.workload.name(), evaluator);
        let operands: Vec<Tensor> =
            self.operands.iter().map(|value| tracer.input_value("x", value.clone())).collect();
        let result = self.workload.compute(&operands);
        tracer.check()?;
        self.result = result[0].value();
        Ok(())
    }

    fn value(&self) -> f64 {
        self.result.as_ref().map_or(f64::NAN, |result| mean_magnitude(result))
    }
}

/// The mean of the elements' magnitudes.
fn mean_magnitude(data: &TensorData) -> f64 {
    data.to_f64_vec().iter().map(|x| x.abs()).sum::<f64>() / data.n_elements() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against what PyTorch counts for the same workloads.
    #[test]
    fn work_is_that_of_the_comparison() {
        let gflop = |workload: Workload| workload.work().flops.unwrap() / 1e9;
        assert!((gflop(Workload::Mlp) - 0.3081).abs() < 1e-3);
        assert!((gflop(Workload::Cnn) - 4.580).abs() < 5e-3);
        assert_eq!(Workload::Softmax.work(), Work { flops: None, bytes: Some(67_108_864.0) });
        assert!((gflop(Workload::Conv2d) - 2.416).abs() < 1e-3);
        let near = |workload, expected: f64| {
            let found = gflop(workload);
            assert!((found / expected - 1.0).abs() < 0.02, "{found} instead of {expected}");
        };
        near(Workload::Gpt, 3.96);
        near(Workload::Gpt2, 197.0);
        near(Workload::Resnet18, 106.5);
        near(Workload::Vae, 0.42);
        near(Workload::Dcgan, 3.05);
        near(Workload::Ddpm, 31.7);
        near(Workload::Attention, 11.27);
    }

    #[test]
    fn names_are_those_on_the_command_line() {
        for workload in Workload::all() {
            let value = workload.to_possible_value().unwrap();
            assert_eq!(value.get_name(), workload.name());
        }
    }
}
