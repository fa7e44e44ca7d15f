//! Every family where there is little or nothing to do, on operands that are not in memory as they are seen, and in loops.

use super::suite::{Elements, Suite, values};
use super::{check_text, ops};
use kiln_ir::op::*;
use kiln_ir::{Axes, DType, Literal, Op, Shape, TensorType};
use smallvec::smallvec;
use std::sync::Arc;

/// Ops that have something to do along axes, where there are none.
#[test]
fn ops_on_scalars() {
    for dtype in DType::ALL {
        let mut s = Suite::new("scalars");
        let plain = s.input(dtype, &[], Elements::Plain);
        let one = s.input(dtype, &[1], Elements::Edges);
        let scalar = s.add(Op::Reshape(Shape::scalar()), &[one]);
        let row = s.input(dtype, &[3], Elements::Plain);
        for op in ops::reductions(dtype) {
            s.output(Op::Reduce(op, smallvec![]), &[scalar]);
            s.output(Op::Reduce(op, smallvec![0]), &[one]);
        }
        let value = Literal::from_i64(dtype, 1);
        let none = || Axes::new();
        for op in [
            Op::Reshape(Shape::new(&[1, 1])),
            Op::Permute(none()),
            Op::Broadcast { shape: Shape::scalar(), axes: none() },
            Op::Broadcast { shape: Shape::new(&[2, 0]), axes: none() },
            Op::Broadcast { shape: Shape::new(&[5]), axes: none() },
            Op::Slice(Slice { start: none(), limit: none(), step: none() }),
            Op::Pad(Pad { low: smallvec![], high: smallvec![], interior: none(), value }),
            Op::Reverse(none()),
        ] {
            let moved = s.add(op, &[scalar]);
            s.output(Op::Reshape(s.shape(moved)), &[moved]);
            s.output(Op::Compare(CompareOp::Lt), &[moved, moved]);
        }
        if dtype.is_number() {
            let dot = || Op::Dot(Dot { batch: smallvec![], contract: smallvec![] });
            for (x, y) in [(plain, plain), (plain, row), (row, plain)] {
                s.sum(dot(), &[x, y]);
            }
        }
        s.check();
    }
}

/// Constants that are not one element repeated, to the last bit.
#[test]
fn constants() {
    for dtype in DType::ALL {
        let mut s = Suite::new("constants");
        for shape in [vec![], vec![0, 3], vec![1], vec![2, 5], vec![33]] {
            let data = Arc::new(values(&TensorType::new(dtype, Shape::new(&shape)), 3, Elements::Edges));
            let constant = s.add(Op::Dense(data), &[]);
            s.output(Op::Reshape(Shape::new(&shape)), &[constant]);
            let x = s.input(dtype, &shape, Elements::Edges);
            s.output(Op::Compare(CompareOp::Le), &[constant, x]);
            if dtype.is_float() {
                s.output(Op::Unary(UnaryOp::Neg), &[constant]);
            }
        }
        s.check();
    }
}

/// The ops that walk an axis, of operands that are not in memory as they are seen.
#[test]
fn walks_along_views() {
    for dtype in DType::ALL.into_iter().filter(|dtype| dtype.is_number()) {
        for n in [0, 1, 5, 17] {
            let mut s = Suite::new("walks");
            let views = ops::views(&mut s, dtype, n, Elements::Plain);
            let indices = ops::views(&mut s, DType::I64, n, Elements::Indices);
            let window = Window {
                sizes: smallvec![2, 3],
                strides: smallvec![1, 2],
                padding: smallvec![(1, 0), (2, 2)],
                dilations: smallvec![1, 1],
            };
            for (i, &view) in views.iter().enumerate() {
                let other = views[(i + 1) % views.len()];
                for axis in 0..2 {
                    for reverse in [false, true] {
                        s.sum(Op::Cumulative(Cumulative { axis, reverse }), &[view]);
                    }
                    s.output(Op::Gather(axis), &[view, indices[i]]);
                    s.sum(Op::ScatterAdd { axis, extent: 7 }, &[view, indices[i]]);
                    if s.shape(view)[axis] > 0 {
                        for op in ArgReduceOp::ALL {
                            s.output(Op::ArgReduce(op, axis), &[view]);
                        }
                    }
                    let dot = Dot { batch: smallvec![], contract: smallvec![(axis, axis)] };
                    s.sum(Op::Dot(dot), &[view, other]);
                    let dot =
                        Dot { batch: smallvec![(axis, axis)], contract: smallvec![(1 - axis, 1 - axis)] };
                    s.sum(Op::Dot(dot), &[view, other]);
                }
                s.sum(Op::Window(WindowOp::Sum, window.clone()), &[view]);
                let max = s.sum(Op::Window(WindowOp::Max, window.clone()), &[view]);
                s.sum(Op::Window(WindowOp::Pick, window.clone()), &[view, other]);
                s.sum(Op::Window(WindowOp::Put, window.clone()), &[view, max]);
                let image = s.add(Op::Reshape(Shape::new(&[1, 3, n])), &[view]);
                let kernel = s.input(dtype, &[3, 4, 2], Elements::Plain);
                let kernel = s.add(Op::Permute(smallvec![1, 0, 2]), &[kernel]);
                s.sum(Op::Conv(Conv { padding: smallvec![(1, 1)], ..Conv::plain(1) }), &[image, kernel]);
            }
            s.check();
        }
    }
}

/// A batch, channels or results that are none.
#[test]
fn convolutions_of_nothing() {
    for dtype in DType::ALL.into_iter().filter(|dtype| dtype.is_number()) {
        let mut s = Suite::new("nothing");
        for (x, kernel) in
            [([0, 3, 6], [4, 3, 3]), ([2, 0, 6], [4, 0, 3]), ([2, 3, 6], [0, 3, 3]), ([2, 3, 0], [4, 3, 3])]
        {
            let (x, kernel) = (s.input(dtype, &x, Elements::Plain), s.input(dtype, &kernel, Elements::Plain));
            let conv = Conv { padding: smallvec![(2, 1)], ..Conv::plain(1) };
            s.sum(Op::Conv(conv), &[x, kernel]);
        }
        s.check();
    }
}

/// Loops of no, one and some steps over values of every type, of rank 0 and without elements too.
#[test]
fn loops() {
    for dtype in DType::ALL {
        let join = if dtype.is_number() { "add" } else { "xor" };
        for (shape, more) in [("", ""), ("3, 5", ", 3, 5"), ("0", ", 0")] {
            for n_steps in [0, 1, 5] {
                for reverse in [false, true] {
                    check_text(&format!(
                        "graph f(%h: {dtype}[{shape}], %x: {dtype}[{n_steps}{more}], %w: {dtype}[{shape}]) {{
                            %l: u8[0] = loop %h, %x, %w {{ steps = {n_steps}, stacked = 1, reverse = {reverse} }}
                            graph step(%h: {dtype}[{shape}], %x: {dtype}[{shape}], %w: {dtype}[{shape}]) {{
                                %a: {dtype}[{shape}] = {join} %h, %x
                                %b: bool[{shape}] = lt %a, %w
                                %n: {dtype}[{shape}] = select %b, %a, %w
                                return %n => %h, %a, %b
                            }}
                            %last: {dtype}[{shape}] = loop_result %l {{ position = 0 }}
                            %all: {dtype}[{n_steps}{more}] = loop_result %l {{ position = 1 }}
                            %less: bool[{n_steps}{more}] = loop_result %l {{ position = 2 }}
                            return %last, %all, %less
                        }}"
                    ));
                }
            }
        }
    }
}
