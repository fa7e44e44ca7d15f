//! The same elements in other places: rotated, repeated, in windows, stacked, split, as grids.
//!
//! Types: any; tensors that are joined are promoted to one. Errors: axes that do not exist.

use super::convert::broadcast_shapes;
use super::operand::promote_types;
use super::{Tensor, cat, stack};
use kiln_ir::{DType, Shape};

impl Tensor {
    /// Several axes at other places: axis `from[i]` goes to place `to[i]`; the others keep their order.
    #[track_caller]
    pub fn movedims(&self, from: impl AsRef<[i64]>, to: impl AsRef<[i64]>) -> Tensor {
        let mut order = vec![None; self.rank()];
        if from.as_ref().len() != to.as_ref().len() {
            return self.refuse("movedims", "each axis needs a place");
        }
        for (&from, &to) in from.as_ref().iter().zip(to.as_ref()) {
            match (self.axis("movedims", from), self.axis("movedims", to)) {
                (Ok(from), Ok(to)) => order[to] = Some(from as i64),
                (Err(poisoned), _) | (_, Err(poisoned)) => return poisoned,
            }
        }
        let rest: Vec<i64> = (0..self.rank() as i64).filter(|axis| !order.contains(&Some(*axis))).collect();
        let mut rest = rest.into_iter();
        self.permute(order.into_iter().filter_map(|axis| axis.or_else(|| rest.next())).collect::<Vec<_>>())
    }

    /// The plane of two axes turned by `k` quarters, from the first axis to the second.
    #[track_caller]
    pub fn rot90(&self, k: i64, axes: [i64; 2]) -> Tensor {
        let [a, b] = axes;
        self.within("rot90", || match k.rem_euclid(4) {
            0 => self.clone(),
            1 => self.flip(b).transpose(a, b),
            2 => self.flip(axes),
            _ => self.transpose(a, b).flip(b),
        })
    }

    /// The whole tensor repeated along its last axes (PyTorch's `tile`): as [`repeat`](Tensor::repeat), but with fewer
    /// numbers than axes the first axes stay.
    #[track_caller]
    pub fn tile(&self, repeats: impl AsRef<[usize]>) -> Tensor {
        let repeats = repeats.as_ref();
        let missing = self.rank().saturating_sub(repeats.len());
        self.repeat(std::iter::repeat_n(1, missing).chain(repeats.iter().copied()).collect::<Vec<_>>())
    }

    /// Each slice of an axis repeated, once for all or by its own number.
    ///
    /// Errors: neither one number nor one for each slice.
    #[track_caller]
    pub fn repeat_interleave(&self, repeats: &[usize], axis: i64) -> Tensor {
        let at = match self.axis("repeat_interleave", axis) {
            Ok(at) => at,
            Err(poisoned) => return poisoned,
        };
        let extent = self.shape()[at];
        if repeats.len() != 1 && repeats.len() != extent {
            return self
                .refuse("repeat_interleave", format!("{} numbers for {extent} slices", repeats.len()));
        }
        let places = (0..extent)
            .flat_map(|i| vec![i as i64; repeats[if repeats.len() == 1 { 0 } else { i }]])
            .collect();
        self.within("repeat_interleave", || self.index_select(axis, &self.indices(places)))
    }

    /// Windows over one axis: the axis counts the windows, and a new last one the elements of each (PyTorch's
    /// `Tensor.unfold`). Errors: a window longer than the axis; a step of 0.
    #[track_caller]
    pub fn windows(&self, axis: i64, size: usize, step: usize) -> Tensor {
        if self.rank() == 0 {
            return self
                .reshape([1])
                .windows(axis, size, step)
                .slice(0, ..1)
                .squeeze(0)
                .slice(0, ..size as i64);
        }
        let at = match self.axis("windows", axis) {
            Ok(at) => at,
            Err(poisoned) => return poisoned,
        };
        let extent = self.shape()[at];
        if step == 0 || size > extent {
            return self
                .refuse("windows", format!("windows of {size} at steps of {step} over extent {extent}"));
        }
        let n = (extent - size) / step + 1;
        let places = (0..n).flat_map(|i| (0..size).map(move |k| (i * step + k) as i64)).collect();
        self.within("windows", || {
            let picked = self.index_select(at as i64, &self.indices(places));
            picked.unflatten(at as i64, [n as i64, size as i64]).movedim(at as i64 + 1, -1)
        })
    }

