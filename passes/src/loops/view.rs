//! Indices seen through movement ops that only rename elements.

use super::affine::{Affine, Variables};
use kiln_ir::kernel::{Kernel, KernelKind};
use kiln_ir::{Graph, NodeId, Op, Shape};
use smallvec::SmallVec;

/// The index at which a value is needed: one expression per axis.
pub type IndexMap = SmallVec<[Affine; 6]>;

/// Whether an op is a view: each element of its result is an element of its operand, at an index that
/// [`through`] finds.
pub fn is_view(op: &Op) -> bool {
    matches!(op, Op::Reshape(_) | Op::Permute(_) | Op::Broadcast { .. } | Op::Slice(_) | Op::Reverse(_))
}

/// The value whose memory holds the elements of this one in the same order: itself, if it is in memory, or what it is a
/// reshape of.
pub fn stored(graph: &Graph, mut node: NodeId, in_memory: &dyn Fn(NodeId) -> bool) -> NodeId {
    while let (Op::Reshape(_), false) = (graph.op(node), in_memory(node)) {
        node = graph.operands(node)[0];
    }
    node
}

/// The index into the operand of a view, for an index into its result.
pub fn through(graph: &Graph, view: NodeId, index: &IndexMap, variables: &mut Variables) -> IndexMap {
    let shape = &graph.node(view).ty().shape;
    match graph.op(view) {
        Op::Reshape(_) => split(index, shape, &graph.node(graph.operands(view)[0]).ty().shape, variables),
        Op::Permute(permutation) => {
            let mut inner = index.clone();
            for (to, &from) in permutation.iter().enumerate() {
                inner[from] = index[to].clone();
            }
            inner
        }
        Op::Broadcast { axes, .. } => axes.iter().map(|&axis| index[axis].clone()).collect(),
        Op::Slice(slice) => (index.iter().zip(&slice.start).zip(&slice.step))
            .map(|((i, &start), &step)| i.times(step as i64).plus_constant(start as i64))
            .collect(),
        Op::Reverse(axes) => {
            let mut inner = index.clone();
            for &axis in axes {
                inner[axis] = index[axis].times(-1).plus_constant(shape[axis] as i64 - 1);
            }
            inner
        }
        op => unreachable!("`{}` is no view", op.name()),
    }
}

/// Position in row-major order of an index.
pub fn linear(index: &[Affine], shape: &[usize], variables: &Variables) -> Affine {
    let strides = Shape::new(shape).strides();
    let sum = index.iter().zip(&strides).fold(Affine::default(), |sum, (i, &s)| sum.plus(&i.times(s as i64)));
    variables.recombine(&sum)
}

/// The index of the kernel's whole domain (or of its kept axes), in the shape of a member.
pub fn own_index(graph: &Graph, kernel: &Kernel, shape: &Shape, variables: &mut Variables) -> IndexMap {
    let per_row = kernel.is_per_row(shape.n_elements());
    let axes = if per_row { kernel.kept() } else { (0..kernel.domain.rank()).collect() };
    let from: Shape = axes.iter().map(|&axis| kernel.domain[axis]).collect();
    let index: IndexMap = axes.iter().map(|&axis| variables.axis(axis)).collect();
    let KernelKind::Contraction(root) = kernel.kind else { return split(&index, &from, shape, variables) };
    // A contraction's rows and columns are those of the product; its result may be a permuted view of that.
    let product = contraction_product(graph, root);
    let root_shape = &graph.node(root).ty().shape;
    let mut index = split(&index, &from, &graph.node(product).ty().shape, variables);
    if let Op::Permute(permutation) = graph.op(root) {
        index = permutation.iter().map(|&axis| index[axis].clone()).collect();
    }
    split(&index, root_shape, shape, variables)
}

/// The dot or convolution that a contraction's root is, or is a permutation of.
pub fn contraction_product(graph: &Graph, root: NodeId) -> NodeId {
    match graph.op(root) {
        Op::Permute(_) => graph.operands(root)[0],
        _ => root,
    }
}

/// An index of one shape as an index of another with as many elements.
pub fn split(index: &[Affine], from: &Shape, to: &Shape, variables: &mut Variables) -> IndexMap {
    if from == to {
        return index.iter().cloned().collect();
    }
    let mut inner: IndexMap = SmallVec::from_elem(Affine::default(), to.rank());
    if to.contains(&0) {
        return inner;
    }
    let (mut f, mut t) = (from.rank(), to.rank());
    while f > 0 || t > 0 {
        let (f_end, t_end) = (f, t);
        (f, t) = group_start(from, to, f, t);
        let mut rest = linear(&index[f..f_end], &from[f..f_end], variables);
        for axis in (t..t_end).rev() {
            let extent = to[axis] as i64;
            // Nothing is left above the outermost axis of the group: no division is needed for it.
            let (quotient, remainder) =
                if axis == t { (Affine::default(), rest) } else { variables.divide(&rest, extent) };
            inner[axis] = if extent == 1 { Affine::default() } else { remainder };
            rest = quotient;
        }
    }
    inner
}

/// Where the innermost groups of axes begin whose sizes are equal in both shapes: only within such a group must an
/// index be taken apart.
fn group_start(from: &[usize], to: &[usize], f_end: usize, t_end: usize) -> (usize, usize) {
    let (mut f, mut t) = (f_end, t_end);
    let (mut f_size, mut t_size) = (1, 1);
    loop {
        if f > 0 && (f == f_end || f_size < t_size) {
            f -= 1;
            f_size *= from[f];
        } else if t > 0 && (t == t_end || t_size < f_size) {
            t -= 1;
            t_size *= to[t];
        } else if f_size == t_size || (f == 0 && t == 0) {
            return (f, t);
        } else if f_size < t_size && f == 0 {
            unreachable!("shapes of one size: {from:?} and {to:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split_of(from: &[usize], to: &[usize]) -> (IndexMap, Variables) {
        let mut variables = Variables::new(from);
        let index: IndexMap = (0..from.len()).map(|axis| variables.axis(axis)).collect();
        let inner = split(&index, &Shape::new(from), &Shape::new(to), &mut variables);
        (inner, variables)
    }

    #[test]
    fn merging_axes_needs_no_division() {
        let (inner, variables) = split_of(&[2, 3, 5], &[2, 15]);
        assert_eq!(inner[1], Affine::variable(1).times(5).plus(&Affine::variable(2)));
        assert!(variables.derived.is_empty());
    }

    #[test]
    fn splitting_an_axis_divides_only_that_axis() {
        let (inner, variables) = split_of(&[2, 15], &[2, 3, 5]);
        assert_eq!(inner[0], Affine::variable(0));
        assert_eq!(variables.derived.len(), 2);
    }

    #[test]
    fn axes_of_one_element_come_and_go() {
        let (inner, variables) = split_of(&[1, 6, 1], &[6, 1, 1, 1]);
        assert_eq!(inner[0], Affine::variable(1));
        assert!(inner[1..].iter().all(Affine::is_constant) && variables.derived.is_empty());
    }
}
