//! Random well-typed graphs and inputs, for tests of whatever must hold for every graph.
//!
//! A generator makes choices below a bound; where the choices come from is the caller's. With [`choices`] they come
//! from a list of words, so that a property-testing library which shrinks the list shrinks the graph: a lesser word is a
//! simpler choice, and a list that has ended chooses the simplest from there on.
//!
//! Ops of all families occur, on ranks from 0 to 5 and extents that are odd (0, 1, 17, 33) more often than in real
//! models; some values are used often and some never.
//!
//! ```
//! use kiln_ir::random_graph::{RandomConfig, choices, random_graph, random_inputs};
//! let config = RandomConfig::default();
//! let mut choose = choices(&[3_000_000_000, 17, 2_147_483_648]);
//! let graph = random_graph(&config, &mut choose);
//! let inputs = random_inputs(&graph, &config, &mut choose);
//! assert_eq!(inputs.len(), graph.inputs().len());
//! ```

mod contractions;
mod elementwise;
mod indexing;
mod loops;
mod movements;
mod reductions;

use crate::compare::SplitMix;
use crate::{DType, Graph, Literal, NodeId, Op, Output, Shape, TensorData, TensorType};

/// A source of choices: given a bound of at least 1, a number below it. Lesser numbers are simpler choices.
pub type Choose<'a> = dyn FnMut(u32) -> u32 + 'a;

/// What kind of graphs are made.
#[derive(Clone, Debug, PartialEq)]
pub struct RandomConfig {
    /// Greatest number of ops drawn. Keeping a domain takes further nodes.
    pub max_steps: u32,
    /// Greatest number of elements of a value.
    pub max_elements: usize,
    /// Greatest number of multiplications of one dot or convolution, so that interpreting stays quick.
    pub max_products: usize,
    /// Keeps floats that were computed with rounding out of ops whose result jumps (`floor`, comparisons, `argmax`,
    /// casts to integers), so that a difference of a rounding error in stays one out. Poles are kept away by `finite`.
    pub smooth: bool,
    /// Keeps all floats finite and of moderate size: operands are brought into the domain of an op (`log(|x| + 1/2)`),
    /// values that may have grown are scaled down, inputs and constants are neither infinite nor NaN.
    pub finite: bool,
    /// Extents of axes, the simplest first; repeat one to have more of it. Not empty.
    pub extents: Vec<usize>,
    /// Element types of inputs and constants; repeat one to have more of it. Not empty, the simplest first.
    pub dtypes: Vec<DType>,
}

impl Default for RandomConfig {
    /// Small graphs of all element types, smooth and finite.
    fn default() -> RandomConfig {
        use DType::*;
        RandomConfig {
            max_steps: 24,
            max_elements: 2048,
            max_products: 1 << 15,
            smooth: true,
            finite: true,
            extents: vec![2, 3, 1, 4, 5, 6, 2, 3, 4, 1, 0, 7, 17, 33],
            dtypes: vec![F32, F32, F32, F64, F32, I32, I64, U8, Bool],
        }
    }
}

/// Choices made by the words in turn: a word's place among all `u32` is the choice's place below the bound. Zero when no
/// words are left.
pub fn choices(words: &[u32]) -> impl FnMut(u32) -> u32 + '_ {
    let mut words = words.iter();
    move |bound| {
        let word = words.next().copied().unwrap_or(0);
        ((u64::from(word) * u64::from(bound)) >> 32) as u32
    }
}

/// A random graph that is well typed and verifies. It has at least one input and one output.
pub fn random_graph(config: &RandomConfig, choose: &mut Choose) -> Graph {
    let mut generator =
        Generator { graph: Graph::new("random"), config, choose, values: Vec::new(), depth: 0 };
    let n_steps = generator.below(config.max_steps as usize + 1);
    for _ in 0..1 + generator.below(3) {
        let ty = generator.random_type();
        let input = generator.input(ty);
        generator.values.push(input);
    }
    for _ in 0..n_steps {
        generator.step();
    }
    generator.outputs();
    generator.graph
}

/// Random values for the inputs of a graph: floats in [-2, 2], integers from -4 to 20 (a few of them indices of
/// anything), and sometimes infinities, NaN and large numbers when the configuration is not `finite`.
pub fn random_inputs(graph: &Graph, config: &RandomConfig, choose: &mut Choose) -> Vec<TensorData> {
    let input = |&id: &NodeId| {
        let mut elements = SplitMix(u64::from(choose(u32::MAX)));
        let ty = graph.node(id).ty();
        TensorData::from_fn(ty, |_| random_literal(ty.dtype, config.finite, &mut elements))
    };
    graph.inputs().iter().map(input).collect()
}

