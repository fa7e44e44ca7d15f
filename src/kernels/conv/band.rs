//! Bands of the input: rows copied with their padding, so that windows at the border are like all others, and without
//! the distance of their elements in memory, as images have whose channels are innermost.

use std::ops::Range;

use super::window::copy_run;
use super::{Axis, SPATIAL_AXES};
use crate::kernels::simd::Simd;

/// The extents of a band.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows {
    pub count: usize,
    /// Elements of a row; rows follow one another.
    pub width: usize,
}

impl Rows {
    pub fn elements(&self) -> usize {
        self.count * self.width
    }
}

/// Rows of one plane of the input, in coordinates that count the padding.
pub struct Band<'a, T> {
    pub(super) axes: &'a [Axis; SPATIAL_AXES],
    /// The channel of the image.
    pub(super) x: *const T,
    /// The coordinate in the outermost axis.
    pub(super) plane: usize,
    /// The coordinate of the first row.
    pub(super) row: usize,
    pub(super) rows: Rows,
}

/// Copies a band, with zeros where there is padding, and writes a vector of zeros behind it.
///
/// # Safety
///
/// The axes are those of the channel; there is room for the band and two vectors; the machine has `V`'s instruction set.
#[inline(always)]
pub unsafe fn pad<V: Simd>(band: &Band<V::Element>, to: *mut V::Element) {
    let [outer, middle, inner] = band.axes;
    let width = band.rows.width;
    let plane = outer.locate(band.plane as isize - outer.low);
    let begin = inner.low.clamp(0, width as isize) as usize;
    let end = (inner.low + inner.input as isize).clamp(begin as isize, width as isize) as usize;
    for row in 0..band.rows.count {
        let at = (band.row + row) as isize - middle.low;
        let offset = plane.and_then(|plane| Some(plane + middle.locate(at)?));
        let from = offset.map(|offset| band.x.wrapping_offset(offset));
        // SAFETY: rows are in order, so what a vector writes too much is overwritten by the row behind it, or is behind
        // the band; only elements within the input are read.
        unsafe {
            let to = to.add(row * width);
            match from {
                Some(from) if inner.x != 1 => copy_strided(from, inner, width, begin..end, to),
                // A row of a small image is one vector, and its mask that of all.
                Some(from) if width <= V::LANES => {
                    V::load_range(from.wrapping_offset(-inner.low), begin, end).store(to);
                }
                Some(from) => copy_run::<V>(from, -inner.low, inner.input as isize, width, to),
                None => {
                    for j in (0..width).step_by(V::LANES) {
                        V::splat(V::Element::default()).store(to.add(j));
                    }
                }
            }
        }
    }
    // SAFETY: the room behind the band. What tiles read there is thrown away, but should not be numbers that are slow to
    // compute with.
    unsafe { V::splat(V::Element::default()).store(to.add(band.rows.elements())) };
}

/// Copies a row whose elements are not next to one another; `within` are the coordinates of those that are there.
unsafe fn copy_strided<T: Copy + Default>(
    from: *const T,
    axis: &Axis,
    width: usize,
    within: Range<usize>,
    to: *mut T,
) {
    // SAFETY: the row has room for `width` elements; only elements within the input are read.
    unsafe {
        let outside = (0..within.start).chain(within.end..width);
        outside.for_each(|j| to.add(j).write(T::default()));
        let first = from.wrapping_offset((within.start as isize - axis.low) * axis.x);
        for (k, j) in within.enumerate() {
            to.add(j).write(first.wrapping_offset(k as isize * axis.x).read());
        }
    }
}
