//! The table: every op, with the attributes and odd shapes at which its rule could go wrong.

use super::check::{Case, Operand};
use kiln_ir::op::{BinaryOp, Conv, Cumulative, Dot, Pad, ReduceOp, Slice, UnaryOp, Window, WindowOp};
use kiln_ir::{DType, Literal, Op, Shape, TensorData, TensorType};
use smallvec::SmallVec;

/// All cases.
pub fn all() -> Vec<Case> {
    let families =
        [elementwise(), reductions(), movements(), slices_and_pads(), dots(), convs(), windows(), indexed()];
    families.into_iter().flatten().collect()
}

fn drawn(shape: &[usize]) -> Operand {
    Operand::Drawn(Shape::new(shape), -2.0..2.0)
}

fn case(op: Op, operands: impl IntoIterator<Item = Operand>) -> Case {
    Case { op, operands: operands.into_iter().collect() }
}

fn elementwise() -> Vec<Case> {
    let shapes: [&[usize]; 4] = [&[], &[5], &[2, 3], &[0, 3]];
    let mut cases = Vec::new();
    for shape in shapes.map(Shape::new) {
        for op in UnaryOp::ALL {
            cases.push(case(Op::Unary(op), [Operand::Drawn(shape.clone(), op.domain())]));
        }
        for op in BinaryOp::ALL {
            let (a, b) = op.domain();
            let operands = [Operand::Drawn(shape.clone(), a), Operand::Drawn(shape.clone(), b)];
            cases.push(case(Op::Binary(op), operands));
        }
        let condition = (0..shape.n_elements()).map(|i| i % 2 == 0).collect::<Vec<bool>>();
        let condition = Operand::Constant(TensorData::new(shape.clone(), condition));
        cases.push(case(Op::Select, [condition, drawn(&shape), drawn(&shape)]));
    }
    // At constant exponents the rule takes another way.
    for exponent in [-1.5, 0.0, 1.0, 2.0, 3.0] {
        let exponent = Operand::Constant(TensorData::new([3], vec![exponent; 3]));
        cases.push(case(Op::Binary(BinaryOp::Pow), [Operand::Drawn(Shape::new(&[3]), 0.3..3.0), exponent]));
    }
    cases
}

fn reductions() -> Vec<Case> {
    let mut cases = Vec::new();
    let on: [(&[usize], &[usize]); 10] = [
        (&[5], &[0]),
        (&[3, 4], &[1]),
        (&[3, 4], &[0]),
        (&[2, 3, 4], &[1]),
        (&[2, 3, 4], &[0, 2]),
        (&[2, 3, 4], &[0, 1, 2]),
        (&[3, 1], &[1]),
        (&[2, 3], &[]),
        (&[2, 0, 3], &[0]),
        (&[2, 0, 3], &[1]),
    ];
    for op in ReduceOp::ALL {
        for (shape, axes) in on {
            // The greatest of nothing is infinite, and has no differences.
            let is_infinite = matches!(op, ReduceOp::Max | ReduceOp::Min) && axes == [1] && shape[1] == 0;
            if !is_infinite {
                cases.push(case(Op::Reduce(op, SmallVec::from_slice(axes)), [drawn(shape)]));
            }
        }
    }
    // Products of every small number of factors, with no zero, one, two and three.
    for n in 1..=9 {
        for n_zeros in 0..=n.min(3) {
            let factors =
                (0..n).map(|i| if i % 3 == 0 && i / 3 < n_zeros { 0.0 } else { 0.5 + i as f64 / 4.0 });
            let factors = TensorData::new([n], factors.collect::<Vec<f64>>());
            cases.push(case(
                Op::Reduce(ReduceOp::Prod, SmallVec::from_slice(&[0])),
                [Operand::Given(factors)],
            ));
        }
    }
    for shape in [&[5][..], &[2, 3], &[0, 2]] {
        for axis in 0..shape.len() {
            for reverse in [false, true] {
                cases.push(case(Op::Cumulative(Cumulative { axis, reverse }), [drawn(shape)]));
            }
        }
    }
    cases
}

