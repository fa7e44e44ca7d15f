//! A table of vectors.

use super::{Init, Model, Param};
use crate::tensor::Tensor;

/// A row of a table for each index.
///
/// Parameter: `weight: [n, width]`, normal as in PyTorch. Input: indices `[..]`, output `[.., width]`.
#[derive(Debug)]
pub struct Embedding {
    /// The table, `[n, width]`.
    pub weight: Param,
}
crate::parameters!(Embedding { weight });

impl Embedding {
    /// A table of `n` rows.
    pub fn new(n: usize, width: usize) -> Embedding {
        Embedding { weight: Param::new([n, width], Init::Normal { mean: 0.0, std: 1.0 }) }
    }
}

impl Model for Embedding {
    #[track_caller]
    fn forward(&self, indices: &Tensor) -> Tensor {
        self.weight.in_layer(indices, || self.weight.of(indices).embedding(indices))
    }
}
