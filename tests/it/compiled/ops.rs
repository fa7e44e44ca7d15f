//! Every op on every element type it is defined on: lengths around those of vectors and blocks, strides, empty tensors.

use super::suite::{Elements, LENGTHS, Suite};
use kiln_ir::op::*;
use kiln_ir::{Axes, DType, Literal, NodeId, Op, Shape, TensorType};
use smallvec::{SmallVec, smallvec};

/// A scalar, and a row of each length.
fn shapes() -> impl Iterator<Item = Vec<usize>> {
    std::iter::once(vec![]).chain(LENGTHS.map(|n| vec![n]))
}

/// Every elementwise op on operands of one type; `operand(i)` gives the `i`th.
fn elementwise(
    s: &mut Suite,
    dtype: DType,
    operand: &mut dyn FnMut(&mut Suite) -> NodeId,
    condition: NodeId,
) {
    for op in UnaryOp::ALL.into_iter().filter(|op| op.accepts().dtype(dtype)) {
        let x = operand(s);
        s.output(Op::Unary(op), &[x]);
    }
    for op in BinaryOp::ALL.into_iter().filter(|op| op.accepts().dtype(dtype)) {
        let (x, y) = (operand(s), operand(s));
        s.output(Op::Binary(op), &[x, y]);
    }
    for op in CompareOp::ALL {
        let (x, y) = (operand(s), operand(s));
        s.output(Op::Compare(op), &[x, y]);
    }
    for op in LogicalOp::ALL.into_iter().filter(|op| op.accepts().dtype(dtype)) {
        let operands: Vec<NodeId> = (0..op.n_operands()).map(|_| operand(s)).collect();
        s.output(Op::Logical(op), &operands);
    }
    let (x, y) = (operand(s), operand(s));
    s.output(Op::Select, &[condition, x, y]);
    for to in DType::ALL {
        let x = operand(s);
        s.output(Op::Cast(to), &[x]);
    }
}

#[test]
fn elementwise_ops_on_rows() {
    for dtype in DType::ALL {
        for shape in shapes() {
            let mut s = Suite::new("elementwise");
            let inputs = [0; 3].map(|_| s.input(dtype, &shape, Elements::Edges));
            let condition = s.input(DType::Bool, &shape, Elements::Plain);
            let mut at = 0;
            let mut operand = |_: &mut Suite| {
                at += 1;
                inputs[at % inputs.len()]
            };
            elementwise(&mut s, dtype, &mut operand, condition);
            s.check();
        }
    }
}

/// Views of shape `[3, n]`: a transpose, every second element, a reversal, repeated rows and columns, a part.
pub fn views(s: &mut Suite, dtype: DType, n: usize, elements: Elements) -> Vec<NodeId> {
    let shape = Shape::new(&[3, n]);
    let slice = |start: [usize; 2], limit: [usize; 2], step: [usize; 2]| {
        Op::Slice(Slice {
            start: Axes::from_slice(&start),
            limit: Axes::from_slice(&limit),
            step: Axes::from_slice(&step),
        })
    };
    let inputs: [(Op, &[usize]); 6] = [
        (Op::Permute(smallvec![1, 0]), &[n, 3]),
        (slice([0, 1], [3, 1 + 2 * n], [1, 2]), &[3, 1 + 2 * n]),
        (Op::Reverse(smallvec![1]), &[3, n]),
        (Op::Broadcast { shape: shape.clone(), axes: smallvec![1] }, &[n]),
        (Op::Broadcast { shape: shape.clone(), axes: smallvec![0] }, &[3]),
        (slice([1, 2], [6, 2 + n], [2, 1]), &[6, n + 3]),
    ];
    let view = |(op, shape): (Op, &[usize])| {
        let input = s.input(dtype, shape, elements);
        s.add(op, &[input])
    };
    inputs.map(view).to_vec()
}

#[test]
fn elementwise_ops_on_views() {
    for dtype in DType::ALL {
        for n in [0, 1, 5, 16, 33] {
            let mut s = Suite::new("views");
            let views = views(&mut s, dtype, n, Elements::Edges);
            let conditions = self::views(&mut s, DType::Bool, n, Elements::Plain);
            let mut at = 0;
            let mut operand = |_: &mut Suite| {
                at += 1;
                views[at % views.len()]
            };
            elementwise(&mut s, dtype, &mut operand, conditions[0]);
            s.check();
        }
    }
}

