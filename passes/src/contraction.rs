//! Large dots and convolutions as the tiles want them: extents, and the strides of operands in memory.
//!
//! Movement ops between an operand and memory become strides where they can. An operand for which that is not possible
//! is written out first.

use crate::loops::Variables;
use crate::loops::view::{self, IndexMap};
use kiln_ir::op::{Conv, Dot, Op};
use kiln_ir::{Graph, NodeId};
use smallvec::SmallVec;

/// Multiply-adds from which a contraction is computed by tiles: below, packing costs more than it saves.
pub const LARGE: usize = 1 << 13;

/// Panels are of a multiple of as many columns: the most lanes of a vector, so that tiles can read them in place.
pub const PANEL_UNIT: usize = 16;

/// Most batch axes that the tiles take.
pub const BATCH_AXES: usize = 3;

/// An operand as memory with strides, in elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strided {
    /// The value in memory.
    pub node: NodeId,
    /// Position of the first element.
    pub offset: i64,
    /// One stride per axis of the operand; 0 where the extent is 1.
    pub strides: SmallVec<[i64; 6]>,
}

/// A batch of matrix products.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matrices {
    /// Extents of the batch axes, with the strides of both operands.
    pub batch: SmallVec<[(usize, i64, i64); 3]>,
    /// Rows of the left operand and of the result.
    pub m: usize,
    /// Columns of the right operand and of the result.
    pub n: usize,
    /// Length of the sums.
    pub k: usize,
    /// The left operand with its row and column strides.
    pub lhs: (Strided, [i64; 2]),
    /// The right operand with its row and column strides.
    pub rhs: (Strided, [i64; 2]),
    /// How the columns of the right operand lie, if in panels; their stride is 1 then.
    pub panels: Option<Panels>,
}

/// Columns in panels, each of which is a matrix of its own with rows as long as the panel is wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panels {
    /// Columns of a panel.
    pub width: usize,
    /// From a panel to the next, in elements.
    pub stride: i64,
}

/// Whether a node is a dot or convolution that the tiles compute.
pub fn is_large(graph: &Graph, node: NodeId) -> bool {
    let ty = graph.node(node).ty();
    ty.dtype.is_float() && n_multiply_adds(graph, node) >= LARGE
}

/// Number of multiply-adds of a dot or convolution; 0 for other ops.
pub fn n_multiply_adds(graph: &Graph, node: NodeId) -> usize {
    let results = graph.node(node).ty().n_elements();
    let shape = |operand: usize| &graph.node(graph.operands(node)[operand]).ty().shape;
    match graph.op(node) {
        Op::Dot(dot) => results * dot.contract.iter().map(|pair| shape(0)[pair.0]).product::<usize>(),
        Op::Conv(_) => results * shape(1)[1..].iter().product::<usize>(),
        _ => 0,
    }
}

/// A value as strided memory, looking through views down to what `in_memory` accepts.
pub fn strided(graph: &Graph, node: NodeId, in_memory: &dyn Fn(NodeId) -> bool) -> Option<Strided> {
    let shape = &graph.node(node).ty().shape;
    let mut variables = Variables::new(shape);
    let mut index: IndexMap = (0..shape.rank()).map(|axis| variables.axis(axis)).collect();
    let mut at = node;
    while !in_memory(at) {
        if !view::is_view(graph.op(at)) {
            return None;
        }
        index = view::through(graph, at, &index, &mut variables);
        at = graph.operands(at)[0];
    }
    let address = view::linear(&index, &graph.node(at).ty().shape, &variables);
    if address.terms.iter().any(|term| term.0 >= shape.rank()) {
        return None;
    }
    let strides = (0..shape.rank()).map(|axis| address.coefficient(axis)).collect();
    Some(Strided { node: at, offset: address.offset, strides })
}

