//! Gather, scatter-add and random bits.

use super::{Generator, Value};
use crate::{DType, Op, TensorType};

impl Generator<'_, '_> {
    pub(super) fn index(&mut self) -> Option<Value> {
        if self.below(2) == 0 { self.gather() } else { self.scatter_add() }
    }

    fn gather(&mut self) -> Option<Value> {
        let x = self.pick(|ty| ty.rank() > 0)?;
        let shape = self.shape(x);
        let axis = self.below(shape.rank());
        let dtype = *self.one_of(&[DType::I64, DType::I32]);
        let extent = self.extent();
        let indices = TensorType { dtype, shape: shape.with_extent(axis, extent) };
        if indices.n_elements() > self.config.max_elements {
            return None;
        }
        let indices = self.value_of(&indices);
        self.add(Op::Gather(axis), &[x, indices], true, x.bound)
    }

    fn scatter_add(&mut self) -> Option<Value> {
        let updates = self.pick(|ty| ty.rank() > 0 && ty.dtype.is_number())?;
        let ty = self.ty(updates.id).clone();
        let axis = self.below(ty.rank());
        let extent = self.extent();
        let dtype = *self.one_of(&[DType::I64, DType::I32]);
        let indices = self.value_of(&ty.with_dtype(dtype));
        let bound = updates.bound * ty.shape[axis] as f64;
        self.add(Op::ScatterAdd { axis, extent }, &[updates, indices], !ty.dtype.is_float(), bound)
    }

    pub(super) fn random_bits(&mut self) -> Option<Value> {
        let state = self.value_of(&TensorType::new(DType::I64, [2]));
        let shape = self.random_shape(0, 4);
        self.add(Op::RandomBits(shape), &[state], true, f64::INFINITY)
    }
}
