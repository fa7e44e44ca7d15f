//! Block primitives whose operand is scaled and shifted: they do that themselves, where the factor and the term are the
//! same for the whole row.

use super::suite::{Elements, LENGTHS, Suite};
use kiln_ir::op::*;
use kiln_ir::{DType, NodeId, Op, Shape};
use smallvec::smallvec;

/// Functions that amplify the rounding of their operand by less than ten.
const FUNCTIONS: [UnaryOp; 6] =
    [UnaryOp::Exp, UnaryOp::Expm1, UnaryOp::Sigmoid, UnaryOp::Tanh, UnaryOp::Erf, UnaryOp::Sin];

/// What is done to `x`, given a factor and a term for each row.
fn forms(s: &mut Suite, x: NodeId, a: NodeId, b: NodeId) -> Vec<NodeId> {
    let mut binary = |op: BinaryOp, x: NodeId, y: NodeId| s.add(Op::Binary(op), &[x, y]);
    let product = binary(BinaryOp::Mul, x, a);
    let other_product = binary(BinaryOp::Mul, a, x);
    let mut forms = vec![product, other_product];
    for of in [x, product] {
        forms.extend([
            binary(BinaryOp::Add, of, b),
            binary(BinaryOp::Add, b, of),
            binary(BinaryOp::Sub, of, b),
            binary(BinaryOp::Sub, b, of),
        ]);
    }
    forms.extend([x, product].map(|of| s.add(Op::Unary(UnaryOp::Neg), &[of])));
    forms
}

#[test]
fn operands_of_primitives_are_scaled_and_shifted() {
    for dtype in [DType::F32, DType::F64] {
        for n in LENGTHS {
            let mut s = Suite::new("scaled");
            let shape = Shape::new(&[3, n]);
            let x = s.input(dtype, &[3, n], Elements::Plain);
            let y = s.input(dtype, &[3, n], Elements::Plain);
            let [a, b] = [0; 2].map(|_| {
                let of_row = s.input(dtype, &[3], Elements::Plain);
                s.add(Op::Broadcast { shape: shape.clone(), axes: smallvec![0] }, &[of_row])
            });
            // In memory as it is, computed in the same loop, and the result of another primitive.
            let computed = s.add(Op::Binary(BinaryOp::Mul), &[x, y]);
            let primitive = s.add(Op::Unary(UnaryOp::Tanh), &[y]);
            for (i, of) in [x, computed, primitive].into_iter().enumerate() {
                for (k, form) in forms(&mut s, of, a, b).into_iter().enumerate() {
                    let value = s.sum(Op::Unary(FUNCTIONS[(i + k) % FUNCTIONS.len()]), &[form]);
                    // With other users of what the primitive is given, and of its result.
                    s.sum(Op::Binary(BinaryOp::Add), &[value, form]);
                    let exp = s.add(Op::Unary(UnaryOp::Exp), &[form]);
                    s.sum(Op::Reduce(ReduceOp::Sum, smallvec![1]), &[exp]);
                }
            }
            s.check();
        }
    }
}
