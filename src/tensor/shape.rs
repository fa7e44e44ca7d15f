//! The same elements under another shape or in another order of axes.
//!
//! Types: any.

use super::{Over, Tensor};
use kiln_ir::{Axes, Op, Shape};

impl Tensor {
    /// The same elements in row-major order under another shape; one extent may be -1 and is then computed.
    ///
    /// Errors: the number of elements differs; more than one extent is negative.
    ///
    /// ```
    /// # use kiln::prelude::*;
    /// # let tracer = Tracer::new("reshape");
    /// # let x = tracer.input("x", f32(&[4, 3, 2]));
    /// assert_eq!(x.reshape([4, -1]).extents(), [4, 6]);
    /// ```
    #[track_caller]
    pub fn reshape(&self, extents: impl AsRef<[i64]>) -> Tensor {
        let extents = extents.as_ref();
        let n_open = extents.iter().filter(|&&e| e < 0).count();
        if n_open > 1 || extents.iter().any(|&e| e < -1) {
            return self.refuse("reshape", format!("{extents:?}: at most one extent may be -1"));
        }
        let known: usize = extents.iter().filter(|&&e| e >= 0).map(|&e| e as usize).product();
        let open = self.n_elements().checked_div(known).unwrap_or(0);
        let shape = extents.iter().map(|&e| if e < 0 { open } else { e as usize }).collect();
        self.reshape_exact(shape)
    }

    /// Axes `first..=last` as one.
    ///
    /// ```
    /// # use kiln::prelude::*;
    /// # let tracer = Tracer::new("flatten");
    /// # let x = tracer.input("x", f32(&[4, 3, 2]));
    /// assert_eq!(x.flatten(1, -1).extents(), [4, 6]);
    /// ```
    #[track_caller]
    pub fn flatten(&self, first: i64, last: i64) -> Tensor {
        if self.rank() == 0 {
            return self.reshape_exact([1].into());
        }
        let (first, last) = match (self.axis("flatten", first), self.axis("flatten", last)) {
            (Ok(first), Ok(last)) => (first, last),
            (Err(poisoned), _) | (_, Err(poisoned)) => return poisoned,
        };
        if first > last {
            return self.refuse("flatten", format!("axis {first} comes after axis {last}"));
        }
        let s = self.shape();
        let merged = s[first..=last].iter().product();
        self.reshape_exact(
            s[..first].iter().copied().chain([merged]).chain(s[last + 1..].iter().copied()).collect(),
        )
    }

    /// One axis as several; one of their extents may be -1.
    #[track_caller]
    pub fn unflatten(&self, axis: i64, extents: impl AsRef<[i64]>) -> Tensor {
        match self.axis("unflatten", axis) {
            Ok(axis) => {
                let outer = |range: &[usize]| range.iter().map(|&e| e as i64).collect::<Vec<_>>();
                let (before, after) = (outer(&self.shape()[..axis]), outer(&self.shape()[axis + 1..]));
                self.called("unflatten", || self.reshape([&before, extents.as_ref(), &after].concat()))
            }
            Err(poisoned) => poisoned,
        }
    }

    /// Without the axes of extent 1 among these; `..` means all of them.
    #[track_caller]
    pub fn squeeze(&self, over: impl Into<Over>) -> Tensor {
        match self.axes("squeeze", &over.into()) {
            Ok(axes) => {
                let gone: Axes = axes.into_iter().filter(|&a| self.shape()[a] == 1).collect();
                self.reshape_exact(self.shape().without(&gone))
            }
            Err(poisoned) => poisoned,
        }
    }

    /// With a new axis of extent 1 at this place of the result.
    #[track_caller]
    pub fn unsqueeze(&self, axis: i64) -> Tensor {
        match self.axis_below("unsqueeze", axis, self.rank() + 1) {
            Ok(axis) => {
                let s = self.shape();
                self.reshape_exact(
                    s[..axis].iter().copied().chain([1]).chain(s[axis..].iter().copied()).collect(),
                )
            }
            Err(poisoned) => poisoned,
        }
    }

