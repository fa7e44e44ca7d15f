//! The workloads: what is computed, on what, and how much work it is.
//!
//! Definitions and counts of work are those of the comparison with other frameworks: a step of training is forward,
//! loss, backward and update on a batch in memory, with dropout on; a kernel writes into its own memory each time.
//! Work is what the mathematics asks for, two operations a multiply-add of products and convolutions, whatever a
//! program does; bytes are operands and results of a kernel, the traffic of parameters in training.

use super::measure::Running;
use crate::cli::error::CliError;
use crate::cli::recipe::{ModelName, Recipe};
use crate::compile::{CompileOptions, compile};
use crate::eager::{CompiledEvaluator, SharedEvaluator, Value};
use crate::executable::Executable;
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
    /// A prediction of `mnist-mlp` for one sample.
    MlpInfer,
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
            Workload::MlpInfer => "mlp-infer",
            Workload::Pointwise => "pointwise",
            Workload::Softmax => "softmax",
            Workload::Layernorm => "layernorm",
            Workload::Matmul256 => "matmul-256",
            Workload::Matmul512 => "matmul-512",
            Workload::Matmul1024 => "matmul-1024",
            Workload::Matmul2048 => "matmul-2048",
            Workload::MatmulBiasGelu => "matmul-bias-gelu",
            Workload::Conv2d => "conv2d",
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
            Workload::MlpInfer => Work {
                flops: Some(2.0 * (784 * 512 + 512 * 256 + 256 * 10) as f64),
                bytes: Some(F32 * 535_818.0),
            },
            Workload::Pointwise => kernel(0, 2 * POINTWISE_N),
            Workload::Softmax | Workload::Layernorm => kernel(0, 2 * ROWS[0] * ROWS[1]),
            Workload::Matmul256 => kernel(256 * 256 * 256, 3 * 256 * 256),
            Workload::Matmul512 => kernel(512 * 512 * 512, 3 * 512 * 512),
            Workload::Matmul1024 => kernel(1024 * 1024 * 1024, 3 * 1024 * 1024),
            Workload::Matmul2048 => kernel(2048 * 2048 * 2048, 3 * 2048 * 2048),
            Workload::MatmulBiasGelu => kernel(1024 * 768 * 3072, 1024 * 768 + 768 * 3072 + 1024 * 3072),
            Workload::Conv2d => kernel(32 * 32 * 32 * 64 * 64 * 9, 2 * 32 * 64 * 1024),
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
        match self {
            Workload::Xor => training(ModelName::Xor, &mut once),
            Workload::Mlp => training(ModelName::MnistMlp, &mut once),
            Workload::Cnn => training(ModelName::MnistCnn, &mut once),
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
            | Workload::Conv2d => {
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
            Workload::Xor | Workload::Mlp | Workload::Cnn | Workload::MlpInfer => Vec::new(),
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
    fn compute(self, x: &[Tensor]) -> Tensor {
        match self {
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
            Workload::Xor | Workload::Mlp | Workload::Cnn | Workload::MlpInfer => {
                unreachable!("a model is no kernel")
            }
        }
    }
}

/// Work of a step of training. Layers have so many multiply-adds a sample, each three times: for the prediction, for the
/// gradient of its parameters and for that of its input, which the first layer needs not.
fn training(batch: usize, layers: &[usize], n_parameters: usize, words: usize) -> Work {
    let multiply_adds = batch * (3 * layers.iter().sum::<usize>() - layers[0]);
    Work { flops: Some(2.0 * multiply_adds as f64), bytes: Some((4 * words * n_parameters) as f64) }
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
        let graph = tracer.finish(&[&self.workload.compute(&operands)])?;
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
        self.result = result.value();
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
    }

    #[test]
    fn names_are_those_on_the_command_line() {
        for workload in Workload::all() {
            let value = workload.to_possible_value().unwrap();
            assert_eq!(value.get_name(), workload.name());
        }
    }
}
