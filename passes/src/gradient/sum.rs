//! The sum of what the users of a value contribute to its gradient.
//!
//! `x * f(x)` contributes `g * f(x)` and `g * x * f'(x)` to the gradient of `x`, if `g` is its own. With the common factor
//! outside, `g * (f(x) + x * f'(x))`, all but one product depends on nothing but `x`: it is computed where `x` is, and
//! one value is kept for the way back instead of three. GELU, SiLU and their relatives are of this form.

use kiln_ir::emit::EmitExt;
use kiln_ir::op::{BinaryOp, UnaryOp};
use kiln_ir::{Emit, Graph, NodeId, Op};
use smallvec::SmallVec;

/// More factors than rules make of one op after the other; the rest of a longer product is one factor.
const MOST_FACTORS: usize = 16;

/// Adds contributions in their order, with common factors outside: those that depend on the gradients of results.
pub(super) fn total(
    e: &mut dyn Emit,
    is_forward: &dyn Fn(NodeId) -> bool,
    first: NodeId,
    rest: &[NodeId],
) -> NodeId {
    rest.iter().fold(first, |sum, &contribution| {
        // What is computed at once has nothing to gain from factors: the products are there.
        let factored = if e.is_immediate() { None } else { factored_sum(e, is_forward, sum, contribution) };
        factored.unwrap_or_else(|| e.add(sum, contribution))
    })
}

/// `c * (p + q)` for `a = c * p` and `b = c * q`, if there is such a factor and neither is all of it.
fn factored_sum(
    e: &mut dyn Emit,
    is_forward: &dyn Fn(NodeId) -> bool,
    a: NodeId,
    b: NodeId,
) -> Option<NodeId> {
    let (mut p, mut q) = (Product::new(e.graph(), a), Product::new(e.graph(), b));
    let common = p.take_common(&mut q, |factor| !is_forward(factor));
    // Of a square, the same twice: `x + x` would only be one more value to keep.
    if common.is_empty() || p.factors.is_empty() || q.factors.is_empty() || p.factors == q.factors {
        return None;
    }
    let [lhs, rhs, common] = [&p.factors, &q.factors, &common].map(|factors| multiply(e, factors));
    let sum = match (p.is_negative, q.is_negative) {
        (false, false) => e.add(lhs, rhs),
        (false, true) => e.sub(lhs, rhs),
        (true, false) => e.sub(rhs, lhs),
        (true, true) => {
            let sum = e.add(lhs, rhs);
            e.neg(sum)
        }
    };
    Some(e.mul(common, sum))
}

fn multiply(e: &mut dyn Emit, factors: &[NodeId]) -> NodeId {
    let (&first, rest) = factors.split_first().expect("a product of something");
    rest.iter().fold(first, |product, &factor| e.mul(product, factor))
}

/// A value as a product.
struct Product {
    /// Its factors, in the order of the multiplications.
    factors: SmallVec<[NodeId; 8]>,
    /// Whether it is the negative of the product of the factors.
    is_negative: bool,
}

impl Product {
    fn new(graph: &Graph, value: NodeId) -> Product {
        let mut product = Product { factors: SmallVec::new(), is_negative: false };
        let mut open: SmallVec<[NodeId; 8]> = SmallVec::from_slice(&[value]);
        while let Some(value) = open.pop() {
            let is_full = product.factors.len() + open.len() >= MOST_FACTORS;
            if let (Op::Binary(BinaryOp::Mul), false) = (graph.op(value), is_full) {
                open.extend(graph.operands(value).iter().rev().copied());
            } else if let Op::Unary(UnaryOp::Neg) = graph.op(value) {
                product.is_negative ^= true;
                open.push(graph.operands(value)[0]);
            } else {
                product.factors.push(value);
            }
        }
        product
    }

    /// Removes the factors of a kind that both have, and returns them.
    fn take_common(
        &mut self,
        other: &mut Product,
        is_meant: impl Fn(NodeId) -> bool,
    ) -> SmallVec<[NodeId; 8]> {
        let mut common = SmallVec::new();
        self.factors.retain(|factor| {
            let at = other.factors.iter().position(|f| f == factor);
            let Some(at) = at.filter(|_| is_meant(*factor)) else { return true };
            other.factors.remove(at);
            common.push(*factor);
            false
        });
        common
    }
}

#[cfg(test)]
mod tests {
    use super::super::vector_jacobian;
    use crate::analysis;
    use kiln_ir::{Graph, NodeId, parse};

    /// The nodes that depend on the cotangent `%g`, by their ops, in the gradient of `%y` with respect to `%x`.
    fn after_cotangent(body: &str) -> Vec<&'static str> {
        let text = format!("graph f(%x: f32[4], %g: f32[4]) {{ {body} return %y }}");
        let mut graph = parse(&text).unwrap();
        let (x, g, y) = (graph.inputs()[0], graph.inputs()[1], graph.outputs()[0].value);
        let result = vector_jacobian(&mut graph, &[(y, g)], &[x])[0].clone().unwrap();
        depending(&mut graph, result, g)
    }

    fn depending(graph: &mut Graph, result: NodeId, on: NodeId) -> Vec<&'static str> {
        graph.set_outputs(vec![kiln_ir::Output { value: result, updates: None }]);
        analysis::remove_unreachable(graph);
        let mut depends = vec![false; graph.id_bound()];
        depends[on.index()] = true;
        let mut ops = Vec::new();
        for id in graph.topological_order() {
            if graph.operands(id).iter().any(|operand| depends[operand.index()]) {
                depends[id.index()] = true;
                ops.push(graph.op(id).name());
            }
        }
        ops
    }

    #[test]
    fn what_depends_on_the_value_alone_is_left_to_the_way_there() {
        let silu = "%s: f32[4] = sigmoid %x %y: f32[4] = mul %x, %s";
        assert_eq!(after_cotangent(silu), ["mul"]);
        let difference = "%e: f32[4] = exp %x %n: f32[4] = neg %e %y: f32[4] = mul %x, %n";
        assert_eq!(after_cotangent(difference), ["mul"]);
    }

    #[test]
    fn sums_without_a_common_factor_stay() {
        // The cotangent itself, beside a multiple of it; a square.
        assert_eq!(after_cotangent("%e: f32[4] = exp %x %y: f32[4] = add %x, %e"), ["mul", "add"]);
        assert_eq!(after_cotangent("%y: f32[4] = mul %x, %x"), ["mul", "mul", "add"]);
    }
}
