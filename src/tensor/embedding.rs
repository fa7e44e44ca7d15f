//! Rows of a table by index, and what is made of several of them.
//!
//! Shapes: the table `self: [n, width]`; indices `i32`, `i64` or `u8`. Errors: a table that has not two axes.

use super::scatter::Combine;
use super::{Tensor, keep};
use kiln_ir::DType;

impl Tensor {
    /// As [`embedding`](Tensor::embedding), but no gradient reaches row `padding`.
    #[track_caller]
    pub fn embedding_padded(&self, indices: &Tensor, padding: i64) -> Tensor {
        self.within("embedding_padded", || {
            let n = self.shape().first().map_or(0, |&n| n as i64);
            let is_padding = indices.eq(if padding < 0 { padding + n } else { padding }).unsqueeze(-1);
            is_padding.select(self.detach().embedding(indices), self.embedding(indices))
        })
    }

    /// This table with the rows that the indices name scaled down to a norm of order `p` of at most `max_norm`, which is what
    /// PyTorch's `max_norm` does to a table before it is read. No gradient flows through the scale.
    #[track_caller]
    pub fn rows_renormed(&self, indices: &Tensor, p: f64, max_norm: f64) -> Tensor {
        if indices.dtype().is_float() {
            return indices.refuse("rows_renormed", "indices are integers");
        }
        self.within("rows_renormed", || {
            let n = self.shape().first().map_or(0, |&n| n);
            let named = indices.reshape([-1]).marks(1, n).any(0).unsqueeze(1);
            let norm = self.norm(p, keep(-1));
            let scale = norm.gt(max_norm).select(max_norm / (&norm + 1e-7), 1.0).detach();
            named.select(self * scale, self)
        })
    }

    /// Of each bag of indices the sum, mean or greatest elements of their rows, along the last axis of `indices`; zeros of a
    /// bag without rows. Each row may have a weight (sums only), and rows of the index `padding` do not count.
    ///
    /// Shapes: `indices: [.., k]` -> `[.., width]`. Errors: products and least elements.
    #[track_caller]
    pub fn embedding_bag(
        &self,
        indices: &Tensor,
        combine: Combine,
        weights: Option<&Tensor>,
        padding: Option<i64>,
    ) -> Tensor {
        self.within("embedding_bag", || {
            let n = self.shape().first().map_or(0, |&n| n as i64);
            let counts = match padding {
                Some(padding) => indices.ne(if padding < 0 { padding + n } else { padding }),
                None => indices.ones_like().cast(DType::Bool),
            };
            self.bags(indices, combine, weights, &counts)
        })
    }

    /// As [`embedding_bag`](Tensor::embedding_bag), of bags that follow each other in a vector of indices; each begins at its
    /// offset. Offsets are `i64[bags]` and rise; the last bag ends with the indices.
    #[track_caller]
    pub fn embedding_bag_at(
        &self,
        indices: &Tensor,
        offsets: &Tensor,
        combine: Combine,
        weights: Option<&Tensor>,
        padding: Option<i64>,
    ) -> Tensor {
        if (indices.rank(), offsets.rank()) != (1, 1) {
            return self.refuse("embedding_bag_at", "indices and offsets need one axis");
        }
        self.within("embedding_bag_at", || {
            let (n_bags, n_indices) = (offsets.shape()[0], indices.shape()[0]);
            let rows = self.shape().first().map_or(0, |&n| n as i64);
            // Each bag sees all indices, of which those between its offset and the next count.
            let places = indices.iota(DType::I64, [n_bags, n_indices].into(), 1);
            let offsets = offsets.cast(DType::I64);
            let end = offsets.slice(0, 1..).pad(&[(0, 1)], n_indices as f64);
            let mut counts = places.ge(offsets.unsqueeze(1)).logical_and(places.lt(end.unsqueeze(1)));
            if let Some(padding) = padding {
                counts = counts.logical_and(indices.ne(if padding < 0 { padding + rows } else { padding }));
            }
            let all = indices.broadcast_to([n_bags, n_indices]);
            let weights = weights.map(|weights| weights.broadcast_to([n_bags, n_indices]));
            self.bags(&all, combine, weights.as_ref(), &counts)
        })
    }

    fn bags(&self, indices: &Tensor, combine: Combine, weights: Option<&Tensor>, counts: &Tensor) -> Tensor {
        let mut rows = self.embedding(indices);
        if let Some(weights) = weights {
            rows = rows * weights.unsqueeze(-1);
        }
        let counted = counts.unsqueeze(-1);
        let n = counts.sum(-1).unsqueeze(-1);
        match combine {
            Combine::Sum => counted.select(rows, 0.0).sum(-2),
            Combine::Mean => counted.select(rows, 0.0).sum(-2) / n.clamp_min(1),
            Combine::Max if rows.shape()[rows.rank() - 2] == 0 => rows.sum(-2),
            Combine::Max => {
                let greatest = counted.select(rows, f64::NEG_INFINITY).max_along(-2, false).0;
                n.eq(0).select(0.0, greatest)
            }
            Combine::Prod | Combine::Min => {
                self.refuse("embedding_bag", "rows are added, averaged or compared for the greatest")
            }
        }
    }
}
