//! Lays out in panels what each step of a loop multiplies by, once before the loop.
//!
//! The tiles read the right operand of a product in panels: some columns, depth after depth. They copy it into that order
//! first, which costs as much as a few rows of the product; a recurrent layer, whose steps have few rows and all multiply
//! by the same matrix, would copy it in each step. Here it is a permutation around the loop, which the loop finds in
//! memory, and the product in the body is one of three axes: `[.., k] x [panels, k, width]`.
//!
//! Promises: idempotent, since what it leaves in a body is in panels. It comes last: `simplify` would merge the
//! permutation with what is before it. Cost: O(nodes).

use super::move_out::Mover;
use crate::contraction::{self, PANEL_UNIT};
use crate::pass::{Changed, Pass, Rewrites};
use kiln_ir::emit::{Emit, EmitExt};
use kiln_ir::op::Dot;
use kiln_ir::{Graph, NodeId, Op, Shape};

/// Bytes of a panel's row: two of the widest vectors, as the tiles read them.
const ROW_BYTES: usize = 128;

/// The least steps for which the copy around the loop pays.
const LEAST_STEPS: usize = 2;

/// The pass.
#[derive(Clone, Copy, Debug)]
pub struct ArrangePanels;

impl Pass for ArrangePanels {
    fn name(&self) -> &'static str {
        "arrange_panels"
    }

    fn run(&self, graph: &mut Graph, budget: &mut Rewrites) -> Changed {
        let mut changed = Changed::No;
        for id in graph.topological_order() {
            if graph.contains(id) && matches!(graph.op(id), Op::Loop(_)) {
                changed = changed.or(arrange(graph, id, budget));
            }
        }
        changed
    }
}

/// Arranges the products in the body of one loop.
fn arrange(graph: &mut Graph, id: NodeId, budget: &mut Rewrites) -> Changed {
    let mut mover = Mover::new(graph, id);
    if mover.looped.n_steps < LEAST_STEPS {
        return Changed::No;
    }
    for node in mover.body.topological_order() {
        let Some(product) = Product::new(&mover, node) else { continue };
        if !budget.take("arrange") {
            break;
        }
        product.arrange(&mut mover);
    }
    if !mover.changed {
        return Changed::No;
    }
    mover.finish();
    Changed::Yes
}

/// A product of the body by a matrix that does not vary.
struct Product {
    node: NodeId,
    /// The contracted axes.
    contract: (usize, usize),
    /// Depth and columns.
    matrix: [usize; 2],
    /// Columns of a panel.
    width: usize,
}

impl Product {
    /// The product that a node is, if panels help it.
    fn new(mover: &Mover<'_>, node: NodeId) -> Option<Product> {
        let body = &mover.body;
        let Op::Dot(dot) = body.op(node) else { return None };
        let rhs = body.operands(node)[1];
        let shape = &body.node(rhs).ty().shape;
        let (&[contract], true, 2) = (dot.contract.as_slice(), dot.batch.is_empty(), shape.rank()) else {
            return None;
        };
        let matrix = [shape[contract.1], shape[1 - contract.1]];
        let ty = body.node(node).ty();
        // A product of one row is a matrix times a vector, which reads each element once.
        let rows = ty.n_elements().checked_div(matrix[1]).unwrap_or(0);
        let widest = ROW_BYTES / ty.dtype.n_bytes();
        let width = [widest, PANEL_UNIT].into_iter().find(|&width| matrix[1].is_multiple_of(width))?;
        let helps = rows > 1 && contraction::is_large(body, node) && mover.invariant.contains(&rhs);
        helps.then_some(Product { node, contract, matrix, width })
    }

    fn arrange(&self, mover: &mut Mover<'_>) {
        let &Product { node, contract: (lhs_axis, rhs_axis), matrix: [depth, columns], width } = self;
        let [lhs, rhs] = [0, 1].map(|operand| mover.body.operands(node)[operand]);
        let outer = mover.outside(rhs);
        let graph = &mut *mover.graph;
        let rows_of_depth = graph.permute(outer, &[rhs_axis, 1 - rhs_axis]);
        let split = graph.reshape(rows_of_depth, Shape::new(&[depth, columns / width, width]));
        let panels = graph.permute(split, &[1, 0, 2]);
        let ty = graph.node(panels).ty().clone();
        let input = mover.body.add_input("panels", ty);
        mover.form.invariant.push((input, panels));
        let dot = Dot { batch: Default::default(), contract: [(lhs_axis, 1)].into_iter().collect() };
        let product = mover.body.emit(Op::Dot(dot), &[lhs, input]);
        let of = mover.body.node(node);
        let (shape, source, name) = (of.ty().shape.clone(), of.source.clone(), of.name.clone());
        mover.body.node_mut(product).source = source.clone();
        let whole = mover.body.reshape(product, shape);
        (mover.body.node_mut(whole).source, mover.body.node_mut(whole).name) = (source, name);
        mover.substitute(node, whole);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;
    use insta::assert_snapshot;

    #[test]
    fn the_matrix_of_a_recurrent_layer_is_laid_out_once() {
        assert_snapshot!(check(&ArrangePanels, "
            graph f(%h: f32[4, 64], %w: f32[64, 64]) {
                %l: u8[0] = loop %h, %w { steps = 6, stacked = 0 } graph step(%h: f32[4, 64], %w: f32[64, 64]) {
                    %next: f32[4, 64] = dot %h, %w { contract = [1:1] }
                    return %next => %h
                }
                %last: f32[4, 64] = loop_result %l { position = 0 }
                return %last
            }
        "), @"
          graph f(%h: f32[4, 64], %w: f32[64, 64]) {
        -     %l: u8[0] = loop %h, %w { steps = 6 } graph step(%h: f32[4, 64], %w: f32[64, 64]) {
        -         %next: f32[4, 64] = dot %h, %w { contract = [1:1] }
        +     %permute: f32[64, 64] = permute %w { permutation = [1, 0] }
        +     %reshape: f32[64, 2, 32] = reshape %permute
        +     %permute.2: f32[2, 64, 32] = permute %reshape { permutation = [1, 0, 2] }
        +     %l: u8[0] = loop %h, %permute.2 { steps = 6 } graph step(%h: f32[4, 64], %panels: f32[2, 64, 32]) {
        +         %dot: f32[4, 2, 32] = dot %h, %panels { contract = [1:1] }
        +         %next: f32[4, 64] = reshape %dot
                  return %next => %h
              }
              %last: f32[4, 64] = loop_result %l { position = 0 }
              return %last
          }
        ");
    }

    #[test]
    fn vectors_and_matrices_that_vary_stay() {
        assert_snapshot!(check(&ArrangePanels, "
            graph f(%h: f32[1, 64], %w: f32[64, 64], %v: f32[64, 64]) {
                %l: u8[0] = loop %h, %v, %w { steps = 6, stacked = 0 } graph step(%h: f32[1, 64], %v: f32[64, 64], %w: f32[64, 64]) {
                    %next: f32[1, 64] = dot %h, %w { contract = [1:1] }
                    %v2: f32[64, 64] = dot %v, %v { contract = [1:1] }
                    return %next => %h, %v2 => %v
                }
                %last: f32[1, 64] = loop_result %l { position = 0 }
                %v3: f32[64, 64] = loop_result %l { position = 1 }
                return %last, %v3
            }
        "), @"unchanged");
    }
}
