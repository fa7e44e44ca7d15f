//! Whole models: first order, and the gradient of a penalty on the norm of a gradient, against differences.

use super::check::{Random, compare};
use kiln_ir::emit::EmitExt;
use kiln_ir::op::{Conv, Dot, ReduceOp, UnaryOp, Window, WindowOp};
use kiln_ir::{DType, Emit, Graph, NodeId, Op, Shape, TensorData, TensorType};
use kiln_passes::gradient::gradient;
use smallvec::SmallVec;

/// A graph in the making, with the values of its inputs.
struct Model {
    graph: Graph,
    values: Vec<TensorData>,
    random: Random,
}

impl Model {
    fn new() -> Model {
        Model { graph: Graph::new("model"), values: Vec::new(), random: Random(4) }
    }

    fn input(&mut self, shape: &[usize]) -> NodeId {
        let shape = Shape::new(shape);
        self.values.push(self.random.tensor(&shape, &(-1.0..1.0)));
        self.graph.add_input("x", TensorType::new(DType::F64, shape))
    }

    fn matmul(&mut self, lhs: NodeId, rhs: NodeId) -> NodeId {
        let dot = Dot { batch: SmallVec::new(), contract: SmallVec::from_slice(&[(1, 0)]) };
        self.graph.emit(Op::Dot(dot), &[lhs, rhs])
    }

    fn add_row(&mut self, x: NodeId, row: NodeId) -> NodeId {
        let shape = self.graph.shape(x);
        let row = self.graph.broadcast(row, shape, &[1]);
        EmitExt::add(&mut self.graph, x, row)
    }

    /// Along the last of two axes, with the greatest element taken off.
    fn softmax(&mut self, x: NodeId) -> NodeId {
        let g = &mut self.graph;
        let shape = g.shape(x);
        let max = g.reduce(ReduceOp::Max, x, &[1]);
        let max = g.broadcast_back(max, shape.clone(), &[1]);
        let shifted = g.sub(x, max);
        let exp = g.unary(UnaryOp::Exp, shifted);
        let sum = g.sum(exp, &[1]);
        let sum = g.broadcast_back(sum, shape, &[1]);
        g.div(exp, sum)
    }

    fn sum_of_squares(&mut self, x: NodeId) -> NodeId {
        let g = &mut self.graph;
        let axes: Vec<usize> = (0..g.shape(x).rank()).collect();
        let squares = g.mul(x, x);
        g.sum(squares, &axes)
    }

    /// Checks the gradients of the loss, and those of the loss plus the squared norms of its gradients.
    fn check(mut self, loss: NodeId, what: &str) {
        compare(self.graph.clone(), loss, &self.values, what);
        let inputs = self.graph.inputs().to_vec();
        let gradients = gradient(&mut self.graph, loss, &inputs).expect("every input reaches the loss");
        let mut penalized = loss;
        for gradient in gradients {
            let norm = self.sum_of_squares(gradient);
            penalized = EmitExt::add(&mut self.graph, penalized, norm);
        }
        compare(self.graph, penalized, &self.values, &format!("penalty on the gradient of {what}"));
    }
}

#[test]
fn a_perceptron_with_tanh() {
    let mut model = Model::new();
    let (x, w1, b1) = (model.input(&[4, 3]), model.input(&[3, 5]), model.input(&[5]));
    let (w2, b2) = (model.input(&[5, 2]), model.input(&[2]));
    let hidden = model.matmul(x, w1);
    let hidden = model.add_row(hidden, b1);
    let hidden = model.graph.unary(UnaryOp::Tanh, hidden);
    let y = model.matmul(hidden, w2);
    let y = model.add_row(y, b2);
    let loss = model.sum_of_squares(y);
    model.check(loss, "perceptron");
}

#[test]
fn a_convolution_with_pooling_and_softmax() {
    let mut model = Model::new();
    let (x, kernel) = (model.input(&[2, 2, 7, 6]), model.input(&[4, 1, 3, 2]));
    let conv = Conv {
        strides: SmallVec::from_slice(&[1, 2]),
        padding: SmallVec::from_slice(&[(1, 1), (0, 1)]),
        groups: 2,
        ..Conv::plain(2)
    };
    let y = model.graph.emit(Op::Conv(conv), &[x, kernel]);
    let y = model.graph.unary(UnaryOp::Sigmoid, y);
    let window = Window {
        sizes: SmallVec::from_slice(&[2, 2]),
        strides: SmallVec::from_slice(&[2, 1]),
        padding: SmallVec::from_slice(&[(0, 1), (1, 0)]),
        dilations: SmallVec::from_slice(&[1, 1]),
    };
    let greatest = model.graph.emit(Op::Window(WindowOp::Max, window.clone()), &[y]);
    let sum = model.graph.emit(Op::Window(WindowOp::Sum, window), &[y]);
    let y = model.graph.mul(greatest, sum);
    let n = model.graph.shape(y).n_elements() / 2;
    let y = model.graph.reshape(y, Shape::new(&[2, n]));
    let w = model.input(&[n, 3]);
    let logits = model.matmul(y, w);
    let probabilities = model.softmax(logits);
    let loss = model.sum_of_squares(probabilities);
    model.check(loss, "convolution");
}

#[test]
fn attention_of_one_head() {
    let mut model = Model::new();
    let (q, k, v) = (model.input(&[3, 4]), model.input(&[5, 4]), model.input(&[5, 2]));
    let scores = Dot { batch: SmallVec::new(), contract: SmallVec::from_slice(&[(1, 1)]) };
    let scores = model.graph.emit(Op::Dot(scores), &[q, k]);
    let weights = model.softmax(scores);
    let y = model.matmul(weights, v);
    let loss = model.sum_of_squares(y);
    model.check(loss, "attention");
}

#[test]
fn a_value_used_in_several_places_collects_all_contributions() {
    let mut model = Model::new();
    let x = model.input(&[3, 3]);
    let twice = model.matmul(x, x);
    let turned = model.graph.permute(x, &[1, 0]);
    let mixed = model.graph.mul(twice, turned);
    let y = EmitExt::add(&mut model.graph, mixed, x);
    let loss = model.sum_of_squares(y);
    model.check(loss, "shared operand");
}
