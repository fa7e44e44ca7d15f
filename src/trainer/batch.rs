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
    /// Checks that the tensors are of these types, or have fewer samples; `role` is `input` or `target`. All tensors of a
    /// batch with fewer samples have as many, which `n_samples` finds.
    pub(crate) fn check(
        &self,
        role: &'static str,
        tensors: &[&TensorData],
        n_samples: &mut Samples,
        location: &'static Location<'static>,
    ) -> Result<(), Error> {
        if tensors.len() != self.0.len() {
            return Err(Error::BatchCount { role, expected: self.0.len(), found: tensors.len(), location });
        }
        for (i, (expected, tensor)) in self.0.iter().zip(tensors).enumerate() {
            if expected.dtype != tensor.dtype() || !n_samples.suit(&expected.shape, tensor.shape()) {
                let (expected, found) = (n_samples.of(expected), tensor.ty());
                return Err(Error::Batch { role: format!("{role} {i}"), expected, found, location });
            }
        }
        Ok(())
    }
}

/// How many samples a batch has, beside how many the program was compiled for: the last batch of an epoch may have fewer.
#[derive(Default)]
pub(crate) struct Samples {
    /// Found and compiled for, once a tensor has shown it.
    n: Option<(usize, usize)>,
}

impl Samples {
    /// Whether a tensor is as expected but for its number of samples, which is less than expected, and that of all others.
    fn suit(&mut self, expected: &[usize], found: &[usize]) -> bool {
        let (Some((&most, of_sample)), Some((&n, found_of_sample))) =
            (expected.split_first(), found.split_first())
        else {
            return expected == found;
        };
        let known = *self.n.get_or_insert((n, most));
        // A first axis of another extent counts something else than samples.
        let n_expected = if most == known.1 { known.0 } else { most };
        of_sample == found_of_sample && n == n_expected && (n == most || (1..most).contains(&n))
    }
}

impl Samples {
    /// The type that a tensor should have beside those seen before.
    fn of(&self, compiled_for: &TensorType) -> TensorType {
        let mut extents = compiled_for.shape.to_vec();
        if let (Some((n, most)), Some(first)) = (self.n, extents.first_mut())
            && *first == most
            && n < most
        {
            *first = n;
        }
        TensorType::new(compiled_for.dtype, &extents[..])
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