/// The reductions that a type has.
pub fn reductions(dtype: DType) -> impl Iterator<Item = ReduceOp> {
    let any = |op: &ReduceOp| matches!(op, ReduceOp::Max | ReduceOp::Min);
    ReduceOp::ALL.into_iter().filter(move |op| dtype.is_number() || any(op))
}

#[test]
fn reductions_of_rows_and_columns() {
    for dtype in DType::ALL {
        for n in LENGTHS {
            let mut s = Suite::new("reductions");
            for (shape, axes) in [
                (vec![n], vec![0]),
                (vec![3, n], vec![1]),
                (vec![n, 3], vec![0]),
                (vec![2, n, 3], vec![1]),
                (vec![2, n, 3], vec![0, 2]),
                (vec![3, n], vec![]),
                (vec![n, 70], vec![0]),
            ] {
                let plain = s.input(dtype, &shape, Elements::Plain);
                let edges = s.input(dtype, &shape, Elements::Edges);
                for op in reductions(dtype) {
                    s.sum(Op::Reduce(op, Axes::from_slice(&axes)), &[plain]);
                    // Sums and products of large numbers overflow in one order and not in another.
                    if matches!(op, ReduceOp::Max | ReduceOp::Min) {
                        s.output(Op::Reduce(op, Axes::from_slice(&axes)), &[edges]);
                    }
                }
            }
            s.check();
        }
    }
}

#[test]
fn searches_and_running_sums() {
    for dtype in DType::ALL.into_iter().filter(|dtype| dtype.is_number()) {
        for n in LENGTHS {
            let mut s = Suite::new("searches");
            for (shape, axis) in [(vec![n], 0), (vec![3, n], 1), (vec![n, 3], 0), (vec![2, n, 3], 1)] {
                let plain = s.input(dtype, &shape, Elements::Plain);
                let edges = s.input(dtype, &shape, Elements::Edges);
                for reverse in [false, true] {
                    s.sum(Op::Cumulative(Cumulative { axis, reverse }), &[plain]);
                }
                if n > 0 {
                    for op in ArgReduceOp::ALL {
                        s.output(Op::ArgReduce(op, axis), &[edges]);
                    }
                }
            }
            s.check();
        }
    }
}

#[test]
fn sorts() {
    for dtype in DType::ALL {
        for n in [0, 1, 2, 7, 48, 49, 300] {
            let mut s = Suite::new("sorts");
            for descending in [false, true] {
                for (shape, axis) in [(vec![n], 0), (vec![3, n], 1), (vec![n, 3], 0), (vec![2, n, 3], 1)] {
                    for elements in [Elements::Plain, Elements::Edges] {
                        let x = s.input(dtype, &shape, elements);
                        s.output(Op::ArgSort(ArgSort { axis, descending }), &[x]);
                    }
                }
                // What is sorted is not in memory yet, or in another order of axes, or computed.
                for view in views(&mut s, dtype, n, Elements::Edges) {
                    let rank = s.shape(view).rank();
                    if rank > 0 {
                        s.output(Op::ArgSort(ArgSort { axis: rank - 1, descending }), &[view]);
                    }
                }
            }
            s.check();
        }
    }
}

/// A reduction of each view, of what is computed from it, and a view of the result.
#[test]
fn reductions_of_views() {
    for dtype in DType::ALL {
        for n in [0, 1, 5, 16, 33] {
            let mut s = Suite::new("reduced_views");
            for (i, view) in views(&mut s, dtype, n, Elements::Plain).into_iter().enumerate() {
                for op in reductions(dtype) {
                    let op = |axes: &[usize]| Op::Reduce(op, Axes::from_slice(axes));
                    s.sum(op(&[i % 2]), &[view]);
                    let both = if dtype.is_number() {
                        s.add(Op::Binary(BinaryOp::Add), &[view, view])
                    } else {
                        s.add(Op::Logical(LogicalOp::Not), &[view])
                    };
                    let row = s.sum(op(&[1]), &[both]);
                    s.sum(Op::Broadcast { shape: Shape::new(&[3, n]), axes: smallvec![0] }, &[row]);
                }
            }
            s.check();
        }
    }
}

