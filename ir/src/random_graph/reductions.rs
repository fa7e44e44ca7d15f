//! Reductions over axes, windows and prefixes.

use super::{Generator, Value};
use crate::op::{ArgReduceOp, ArgSort, BinaryOp, Cumulative, ReduceOp, UnaryOp, Window, WindowOp};
use crate::{Axes, Op, TensorType};
use smallvec::smallvec;

impl Generator<'_, '_> {
    pub(super) fn reduce(&mut self) -> Option<Value> {
        let op = *self.one_of(&ReduceOp::ALL);
        let x = self.pick(|ty| ty.dtype.is_number() || matches!(op, ReduceOp::Max | ReduceOp::Min))?;
        let shape = self.shape(x);
        let axes = self.some_axes(shape.rank());
        let n: usize = axes.iter().map(|&axis| shape[axis]).product();
        let is_float = self.ty(x.id).dtype.is_float();
        let keep = is_float && self.config.finite;
        match op {
            ReduceOp::Sum => self.add(Op::Reduce(op, axes), &[x], !is_float, x.bound * n as f64),
            ReduceOp::Max | ReduceOp::Min => {
                // The greatest of nothing is infinite.
                if keep && n == 0 {
                    return None;
                }
                self.add(Op::Reduce(op, axes), &[x], true, x.bound)
            }
            ReduceOp::Prod => {
                let x = if keep { self.inexact(UnaryOp::Tanh, x, 1.0)? } else { x };
                self.add(Op::Reduce(op, axes), &[x], !is_float, x.bound.max(1.0))
            }
        }
    }

    /// A value against a reduction of itself, or of another of its shape, over some axes: what normalizations and softmax
    /// are made of.
    pub(super) fn against_rows(&mut self) -> Option<Value> {
        let x = self.pick(|ty| ty.dtype.is_number() && ty.rank() > 0 && ty.n_elements() > 0)?;
        let ty = self.ty(x.id).clone();
        let other = if self.below(2) == 0 { x } else { self.value_of(&ty) };
        let axis = ty.rank() - 1 - self.below(ty.rank());
        let reduced: Axes = if self.below(4) == 3 { (axis..ty.rank()).collect() } else { smallvec![axis] };
        let op = *self.one_of(&[ReduceOp::Max, ReduceOp::Sum, ReduceOp::Min]);
        let n: usize = reduced.iter().map(|&axis| ty.shape[axis]).product();
        let bound = if op == ReduceOp::Sum { other.bound * n as f64 } else { other.bound };
        let is_float = ty.dtype.is_float();
        let exact = op != ReduceOp::Sum || !is_float;
        let kept: Axes = (0..ty.rank()).filter(|axis| !reduced.contains(axis)).collect();
        let rows = self.add(Op::Reduce(op, reduced), &[other], exact, bound)?;
        let rows = self.scaled_down(rows);
        self.values.push(rows);
        let rows = self.add_movement(Op::Broadcast { shape: ty.shape, axes: kept }, &[rows])?;
        let op = *self.one_of(&[BinaryOp::Sub, BinaryOp::Mul, BinaryOp::Max]);
        let (bound, exact) = match op {
            BinaryOp::Mul => (x.bound * rows.bound, !is_float),
            BinaryOp::Max => (x.bound.max(rows.bound), true),
            _ => (x.bound + rows.bound, !is_float),
        };
        self.add(Op::Binary(op), &[x, rows], exact, bound)
    }

    pub(super) fn arg_reduce(&mut self) -> Option<Value> {
        let op = *self.one_of(&ArgReduceOp::ALL);
        let x = self.pick(|ty| ty.dtype.is_number() && ty.rank() > 0)?;
        let x = self.steady(x)?;
        let shape = self.shape(x);
        let axis = self.below(shape.rank());
        self.add(Op::ArgReduce(op, axis), &[x], true, shape[axis] as f64)
    }

    pub(super) fn argsort(&mut self) -> Option<Value> {
        let x = self.pick(|ty| ty.rank() > 0)?;
        let x = self.steady(x)?;
        let shape = self.shape(x);
        let (axis, descending) = (self.below(shape.rank()), self.below(2) == 1);
        self.add(Op::ArgSort(ArgSort { axis, descending }), &[x], true, shape[axis] as f64)
    }

    pub(super) fn cumulative(&mut self) -> Option<Value> {
        let x = self.pick(|ty| ty.dtype.is_number() && ty.rank() > 0)?;
        let shape = self.shape(x);
        let axis = self.below(shape.rank());
        let reverse = self.below(2) == 1;
        let is_float = self.ty(x.id).dtype.is_float();
        let bound = x.bound * shape[axis] as f64;
        self.add(Op::Cumulative(Cumulative { axis, reverse }), &[x], !is_float, bound)
    }

    pub(super) fn window(&mut self) -> Option<Value> {
        let op = *self.one_of(&WindowOp::ALL);
        let x = self.pick(|ty| ty.dtype.is_number() && ty.rank() > 0)?;
        let ty = self.ty(x.id).clone();
        let window = self.random_window(&ty);
        let n: usize = window.sizes.iter().product();
        let is_float = ty.dtype.is_float();
        match op {
            WindowOp::Max => self.add(Op::Window(op, window), &[x], true, x.bound),
            WindowOp::Sum => self.add(Op::Window(op, window), &[x], !is_float, x.bound * n as f64),
            WindowOp::Pick => {
                let x = self.steady(x)?;
                let values = self.value_of(&ty);
                self.add(Op::Window(op, window), &[x, values], true, values.bound)
            }
            WindowOp::Put => {
                let x = self.steady(x)?;
                let out = window.out_type(op.name(), &ty).ok()?;
                if out.n_elements() > self.config.max_elements {
                    return None;
                }
                let updates = self.value_of(&out);
                // No element is in more windows than a window has places.
                self.add(Op::Window(op, window), &[x, updates], !is_float, updates.bound * n as f64)
            }
        }
    }

    fn random_window(&mut self, ty: &TensorType) -> Window {
        let n_axes = 1 + self.below(ty.rank().min(3));
        let mut sizes = Axes::new();
        let mut window = Window {
            sizes: Axes::new(),
            strides: Axes::new(),
            padding: Default::default(),
            dilations: Axes::new(),
        };
        for _ in 0..n_axes {
            let size = 1 + self.below(4);
            sizes.push(size);
            window.strides.push(1 + self.below(3));
            // Less padding than the window is long, and none beside a dilation, so that each window has an element: the
            // greatest of nothing is infinite.
            let dilation = 1 + self.below(2);
            let most = if dilation == 1 { size } else { 1 };
            let padding = (self.below(most) as i64, self.below(most) as i64);
            window.padding.push(padding);
            window.dilations.push(dilation);
        }
        // An empty axis has windows in the padding only.
        let lead = ty.rank() - n_axes;
        for (axis, padding) in window.padding.iter_mut().enumerate() {
            if ty.shape[lead + axis] == 0 {
                *padding = (0, 0);
            }
        }
        Window { sizes, ..window }
    }
}