fn movements() -> Vec<Case> {
    let mut cases = Vec::new();
    for (from, to) in [(&[2, 6][..], &[3, 4][..]), (&[1], &[]), (&[0, 3], &[5, 0]), (&[4], &[2, 1, 2])] {
        cases.push(case(Op::Reshape(Shape::new(to)), [drawn(from)]));
    }
    for permutation in [[0, 1, 2], [0, 2, 1], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        cases.push(case(Op::Permute(SmallVec::from_slice(&permutation)), [drawn(&[2, 3, 4])]));
    }
    let broadcasts: [(&[usize], &[usize], &[usize]); 6] = [
        (&[], &[2, 3], &[]),
        (&[3], &[2, 3], &[1]),
        (&[2], &[2, 3], &[0]),
        (&[2, 3], &[2, 4, 3], &[0, 2]),
        (&[1, 2], &[1, 3, 2, 0], &[0, 2]),
        (&[2, 3], &[2, 3], &[0, 1]),
    ];
    for (from, to, axes) in broadcasts {
        let op = Op::Broadcast { shape: Shape::new(to), axes: SmallVec::from_slice(axes) };
        cases.push(case(op, [drawn(from)]));
    }
    for (axis, extents) in [(0, &[2, 3][..]), (1, &[1, 0, 4]), (2, &[2]), (1, &[0, 0])] {
        let operands = extents.iter().map(|&extent| drawn(&Shape::new(&[2, 2, 3]).with_extent(axis, extent)));
        cases.push(case(Op::Concatenate(axis), operands));
    }
    for axes in [&[][..], &[0], &[1], &[0, 1]] {
        cases.push(case(Op::Reverse(SmallVec::from_slice(axes)), [drawn(&[2, 3])]));
    }
    cases
}

fn slices_and_pads() -> Vec<Case> {
    let mut cases = Vec::new();
    for start in 0..=5 {
        for limit in start..=5 {
            for step in 1..=3 {
                let slice = Slice {
                    start: SmallVec::from_slice(&[0, start]),
                    limit: SmallVec::from_slice(&[2, limit]),
                    step: SmallVec::from_slice(&[1, step]),
                };
                cases.push(case(Op::Slice(slice), [drawn(&[2, 5])]));
            }
        }
    }
    for extent in [0, 1, 4] {
        for interior in [0, 1, 2] {
            for low in -3..=2i64 {
                for high in [-2, -1, 0, 3] {
                    let spread = extent + usize::saturating_sub(extent, 1) * interior;
                    if spread as i64 + low + high < 0 {
                        continue;
                    }
                    let pad = Pad {
                        low: SmallVec::from_slice(&[low, 0]),
                        high: SmallVec::from_slice(&[high, 1]),
                        interior: SmallVec::from_slice(&[interior, 0]),
                        value: Literal::F64(0.5),
                    };
                    cases.push(case(Op::Pad(pad), [drawn(&[extent, 2])]));
                }
            }
        }
    }
    cases
}

fn dots() -> Vec<Case> {
    type Pairs = &'static [(usize, usize)];
    let on: [(&[usize], &[usize], Pairs, Pairs); 16] = [
        (&[2, 3], &[3, 4], &[], &[(1, 0)]),
        (&[2, 3], &[4, 3], &[], &[(1, 1)]),
        (&[3, 2], &[3, 4], &[], &[(0, 0)]),
        (&[3, 2], &[4, 3], &[], &[(0, 1)]),
        (&[3], &[3], &[], &[(0, 0)]),
        (&[3], &[3, 2], &[], &[(0, 0)]),
        (&[2], &[3], &[], &[]),
        (&[2, 3], &[2, 3], &[], &[(0, 0), (1, 1)]),
        (&[2, 3], &[3, 2], &[], &[(1, 0), (0, 1)]),
        (&[2, 3], &[2, 3], &[(0, 0), (1, 1)], &[]),
        (&[2, 3, 4], &[2, 4, 5], &[(0, 0)], &[(2, 1)]),
        (&[2, 3, 4], &[4, 2, 5], &[(0, 1)], &[(2, 0)]),
        (&[3, 2, 4], &[5, 4, 2], &[(1, 2)], &[(2, 1)]),
        (&[2, 3, 4, 5], &[3, 2, 6, 5], &[(1, 0), (0, 1)], &[(3, 3)]),
        (&[2, 3, 4, 5], &[5, 2, 3], &[], &[(3, 0), (1, 2), (0, 1)]),
        (&[2, 0], &[0, 3], &[], &[(1, 0)]),
    ];
    let dot = |(lhs, rhs, batch, contract): (&[usize], &[usize], Pairs, Pairs)| {
        let dot = Dot { batch: SmallVec::from_slice(batch), contract: SmallVec::from_slice(contract) };
        case(Op::Dot(dot), [drawn(lhs), drawn(rhs)])
    };
    on.into_iter().map(dot).collect()
}