/// Every movement op alone and below an elementwise op.
#[test]
fn movement_ops() {
    for dtype in DType::ALL {
        for n in LENGTHS {
            let mut s = Suite::new("movement");
            let x = s.input(dtype, &[3, n], Elements::Edges);
            let y = s.input(dtype, &[3, 2], Elements::Edges);
            let scalar = s.input(dtype, &[], Elements::Edges);
            let value = Literal::from_i64(dtype, 7);
            let pad = |low: [i64; 2], high: [i64; 2], interior: [usize; 2]| {
                let [low, high] = [low, high].map(|amounts| SmallVec::from_slice(&amounts));
                Op::Pad(Pad { low, high, interior: Axes::from_slice(&interior), value })
            };
            let mut moved = views(&mut s, dtype, n, Elements::Edges);
            moved.push(s.add(Op::Reshape(Shape::new(&[n, 1, 3])), &[x]));
            moved.push(s.add(Op::Reshape(Shape::new(&[3 * n])), &[x]));
            moved.push(s.add(Op::Broadcast { shape: Shape::new(&[2, n]), axes: smallvec![] }, &[scalar]));
            moved.push(s.add(pad([1, 2], [0, 1], [0, 0]), &[x]));
            moved.push(s.add(pad([0, 1], [2, 0], [1, 2]), &[x]));
            if n > 0 {
                moved.push(s.add(pad([-1, -1], [1, 3], [0, 1]), &[x]));
            }
            moved.push(s.add(Op::Concatenate(1), &[x, y, x]));
            moved.push(s.add(Op::Concatenate(0), &[x, x]));
            moved.push(s.add(Op::Reverse(smallvec![0, 1]), &[x]));
            for view in moved {
                s.output(Op::Reshape(s.shape(view)), &[view]);
                match dtype.is_number() {
                    true => s.output(Op::Binary(BinaryOp::Add), &[view, view]),
                    false => s.output(Op::Logical(LogicalOp::Not), &[view]),
                };
            }
            s.check();
        }
    }
}

#[test]
fn gathers_and_scatters() {
    for dtype in DType::ALL {
        for n in LENGTHS {
            for index in [DType::I32, DType::I64] {
                let mut s = Suite::new("indexing");
                for (shape, indices, axis) in [
                    (vec![9], vec![n], 0),
                    (vec![n], vec![5], 0),
                    (vec![3, n], vec![3, 4], 1),
                    (vec![7, n], vec![4, n], 0),
                    (vec![2, 6, n], vec![2, 3, n], 1),
                ] {
                    let x = s.input(dtype, &shape, Elements::Edges);
                    let updates = s.input(dtype, &indices, Elements::Plain);
                    let indices = s.input(index, &indices, Elements::Indices);
                    s.output(Op::Gather(axis), &[x, indices]);
                    if dtype.is_number() {
                        s.sum(Op::ScatterAdd { axis, extent: shape[axis] }, &[updates, indices]);
                    }
                }
                s.check();
            }
        }
    }
}

#[test]
fn windows() {
    for dtype in DType::ALL.into_iter().filter(|dtype| dtype.is_number()) {
        for n in [0, 1, 3, 4, 5, 8, 17, 33] {
            let mut s = Suite::new("windows");
            for (shape, sizes, strides, padding, dilations) in [
                (vec![n], vec![2], vec![1], vec![(1, 1)], vec![1]),
                (vec![2, n], vec![3], vec![2], vec![(2, 2)], vec![1]),
                (vec![3, 4, n], vec![2, 2], vec![2, 2], vec![(0, 1), (1, 1)], vec![1, 1]),
                (vec![2, n, 5], vec![2, 3], vec![1, 3], vec![(3, 3), (0, 0)], vec![2, 1]),
            ] {
                let window = Window {
                    sizes: Axes::from_slice(&sizes),
                    strides: Axes::from_slice(&strides),
                    padding: SmallVec::from_slice(&padding),
                    dilations: Axes::from_slice(&dilations),
                };
                let plain = s.input(dtype, &shape, Elements::Plain);
                let edges = s.input(dtype, &shape, Elements::Edges);
                s.sum(Op::Window(WindowOp::Sum, window.clone()), &[plain]);
                s.sum(Op::Window(WindowOp::Max, window.clone()), &[plain]);
                s.sum(Op::Window(WindowOp::Pick, window.clone()), &[plain, edges]);
                let max = s.sum(Op::Window(WindowOp::Max, window.clone()), &[edges]);
                let updates = s.input(dtype, &s.shape(max), Elements::Plain);
                s.sum(Op::Window(WindowOp::Put, window.clone()), &[plain, updates]);
                s.sum(Op::Window(WindowOp::Put, window), &[edges, updates]);
            }
            s.check();
        }
    }
}

