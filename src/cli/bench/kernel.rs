//! Workloads that are one kernel: what it computes of which operands, and how much work that is.

use super::measure::Running;
use super::work::Work;
use super::workload::Way;
use crate::cli::error::CliError;
use crate::compile::{CompileOptions, compile};
use crate::eager::{CompiledEvaluator, SharedEvaluator, Value};
use crate::executable::Executable;
use crate::nn::Init;
use crate::state::State;
use crate::tensor::{ConvOptions, Tensor};
use crate::trace::Tracer;
use clap::ValueEnum;
use kiln_ir::{DType, Shape, TensorData, TensorType};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// A kernel by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum KernelWorkload {
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

/// What a kernel computes.
struct Definition {
    /// Extents of the operands, which are normal numbers.
    operands: Vec<Vec<usize>>,
    compute: fn(&[Tensor]) -> Vec<Tensor>,
    /// Multiply-adds of products and convolutions.
    multiply_adds: usize,
    /// Elements of operands and results: the bytes that must cross memory.
    elements: usize,
}

const POINTWISE_N: usize = 16_777_216;
const POINTWISE_A: f64 = 1.25;
const POINTWISE_B: f64 = 0.5;
const ROWS: [usize; 2] = [8192, 1024];
/// The epsilon of PyTorch's layer norm.
const LAYER_NORM_EPSILON: f64 = 1e-5;

impl KernelWorkload {
    fn definition(self) -> Definition {
        match self {
            KernelWorkload::Pointwise => Definition {
                operands: vec![vec![POINTWISE_N]],
                compute: |x| {
                    let gate = (&x[0] * POINTWISE_A + POINTWISE_B).tanh() * x[0].sigmoid();
                    vec![gate + &x[0] * 0.5 * &x[0]]
                },
                multiply_adds: 0,
                elements: 2 * POINTWISE_N,
            },
            KernelWorkload::Softmax => Definition {
                operands: vec![ROWS.to_vec()],
                compute: |x| vec![x[0].softmax(-1)],
                multiply_adds: 0,
                elements: 2 * ROWS[0] * ROWS[1],
            },
            KernelWorkload::Layernorm => Definition {
                operands: vec![ROWS.to_vec(), vec![ROWS[1]], vec![ROWS[1]]],
                compute: |x| vec![x[0].layer_norm(1, Some(&x[1]), Some(&x[2]), LAYER_NORM_EPSILON)],
                multiply_adds: 0,
                elements: 2 * ROWS[0] * ROWS[1],
            },
            KernelWorkload::Matmul256 => matmul(256),
            KernelWorkload::Matmul512 => matmul(512),
            KernelWorkload::Matmul1024 => matmul(1024),
            KernelWorkload::Matmul2048 => matmul(2048),
            KernelWorkload::MatmulBiasGelu => Definition {
                operands: vec![vec![1024, 768], vec![768, 3072], vec![3072]],
                compute: |x| vec![(x[0].matmul(&x[1]) + &x[2]).gelu()],
                multiply_adds: 1024 * 768 * 3072,
                elements: 1024 * 768 + 768 * 3072 + 1024 * 3072,
            },
            KernelWorkload::Conv2d => Definition {
                operands: vec![vec![32, 64, 32, 32], vec![64, 64, 3, 3]],
                compute: |x| vec![x[0].conv2d(&x[1], None, ConvOptions::new().padding(1))],
                multiply_adds: 32 * 32 * 32 * 64 * 64 * 9,
                elements: 2 * 32 * 64 * 1024,
            },
            KernelWorkload::Attention => Definition {
                operands: vec![vec![8, 12, 512, 64]; 4],
                compute: |x| {
                    // The last operand is the gradient of the result: that of the sum of their product.
                    let product = x[0].attention(&x[1], &x[2], None, true) * &x[3];
                    x[0].tracer().gradient(&product.sum(..), &[&x[0], &x[1], &x[2]])
                },
                // Two products forward and five backward, which computes the scores again; half of each is masked.
                multiply_adds: 7 * 8 * 12 * 512 * 512 * 64 / 2,
                elements: 8 * 8 * 12 * 512 * 64,
            },
        }
    }

