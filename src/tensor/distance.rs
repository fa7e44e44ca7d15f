//! Distances and angles between vectors.
//!
//! Types: floats. Errors: other types; shapes that do not broadcast.

use super::{Tensor, keep};

impl Tensor {
    /// The cosine of the angle between vectors along an axis: `x y / (|x| |y|)`, each norm at least `eps`.
    ///
    /// Shapes: both broadcast to one; the axis, one of that shape, disappears.
    #[track_caller]
    pub fn cosine_similarity(&self, other: &Tensor, axis: i64, eps: f64) -> Tensor {
        self.within("cosine_similarity", || match self.float_pair("cosine_similarity", other.into()) {
            Ok((x, y)) => {
                let unit = |x: &Tensor| x / x.on_line(|x| x.norm(2.0, keep(axis))).clamp_min(eps);
                (unit(&x) * unit(&y)).sum(axis)
            }
            Err(poisoned) => poisoned,
        })
    }

    /// The distance between vectors along the last axis: the norm of order `p` of `x - y + eps`.
    ///
    /// Shapes: both broadcast to one; the last axis disappears.
    #[track_caller]
    pub fn pairwise_distance(&self, other: &Tensor, p: f64, eps: f64) -> Tensor {
        self.within("pairwise_distance", || (self - other + eps).norm(p, -1))
    }

    /// The distances between all rows of one matrix and all of another, by the norm of order `p`.
    ///
    /// Shapes: `self: [.., m, k]`, `other: [.., n, k]` -> `[.., m, n]`; leading axes broadcast.
    #[track_caller]
    pub fn cdist(&self, other: &Tensor, p: f64) -> Tensor {
        self.within("cdist", || (self.unsqueeze(-2) - other.unsqueeze(-3)).norm(p, -1))
    }

    /// The distances between all pairs of rows of a matrix, by the norm of order `p`.
    ///
    /// Shapes: `[n, k]` -> `[n (n - 1) / 2]`: rows 0 and 1, 0 and 2, ... Errors: no matrix.
    #[track_caller]
    pub fn pdist(&self, p: f64) -> Tensor {
        if self.rank() != 2 {
            return self.refuse("pdist", "it is for matrices");
        }
        let n = self.shape()[0] as i64;
        let (first, second): (Vec<i64>, Vec<i64>) =
            (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j))).unzip();
        self.within("pdist", || {
            let rows = |at: Vec<i64>| self.index_select(0, &self.indices(at));
            (rows(first) - rows(second)).norm(p, -1)
        })
    }

    /// Each vector along an axis divided by its norm of order `p`, which counts as at least `eps`.
    ///
    /// Shapes: as `self`.
    #[track_caller]
    pub fn normalize(&self, p: f64, axis: i64, eps: f64) -> Tensor {
        self.within("normalize", || self.on_line(|x| x / x.norm(p, keep(axis)).clamp_min(eps)))
    }

    /// The slices of an axis scaled so that the norm of order `p` of each is at most `max_norm`; `1e-7` is added to what
    /// is divided by, as in PyTorch.
    ///
    /// Shapes: as `self`, of at least two axes.
    #[track_caller]
    pub fn renorm(&self, p: f64, axis: i64, max_norm: f64) -> Tensor {
        let at = match self.axis("renorm", axis) {
            Ok(at) => at,
            Err(poisoned) => return poisoned,
        };
        self.within("renorm", || {
            let others: Vec<i64> = (0..self.rank()).filter(|&a| a != at).map(|a| a as i64).collect();
            let norm = self.norm(p, keep(&others[..]));
            self * norm.gt(max_norm).select(max_norm / (&norm + 1e-7), 1.0)
        })
    }

    /// A function along an axis; a scalar is a line of one element, as in PyTorch.
    #[track_caller]
    pub(crate) fn on_line(&self, function: impl FnOnce(&Tensor) -> Tensor) -> Tensor {
        if self.rank() > 0 {
            return function(self);
        }
        let line = function(&self.reshape([1]));
        if line.n_elements() == 1 { line.reshape([]) } else { line }
    }

    /// Numbers known when the program is traced, as a vector of indices.
    #[track_caller]
    pub(crate) fn indices(&self, at: Vec<i64>) -> Tensor {
        self.constant(kiln_ir::TensorData::new([at.len()], at))
    }
}