/// Products too small for tiles, and around the size where tiles take over, with all axes in all roles.
#[test]
fn dots() {
    type Case = (Vec<usize>, Vec<usize>, &'static [(usize, usize)], &'static [(usize, usize)]);
    for dtype in DType::ALL.into_iter().filter(|dtype| dtype.is_number()) {
        for n in [0, 1, 3, 5, 8, 16, 17, 33, 65] {
            let mut s = Suite::new("dots");
            let cases: [Case; 9] = [
                (vec![3, n], vec![n, 4], &[], &[(1, 0)]),
                (vec![n, 33], vec![17, 33], &[], &[(1, 1)]),
                (vec![33, n], vec![33, 17], &[], &[(0, 0)]),
                (vec![n], vec![n], &[], &[(0, 0)]),
                (vec![n], vec![3], &[], &[]),
                (vec![2, n, 5], vec![5, 2, 16], &[(0, 1)], &[(2, 0)]),
                (vec![n, 2, 9], vec![2, 9, n], &[(1, 0), (0, 2)], &[(2, 1)]),
                (vec![2, 3, n], vec![3, n, 2, 16], &[], &[(1, 0), (2, 1)]),
                (vec![1, n], vec![n, 300], &[], &[(1, 0)]),
            ];
            for (lhs, rhs, batch, contract) in cases {
                let (x, y) = (s.input(dtype, &lhs, Elements::Plain), s.input(dtype, &rhs, Elements::Plain));
                let dot =
                    Dot { batch: SmallVec::from_slice(batch), contract: SmallVec::from_slice(contract) };
                s.sum(Op::Dot(dot), &[x, y]);
            }
            s.check();
        }
    }
}

#[test]
fn convolutions() {
    for dtype in DType::ALL.into_iter().filter(|dtype| dtype.is_number()) {
        for n in [0, 1, 4, 9, 17] {
            let mut s = Suite::new("convolutions");
            let plain = Conv { padding: smallvec![(2, 2)], ..Conv::plain(1) };
            let strided = Conv {
                strides: smallvec![2, 1],
                padding: smallvec![(1, 2), (2, 0)],
                rhs_dilation: smallvec![1, 2],
                groups: 2,
                ..Conv::plain(2)
            };
            let spread =
                Conv { padding: smallvec![(2, 1), (3, -1)], lhs_dilation: smallvec![2, 3], ..Conv::plain(2) };
            let solid = Conv { padding: smallvec![(1, 1), (0, 0), (1, 0)], ..Conv::plain(3) };
            for (x, kernel, conv) in [
                (vec![2, 3, n], vec![4, 3, 3], plain.clone()),
                (vec![2, 16, n], vec![16, 16, 3], plain),
                (vec![2, 4, 6, n + 3], vec![6, 2, 3, 2], strided.clone()),
                (vec![3, 8, 9, n + 3], vec![16, 4, 3, 3], strided),
                (vec![1, 2, n, 5], vec![3, 2, 2, 3], spread.clone()),
                (vec![2, 8, n, 6], vec![8, 8, 3, 3], spread),
                (vec![1, 2, 3, n + 1, 4], vec![2, 2, 2, 2, 2], solid),
            ] {
                let (x, kernel) =
                    (s.input(dtype, &x, Elements::Plain), s.input(dtype, &kernel, Elements::Plain));
                s.sum(Op::Conv(conv), &[x, kernel]);
            }
            s.check();
        }
    }
}

#[test]
fn values_from_nothing() {
    for n in LENGTHS {
        let mut s = Suite::new("sources");
        for dtype in DType::ALL {
            let shape = Shape::new(&[2, n]);
            let fill = s.add(Op::Fill(Literal::from_i64(dtype, 5), shape.clone()), &[]);
            s.output(Op::Reshape(shape.clone()), &[fill]);
            if dtype.is_number() {
                for axis in 0..2 {
                    let iota = s.add(Op::Iota { ty: TensorType::new(dtype, shape.clone()), axis }, &[]);
                    s.output(Op::Binary(BinaryOp::Add), &[iota, fill]);
                }
            }
        }
        // Along rows and columns, whichever vectors run along.
        let state = s.input(DType::I64, &[2], Elements::Indices);
        for shape in [[3, n], [n, 3], [n, n]] {
            let op = Op::RandomBits(Shape::new(&shape));
            s.output(op.clone(), &[state]);
            for axis in 0..2 {
                let bits = s.add(op.clone(), &[state]);
                s.output(Op::Reduce(ReduceOp::Max, smallvec![axis]), &[bits]);
            }
        }
        s.check();
    }
}
