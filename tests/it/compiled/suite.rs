//! Programs of many small kernels: an op each, compared with the interpreter one by one.

use super::{options, run};
use kiln::compile::CompileOptions;
use kiln::kernels::isa::Isa;
use kiln_ir::compare::{compare, random_data};
use kiln_ir::{
    DType, Graph, Literal, NodeId, Op, Output, Shape, TensorData, TensorType, Tolerance, interpret,
};

/// Lengths around those of vectors, unrolled loops and blocks.
pub const LENGTHS: [usize; 14] = [0, 1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 513];

/// What the elements of an input are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elements {
    /// Floats in -2..2, small integers.
    Plain,
    /// The ends of the type, zeros of both signs, NaN and infinities among plain ones.
    Edges,
    /// Integers from -2 to 12: indices, some of them outside.
    Indices,
}

/// A program under construction, with the values of its inputs.
pub struct Suite {
    graph: Graph,
    inputs: Vec<TensorData>,
    outputs: Vec<(NodeId, Tolerance)>,
}

impl Suite {
    pub fn new(name: &str) -> Suite {
        Suite { graph: Graph::new(name), inputs: Vec::new(), outputs: Vec::new() }
    }

    /// A new input with such elements.
    pub fn input(&mut self, dtype: DType, shape: &[usize], elements: Elements) -> NodeId {
        let n = self.inputs.len();
        let ty = TensorType::new(dtype, Shape::new(shape));
        self.inputs.push(values(&ty, n as u64, elements));
        self.graph.add_input(&format!("x{n}"), ty)
    }

    /// The shape of a node.
    pub fn shape(&self, node: NodeId) -> Shape {
        self.graph.node(node).ty().shape.clone()
    }

    /// Adds a node.
    pub fn add(&mut self, op: Op, operands: &[NodeId]) -> NodeId {
        self.graph.add(op, operands).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Adds a node whose value is compared. Exact but for floats: a few of the last bits, and as large a share of 1 for
    /// what cancels.
    pub fn output(&mut self, op: Op, operands: &[NodeId]) -> NodeId {
        let dtype = self.graph.node(operands[0]).ty().dtype;
        let value = self.add(op, operands);
        let epsilon = if dtype == DType::F64 { f64::EPSILON } else { f32::EPSILON.into() };
        self.outputs.push((value, Tolerance { relative: 0.0, absolute: 4.0 * epsilon, ulps: 4 }));
        value
    }

    /// As [`output`](Suite::output), for sums of up to a thousand elements.
    pub fn sum(&mut self, op: Op, operands: &[NodeId]) -> NodeId {
        let value = self.output(op, operands);
        let tolerance = &mut self.outputs.last_mut().expect("just added").1;
        *tolerance = Tolerance::mixed(tolerance.absolute * 64.0);
        value
    }

    /// Compiles the program as it is and compares all outputs, on every instruction set, with a team that shares even
    /// the smallest kernels and without.
    #[track_caller]
    pub fn check(mut self) {
        let outputs = self.outputs.iter().map(|&(value, _)| Output { value, updates: None });
        self.graph.set_outputs(outputs.collect());
        let expected = interpret(&self.graph, &self.inputs).unwrap();
        let mut problems = Vec::new();
        for isa in Isa::available() {
            let teams: &[usize] = if isa == Isa::available()[0] { &[1, 3] } else { &[3] };
            for &threads in teams {
                let options = CompileOptions { isa, optimize: false, shared_from: 1, ..options(threads) };
                let results = run(&self.graph, &self.inputs, &options);
                for ((got, expected), &(value, tolerance)) in results.iter().zip(&expected).zip(&self.outputs)
                {
                    if let Err(difference) = compare(got, expected, tolerance) {
                        let name = self.graph.op(value).name();
                        let operands = self.graph.operands(value).iter();
                        let operands: Vec<String> =
                            operands.map(|&operand| self.graph.node(operand).ty().to_string()).collect();
                        problems.push(format!(
                            "{name} of {} on {isa}, {threads} threads: {difference}",
                            operands.join(", ")
                        ));
                    }
                }
            }
        }
        assert!(problems.is_empty(), "{}\n{}", problems.join("\n"), self.graph);
    }
}

/// Values of an input.
pub fn values(ty: &TensorType, seed: u64, elements: Elements) -> TensorData {
    const FLOATS: [f64; 16] = [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        -2.5,
        1e-40,
        -1e-30,
        3e38,
        -1e10,
        88.0,
        -104.0,
        16_777_217.0,
    ];
    let range = if elements == Elements::Indices { -2.0..13.0 } else { -2.0..2.0 };
    let mut data = random_data(ty, 31 * seed + 5, range);
    if elements != Elements::Edges {
        return data;
    }
    let choice = random_data(&ty.with_dtype(DType::I64), 31 * seed + 6, 0.0..24.0);
    for (i, choice) in choice.to_f64_vec().into_iter().enumerate() {
        let choice = choice as usize;
        let value = match ty.dtype {
            DType::F32 | DType::F64 => FLOATS.get(choice).map(|&v| Literal::from_f64(ty.dtype, v)),
            DType::I32 | DType::I64 | DType::U8 => [
                Literal::lowest(ty.dtype),
                Literal::highest(ty.dtype),
                Literal::from_i64(ty.dtype, -1),
                Literal::zero(ty.dtype),
                Literal::from_i64(ty.dtype, 31),
                Literal::from_i64(ty.dtype, 64),
                Literal::from_i64(ty.dtype, 123_456_789),
            ]
            .get(choice)
            .copied(),
            DType::Bool => None,
        };
        if let Some(value) = value {
            data.set(i, value);
        }
    }
    data
}
