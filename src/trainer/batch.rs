//! Batches and their types, in the forms that are short to write.

use crate::error::Error;
use kiln_ir::{TensorData, TensorType};
use smallvec::SmallVec;
use std::panic::Location;

/// The types of the tensors of one side of a batch: one type, or an array of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Types(pub(crate) SmallVec<[TensorType; 2]>);

impl From<TensorType> for Types {
    fn from(ty: TensorType) -> Types {
        Types(std::iter::once(ty).collect())
    }
}

impl<const N: usize> From<[TensorType; N]> for Types {
    fn from(types: [TensorType; N]) -> Types {
        Types(types.into_iter().collect())
    }
}

impl From<Vec<TensorType>> for Types {
    fn from(types: Vec<TensorType>) -> Types {
        Types(types.into_iter().collect())
    }
}

/// No tensors: the targets of a model that computes its loss itself.
impl From<()> for Types {
    fn from((): ()) -> Types {
        Types(SmallVec::new())
    }
}

impl Types {
    /// Checks that the tensors are of these types; `role` is `input` or `target`.
    pub(crate) fn check(
        &self,
        role: &'static str,
        tensors: &[&TensorData],
        location: &'static Location<'static>,
    ) -> Result<(), Error> {
        if tensors.len() != self.0.len() {
            return Err(Error::BatchCount { role, expected: self.0.len(), found: tensors.len(), location });
        }
        for (i, (expected, tensor)) in self.0.iter().zip(tensors).enumerate() {
            if expected.dtype != tensor.dtype() || expected.shape != *tensor.shape() {
                let (expected, found) = (expected.clone(), tensor.ty());
                return Err(Error::Batch { role: format!("{role} {i}"), expected, found, location });
            }
        }
        Ok(())
    }
}

/// The tensors of one side of a batch: one tensor, or an array of them.
pub trait Batch {
    /// The tensors, in order.
    fn tensors(&self) -> SmallVec<[&TensorData; 4]>;
}

impl Batch for () {
    fn tensors(&self) -> SmallVec<[&TensorData; 4]> {
        SmallVec::new()
    }
}

impl Batch for TensorData {
    fn tensors(&self) -> SmallVec<[&TensorData; 4]> {
        std::iter::once(self).collect()
    }
}

impl<const N: usize> Batch for [TensorData; N] {
    fn tensors(&self) -> SmallVec<[&TensorData; 4]> {
        self.iter().collect()
    }
}

impl<const N: usize> Batch for [&TensorData; N] {
    fn tensors(&self) -> SmallVec<[&TensorData; 4]> {
        self.iter().copied().collect()
    }
}

impl Batch for Vec<TensorData> {
    fn tensors(&self) -> SmallVec<[&TensorData; 4]> {
        self.iter().collect()
    }
}