/// Largest magnitude of an integer in [`random_inputs`].
const MAX_INPUT_INT: i64 = 20;
/// Largest magnitude of a float in [`random_inputs`], when they are finite.
const MAX_INPUT_FLOAT: f64 = 2.0;
/// Magnitudes that may exceed this are scaled down under `finite`.
const MAX_MAGNITUDE: f64 = 32.0;

fn random_literal(dtype: DType, finite: bool, random: &mut SplitMix) -> Literal {
    const ODD: [f64; 8] = [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, -0.0, 1e30, -1e-30, 1e-40, 0.0];
    match dtype {
        DType::F32 | DType::F64 if !finite && random.next().is_multiple_of(16) => {
            Literal::from_f64(dtype, ODD[random.next() as usize % ODD.len()])
        }
        DType::F32 | DType::F64 => Literal::from_f64(dtype, (2.0 * random.unit() - 1.0) * MAX_INPUT_FLOAT),
        DType::I32 | DType::I64 => Literal::from_i64(dtype, (random.next() % 25) as i64 - 4),
        DType::U8 => Literal::U8((random.next() % 21) as u8),
        DType::Bool => Literal::Bool(random.next().is_multiple_of(2)),
    }
}

/// A value made so far, and what is known of it.
#[derive(Clone, Copy, Debug)]
struct Value {
    id: NodeId,
    /// Whether every right implementation computes the same bits.
    exact: bool,
    /// No element is greater in magnitude (under `finite`).
    bound: f64,
}

struct Generator<'c, 'd> {
    graph: Graph,
    config: &'c RandomConfig,
    choose: &'c mut Choose<'d>,
    values: Vec<Value>,
    /// How many loops the graph stands in.
    depth: usize,
}

impl Generator<'_, '_> {
    /// All families, the simplest first; elementwise ops more often, since their chains are what is fused.
    const FAMILIES: [fn(&mut Self) -> Option<Value>; 34] = [
        Self::unary,
        Self::binary,
        Self::unary,
        Self::binary,
        Self::unary,
        Self::reduce,
        Self::unary,
        Self::binary,
        Self::constant,
        Self::reduce,
        Self::against_rows,
        Self::update,
        Self::broadcast,
        Self::compare,
        Self::select,
        Self::logical,
        Self::cast,
        Self::reshape,
        Self::permute,
        Self::slice,
        Self::pad,
        Self::concatenate,
        Self::reverse,
        Self::cumulative,
        Self::arg_reduce,
        Self::against_rows,
        Self::update,
        Self::dot,
        Self::conv,
        Self::window,
        Self::index,
        Self::random_bits,
        Self::argsort,
        Self::repeat,
    ];

    /// Draws an op of a family and its operands, unless no value suits it.
    fn step(&mut self) {
        let family = *self.one_of(&Self::FAMILIES);
        if let Some(value) = family(self) {
            let value = self.scaled_down(value);
            self.values.push(value);
        }
    }

    /// One to four results, some the next values of inputs: the last value first, since it has most behind it.
    fn outputs(&mut self) {
        let n_outputs = 1 + self.below(4);
        let mut outputs: Vec<Output> = Vec::new();
        for _ in 0..n_outputs {
            let value = self.result();
            let ty = self.ty(value).clone();
            let is_free = |input: &usize| outputs.iter().all(|output| output.updates != Some(*input));
            let inputs = self.graph.inputs().iter().enumerate();
            let states = inputs.filter(|&(_, &id)| *self.ty(id) == ty).map(|(position, _)| position);
            let states: Vec<usize> = states.filter(is_free).collect();
            let place = self.below(states.len() + 1);
            outputs.push(Output { value, updates: place.checked_sub(1).map(|place| states[place]) });
        }
        self.graph.set_outputs(outputs);
    }

    /// Any value, or one that an input can be updated to.
    fn result(&mut self) -> NodeId {
        let is_state = |ty: &TensorType| self.graph.inputs().iter().any(|&input| self.ty(input) == ty);
        let states: Vec<NodeId> =
            self.values.iter().rev().map(|value| value.id).filter(|&id| is_state(self.ty(id))).collect();
        if self.below(2) == 1 && !states.is_empty() {
            return *self.one_of(&states);
        }
        let place = self.values.len() - 1 - self.below(self.values.len());
        self.values[place].id
    }

