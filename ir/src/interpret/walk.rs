//! Walks through memory in the order of a shape.

use crate::Axes;
use smallvec::SmallVec;

/// A distance in memory for each axis: 0 repeats, a negative one goes backwards.
pub(super) type Strides = SmallVec<[isize; 6]>;

/// The offset of each index of a shape, in row-major order: an odometer.
pub(super) struct Walk {
    extents: Axes,
    strides: Strides,
    index: Axes,
    offset: isize,
    left: usize,
}

impl Walk {
    /// Starts at `start` and goes through `extents`, one step along axis `a` being `strides[a]` elements.
    pub fn new(extents: &[usize], start: isize, strides: &[isize]) -> Walk {
        Walk {
            extents: SmallVec::from_slice(extents),
            strides: SmallVec::from_slice(strides),
            index: SmallVec::from_elem(0, extents.len()),
            offset: start,
            left: extents.iter().product(),
        }
    }
}

impl Iterator for Walk {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let current = self.offset as usize;
        for axis in (0..self.extents.len()).rev() {
            self.index[axis] += 1;
            self.offset += self.strides[axis];
            if self.index[axis] < self.extents[axis] {
                break;
            }
            self.index[axis] = 0;
            self.offset -= self.strides[axis] * self.extents[axis] as isize;
        }
        Some(current)
    }
}

/// The strides of a contiguous value with these extents.
pub(super) fn contiguous(extents: &[usize]) -> Strides {
    let mut strides: Strides = SmallVec::from_elem(1, extents.len());
    for axis in (1..extents.len()).rev() {
        strides[axis - 1] = strides[axis] * extents[axis] as isize;
    }
    strides
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_forwards_backwards_and_in_place() {
        let offsets = |extents: &[usize], start, strides: &[isize]| {
            Walk::new(extents, start, strides).collect::<Vec<_>>()
        };
        assert_eq!(offsets(&[2, 3], 0, &contiguous(&[2, 3])), [0, 1, 2, 3, 4, 5]);
        assert_eq!(offsets(&[2, 3], 5, &[-3, -1]), [5, 4, 3, 2, 1, 0]);
        assert_eq!(offsets(&[2, 2, 2], 1, &[4, 0, 1]), [1, 2, 1, 2, 5, 6, 5, 6]);
        assert_eq!(offsets(&[], 7, &[]), [7]);
        assert_eq!(offsets(&[3, 0], 0, &contiguous(&[3, 0])), [0usize; 0]);
    }
}
