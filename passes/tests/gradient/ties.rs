//! What is given at kinks, ties and zeros: PyTorch's conventions (the values were recorded with PyTorch 2.15).

use kiln_ir::emit::EmitExt;
use kiln_ir::op::{BinaryOp, CompareOp, ReduceOp, UnaryOp, Window, WindowOp};
use kiln_ir::{DType, Emit, Graph, NodeId, Op, Shape, TensorData, interpret};
use kiln_passes::gradient::{gradient_or_zero, vector_jacobian};
use smallvec::SmallVec;

/// The gradients of a function of `f32` vectors (zeros where none flows), for a cotangent.
fn gradients(
    function: impl Fn(&mut Graph, &[NodeId]) -> NodeId,
    inputs: &[&[f32]],
    cotangent: &[f32],
) -> Vec<Vec<f64>> {
    let mut graph = Graph::new("tie");
    let mut values: Vec<TensorData> =
        inputs.iter().map(|input| TensorData::new([input.len()], input.to_vec())).collect();
    let xs: Vec<NodeId> = values.iter().map(|value| graph.add_input("x", value.ty())).collect();
    let y = function(&mut graph, &xs);
    let shape = graph.shape(y);
    values.push(TensorData::new(shape, cotangent.to_vec()));
    let ty = graph.ty(y).clone();
    let dy = graph.add_input("dy", ty);
    let results = vector_jacobian(&mut graph, &[(y, dy)], &xs);
    for result in results {
        let gradient = result.unwrap_or_else(|unreached| graph.constant_like(unreached.value, 0.0));
        graph.add_output(gradient, None);
    }
    interpret(&graph, &values).expect("values that suit the inputs").iter().map(|g| g.to_f64_vec()).collect()
}

fn assert_gradients(
    what: &str,
    function: impl Fn(&mut Graph, &[NodeId]) -> NodeId,
    inputs: &[&[f32]],
    cotangent: &[f32],
    expected: &[&[f64]],
) {
    let found = gradients(function, inputs, cotangent);
    let near = |(found, expected): (&f64, &f64)| (found - expected).abs() <= 1e-6 * expected.abs();
    let same = found.len() == expected.len()
        && found.iter().zip(expected).all(|(f, e)| f.len() == e.len() && f.iter().zip(*e).all(near));
    assert!(same, "{what}: {found:?}, by convention {expected:?}");
}

fn unary(op: UnaryOp) -> impl Fn(&mut Graph, &[NodeId]) -> NodeId {
    move |g, x| g.unary(op, x[0])
}

fn binary(op: BinaryOp) -> impl Fn(&mut Graph, &[NodeId]) -> NodeId {
    move |g, x| g.binary(op, x[0], x[1])
}

#[test]
fn unary_kinks_and_jumps_give_zero() {
    let x: &[f32] = &[-1.0, 0.0, 1.0];
    let dy = &[1.0, 2.0, 3.0];
    assert_gradients("abs at 0", unary(UnaryOp::Abs), &[x], dy, &[&[-1.0, 0.0, 3.0]]);
    for op in [UnaryOp::Sign, UnaryOp::Floor, UnaryOp::Ceil, UnaryOp::Round] {
        assert_gradients(op.name(), unary(op), &[x], dy, &[&[0.0; 3]]);
    }
    assert_gradients("sqrt", unary(UnaryOp::Sqrt), &[&[4.0, 1.0]], &[1.0, 2.0], &[&[0.25, 1.0]]);
}

#[test]
fn equal_operands_of_a_maximum_share() {
    let operands: &[&[f32]] = &[&[1.0, 2.0], &[1.0, 3.0]];
    let dy = &[1.0, 2.0];
    assert_gradients("maximum", binary(BinaryOp::Max), operands, dy, &[&[0.5, 0.0], &[0.5, 2.0]]);
    assert_gradients("minimum", binary(BinaryOp::Min), operands, dy, &[&[0.5, 2.0], &[0.5, 0.0]]);
}

#[test]
fn powers_of_zero_have_finite_gradients() {
    let square = |g: &mut Graph, x: &[NodeId]| {
        let two = g.constant_like(x[0], 2.0);
        g.binary(BinaryOp::Pow, x[0], two)
    };
    assert_gradients("pow(x, 2)", square, &[&[0.0, 1.0]], &[1.0, 2.0], &[&[0.0, 4.0]]);
    assert_gradients(
        "pow(x, y)",
        binary(BinaryOp::Pow),
        &[&[0.0, 0.0, 2.0], &[2.0, 1.0, 3.0]],
        &[1.0, 2.0, 3.0],
        &[&[0.0, 2.0, 36.0], &[0.0, 0.0, 16.635_532_379_150_39]],
    );
    assert_gradients("pow(0, 0)", binary(BinaryOp::Pow), &[&[0.0], &[0.0]], &[1.0], &[&[0.0], &[0.0]]);
}