    /// A number below the bound, which is at least 1.
    fn below(&mut self, bound: usize) -> usize {
        (self.choose)(bound as u32) as usize
    }

    fn one_of<'t, T>(&mut self, list: &'t [T]) -> &'t T {
        &list[self.below(list.len())]
    }

    fn extent(&mut self) -> usize {
        let config = self.config;
        *self.one_of(&config.extents)
    }

    /// A shape of at most `max_rank` axes: an extent that would make it too large is 1.
    fn random_shape(&mut self, min_rank: usize, max_rank: usize) -> Shape {
        let rank = min_rank + self.below(max_rank - min_rank + 1);
        let mut n_elements = 1;
        let mut extents = Vec::new();
        for _ in 0..rank {
            let extent = self.extent();
            let fits = n_elements * extent.max(1) <= self.config.max_elements;
            extents.push(if fits { extent } else { 1 });
            n_elements *= extents[extents.len() - 1].max(1);
        }
        Shape::new(&extents)
    }

    fn random_type(&mut self) -> TensorType {
        let shape = self.random_shape(0, 4);
        let config = self.config;
        let dtype = *self.one_of(&config.dtypes);
        TensorType { dtype, shape }
    }

    /// A subset of the axes, in increasing order.
    fn some_axes(&mut self, rank: usize) -> crate::Axes {
        (0..rank).filter(|_| self.below(2) == 1).collect()
    }

    fn ty(&self, id: NodeId) -> &TensorType {
        self.graph.node(id).ty()
    }

    fn shape(&self, value: Value) -> Shape {
        self.ty(value.id).shape.clone()
    }

    /// One of the values that fit, the newest first; one of the newest half of the time, for long chains.
    fn pick(&mut self, fits: impl Fn(&TensorType) -> bool) -> Option<Value> {
        let fitting: Vec<Value> =
            self.values.iter().rev().copied().filter(|value| fits(self.ty(value.id))).collect();
        if fitting.is_empty() {
            return None;
        }
        let n = if self.below(2) == 0 { fitting.len().min(3) } else { fitting.len() };
        Some(*self.one_of(&fitting[..n]))
    }

    /// A value as operand of an op whose result jumps, if it may be one.
    fn steady(&self, value: Value) -> Option<Value> {
        (value.exact || !self.config.smooth).then_some(value)
    }

    /// A value of this type: one there is, or a new input or constant.
    fn value_of(&mut self, ty: &TensorType) -> Value {
        const MAX_INPUTS: usize = 8;
        let reuse = self.below(4) != 3;
        if reuse && let Some(value) = self.pick(|other| other == ty) {
            return value;
        }
        if self.graph.inputs().len() < MAX_INPUTS && self.below(3) != 2 {
            return self.input(ty.clone());
        }
        self.constant_of(ty)
    }

    fn input(&mut self, ty: TensorType) -> Value {
        let name = format!("x{}", self.graph.inputs().len());
        let bound = match ty.dtype {
            DType::F32 | DType::F64 => MAX_INPUT_FLOAT,
            DType::I32 | DType::I64 | DType::U8 => MAX_INPUT_INT as f64,
            DType::Bool => 1.0,
        };
        Value { id: self.graph.add_input(&name, ty), exact: true, bound }
    }

    /// Adds a node, unless its type rule refuses or the result is too large. Integers and truth values are exact; floats
    /// are when the op is and all operands are.
    fn add(&mut self, op: Op, operands: &[Value], exact: bool, bound: f64) -> Option<Value> {
        let types: Vec<&TensorType> = operands.iter().map(|operand| self.ty(operand.id)).collect();
        let ty = op.infer(&types).ok().filter(|ty| ty.n_elements() <= self.config.max_elements)?;
        let ids: Vec<NodeId> = operands.iter().map(|operand| operand.id).collect();
        let id = self.graph.add(op, &ids).ok()?;
        let exact = !ty.dtype.is_float() || exact && operands.iter().all(|operand| operand.exact);
        // Integers wrap, so their type bounds them.
        let most =
            if ty.dtype.is_float() { f64::INFINITY } else { Literal::highest(ty.dtype).as_f64() + 1.0 };
        Some(Value { id, exact, bound: bound.min(most) })
    }

    /// Adds a node whose result holds nothing but elements of its operands, unchanged.
    fn add_movement(&mut self, op: Op, operands: &[Value]) -> Option<Value> {
        let bound = operands.iter().fold(0.0, |bound: f64, operand| bound.max(operand.bound));
        self.add(op, operands, true, bound)
    }
}

#[cfg(test)]
mod tests;