    /// Work of one step.
    pub fn work(self) -> Work {
        const F32: f64 = 4.0;
        let Definition { multiply_adds, elements, .. } = self.definition();
        Work {
            flops: (multiply_adds > 0).then_some(2.0 * multiply_adds as f64),
            bytes: Some(F32 * elements as f64),
        }
    }

    /// Prepares the operands and hands the kernel, not yet compiled, to `measure`.
    pub fn run<R>(
        self,
        name: &str,
        Way { threads, eager }: Way,
        measure: impl FnOnce(&mut dyn Running) -> Result<R, CliError>,
    ) -> Result<R, CliError> {
        let definition = &self.definition();
        let normal = Init::Normal { mean: 0.0, std: 1.0 };
        let operand = |(i, shape): (usize, &Vec<usize>)| -> Value {
            Arc::new(normal.sample(&TensorType::new(DType::F32, Shape::new(shape)), 1, i as u64))
        };
        let operands = definition.operands.iter().enumerate().map(operand).collect();
        match eager {
            true => {
                measure(&mut Eager { name, definition, threads, operands, evaluator: None, result: None })
            }
            false => measure(&mut Compiled { name, definition, threads, operands, program: None }),
        }
    }
}

/// A product of square matrices.
fn matmul(n: usize) -> Definition {
    Definition {
        operands: vec![vec![n, n]; 2],
        compute: |x| vec![x[0].matmul(&x[1])],
        multiply_adds: n * n * n,
        elements: 3 * n * n,
    }
}

/// A compiled kernel.
struct Compiled<'a> {
    name: &'a str,
    definition: &'a Definition,
    threads: usize,
    operands: Vec<Value>,
    program: Option<(Executable, State)>,
}

impl Compiled<'_> {
    fn compile(&self) -> Result<Executable, CliError> {
        let tracer = Tracer::new(self.name);
        let named = |(i, value): (usize, &Value)| tracer.input(&format!("x{i}"), value.ty());
        let operands: Vec<Tensor> = self.operands.iter().enumerate().map(named).collect();
        let graph = tracer.finish(&(self.definition.compute)(&operands).iter().collect::<Vec<_>>())?;
        Ok(compile(graph, &CompileOptions::new(0, self.threads)?))
    }
}

impl Running for Compiled<'_> {
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
struct Eager<'a> {
    name: &'a str,
    definition: &'a Definition,
    threads: usize,
    operands: Vec<Value>,
    evaluator: Option<SharedEvaluator>,
    result: Option<Value>,
}

impl Running for Eager<'_> {
    fn step(&mut self) -> Result<(), CliError> {
        let evaluator = match &self.evaluator {
            Some(evaluator) => evaluator.clone(),
            None => {
                let evaluator = CompiledEvaluator::new(CompileOptions::new(0, self.threads)?);
                self.evaluator.insert(Rc::new(RefCell::new(evaluator))).clone()
            }
        };
        let tracer = Tracer::eager(self.name, evaluator);
        let operands: Vec<Tensor> =
            self.operands.iter().map(|value| tracer.input_value("x", value.clone())).collect();
        let result = (self.definition.compute)(&operands);
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
        assert_eq!(KernelWorkload::Softmax.work(), Work { flops: None, bytes: Some(67_108_864.0) });
        let gflop = |workload: KernelWorkload| workload.work().flops.unwrap() / 1e9;
        assert!((gflop(KernelWorkload::Conv2d) - 2.416).abs() < 1e-3);
        assert!((gflop(KernelWorkload::Attention) / 11.27 - 1.0).abs() < 0.02);
    }
}