    /// Elements by their place in row-major order: element `[i, j, ..]` of the result is at
    /// `offset + i strides[0] + j strides[1] + ..`. Errors: other numbers of strides; places beyond the last element.
    #[track_caller]
    pub fn as_strided(&self, extents: &[usize], strides: &[usize], offset: usize) -> Tensor {
        match self.strided_places("as_strided", extents, strides, offset) {
            Ok(places) => self.within("as_strided", || {
                let extents: Vec<i64> = extents.iter().map(|&e| e as i64).collect();
                self.take(&self.indices(places)).reshape(extents)
            }),
            Err(poisoned) => poisoned,
        }
    }

    /// `self` with the elements that [`as_strided`](Tensor::as_strided) shows replaced by those of `source`.
    #[track_caller]
    pub fn as_strided_scatter(
        &self,
        source: &Tensor,
        extents: &[usize],
        strides: &[usize],
        offset: usize,
    ) -> Tensor {
        match self.strided_places("as_strided_scatter", extents, strides, offset) {
            Ok(places) => self.within("as_strided_scatter", || {
                let flat = self.reshape([-1]);
                flat.index_copy(0, &self.indices(places), &source.reshape([-1]))
                    .reshape_exact(self.shape().clone())
            }),
            Err(poisoned) => poisoned,
        }
    }

    fn strided_places(
        &self,
        op: &'static str,
        extents: &[usize],
        strides: &[usize],
        offset: usize,
    ) -> Result<Vec<i64>, Tensor> {
        let mut places = vec![offset as i64];
        for (&extent, &stride) in extents.iter().zip(strides) {
            places = places
                .iter()
                .flat_map(|start| (0..extent).map(move |i| start + (i * stride) as i64))
                .collect();
        }
        if extents.len() != strides.len() || places.iter().any(|&place| place >= self.n_elements() as i64) {
            return Err(self.refuse(
                op,
                format!("extents {extents:?} with strides {strides:?} from {offset} do not fit"),
            ));
        }
        Ok(places)
    }

    /// A vector of one element for a scalar; otherwise `self`.
    #[track_caller]
    pub fn atleast_1d(&self) -> Tensor {
        if self.rank() == 0 { self.reshape([1]) } else { self.clone() }
    }

    /// A row for a scalar or a vector; otherwise `self`.
    #[track_caller]
    pub fn atleast_2d(&self) -> Tensor {
        if self.rank() < 2 { self.reshape([1, self.n_elements() as i64]) } else { self.clone() }
    }

    /// At least three axes: a vector becomes `[1, n, 1]`, a matrix `[m, n, 1]`.
    #[track_caller]
    pub fn atleast_3d(&self) -> Tensor {
        match self.rank() {
            0 | 1 => self.reshape([1, self.n_elements() as i64, 1]),
            2 => self.unsqueeze(2),
            _ => self.clone(),
        }
    }

    /// `n` parts along an axis whose extents differ by at most one, the longer ones first. Errors: `n` is 0.
    #[track_caller]
    pub fn tensor_split(&self, n: usize, axis: i64) -> Vec<Tensor> {
        match self.axis("tensor_split", axis) {
            Ok(_) if n == 0 => vec![self.refuse("tensor_split", "there must be at least one part")],
            Ok(at) => {
                let extent = self.shape()[at];
                let bounds: Vec<i64> =
                    (1..n).map(|i| (i * (extent / n) + i.min(extent % n)) as i64).collect();
                self.split_at(&bounds, axis)
            }
            Err(poisoned) => vec![poisoned],
        }
    }

    /// Parts along an axis that begin at these places, and one before the first; negative places count from the end.
    #[track_caller]
    pub fn split_at(&self, places: &[i64], axis: i64) -> Vec<Tensor> {
        let at = match self.axis("split_at", axis) {
            Ok(at) => at,
            Err(poisoned) => return vec![poisoned; places.len() + 1],
        };
        let extent = self.shape()[at] as i64;
        let place = |&p: &i64| (if p < 0 { p + extent } else { p }).clamp(0, extent) as usize;
        let bounds: Vec<usize> =
            std::iter::once(0).chain(places.iter().map(place)).chain([extent as usize]).collect();
        bounds.windows(2).map(|pair| self.slice_exact(at, pair[0], pair[1].max(pair[0]), 1)).collect()
    }

