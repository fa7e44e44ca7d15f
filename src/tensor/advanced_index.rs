//! Indexing with several indices at once, as Python's `x[...]`.

use super::{Operand, Tensor};
use kiln_ir::DType;

/// What is taken of an axis.
#[derive(Clone, Debug)]
pub enum Index {
    /// One element; the axis disappears. Negative numbers count from the end.
    At(i64),
    /// Elements from a start to an end in steps, as Python's `start:end:step`.
    Range {
        /// The first one; the beginning of the axis if there is none.
        start: Option<i64>,
        /// The bound; the end of the axis if there is none.
        end: Option<i64>,
        /// Distance of neighbours.
        step: usize,
    },
    /// The elements at the indices in a tensor, negative ones counted from the end. Several such indices broadcast to one
    /// shape, which stands where their axes stood if they are neighbours, and else in front.
    Take(Tensor),
    /// A new axis of extent 1.
    New,
    /// All axes that the other indices leave over.
    Rest,
}

impl Index {
    /// A whole axis, as Python's `:`.
    pub fn all() -> Index {
        Index::Range { start: None, end: None, step: 1 }
    }
}

impl Tensor {
    /// The part that indices of the axes take, in their order; axes without an index are taken whole.
    ///
    /// Types: indices are `i32`, `i64` or `u8`; of truth values the number of elements taken would only be known when the
    /// program runs. Errors: more indices than axes; indices that are not on their axis.
    ///
    /// ```
    /// # use kiln::prelude::*;
    /// # use kiln::Index;
    /// # let tracer = Tracer::new("index");
    /// # let x = tracer.input("x", f32(&[4, 3, 2]));
    /// assert_eq!(x.index(&[Index::all(), Index::At(-1)]).extents(), [4, 2]);
    /// ```
    #[track_caller]
    pub fn index(&self, indices: &[Index]) -> Tensor {
        self.within("index", || {
            let n_taken = indices.iter().filter(|i| !matches!(i, Index::New | Index::Rest)).count();
            let Some(n_rest) = self.rank().checked_sub(n_taken) else {
                return self.refuse("index", format!("{n_taken} indices are more than it has axes"));
            };
            let (mut y, mut axis) = (self.clone(), 0i64);
            let mut lists: Vec<(i64, Tensor)> = Vec::new();
            let mut has_rest = false;
            for index in indices {
                match index {
                    Index::New => y = y.unsqueeze(axis),
                    Index::Rest => {
                        if std::mem::replace(&mut has_rest, true) {
                            return self.refuse("index", "the rest of the axes is taken twice");
                        }
                        axis += n_rest as i64;
                        continue;
                    }
                    Index::Range { start, end, step } => {
                        y = y.slice_step(axis, start.unwrap_or(0)..end.unwrap_or(i64::MAX), *step);
                    }
                    Index::At(at) => {
                        y = y.select_index(axis, *at);
                        continue;
                    }
                    Index::Take(at) if at.dtype() == DType::Bool => {
                        return at.refuse(
                            "index",
                            "how many elements are true is only known when the program runs",
                        );
                    }
                    Index::Take(at) => lists.push((axis, at.clone())),
                }
                axis += 1;
            }
            if lists.is_empty() { y } else { y.at_lists(&lists) }
        })
    }

    /// The elements at the indices of several axes.
    fn at_lists(&self, lists: &[(i64, Tensor)]) -> Tensor {
        let (joined, place, flat) = self.joined(lists);
        let shape: Vec<i64> = flat.shape().iter().map(|&extent| extent as i64).collect();
        let picked = joined.index_select(place, &flat.reshape([-1]));
        if shape.is_empty() { picked.squeeze(place) } else { picked.unflatten_empty(place, &shape) }
    }

    /// One axis as several of known extents, also where there are no elements.
    fn unflatten_empty(&self, axis: i64, extents: &[i64]) -> Tensor {
        let at = axis as usize;
        let (before, after) = (&self.shape()[..at], &self.shape()[at + 1..]);
        let middle = extents.iter().map(|&e| e as usize);
        self.reshape_exact(before.iter().copied().chain(middle).chain(after.iter().copied()).collect())
    }

    /// Several axes as one, at its place, and the indices on it.
    fn joined(&self, lists: &[(i64, Tensor)]) -> (Tensor, i64, Tensor) {
        let axes: Vec<i64> = lists.iter().map(|(axis, _)| *axis).collect();
        let place = if axes.windows(2).all(|pair| pair[0] + 1 == pair[1]) { axes[0] } else { 0 };
        let mut order: Vec<i64> = (0..self.rank() as i64).filter(|axis| !axes.contains(axis)).collect();
        order.splice(place as usize..place as usize, axes.iter().copied());
        let joined = self.permute(order);
        let merged = joined.flatten(place, place + axes.len() as i64 - 1);
        let flat = lists.iter().fold(None, |flat: Option<Tensor>, (axis, at)| {
            let extent = self.shape()[*axis as usize] as i64;
            let at = at.cast(DType::I64);
            let at = at.lt(0).select(&at + extent, &at);
            Some(flat.map_or(at.clone(), |flat| flat * extent + &at))
        });
        (merged, place, flat.expect("there is an index"))
    }

    /// `self` with the elements at the indices of its first axes replaced by `values`, or with `values` added; the indices
    /// broadcast to one shape.
    ///
    /// Shapes: `values` broadcasts to that shape followed by the other axes. A single index of truth values, of the first
    /// axes, takes values that broadcast to `self`. Errors: more indices than axes.
    #[track_caller]
    pub fn index_put(&self, indices: &[Tensor], values: impl Into<Operand>, accumulate: bool) -> Tensor {
        let values = values.into();
        self.within("index_put", || {
            let values = self.operand_beside(values).cast(self.dtype());
            if indices.is_empty() || indices.len() > self.rank() {
                return self.refuse("index_put", format!("{} indices do not fit", indices.len()));
            }
            if let [mask] = indices
                && mask.dtype() == DType::Bool
            {
                let lead = self.rank().saturating_sub(mask.rank());
                let mask = (0..lead).fold(mask.clone(), |mask, _| mask.unsqueeze(-1));
                let values = values.expand_as(self);
                return mask.select(if accumulate { self + values } else { values }, self);
            }
            let lists: Vec<(i64, Tensor)> =
                indices.iter().enumerate().map(|(axis, at)| (axis as i64, at.clone())).collect();
            let (joined, _, flat) = self.joined(&lists);
            let rest = &self.shape()[indices.len()..];
            let full: Vec<usize> = flat.shape().iter().chain(rest).copied().collect();
            let values = values.broadcast_to(&full[..]);
            let rows: Vec<usize> = std::iter::once(flat.n_elements()).chain(rest.iter().copied()).collect();
            let values = values.reshape_exact(rows[..].into());
            let flat = flat.reshape([-1]);
            let result = match accumulate {
                true => joined.index_add(0, &flat, &values, 1.0),
                false => joined.index_copy(0, &flat, &values),
            };
            result.reshape_exact(self.shape().clone())
        })
    }
}