/// A dot as a batch of matrix products, or the position of the operand that must be written out first.
pub fn matrices(graph: &Graph, node: NodeId, in_memory: &dyn Fn(NodeId) -> bool) -> Result<Matrices, usize> {
    let Op::Dot(dot) = graph.op(node) else { unreachable!("a dot") };
    let operands = graph.operands(node);
    let lhs = strided(graph, operands[0], in_memory).ok_or(0usize)?;
    let rhs = strided(graph, operands[1], in_memory).ok_or(1usize)?;
    let shape = |operand: usize| &graph.node(operands[operand]).ty().shape;
    let axes = |of: &Strided, operand: usize, axes: &mut dyn Iterator<Item = usize>| {
        flatten(axes.map(|a| (shape(operand)[a], of.strides[a]))).ok_or(operand)
    };
    let (m, lhs_row) = axes(&lhs, 0, &mut dot.lhs_free(shape(0).rank()).into_iter())?;
    let rhs_free = dot.rhs_free(shape(1).rank());
    let (n, rhs_column, panels) = match axes(&rhs, 1, &mut rhs_free.iter().copied()) {
        Ok((n, stride)) => (n, stride, None),
        Err(operand) => {
            let free = rhs_free.iter().map(|&axis| (shape(1)[axis], rhs.strides[axis]));
            let (n, panels) = in_panels(free).ok_or(operand)?;
            (n, 1, Some(panels))
        }
    };
    let (k, lhs_column) = axes(&lhs, 0, &mut dot.contract.iter().map(|pair| pair.0))?;
    let (_, rhs_row) = axes(&rhs, 1, &mut dot.contract.iter().map(|pair| pair.1))?;
    let batch = batch_axes(dot, &lhs, &rhs, shape(0));
    if batch.len() > BATCH_AXES {
        // Contiguous operands have one batch stride.
        return Err(if flatten(batch.iter().map(|b| (b.0, b.1))).is_none() { 0 } else { 1 });
    }
    let (lhs, rhs) = ((lhs, [lhs_row, lhs_column]), (rhs, [rhs_row, rhs_column]));
    Ok(Matrices { batch, m, n, k, lhs, rhs, panels })
}

/// Axes as panels of columns that are next to one another, with the number of all columns.
fn in_panels(axes: impl DoubleEndedIterator<Item = (usize, i64)>) -> Option<(usize, Panels)> {
    let mut axes: SmallVec<[(usize, i64); 6]> = axes.filter(|axis| axis.0 != 1).collect();
    let (width, _) = axes.pop().filter(|&(width, stride)| stride == 1 && width.is_multiple_of(PANEL_UNIT))?;
    let (n_panels, stride) = flatten(axes.into_iter())?;
    Some((n_panels * width, Panels { width, stride }))
}

/// Axes walked as one: their number of elements and the stride of the last, or `None` when no one stride does.
fn flatten(axes: impl Iterator<Item = (usize, i64)>) -> Option<(usize, i64)> {
    let mut whole = (1usize, 0i64);
    for (extent, stride) in axes.filter(|axis| axis.0 != 1) {
        if whole.0 != 1 && whole.1 != extent as i64 * stride {
            return None;
        }
        whole = (whole.0 * extent, stride);
    }
    Some(whole)
}

/// Batch axes, neighbours merged where both operands allow it.
fn batch_axes(dot: &Dot, lhs: &Strided, rhs: &Strided, shape: &[usize]) -> SmallVec<[(usize, i64, i64); 3]> {
    let mut merged: SmallVec<[(usize, i64, i64); 3]> = SmallVec::new();
    for &(l, r) in dot.batch.iter().filter(|pair| shape[pair.0] != 1) {
        let (extent, l_stride, r_stride) = (shape[l], lhs.strides[l], rhs.strides[r]);
        match merged.last_mut() {
            Some(last) if last.1 == extent as i64 * l_stride && last.2 == extent as i64 * r_stride => {
                *last = (last.0 * extent, l_stride, r_stride);
            }
            _ => merged.push((extent, l_stride, r_stride)),
        }
    }
    merged
}

/// The operands of a convolution as strided memory, or the position of the one that must be written out first.
pub fn conv_operands(
    graph: &Graph,
    node: NodeId,
    in_memory: &dyn Fn(NodeId) -> bool,
) -> Result<[Strided; 2], usize> {
    let operands = graph.operands(node);
    let x = strided(graph, operands[0], in_memory).ok_or(0usize)?;
    let kernel = strided(graph, operands[1], in_memory).ok_or(1usize)?;
    Ok([x, kernel])
}

/// Rows and columns of a contraction's result, in the order in which its regions are handed to the other members.
pub fn rows_and_columns(graph: &Graph, product: NodeId) -> [usize; 2] {
    let shape = &graph.node(product).ty().shape;
    let columns = match graph.op(product) {
        Op::Dot(dot) => {
            let rhs = graph.node(graph.operands(product)[1]).ty().rank();
            shape[shape.rank() - dot.rhs_free(rhs).len()..].iter().product()
        }
        Op::Conv(Conv { strides, .. }) => shape[shape.rank() - strides.len()..].iter().product(),
        op => unreachable!("`{}` is no contraction", op.name()),
    };
    let rows = shape.iter().product::<usize>().checked_div(columns).unwrap_or(0);
    [rows, columns]
}
