//! Builds a kernel's loop body from the graph: each written value is expanded, from the result to the operands, at
//! the index where it is needed, until memory is reached.
//!
//! Expanding a movement op changes the index; expanding a reshape of a value in memory changes nothing, because only
//! the position in row-major order counts. Padding becomes a condition, with the index clamped so that no address
//! lies outside its buffer.

mod accumulate;
mod reduce;
mod unroll;

use super::affine::{Affine, Derived, Variables};
use super::body::*;
use super::layout;
use super::view::{self, IndexMap};
use kiln_ir::kernel::{Kernel, KernelKind};
use kiln_ir::op::{CompareOp, LogicalOp, Op};
use kiln_ir::{DType, Graph, Literal, NodeId};
use smallvec::SmallVec;
use std::collections::HashMap;

/// The loop body of a kernel. Values that are not members, and that `in_memory` accepts, are loaded.
pub fn build(graph: &Graph, kernel: &Kernel, in_memory: &dyn Fn(NodeId) -> bool) -> LoopBody {
    let mut builder = Builder::new(graph, kernel, in_memory);
    match kernel.kind {
        KernelKind::Loop | KernelKind::Contraction(_) => {}
        // What runs is the kernels of the body.
        KernelKind::Repeat(_) => return builder.body,
        KernelKind::ScatterAdd(node) => builder.scatter_add(node),
        KernelKind::WindowPut(node) => builder.window_put(node),
        KernelKind::Cumulative(node) => builder.cumulative(node),
        KernelKind::Sort(node) => return builder.sort(node),
    }
    for &node in &kernel.writes {
        builder.store(node);
    }
    let mut body = builder.body;
    layout::finish(&mut body, matches!(kernel.kind, KernelKind::Contraction(_)));
    body
}

struct Builder<'a> {
    /// Whether reductions are written out as operations on their few elements: then the loops have no reduced axes.
    unrolled: bool,
    graph: &'a Graph,
    kernel: &'a Kernel,
    in_memory: &'a dyn Fn(NodeId) -> bool,
    body: LoopBody,
    expanded: HashMap<(NodeId, IndexMap), ValueId>,
    reductions: HashMap<NodeId, usize>,
}