fn convs() -> Vec<Case> {
    let mut cases = Vec::new();
    // One axis: all combinations.
    for stride in [1, 2, 3] {
        for padding in [(0, 0), (1, 2), (-1, 1), (2, -1), (4, 4)] {
            for lhs_dilation in [1, 2] {
                for rhs_dilation in [1, 2] {
                    for groups in [1, 2] {
                        let conv = Conv {
                            strides: SmallVec::from_slice(&[stride]),
                            padding: SmallVec::from_slice(&[padding]),
                            lhs_dilation: SmallVec::from_slice(&[lhs_dilation]),
                            rhs_dilation: SmallVec::from_slice(&[rhs_dilation]),
                            groups,
                        };
                        cases.push(conv_case(conv, [2, 4, 2], &[6], &[3]));
                    }
                }
            }
        }
    }
    // Kernels larger than the input, of one element, and nothing at all.
    cases.push(conv_case(Conv::plain(1), [1, 2, 2], &[3], &[5]));
    cases.push(conv_case(Conv::plain(1), [2, 1, 3], &[4], &[1]));
    cases.push(conv_case(Conv::plain(1), [0, 2, 2], &[4], &[2]));
    cases.push(conv_case(Conv::plain(1), [2, 0, 2], &[4], &[2]));
    cases.push(conv_case(Conv::plain(1), [2, 2, 0], &[4], &[2]));
    cases.push(conv_case(Conv::plain(1), [2, 2, 2], &[0], &[2]));
    // More axes, not alike.
    let two = Conv {
        strides: SmallVec::from_slice(&[2, 1]),
        padding: SmallVec::from_slice(&[(1, 0), (0, 2)]),
        lhs_dilation: SmallVec::from_slice(&[1, 2]),
        rhs_dilation: SmallVec::from_slice(&[2, 1]),
        groups: 1,
    };
    cases.push(conv_case(two.clone(), [2, 3, 2], &[5, 3], &[2, 3]));
    cases.push(conv_case(Conv { groups: 3, ..two.clone() }, [2, 3, 3], &[5, 3], &[2, 3]));
    cases.push(conv_case(Conv { groups: 2, ..two }, [1, 2, 4], &[5, 3], &[2, 1]));
    let three = Conv { strides: SmallVec::from_slice(&[1, 2, 1]), ..Conv::plain(3) };
    cases.push(conv_case(three, [1, 2, 2], &[3, 4, 2], &[2, 2, 1]));
    cases
}

/// A convolution of examples, input channels and output channels, input extents, kernel extents.
fn conv_case(conv: Conv, [n, c, o]: [usize; 3], input: &[usize], kernel: &[usize]) -> Case {
    let x: Vec<usize> = [n, c].iter().chain(input).copied().collect();
    let kernel: Vec<usize> = [o, c / conv.groups].iter().chain(kernel).copied().collect();
    case(Op::Conv(conv), [drawn(&x), drawn(&kernel)])
}

