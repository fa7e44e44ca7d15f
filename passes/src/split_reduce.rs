//! Splits large reductions that keep too few elements to share among threads into two stages.
//!
//! `reduce(x)` becomes `reduce(reduce(x'))`: the first stage makes [`MIN_PARTS`] to [`MAX_PARTS`] parts, which threads can
//! share, the second one combines them. Whole axes are left to the second stage where their extents allow it; else one
//! axis is cut by a reshape, and what is left over when its extent has no suitable divisor is reduced on its own.
//!
//! Promises: the split depends on the shape alone, so that a sum has the same bits on any number of threads; idempotent.
//! It must come after the last run of `simplify`, which merges reductions of reductions. Cost: O(nodes).

use crate::analysis;
use crate::pass::{Changed, Pass, Rewrites};
use kiln_ir::emit::{Emit, EmitExt};
use kiln_ir::op::{BinaryOp, LogicalOp, ReduceOp, Slice};
use kiln_ir::{Axes, DType, Graph, NodeId, Op, Shape};

/// The pass.
#[derive(Clone, Copy, Debug)]
pub struct SplitReduce;

/// A reduction with this many results or more is shared as it is.
pub const MIN_PARTS: usize = 64;

/// Parts beyond this number would make the second stage, which one thread does, worth sharing too.
pub const MAX_PARTS: usize = 256;

/// Elements per result up to which one thread is done sooner than two could meet: tens of microseconds.
pub const MAX_UNSPLIT: usize = 32768;

impl Pass for SplitReduce {
    fn name(&self) -> &'static str {
        "split_reduce"
    }

    fn run(&self, graph: &mut Graph, budget: &mut Rewrites) -> Changed {
        let mut n_split = 0;
        for id in graph.topological_order() {
            let Some((op, axes, cut)) = plan(graph, id) else { continue };
            if !budget.take("split") {
                break;
            }
            let split = analysis::emit_replacement(graph, id, |graph| Some(emit(graph, id, op, &axes, cut)));
            graph.replace_uses(id, split.expect("a reduction was emitted"));
            n_split += 1;
        }
        if n_split > 0 {
            analysis::remove_unreachable(graph);
        }
        Changed::if_any(n_split)
    }
}

/// Where the reduced axes are cut in two stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cut {
    /// How many of the reduced axes, the outermost ones, are left to the second stage as they are.
    n_whole: usize,
    /// Into how many parts the next axis is cut; 1 to leave it to the first stage.
    n_parts: usize,
}

/// The reduction at a node and its cut, if it is to be split.
fn plan(graph: &Graph, id: NodeId) -> Option<(ReduceOp, Axes, Cut)> {
    let Op::Reduce(op, axes) = graph.op(id) else { return None };
    let shape = &graph.node(graph.operands(id)[0]).ty().shape;
    let extents: Axes = axes.iter().map(|&axis| shape[axis]).collect();
    let n_results = graph.node(id).ty().n_elements();
    let worth_it = (1..MIN_PARTS).contains(&n_results) && extents.iter().product::<usize>() > MAX_UNSPLIT;
    worth_it.then(|| (*op, axes.clone(), cut(&extents)))
}

/// The cut of reduced axes that have these extents, which are more than [`MAX_UNSPLIT`] elements.
fn cut(extents: &[usize]) -> Cut {
    let mut n_whole = 0;
    let mut parts = 1;
    while parts < MIN_PARTS && parts * extents[n_whole] <= MAX_PARTS {
        parts *= extents[n_whole];
        n_whole += 1;
    }
    if parts >= MIN_PARTS {
        return Cut { n_whole, n_parts: 1 };
    }
    // The next axis is longer than is needed: most parts first, of those that divide it without a rest.
    let (least, most) = (MIN_PARTS.div_ceil(parts), MAX_PARTS / parts);
    let divisor = (least..=most).rev().find(|parts| extents[n_whole].is_multiple_of(*parts));
    Cut { n_whole, n_parts: divisor.unwrap_or(most) }
}

fn emit(graph: &mut Graph, id: NodeId, op: ReduceOp, axes: &[usize], cut: Cut) -> NodeId {
    let x = graph.operands(id)[0];
    if cut.n_parts == 1 {
        return in_two_stages(graph, op, x, axes, cut.n_whole);
    }
    let axis = axes[cut.n_whole];
    let extent = graph.shape(x)[axis];
    let part = extent / cut.n_parts;
    let even = part * cut.n_parts;
    let main = slice(graph, x, axis, 0, even);
    let split: Shape = {
        let shape = graph.shape(main);
        shape[..axis]
            .iter()
            .copied()
            .chain([cut.n_parts, part])
            .chain(shape[axis + 1..].iter().copied())
            .collect()
    };
    let main = graph.reshape(main, split);
    // The parts are a new axis at `axis`, and all axes from there on stand one further back.
    let split_axes: Axes = axes[..cut.n_whole]
        .iter()
        .copied()
        .chain([axis])
        .chain(axes[cut.n_whole..].iter().map(|axis| axis + 1))
        .collect();
    let result = in_two_stages(graph, op, main, &split_axes, cut.n_whole + 1);
    if even == extent {
        return result;
    }
    let rest = slice(graph, x, axis, even, extent);
    let rest = graph.reduce(op, rest, axes);
    let both = combine(op, graph.ty(result).dtype);
    graph.emit(both, &[result, rest])
}