    /// Axes in another order: axis `i` of the result is axis `order[i]` of `self`.
    ///
    /// Errors: an axis is missing or named twice.
    #[track_caller]
    pub fn permute(&self, order: impl AsRef<[i64]>) -> Tensor {
        let mut permutation = Axes::new();
        for &axis in order.as_ref() {
            match self.axis("permute", axis) {
                Ok(axis) => permutation.push(axis),
                Err(poisoned) => return poisoned,
            }
        }
        self.permute_exact(permutation)
    }

    /// Two axes changed for one another.
    ///
    /// ```
    /// # use kiln::prelude::*;
    /// # let tracer = Tracer::new("transpose");
    /// # let x = tracer.input("x", f32(&[4, 3, 2]));
    /// assert_eq!(x.transpose(-2, -1).extents(), [4, 2, 3]);
    /// ```
    #[track_caller]
    pub fn transpose(&self, a: i64, b: i64) -> Tensor {
        match (self.axis("transpose", a), self.axis("transpose", b)) {
            (Ok(a), Ok(b)) => {
                let mut permutation: Axes = (0..self.rank()).collect();
                permutation.swap(a, b);
                self.permute_exact(permutation)
            }
            (Err(poisoned), _) | (_, Err(poisoned)) => poisoned,
        }
    }

    /// The transposed matrix; vectors and scalars stay. Errors: more than two axes.
    #[track_caller]
    pub fn t(&self) -> Tensor {
        match self.rank() {
            0 | 1 => self.clone(),
            2 => self.permute_exact(Axes::from_slice(&[1, 0])),
            _ => self.refuse("t", "it is for matrices; name two axes with `transpose`"),
        }
    }

    /// One axis at another place, the others in their order.
    #[track_caller]
    pub fn movedim(&self, from: i64, to: i64) -> Tensor {
        match (self.axis("movedim", from), self.axis("movedim", to)) {
            (Ok(from), Ok(to)) => {
                let mut permutation: Axes = (0..self.rank()).filter(|&a| a != from).collect();
                permutation.insert(to, from);
                self.permute_exact(permutation)
            }
            (Err(poisoned), _) | (_, Err(poisoned)) => poisoned,
        }
    }

    /// The order of elements along these axes turned around.
    #[track_caller]
    pub fn flip(&self, over: impl Into<Over>) -> Tensor {
        match self.axes("flip", &over.into()) {
            Ok(axes) if axes.is_empty() => self.clone(),
            Ok(axes) => self.record(Op::Reverse(axes), &[]),
            Err(poisoned) => poisoned,
        }
    }

    /// Permutes axes that are known to exist; nothing when the order is the same.
    #[track_caller]
    pub(crate) fn permute_exact(&self, permutation: Axes) -> Tensor {
        if permutation.iter().copied().eq(0..self.rank()) {
            return self.clone();
        }
        self.record(Op::Permute(permutation), &[])
    }

    /// The whole tensor repeated `repeats[i]` times along axis `i` (PyTorch's `repeat`, NumPy's `tile`); more
    /// repeats than axes add axes in front.
    #[track_caller]
    pub fn repeat(&self, repeats: impl AsRef<[usize]>) -> Tensor {
        let repeats = repeats.as_ref();
        let Some(lead) = repeats.len().checked_sub(self.rank()) else {
            return self.refuse("repeat", format!("{repeats:?} has fewer numbers than axes"));
        };
        self.within("repeat", || {
            let extents: Axes = std::iter::repeat_n(1, lead).chain(self.shape().iter().copied()).collect();
            let paired = |first: &[usize]| -> Shape {
                first.iter().zip(&extents).flat_map(|(&r, &e)| [r, e]).collect()
            };
            let ones = Axes::from_elem(1, repeats.len());
            let repeated = self.reshape_exact(paired(&ones)).broadcast_to(paired(repeats));
            repeated.reshape_exact(repeats.iter().zip(&extents).map(|(&r, &e)| r * e).collect())
        })
    }
}