fn windows() -> Vec<Case> {
    let mut windows: Vec<(Shape, Window)> = Vec::new();
    for size in [1, 2, 3] {
        for stride in [1, 2, 3] {
            for padding in [(0, 0), (1, 0), (1, 2)] {
                for dilation in [1, 2] {
                    let window = Window {
                        sizes: SmallVec::from_slice(&[size]),
                        strides: SmallVec::from_slice(&[stride]),
                        padding: SmallVec::from_slice(&[padding]),
                        dilations: SmallVec::from_slice(&[dilation]),
                    };
                    windows.push((Shape::new(&[2, 7]), window));
                }
            }
        }
    }
    let plane = |sizes: [usize; 2], strides: [usize; 2], padding: [(i64, i64); 2]| Window {
        sizes: SmallVec::from_slice(&sizes),
        strides: SmallVec::from_slice(&strides),
        padding: SmallVec::from_slice(&padding),
        dilations: SmallVec::from_slice(&[1, 1]),
    };
    let shape = || Shape::new(&[2, 1, 4, 5]);
    windows.push((shape(), plane([2, 2], [2, 2], [(0, 0), (0, 0)])));
    windows.push((shape(), plane([2, 3], [2, 3], [(1, 0), (2, 1)])));
    windows.push((shape(), plane([4, 5], [1, 1], [(0, 0), (0, 0)])));
    windows.push((shape(), plane([3, 2], [1, 2], [(1, 1), (0, 1)])));
    windows.push((Shape::new(&[0, 4, 5]), plane([2, 2], [2, 2], [(0, 0), (0, 0)])));
    windows.push((Shape::new(&[1, 1, 5]), plane([2, 2], [2, 2], [(0, 0), (0, 0)])));
    let mut cases = Vec::new();
    for (shape, window) in windows {
        for op in WindowOp::ALL {
            // The greatest of a window of padding alone is infinite, and has no differences.
            if op != WindowOp::Max || covers(&window, &shape) {
                cases.push(window_case(op, &shape, &window));
            }
        }
    }
    cases
}

/// Whether every window has an element that is not padding.
fn covers(window: &Window, shape: &Shape) -> bool {
    let ty = TensorType::new(DType::F64, shape.clone());
    let out = window.out_type("window_max", &ty).expect("a window that suits the shape");
    let lead = shape.rank() - window.sizes.len();
    (0..window.sizes.len()).all(|axis| {
        (0..out.shape[lead + axis]).all(|position| {
            let start = (position * window.strides[axis]) as i64 - window.padding[axis].0;
            let mut taps = (0..window.sizes[axis]).map(|tap| start + (tap * window.dilations[axis]) as i64);
            taps.any(|at| (0..shape[lead + axis] as i64).contains(&at))
        })
    })
}

fn window_case(op: WindowOp, shape: &Shape, window: &Window) -> Case {
    let x = drawn(shape);
    let operands = match op {
        WindowOp::Max | WindowOp::Sum => vec![x],
        WindowOp::Pick => vec![x, drawn(shape)],
        WindowOp::Put => {
            let ty = TensorType::new(DType::F64, shape.clone());
            let out = window.out_type("window_put", &ty).expect("a window that suits the shape");
            vec![x, drawn(&out.shape)]
        }
    };
    case(Op::Window(op, window.clone()), operands)
}

fn indexed() -> Vec<Case> {
    let mut cases = Vec::new();
    // Repeated indices, and two that are outside.
    let indices = TensorData::new([2, 4], vec![0i64, 2, 2, 1, 1, 3, -1, 1]);
    cases.push(case(Op::Gather(1), [drawn(&[2, 3]), Operand::Constant(indices.clone())]));
    cases.push(case(Op::Gather(0), [drawn(&[3, 4]), Operand::Constant(indices.clone())]));
    let scatter = |axis, extent| Op::ScatterAdd { axis, extent };
    cases.push(case(scatter(1, 3), [drawn(&[2, 4]), Operand::Constant(indices.clone())]));
    cases.push(case(scatter(0, 3), [drawn(&[2, 4]), Operand::Constant(indices)]));
    let none = TensorData::new([0, 2], Vec::<i32>::new());
    cases.push(case(Op::Gather(0), [drawn(&[3, 2]), Operand::Constant(none.clone())]));
    cases.push(case(scatter(0, 3), [drawn(&[0, 2]), Operand::Constant(none)]));
    cases
}