/// The op that makes one reduction of two.
fn combine(op: ReduceOp, dtype: DType) -> Op {
    match op {
        ReduceOp::Sum => Op::Binary(BinaryOp::Add),
        ReduceOp::Prod => Op::Binary(BinaryOp::Mul),
        ReduceOp::Max if dtype == DType::Bool => Op::Logical(LogicalOp::Or),
        ReduceOp::Min if dtype == DType::Bool => Op::Logical(LogicalOp::And),
        ReduceOp::Max => Op::Binary(BinaryOp::Max),
        ReduceOp::Min => Op::Binary(BinaryOp::Min),
    }
}

/// Reduces the axes after the first `n_last`, then those.
fn in_two_stages(graph: &mut Graph, op: ReduceOp, x: NodeId, axes: &[usize], n_last: usize) -> NodeId {
    let (last, first) = axes.split_at(n_last);
    let parts = graph.reduce(op, x, first);
    // No axis of the first stage stands before one of the second, so that those keep their numbers.
    graph.reduce(op, parts, last)
}

/// Elements `start..limit` along one axis.
fn slice(graph: &mut Graph, x: NodeId, axis: usize, start: usize, limit: usize) -> NodeId {
    let shape = graph.shape(x);
    if (start, limit) == (0, shape[axis]) {
        return x;
    }
    let mut slice = Slice {
        start: Axes::from_elem(0, shape.rank()),
        limit: Axes::from_slice(&shape),
        step: Axes::from_elem(1, shape.rank()),
    };
    (slice.start[axis], slice.limit[axis]) = (start, limit);
    graph.emit(Op::Slice(slice), &[x])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;
    use insta::assert_snapshot;

    fn changes(text: &str) -> String {
        check(&SplitReduce, text)
    }

    #[test]
    fn whole_axes_are_left_to_the_second_stage() {
        assert_snapshot!(changes(
            "
            graph f(%x: f32[128, 300]) {
                %sum: f32[] = reduce_sum %x { axes = [0, 1] }
                return %sum
            }
        "
        ), @"
          graph f(%x: f32[128, 300]) {
        -     %sum: f32[] = reduce_sum %x { axes = [0, 1] }
        +     %reduce_sum: f32[128] = reduce_sum %x { axes = [1] }
        +     %sum: f32[] = reduce_sum %reduce_sum { axes = [0] }
              return %sum
          }
        ");
    }

    #[test]
    fn a_long_axis_is_cut() {
        assert_snapshot!(changes(
            "
            graph f(%x: f32[2, 3, 30000]) {
                %max: f32[3] = reduce_max %x { axes = [0, 2] }
                return %max
            }
        "
        ), @"
          graph f(%x: f32[2, 3, 30000]) {
        -     %max: f32[3] = reduce_max %x { axes = [0, 2] }
        +     %reshape: f32[2, 3, 125, 240] = reshape %x
        +     %reduce_max: f32[2, 3, 125] = reduce_max %reshape { axes = [3] }
        +     %max: f32[3] = reduce_max %reduce_max { axes = [0, 2] }
              return %max
          }
        ");
    }

    #[test]
    fn what_is_left_over_is_reduced_on_its_own() {
        assert_snapshot!(changes(
            "
            graph f(%x: bool[40009]) {
                %any: bool[] = reduce_max %x { axes = [0] }
                return %any
            }
        "
        ), @"
          graph f(%x: bool[40009]) {
        -     %any: bool[] = reduce_max %x { axes = [0] }
        +     %slice: bool[39936] = slice %x { start = [0], limit = [39936] }
        +     %reshape: bool[256, 156] = reshape %slice
        +     %reduce_max: bool[256] = reduce_max %reshape { axes = [1] }
        +     %reduce_max.2: bool[] = reduce_max %reduce_max { axes = [0] }
        +     %slice.2: bool[73] = slice %x { start = [39936], limit = [40009] }
        +     %reduce_max.3: bool[] = reduce_max %slice.2 { axes = [0] }
        +     %any: bool[] = or %reduce_max.2, %reduce_max.3
              return %any
          }
        ");
    }

    #[test]
    fn what_is_small_or_keeps_enough_stays() {
        assert_snapshot!(changes(
            "
            graph f(%x: f32[32768], %y: f32[64, 40000]) {
                %a: f32[] = reduce_sum %x { axes = [0] }
                %b: f32[64] = reduce_sum %y { axes = [1] }
                return %a, %b
            }
        "
        ), @"unchanged");
    }

    #[test]
    fn every_cut_makes_enough_parts_and_not_too_many() {
        let extents =
            [&[32769][..], &[3, 10923], &[257, 257], &[5, 7, 11, 1000], &[1, 1, 63, 1031], &[255, 2, 900]];
        for extents in extents {
            let cut = cut(extents);
            let n_parts = cut.n_parts * extents[..cut.n_whole].iter().product::<usize>();
            assert!((MIN_PARTS..=MAX_PARTS).contains(&n_parts), "{extents:?}: {cut:?}");
        }
    }
}
