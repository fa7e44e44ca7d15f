//! A table of vectors.

use super::{Init, Model, Param};
use crate::tensor::Tensor;

/// A row of a table for each index: `weight[i]` for an index `i`.
///
/// Parameter: `weight: [n, width]`, normal as in PyTorch. Input: indices `[..]`, output `[.., width]`.
/// Source: Bengio and others, *A Neural Probabilistic Language Model*, 2003.
#[derive(Debug)]
pub struct Embedding {
    /// The table, `[n, width]`.
    pub weight: Param,
    padding: Option<usize>,
}
crate::parameters!(Embedding { weight });

impl Embedding {
    /// A table of `n` rows.
    pub fn new(n: usize, width: usize) -> Embedding {
        let init = Init::Normal { mean: 0.0, std: 1.0 };
        Embedding { weight: Param::new([n, width], init), padding: None }
    }

    /// The same, where the row of index `padding` starts with zeros and is not trained.
    pub fn padding_index(self, padding: usize) -> Embedding {
        let init = Init::WithZeroRow { init: Box::new(self.weight.init().clone()), row: padding };
        Embedding { weight: self.weight.with_init(init), padding: Some(padding) }
    }

    /// The same with another start of the table.
    pub fn weight_init(self, init: Init) -> Embedding {
        Embedding { weight: self.weight.with_init(init), ..self }
    }
}

impl Model for Embedding {
    #[track_caller]
    fn forward(&self, indices: &Tensor) -> Tensor {
        self.weight.in_layer(indices, || {
            let rows = self.weight.of(indices).embedding(indices);
            match self.padding {
                // No gradient reaches the row of the padding.
                Some(padding) => indices.eq(padding as i64).unsqueeze(-1).select(rows.detach(), &rows),
                None => rows,
            }
        })
    }
}