#[test]
fn atan2_and_rem_follow_the_convention() {
    let operands: &[&[f32]] = &[&[0.0, 1.0], &[1.0, 1.0]];
    assert_gradients("atan2", binary(BinaryOp::Atan2), operands, &[1.0, 2.0], &[&[1.0, 1.0], &[0.0, -1.0]]);
    let operands: &[&[f32]] = &[&[5.0, -5.0], &[3.0, 3.0]];
    assert_gradients("fmod", binary(BinaryOp::Rem), operands, &[1.0, 2.0], &[&[1.0, 2.0], &[-1.0, 2.0]]);
}

#[test]
fn a_branch_not_taken_gets_nothing() {
    let choose = |g: &mut Graph, x: &[NodeId]| {
        let zero = g.constant_like(x[0], 0.0);
        let condition = g.compare(CompareOp::Gt, x[0], zero);
        g.select(condition, x[0], x[1])
    };
    assert_gradients("where", choose, &[&[1.0, -1.0], &[2.0, 3.0]], &[1.0, 2.0], &[&[1.0, 0.0], &[0.0, 2.0]]);
}

/// Both ways to write relu that give 0 at 0; the first one keeps NaN.
#[test]
fn relu_by_select_gives_zero_at_zero() {
    let le = |g: &mut Graph, x: &[NodeId]| {
        let zero = g.constant_like(x[0], 0.0);
        let condition = g.compare(CompareOp::Le, x[0], zero);
        g.select(condition, zero, x[0])
    };
    let gt = |g: &mut Graph, x: &[NodeId]| {
        let zero = g.constant_like(x[0], 0.0);
        let condition = g.compare(CompareOp::Gt, x[0], zero);
        g.select(condition, x[0], zero)
    };
    let x: &[f32] = &[-1.0, 0.0, 1.0, f32::INFINITY];
    let dy = &[1.0, 2.0, 3.0, 4.0];
    assert_gradients("select(x <= 0, 0, x)", le, &[x], dy, &[&[0.0, 0.0, 3.0, 4.0]]);
    assert_gradients("select(x > 0, x, 0)", gt, &[x], dy, &[&[0.0, 0.0, 3.0, 4.0]]);
    assert_eq!(gradients(le, &[&[f32::NAN]], &[2.0]), [[2.0]]);
    assert_eq!(gradients(gt, &[&[f32::NAN]], &[2.0]), [[0.0]]);
}

#[test]
fn equal_extrema_share_equally() {
    let reduce = |op: ReduceOp| {
        move |g: &mut Graph, x: &[NodeId]| {
            let rows = g.reshape(x[0], Shape::new(&[2, 3]));
            g.reduce(op, rows, &[1])
        }
    };
    let x: &[f32] = &[1.0, 3.0, 3.0, 2.0, 2.0, 2.0];
    let third = 2.0 / 3.0;
    let dy = &[1.0, 2.0];
    assert_gradients("amax", reduce(ReduceOp::Max), &[x], dy, &[&[0.0, 0.5, 0.5, third, third, third]]);
    assert_gradients("amin", reduce(ReduceOp::Min), &[x], dy, &[&[1.0, 0.0, 0.0, third, third, third]]);
}

#[test]
fn products_with_zeros_are_differentiated_without_division() {
    let product = |g: &mut Graph, x: &[NodeId]| g.reduce(ReduceOp::Prod, x[0], &[0]);
    assert_gradients("one zero", product, &[&[2.0, 0.0, 3.0]], &[1.0], &[&[0.0, 6.0, 0.0]]);
    assert_gradients("two zeros", product, &[&[0.0, 0.0, 3.0]], &[1.0], &[&[0.0, 0.0, 0.0]]);

    // Second order: the derivative of d(abc)/da + d(abc)/db + d(abc)/dc = bc + ac + ab at (0, 0, 3).
    let sum_of_gradient = |g: &mut Graph, x: &[NodeId]| {
        let y = g.reduce(ReduceOp::Prod, x[0], &[0]);
        let gradient = gradient_or_zero(g, y, x).expect("a scalar")[0];
        g.sum(gradient, &[0])
    };
    assert_gradients("second", sum_of_gradient, &[&[0.0, 0.0, 3.0]], &[1.0], &[&[3.0, 3.0, 0.0]]);
}

#[test]
fn the_first_of_equal_elements_of_a_window_gets_all() {
    let pool = |g: &mut Graph, x: &[NodeId]| {
        let window = Window {
            sizes: SmallVec::from_slice(&[2]),
            strides: SmallVec::from_slice(&[2]),
            padding: SmallVec::from_slice(&[(0, 0)]),
            dilations: SmallVec::from_slice(&[1]),
        };
        g.emit(Op::Window(WindowOp::Max, window), x)
    };
    assert_gradients("max_pool1d", pool, &[&[1.0, 1.0, 2.0, 2.0]], &[1.0, 2.0], &[&[1.0, 0.0, 2.0, 0.0]]);
}

/// Casts between floating-point types are not differentiable by differences: their gradient is the cast back.
#[test]
fn casts_between_floats_cast_back() {
    let widen = |g: &mut Graph, x: &[NodeId]| {
        let wide = g.cast(DType::F64, x[0]);
        let tripled = g.mul_constant(wide, 3.0);
        g.cast(DType::F32, tripled)
    };
    assert_gradients("cast", widen, &[&[1.0, 2.0]], &[1.0, -2.0], &[&[3.0, -6.0]]);
}
