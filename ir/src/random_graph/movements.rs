//! Movement ops with odd parameters: empty slices, negative padding, steps and interior padding.

use super::{Generator, Value};
use crate::op::{Pad, Slice};
use crate::{Axes, Op, Shape};
use smallvec::SmallVec;

impl Generator<'_, '_> {
    pub(super) fn reshape(&mut self) -> Option<Value> {
        let x = self.pick(|_| true)?;
        let mut extents = self.shape(x).to_vec();
        match self.below(4) {
            0 => extents = vec![extents.iter().product()],
            1 => extents.insert(self.below(extents.len() + 1), 1),
            2 if extents.len() >= 2 => {
                let axis = self.below(extents.len() - 1);
                extents[axis] *= extents.remove(axis + 1);
            }
            _ => {
                let axis = extents.iter().position(|&extent| extent > 1)?;
                let divisor = (2..=extents[axis]).find(|&divisor| extents[axis].is_multiple_of(divisor))?;
                extents[axis] /= divisor;
                extents.insert(axis + self.below(2), divisor);
            }
        }
        self.add_movement(Op::Reshape(Shape::new(&extents)), &[x])
    }

    pub(super) fn permute(&mut self) -> Option<Value> {
        let x = self.pick(|ty| ty.rank() >= 2)?;
        let order = self.random_order(self.shape(x).rank());
        self.add_movement(Op::Permute(order), &[x])
    }

    /// A permutation; the choices 0 give the one that turns the order of axes around.
    pub(super) fn random_order(&mut self, rank: usize) -> Axes {
        let mut left: Axes = (0..rank).rev().collect();
        (0..rank).map(|_| left.remove(self.below(left.len()))).collect()
    }

    pub(super) fn broadcast(&mut self) -> Option<Value> {
        const MAX_RANK: usize = 5;
        let x = self.pick(|ty| ty.rank() < MAX_RANK)?;
        let old = self.shape(x);
        let n_new = 1 + self.below((MAX_RANK - old.rank()).min(2));
        let mut extents = old.to_vec();
        let mut axes: Axes = (0..old.rank()).collect();
        for _ in 0..n_new {
            let place = self.below(extents.len() + 1);
            let extent = self.extent();
            extents.insert(place, extent);
            axes.iter_mut().filter(|axis| **axis >= place).for_each(|axis| *axis += 1);
        }
        self.add_movement(Op::Broadcast { shape: Shape::new(&extents), axes }, &[x])
    }

    pub(super) fn slice(&mut self) -> Option<Value> {
        let x = self.pick(|ty| ty.rank() > 0)?;
        let mut slice = Slice { start: Axes::new(), limit: Axes::new(), step: Axes::new() };
        for &extent in self.shape(x).iter() {
            let start = self.below(extent + 1);
            slice.start.push(start);
            slice.limit.push(extent - self.below(extent - start + 1));
            slice.step.push(1 + self.below(3));
        }
        self.add_movement(Op::Slice(slice), &[x])
    }

    pub(super) fn pad(&mut self) -> Option<Value> {
        let x = self.pick(|ty| ty.rank() > 0)?;
        let ty = self.ty(x.id).clone();
        let value = self.literal(ty.dtype);
        let mut pad = Pad { low: SmallVec::new(), high: SmallVec::new(), interior: Axes::new(), value };
        for _ in 0..ty.rank() {
            pad.low.push(*self.one_of(&[0, 1, -1, 2, -2]));
            pad.high.push(*self.one_of(&[0, 1, -1, 2, -2]));
            pad.interior.push(*self.one_of(&[0, 0, 1, 2]));
        }
        let bound = x.bound.max(value.as_f64().abs());
        self.add(Op::Pad(pad), &[x], true, bound)
    }

    pub(super) fn concatenate(&mut self) -> Option<Value> {
        let x = self.pick(|ty| ty.rank() > 0)?;
        let ty = self.ty(x.id).clone();
        let axis = self.below(ty.rank());
        let mut operands = vec![x];
        for _ in 0..self.below(3) {
            let extent = if self.below(2) == 0 { ty.shape[axis] } else { self.extent() };
            let other = ty.with_shape(ty.shape.with_extent(axis, extent));
            if other.n_elements() <= self.config.max_elements {
                operands.push(self.value_of(&other));
            }
        }
        self.add_movement(Op::Concatenate(axis), &operands)
    }

    pub(super) fn reverse(&mut self) -> Option<Value> {
        let x = self.pick(|ty| ty.rank() > 0)?;
        let axes = self.some_axes(self.shape(x).rank());
        self.add_movement(Op::Reverse(axes), &[x])
    }
}
