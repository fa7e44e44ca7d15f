//! Shapes: the extents of a tensor's axes, outermost first.

use smallvec::SmallVec;
use std::fmt;
use std::ops::Deref;

/// Axis numbers, or one number per axis.
pub type Axes = SmallVec<[usize; 6]>;

/// The extents of a tensor's axes, outermost (slowest) first. Rank 0 is a scalar.
#[derive(Clone, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct Shape(SmallVec<[usize; 6]>);

impl Shape {
    /// The shape with these extents.
    pub fn new(extents: &[usize]) -> Shape {
        Shape(SmallVec::from_slice(extents))
    }

    /// The shape of a scalar.
    pub fn scalar() -> Shape {
        Shape::default()
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// The extents as a slice.
    pub fn extents(&self) -> &[usize] {
        &self.0
    }

    /// Number of elements: the product of the extents, 1 for a scalar.
    pub fn n_elements(&self) -> usize {
        self.0.iter().product()
    }

    /// Number of elements, or `None` when it does not fit in an `isize`. Extents of zero count as one here, so that
    /// strides and products of any of the extents fit too.
    pub fn checked_n_elements(&self) -> Option<usize> {
        let n = self.0.iter().try_fold(1usize, |n, &extent| n.checked_mul(extent.max(1)))?;
        isize::try_from(n).is_ok().then_some(if self.0.contains(&0) { 0 } else { n })
    }

    /// Strides in elements of a contiguous row-major tensor of this shape.
    pub fn strides(&self) -> SmallVec<[usize; 6]> {
        let mut strides = SmallVec::from_elem(1, self.rank());
        for axis in (1..self.rank()).rev() {
            strides[axis - 1] = strides[axis] * self.0[axis];
        }
        strides
    }

    /// The shape without these axes.
    pub fn without(&self, axes: &[usize]) -> Shape {
        self.0
            .iter()
            .enumerate()
            .filter(|(axis, _)| !axes.contains(axis))
            .map(|(_, &extent)| extent)
            .collect()
    }

    /// The shape with the extent of one axis replaced.
    pub fn with_extent(&self, axis: usize, extent: usize) -> Shape {
        let mut shape = self.clone();
        shape.0[axis] = extent;
        shape
    }
}

impl Deref for Shape {
    type Target = [usize];

    fn deref(&self) -> &[usize] {
        &self.0
    }
}

impl FromIterator<usize> for Shape {
    fn from_iter<I: IntoIterator<Item = usize>>(extents: I) -> Shape {
        Shape(extents.into_iter().collect())
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(extents: [usize; N]) -> Shape {
        Shape::new(&extents)
    }
}

impl From<&[usize]> for Shape {
    fn from(extents: &[usize]) -> Shape {
        Shape::new(extents)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (axis, extent) in self.0.iter().enumerate() {
            write!(f, "{}{extent}", if axis == 0 { "" } else { ", " })?;
        }
        f.write_str("]")
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
