//! Structural equality of graphs: what "`parse(print(g))` is `g`" and "the pass changed nothing" mean.

use crate::names::{Names, sanitized};
use crate::{Graph, NodeId, Op};
use std::collections::HashMap;

impl Graph {
    /// Whether both graphs print the same nodes in the same order: names as printed, ops with all attributes (floats
    /// by their bits), operands, types, marks of detached nodes, inputs and outputs. Ids and sources may differ.
    pub fn same_as(&self, other: &Graph) -> bool {
        let (names, other_names) = (Names::new(self), Names::new(other));
        let place = places(&names);
        let other_place = places(&other_names);
        let same_node = |a: NodeId, b: NodeId| {
            let (x, y) = (self.node(a), other.node(b));
            names.get(a) == other_names.get(b)
                && x.ty() == y.ty()
                // An input has no operands to pass anything on to, and no line for the mark.
                && (x.is_detached == y.is_detached || x.op().is_input())
                && x.op().same_as(y.op())
                && x.operands().iter().map(|o| place[o]).eq(y.operands().iter().map(|o| other_place[o]))
        };
        let outputs = self.outputs().iter().map(|o| (place[&o.value], o.updates));
        let other_outputs = other.outputs().iter().map(|o| (other_place[&o.value], o.updates));
        sanitized(&self.name) == sanitized(&other.name)
            && self.inputs().len() == other.inputs().len()
            && names.order().len() == other_names.order().len()
            && names.order().iter().zip(other_names.order()).all(|(&a, &b)| same_node(a, b))
            && outputs.eq(other_outputs)
    }
}

fn places(names: &Names) -> HashMap<NodeId, usize> {
    names.order().iter().enumerate().map(|(place, &id)| (id, place)).collect()
}

impl Op {
    /// Equal ops, where a NaN in a constant equals the same NaN and `-0.0` differs from `0.0`.
    pub fn same_as(&self, other: &Op) -> bool {
        if let (Op::Dense(a), Op::Dense(b)) = (self, other) { a.same_bits(b) } else { self == other }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::BinaryOp;
    use crate::{DType, TensorData, TensorType};
    use std::sync::Arc;

    fn difference(name: &str, swap: bool, constant: f32) -> Graph {
        let mut graph = Graph::new("f");
        let x = graph.add_input("x", TensorType::new(DType::F32, [1]));
        let c = graph.add(Op::Dense(Arc::new(TensorData::new([1], vec![constant]))), &[]).unwrap();
        let operands = if swap { [c, x] } else { [x, c] };
        let y = graph.add(Op::Binary(BinaryOp::Sub), &operands).unwrap();
        graph.node_mut(y).name = Some(Arc::from(name));
        graph.add_output(y, None);
        graph
    }

    #[test]
    fn names_operand_order_and_bits_of_constants_count() {
        let graph = difference("y", false, f32::NAN);
        assert!(graph.same_as(&difference("y", false, f32::NAN)));
        assert!(!graph.same_as(&difference("z", false, f32::NAN)));
        assert!(!graph.same_as(&difference("y", true, f32::NAN)));
        assert!(!graph.same_as(&difference("y", false, -f32::NAN)));
        assert!(!difference("y", false, 0.0).same_as(&difference("y", false, -0.0)));
    }

    #[test]
    fn outputs_count() {
        let graph = difference("y", false, 1.0);
        let mut other = difference("y", false, 1.0);
        other.add_output(other.inputs()[0], Some(0));
        assert!(!graph.same_as(&other));
    }
}