    /// Channels (axis 1) of `groups` groups interleaved: the first of each group, then the second, ...
    ///
    /// Source: Zhang and others, *ShuffleNet*, 2017.
    #[track_caller]
    pub fn channel_shuffle(&self, groups: usize) -> Tensor {
        self.within("channel_shuffle", || {
            self.unflatten(1, [groups as i64, -1]).transpose(1, 2).flatten(1, 2)
        })
    }

    /// Channels as pixels: `[.., c r r, h, w]` -> `[.., c, h r, w r]`.
    ///
    /// Source: Shi and others, *Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional
    /// Neural Network*, 2016, equation 4.
    #[track_caller]
    pub fn pixel_shuffle(&self, factor: usize) -> Tensor {
        let r = factor as i64;
        if self.rank() < 3 || factor == 0 || !self.shape()[self.rank() - 3].is_multiple_of(factor * factor) {
            return self.refuse("pixel_shuffle", format!("it needs channels that {factor} squared divides"));
        }
        self.within("pixel_shuffle", || {
            let channels = (self.shape()[self.rank() - 3] / (factor * factor)) as i64;
            // [.., c, r, s, h, w] to [.., c, h, r, w, s].
            let parts = self.unflatten(-3, [channels, r, r]);
            let [h, w] = [2, 1].map(|back| self.shape()[self.rank() - back] as i64 * r);
            let lead: Vec<i64> = self.shape()[..self.rank() - 3].iter().map(|&e| e as i64).collect();
            parts.movedim(-3, -1).transpose(-4, -3).reshape([&lead[..], &[channels, h, w]].concat())
        })
    }

    /// Pixels as channels: `[.., c, h r, w r]` -> `[.., c r r, h, w]`, the inverse of
    /// [`pixel_shuffle`](Tensor::pixel_shuffle), with its source.
    #[track_caller]
    pub fn pixel_unshuffle(&self, factor: usize) -> Tensor {
        let fits = |back: usize| self.shape()[self.rank() - back].is_multiple_of(factor.max(1));
        if self.rank() < 3 || factor == 0 || !fits(1) || !fits(2) {
            return self
                .refuse("pixel_unshuffle", format!("it needs heights and widths that {factor} divides"));
        }
        self.within("pixel_unshuffle", || {
            let r = factor as i64;
            let [c, h, w] = [3, 2, 1].map(|back| self.shape()[self.rank() - back] as i64);
            // [.., c, h, r, w, s] to [.., c, r, s, h, w].
            let parts = self.unflatten(-1, [w / r, r]).unflatten(-3, [h / r, r]);
            let lead: Vec<i64> = self.shape()[..self.rank() - 3].iter().map(|&e| e as i64).collect();
            parts.transpose(-4, -3).movedim(-1, -3).reshape([&lead[..], &[c * r * r, h / r, w / r]].concat())
        })
    }

    /// Pairs (or triples, ...) of elements of a vector, in order, as rows; with `replacement` an element may be there
    /// twice. Errors: no vector.
    #[track_caller]
    pub fn combinations(&self, r: usize, replacement: bool) -> Tensor {
        if self.rank() != 1 {
            return self.refuse("combinations", "it is for vectors");
        }
        let n = self.shape()[0] as i64;
        let mut rows: Vec<Vec<i64>> = vec![Vec::new()];
        for _ in 0..r {
            let longer = |row: &Vec<i64>| {
                let start = row.last().map_or(0, |&last| if replacement { last } else { last + 1 });
                let row = row.clone();
                (start..n).map(move |i| row.iter().copied().chain([i]).collect())
            };
            rows = rows.iter().flat_map(longer).collect();
        }
        let n_rows = if r == 0 { 0 } else { rows.len() };
        self.within("combinations", || {
            self.index_select(0, &self.indices(rows.concat())).reshape([n_rows as i64, r as i64])
        })
    }
}

