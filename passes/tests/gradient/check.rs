//! Compares derived gradients with central differences, in `f64`, along random directions.

use kiln_ir::emit::EmitExt;
use kiln_ir::{
    DType, Emit, Graph, Literal, NodeId, Op, Shape, TensorData, TensorType, interpret, random_data,
};
use kiln_passes::gradient::{gradient_or_zero, vector_jacobian};
use std::ops::Range;
use std::sync::Arc;

/// One operand of a case.
#[derive(Clone)]
pub enum Operand {
    /// An `f64` input, drawn from this range.
    Drawn(Shape, Range<f64>),
    /// An `f64` input of these values.
    Given(TensorData),
    /// A constant: indices, conditions.
    Constant(TensorData),
}

/// An op on operands whose gradients are checked.
#[derive(Clone)]
pub struct Case {
    pub op: Op,
    pub operands: Vec<Operand>,
}

/// Draws tensors, each other than the one before.
pub struct Random(pub u64);

impl Random {
    pub fn tensor(&mut self, shape: &Shape, range: &Range<f64>) -> TensorData {
        self.0 += 1;
        random_data(&TensorType::new(DType::F64, shape.clone()), self.0, range.clone())
    }
}

/// Adds the scalar sum of `x * weights`.
pub fn weighted_sum(graph: &mut Graph, x: NodeId, weights: NodeId) -> NodeId {
    let product = graph.mul(x, weights);
    let axes: Vec<usize> = (0..graph.shape(product).rank()).collect();
    graph.sum(product, &axes)
}

pub fn constant(graph: &mut Graph, data: TensorData) -> NodeId {
    graph.add(Op::Dense(Arc::new(data)), &[]).expect("a constant has no operands")
}

/// The case as a graph without outputs: its inputs with their values, and the result.
fn build(case: &Case, random: &mut Random) -> (Graph, Vec<TensorData>, NodeId) {
    let mut graph = Graph::new("case");
    let mut values = Vec::new();
    let mut operands = Vec::new();
    for operand in &case.operands {
        let data = match operand {
            Operand::Drawn(shape, range) => random.tensor(shape, range),
            Operand::Given(data) => data.clone(),
            Operand::Constant(data) => {
                operands.push(constant(&mut graph, data.clone()));
                continue;
            }
        };
        operands.push(graph.add_input(&format!("x{}", operands.len()), data.ty()));
        values.push(data);
    }
    let y = graph.add(case.op.clone(), &operands).unwrap_or_else(|e| panic!("{:?}: {e}", case.op));
    (graph, values, y)
}

/// Checks the gradients of the case with respect to all its inputs.
pub fn check(case: &Case) {
    let mut random = Random(1);
    let (mut graph, values, y) = build(case, &mut random);
    let weights = random.tensor(&graph.shape(y), &(-2.0..2.0));
    let weights = constant(&mut graph, weights);
    let of = weighted_sum(&mut graph, y, weights);
    compare(graph, of, &values, &format!("{:?}", case.op));
}

/// Checks the gradients of a random linear function of the gradients of the case, also with respect to `dy`.
pub fn check_second_order(case: &Case) {
    let mut random = Random(2);
    let (mut graph, mut values, y) = build(case, &mut random);
    let inputs = graph.inputs().to_vec();
    let dy = graph.add_input("dy", TensorType::new(DType::F64, graph.shape(y)));
    values.push(random.tensor(&graph.shape(y), &(-2.0..2.0)));
    let mut of = graph.emit(Op::Fill(Literal::F64(0.0), Shape::scalar()), &[]);
    for gradient in vector_jacobian(&mut graph, &[(y, dy)], &inputs).into_iter().flatten() {
        let weights = random.tensor(&graph.shape(gradient), &(-2.0..2.0));
        let weights = constant(&mut graph, weights);
        let term = weighted_sum(&mut graph, gradient, weights);
        of = EmitExt::add(&mut graph, of, term);
    }
    compare(graph, of, &values, &format!("gradient of {:?}", case.op));
}

/// Compares the gradients of `of` with respect to all inputs with differences along random directions.
pub fn compare(mut graph: Graph, of: NodeId, values: &[TensorData], what: &str) {
    let inputs = graph.inputs().to_vec();
    let gradients = gradient_or_zero(&mut graph, of, &inputs).expect("a scalar");
    let mut difference = graph.clone();
    difference.add_output(of, None);
    gradients.iter().for_each(|&gradient| graph.add_output(gradient, None));
    let gradients = interpret(&graph, values).expect("inputs of the right types");

    let mut random = Random(3);
    for (i, gradient) in gradients.iter().enumerate() {
        assert_eq!(gradient.ty(), values[i].ty(), "{what}: type of the gradient of input {i}");
        let direction = random.tensor(&values[i].ty().shape, &(-1.0..1.0)).to_f64_vec();
        // Near the cube root of the precision, where rounding and truncation errors meet.
        let step = 1e-5;
        let at = |step: f64| {
            let mut moved = values.to_vec();
            let elements = values[i].to_f64_vec().into_iter().zip(&direction).map(|(x, d)| x + step * d);
            moved[i] = TensorData::new(values[i].ty().shape, elements.collect::<Vec<f64>>());
            interpret(&difference, &moved).expect("inputs of the right types")[0].item().expect("a scalar")
        };
        let expected = (at(step) - at(-step)) / (2.0 * step);
        let found: f64 = gradient.to_f64_vec().iter().zip(&direction).map(|(g, d)| g * d).sum();
        let size = 1.0 + expected.abs() + gradient.to_f64_vec().iter().fold(0.0, |m: f64, g| m.max(g.abs()));
        assert!(
            (found - expected).abs() <= 1e-6 * size,
            "{what}: gradient of input {i}: {found}, by differences {expected}; gradient {gradient:?}"
        );
    }
}