impl<'a> Builder<'a> {
    fn new(graph: &'a Graph, kernel: &'a Kernel, in_memory: &'a dyn Fn(NodeId) -> bool) -> Builder<'a> {
        let unrolled = unroll::is_unrolled(graph, kernel);
        let kind = |axis| if kernel.reduced.contains(&axis) { AxisKind::Reduced } else { AxisKind::Parallel };
        let mut extents = kernel.domain.to_vec();
        if unrolled {
            kernel.reduced.iter().for_each(|&axis| extents[axis] = 1);
        }
        let body = LoopBody {
            variables: Variables::new(&extents),
            axes: (0..kernel.domain.rank()).map(kind).collect(),
            vector_axis: 0,
            buffers: Vec::new(),
            values: Vec::new(),
            reductions: Vec::new(),
            stores: Vec::new(),
            accumulate: None,
        };
        Builder {
            unrolled,
            graph,
            kernel,
            in_memory,
            body,
            expanded: HashMap::new(),
            reductions: HashMap::new(),
        }
    }

    fn own_index(&mut self, node: NodeId) -> IndexMap {
        view::own_index(self.graph, self.kernel, &self.graph.node(node).ty().shape, &mut self.body.variables)
    }

    fn store(&mut self, node: NodeId) {
        // The result of a contraction is written by the tiles themselves.
        if self.kernel.kind == KernelKind::Contraction(node)
            || self.body.accumulate.is_some()
            || self.body.stores.iter().any(|s| self.body.buffers[s.buffer] == node)
        {
            return;
        }
        let per_row = !self.unrolled && self.kernel.is_per_row(self.graph.node(node).ty().n_elements());
        let index = self.own_index(node);
        let value = self.expand(node, &index);
        let address = view::linear(&index, &self.graph.node(node).ty().shape, &self.body.variables);
        let buffer = self.buffer(node);
        let phase = self.body.values[value].phase;
        self.body.stores.push(Store { buffer, address, value, per_row, phase });
    }

    fn buffer(&mut self, node: NodeId) -> usize {
        self.body.buffers.iter().position(|&b| b == node).unwrap_or_else(|| {
            self.body.buffers.push(node);
            self.body.buffers.len() - 1
        })
    }

    fn push(&mut self, kind: ValueKind, dtype: DType) -> ValueId {
        let value = Value { kind, dtype, phase: 0 };
        if let Some(same) = self.body.values.iter().position(|v| v.kind == value.kind && v.dtype == dtype) {
            return same;
        }
        self.body.values.push(value);
        let id = self.body.values.len() - 1;
        self.body.values[id].phase = match self.body.values[id].kind {
            ValueKind::Reduced(i) => self.body.reductions[i].phase + 1,
            _ => {
                let by_operands = self.body.operands(id).iter().map(|&o| self.body.values[o].phase).max();
                let by_index = self.body.index_of(id).map(|of| self.affine_phase(of));
                by_operands.max(by_index).unwrap_or(0)
            }
        };
        id
    }

    fn affine_phase(&self, of: &Affine) -> usize {
        let phases = of.terms.iter().map(|&(variable, _)| match self.body.variables.definition(variable) {
            None => 0,
            Some(
                Derived::Quotient { of, .. } | Derived::Remainder { of, .. } | Derived::Clamp { of, .. },
            ) => self.affine_phase(of),
            Some(Derived::Loaded { value, .. }) => self.body.values[*value].phase,
        });
        phases.max().unwrap_or(0)
    }

    /// The value of a node at an index.
    fn expand(&mut self, node: NodeId, index: &IndexMap) -> ValueId {
        let key = (node, index.clone());
        if let Some(&value) = self.expanded.get(&key) {
            return value;
        }
        let value = self.expand_anew(node, index);
        self.expanded.insert(key, value);
        value
    }

    fn expand_anew(&mut self, node: NodeId, index: &IndexMap) -> ValueId {
        let graph = self.graph;
        let (op, operands, ty) = (graph.op(node), graph.operands(node), graph.node(node).ty());
        // The result of the contraction is in memory when the other members run.
        let is_contraction = self.kernel.kind == KernelKind::Contraction(node);
        if is_contraction || (!self.kernel.members.contains(&node) && (self.in_memory)(node)) {
            let address = view::linear(index, &ty.shape, &self.body.variables);
            let buffer = self.buffer(node);
            return self.push(ValueKind::Load { buffer, address }, ty.dtype);
        }
        let kind = match op {
            Op::Fill(value, _) => ValueKind::Constant(*value),
            Op::Iota { axis, .. } => ValueKind::Index(index[*axis].clone()),
            Op::Unary(op) => ValueKind::Unary(*op, self.expand(operands[0], index)),
            Op::Binary(op) => {
                ValueKind::Binary(*op, self.expand(operands[0], index), self.expand(operands[1], index))
            }
            Op::Compare(op) => {
                ValueKind::Compare(*op, self.expand(operands[0], index), self.expand(operands[1], index))
            }
            Op::Logical(op) => {
                ValueKind::Logical(*op, operands.iter().map(|&o| self.expand(o, index)).collect())
            }
            Op::Select => ValueKind::Select(
                self.expand(operands[0], index),
                self.expand(operands[1], index),
                self.expand(operands[2], index),
            ),
            Op::Cast(_) => ValueKind::Cast(self.expand(operands[0], index)),
            Op::Reshape(_) | Op::Permute(_) | Op::Broadcast { .. } | Op::Slice(_) | Op::Reverse(_) => {
                let inner = view::through(graph, node, index, &mut self.body.variables);
                return self.expand(operands[0], &inner);
            }
            Op::Pad(pad) => {
                let operand = graph.node(operands[0]).ty();
                let mut inner = IndexMap::new();
                let mut inside = Condition::default();
                for axis in 0..index.len() {
                    let position = index[axis].plus_constant(-pad.low[axis]);
                    let (extent, step) = (operand.shape[axis], pad.interior[axis] as i64 + 1);
                    inner.push(self.dilated(&position, extent, step, &mut inside));
                }
                return self.guarded(inside, operands[0], &inner, pad.value);
            }
            Op::Concatenate(axis) => return self.expand_concatenate(operands, *axis, index),
            Op::Gather(axis) => return self.expand_gather(operands, *axis, index),
            Op::RandomBits(shape) => {
                let element = view::linear(index, shape, &self.body.variables);
                let key = self.expand(operands[0], &SmallVec::from_elem(Affine::constant(0), 1));
                let counter = self.expand(operands[0], &SmallVec::from_elem(Affine::constant(1), 1));
                ValueKind::Random { key, counter, element }
            }
            // Over no axes, a reduction is its operand, and a product of every pair is elementwise.
            Op::Reduce(_, axes) if axes.is_empty() => return self.expand(operands[0], index),
            Op::Dot(dot) if dot.contract.is_empty() => return self.dot_product(dot, operands, index),
            Op::Reduce(..) | Op::ArgReduce(..) | Op::Dot(_) | Op::Conv(_) | Op::Window(..)
                if self.unrolled =>
            {
                return self.unrolled_reduction(node);
            }
            Op::Reduce(..) | Op::ArgReduce(..) | Op::Dot(_) | Op::Conv(_) | Op::Window(..) => {
                ValueKind::Reduced(self.reduction(node))
            }
            Op::Input(_)
            | Op::Dense(_)
            | Op::ScatterAdd { .. }
            | Op::Cumulative(_)
            | Op::ArgSort(_)
            | Op::Loop(_)
            | Op::LoopResult { .. } => {
                unreachable!("`{}` is computed into memory before it is used", op.name())
            }
        };
        self.push(kind, ty.dtype)
    }

    fn expand_concatenate(&mut self, operands: &[NodeId], axis: usize, index: &IndexMap) -> ValueId {
        let mut start = 0;
        let mut pieces = Vec::new();
        for &operand in operands {
            let extent = self.graph.node(operand).ty().shape[axis] as i64;
            if extent > 0 {
                pieces.push((operand, start, extent));
            }
            start += extent;
        }
        let Some((&(last, last_start, last_extent), before)) = pieces.split_last() else {
            // Nothing is concatenated: there is no index to compute a value for.
            return self.push(
                ValueKind::Constant(Literal::zero(self.graph.node(operands[0]).ty().dtype)),
                self.graph.node(operands[0]).ty().dtype,
            );
        };
        let before = before.to_vec();
        let mut value = self.expand_piece(last, axis, index, last_start, last_extent);
        for &(operand, start, extent) in before.iter().rev() {
            let piece = self.expand_piece(operand, axis, index, start, extent);
            let here = ValueKind::InRange { of: index[axis].clone(), low: i64::MIN, high: start + extent };
            let here = self.push(here, DType::Bool);
            value = self.push(ValueKind::Select(here, piece, value), self.body.values[piece].dtype);
        }
        value
    }

    fn expand_piece(
        &mut self,
        operand: NodeId,
        axis: usize,
        index: &IndexMap,
        start: i64,
        extent: i64,
    ) -> ValueId {
        let mut inner = index.clone();
        inner[axis] = self.body.variables.clamp(&index[axis].plus_constant(-start), extent - 1);
        self.expand(operand, &inner)
    }

    fn expand_gather(&mut self, operands: &[NodeId], axis: usize, index: &IndexMap) -> ValueId {
        let x = self.graph.node(operands[0]).ty().clone();
        let at = self.expand(operands[1], index);
        if x.shape[axis] == 0 {
            return self.push(ValueKind::Constant(Literal::zero(x.dtype)), x.dtype);
        }
        let (inside, loaded) = self.loaded_index(at, x.shape[axis]);
        let mut inner = index.clone();
        inner[axis] = loaded;
        let value = self.expand(operands[0], &inner);
        let zero = self.push(ValueKind::Constant(Literal::zero(x.dtype)), x.dtype);
        self.push(ValueKind::Select(inside, value, zero), x.dtype)
    }

    /// A loaded index as a variable, clamped, and whether it was inside the axis.
    fn loaded_index(&mut self, at: ValueId, extent: usize) -> (ValueId, Affine) {
        let dtype = self.body.values[at].dtype;
        let low = self.push(ValueKind::Constant(Literal::from_i64(dtype, 0)), dtype);
        let high = self.push(ValueKind::Constant(Literal::from_i64(dtype, extent as i64)), dtype);
        let above = self.push(ValueKind::Compare(CompareOp::Ge, at, low), DType::Bool);
        let below = self.push(ValueKind::Compare(CompareOp::Lt, at, high), DType::Bool);
        let both = ValueKind::Logical(LogicalOp::And, SmallVec::from_slice(&[above, below]));
        let inside = self.push(both, DType::Bool);
        let loaded = self.body.variables.derive(Derived::Loaded { value: at, max: extent as i64 - 1 });
        (inside, loaded)
    }

    /// The index of an element in an axis whose elements stand `step` apart, from a position that may fall between
    /// them or outside.
    fn dilated(&mut self, position: &Affine, extent: usize, step: i64, inside: &mut Condition) -> Affine {
        let reach = (extent as i64 - 1) * step;
        let (low, high) = self.body.variables.range(position);
        if extent == 0 {
            inside.never = true;
            return Affine::default();
        }
        if low < 0 || high > reach {
            let within = ValueKind::InRange { of: position.clone(), low: 0, high: reach + 1 };
            inside.all.push(self.push(within, DType::Bool));
        }
        let clamped = self.body.variables.clamp(position, reach);
        let (index, between) = self.body.variables.divide(&clamped, step);
        if self.body.variables.range(&between) != (0, 0) {
            let on_element = ValueKind::InRange { of: between, low: 0, high: 1 };
            inside.all.push(self.push(on_element, DType::Bool));
        }
        index
    }

    /// The value of a node where the condition holds, a constant elsewhere.
    fn guarded(&mut self, inside: Condition, node: NodeId, index: &IndexMap, otherwise: Literal) -> ValueId {
        let outside = self.push(ValueKind::Constant(otherwise), otherwise.dtype());
        if inside.never {
            return outside;
        }
        let mut value = self.expand(node, index);
        for condition in inside.all {
            value = self.push(ValueKind::Select(condition, value, outside), otherwise.dtype());
        }
        value
    }

    /// A condition as one value; `None` when it always holds.
    fn conjunction(&mut self, of: Condition) -> Option<ValueId> {
        if of.never {
            return Some(self.push(ValueKind::Constant(Literal::Bool(false)), DType::Bool));
        }
        let both = |this: &mut Self, a, b| {
            this.push(ValueKind::Logical(LogicalOp::And, SmallVec::from_slice(&[a, b])), DType::Bool)
        };
        of.all.into_iter().reduce(|a, b| both(self, a, b))
    }
}

/// A conjunction of conditions.
#[derive(Clone, Default)]
struct Condition {
    all: SmallVec<[ValueId; 3]>,
    never: bool,
}