/// One type for all, in which they can be joined.
fn common(tensors: &[&Tensor]) -> DType {
    tensors.iter().fold(DType::Bool, |dtype, x| promote_types(dtype, x.dtype()))
}

/// Tensors one after the other along the second axis, vectors along their only one.
///
/// # Panics
/// When there are no tensors; so do the other functions of several tensors.
#[track_caller]
pub fn hstack(tensors: &[&Tensor]) -> Tensor {
    let axis = i64::from(tensors.first().expect("`hstack` of no tensors").rank() > 1);
    cat_all("hstack", tensors, |x| x.atleast_1d(), axis)
}

/// Tensors one after the other along the first axis, vectors as rows.
#[track_caller]
pub fn vstack(tensors: &[&Tensor]) -> Tensor {
    cat_all("vstack", tensors, |x| x.atleast_2d(), 0)
}

/// Tensors one after the other along the third axis; see [`Tensor::atleast_3d`].
#[track_caller]
pub fn dstack(tensors: &[&Tensor]) -> Tensor {
    cat_all("dstack", tensors, |x| x.atleast_3d(), 2)
}

/// Tensors one after the other along the second axis, vectors as columns.
#[track_caller]
pub fn column_stack(tensors: &[&Tensor]) -> Tensor {
    let column = |x: &Tensor| if x.rank() < 2 { x.reshape([x.n_elements() as i64, 1]) } else { x.clone() };
    cat_all("column_stack", tensors, column, 1)
}

/// Tensors in another form, one after the other.
#[track_caller]
fn cat_all(name: &'static str, tensors: &[&Tensor], form: impl Fn(&Tensor) -> Tensor, axis: i64) -> Tensor {
    let first = tensors.first().unwrap_or_else(|| panic!("`{name}` of no tensors"));
    first.called(name, || {
        let formed: Vec<Tensor> = tensors.iter().map(|x| form(x)).collect();
        cat(&formed.iter().collect::<Vec<_>>(), axis)
    })
}

/// Tensors repeated to the one shape that all broadcast to. Errors: there is none.
#[track_caller]
pub fn broadcast_tensors(tensors: &[&Tensor]) -> Vec<Tensor> {
    let shape = tensors.iter().try_fold(Shape::scalar(), |shape, x| broadcast_shapes(&shape, x.shape()));
    match shape {
        Some(shape) => tensors.iter().map(|x| x.broadcast_to(shape.clone())).collect(),
        None => tensors
            .iter()
            .map(|x| x.refuse("broadcast_tensors", "the shapes do not broadcast to one"))
            .collect(),
    }
}

/// Coordinate grids of vectors: grid `i` has the elements of vector `i` along axis `i`. With `swapped` the first two axes
/// change places (NumPy's indexing `xy`). Errors: there is a matrix among them.
#[track_caller]
pub fn meshgrid(vectors: &[&Tensor], swapped: bool) -> Vec<Tensor> {
    grids("meshgrid", vectors, swapped)
}

#[track_caller]
fn grids(name: &'static str, vectors: &[&Tensor], swapped: bool) -> Vec<Tensor> {
    if let Some(matrix) = vectors.iter().find(|x| x.rank() > 1) {
        return vec![matrix.refuse(name, "it is for vectors"); vectors.len()];
    }
    let extents: Vec<usize> = vectors.iter().map(|x| x.n_elements()).collect();
    let spread = |(axis, x): (usize, &&Tensor)| {
        let column: Vec<i64> = (0..vectors.len()).map(|a| if a == axis { -1 } else { 1 }).collect();
        let grid = x.reshape(column).broadcast_to(&extents[..]);
        if swapped && vectors.len() >= 2 { grid.transpose(0, 1) } else { grid }
    };
    vectors.iter().enumerate().map(spread).collect()
}

/// All combinations of an element of each vector, as rows; of one vector itself.
#[track_caller]
pub fn cartesian_prod(vectors: &[&Tensor]) -> Tensor {
    let dtype = common(vectors);
    let columns: Vec<Tensor> =
        grids("cartesian_prod", vectors, false).iter().map(|grid| grid.cast(dtype).reshape([-1])).collect();
    if let [only] = columns.as_slice() {
        return only.clone();
    }
    stack(&columns.iter().collect::<Vec<_>>(), 1)
}
