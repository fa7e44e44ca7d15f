//! Dot products over any axes, and convolutions with all attributes.

use super::{Generator, Value};
use crate::op::{Conv, Dot};
use crate::{Axes, Op, TensorType};
use smallvec::SmallVec;

impl Generator<'_, '_> {
    pub(super) fn dot(&mut self) -> Option<Value> {
        let lhs = self.pick(|ty| ty.dtype.is_number())?;
        let ty = self.ty(lhs.id).clone();
        // Each axis of the left operand is free (0), contracted (1) or a batch (2); mostly one is contracted.
        let mut pairs: Vec<(usize, usize)> = Vec::new();
        for axis in 0..ty.rank() {
            let kind = *self.one_of(&[1, 0, 2, 0]);
            if kind != 0 {
                pairs.push((axis, kind));
            }
        }
        let mut rhs_extents: Vec<usize> = pairs.iter().map(|&(axis, _)| ty.shape[axis]).collect();
        rhs_extents.extend((0..self.below(3)).map(|_| self.extent()));
        let order = self.random_order(rhs_extents.len());
        let place = |i: usize| order.iter().position(|&axis| axis == i).expect("a permutation");
        let mut dot = Dot::default();
        for (i, &(axis, kind)) in pairs.iter().enumerate() {
            let list = if kind == 1 { &mut dot.contract } else { &mut dot.batch };
            list.push((axis, place(i)));
        }
        let rhs_type = ty.with_shape(order.iter().map(|&axis| rhs_extents[axis]).collect());
        let n_summed: usize = dot.contract.iter().map(|pair| ty.shape[pair.0]).product();
        if rhs_type.n_elements() > self.config.max_elements || !self.is_cheap(&dot, &ty, &rhs_type, n_summed)
        {
            return None;
        }
        let rhs = self.value_of(&rhs_type);
        let bound = lhs.bound * rhs.bound * n_summed as f64;
        self.add(Op::Dot(dot), &[lhs, rhs], !ty.dtype.is_float(), bound)
    }

    fn is_cheap(&self, dot: &Dot, lhs: &TensorType, rhs: &TensorType, n_summed: usize) -> bool {
        let result = dot.infer(&[lhs, rhs]);
        result.is_ok_and(|ty| ty.n_elements().saturating_mul(n_summed) <= self.config.max_products)
    }

    pub(super) fn conv(&mut self) -> Option<Value> {
        let existing =
            if self.below(2) == 0 { self.pick(|ty| ty.dtype.is_number() && is_image(ty)) } else { None };
        let x = match existing {
            Some(x) => x,
            None => {
                let shape = self.random_shape(3, 5);
                let dtype = self.random_type().dtype;
                self.value_of(&TensorType { dtype, shape })
            }
        };
        let ty = self.ty(x.id).clone();
        let (conv, kernel) = self.random_conv(&ty);
        let n_summed: usize = kernel.shape[1..].iter().product();
        let result = conv.infer(&[&ty, &kernel]).ok()?;
        let n_products = result.n_elements().saturating_mul(n_summed);
        if kernel.n_elements() > self.config.max_elements || n_products > self.config.max_products {
            return None;
        }
        let kernel = self.value_of(&kernel);
        let bound = x.bound * kernel.bound * n_summed as f64;
        self.add(Op::Conv(conv), &[x, kernel], !ty.dtype.is_float(), bound)
    }

    /// A convolution of operands of this type, and the type of its kernel.
    fn random_conv(&mut self, x: &TensorType) -> (Conv, TensorType) {
        let n_spatial = x.rank() - 2;
        let channels = x.shape[1];
        let divisors: Vec<usize> = (1..=channels.max(1)).filter(|&n| channels.is_multiple_of(n)).collect();
        let groups = *self.one_of(&divisors);
        let mut kernel: Axes = SmallVec::from_slice(&[groups * (1 + self.below(3)), channels / groups]);
        let mut conv = Conv { groups, ..Conv::plain(n_spatial) };
        for axis in 0..n_spatial {
            kernel.push(1 + self.below(3));
            conv.strides[axis] = 1 + self.below(3);
            conv.padding[axis] = (*self.one_of(&[0, 1, -1, 2]), *self.one_of(&[0, 1, -1, 2]));
            conv.lhs_dilation[axis] = *self.one_of(&[1, 1, 2, 3]);
            conv.rhs_dilation[axis] = *self.one_of(&[1, 1, 2, 3]);
        }
        (conv, x.with_shape(kernel.iter().copied().collect()))
    }
}

fn is_image(ty: &TensorType) -> bool {
    (3..=5).contains(&ty.rank())
}
