//! Packing the columns of a convolution by way of a patch.
//!
//! Neighbours in a row of the output see neighbours in the input, or elements that are as far apart as the window moves.
//! Rows of small images are shorter than a vector, so that a panel of columns is made of many of them, and each has its
//! own padding: finding out for every depth where each of them is costs more than the copying. So what all windows of a
//! panel cover in one channel is first copied once, with zeros where there is padding, and where the window moves by `s`
//! elements, in `s` phases of every `s`-th element. In such a patch all columns are runs of neighbours, at every position
//! of the kernel at the same distance from where they are at the first:
//!
//! ```text
//! panel[c, i, j][run + k] = patch[c][place of run + shift of (i, j) + k]
//! ```
//!
//! What is left to do for a depth is some copies of a size that the compiler knows.

use std::mem::MaybeUninit;
use std::ops::Range;

use smallvec::SmallVec;

use super::window::{MOST_COLUMNS, Window, runs};
use super::{Axis, SPATIAL_AXES};
use crate::kernels::simd::{Float, MOST_LANES, Simd};

/// The most elements of all patches that are filled at once: half of a first cache of 32 KB for f32. Several channels
/// together, so that what is read was not written by the instructions just before.
const ELEMENTS: usize = 4096;

/// What the windows meet along an axis: every `step`-th element.
#[derive(Clone, Copy)]
struct Steps {
    step: usize,
    /// How many steps the window moves.
    stride: usize,
    /// Steps between the elements that neighbours in the kernel are multiplied with.
    dilation: usize,
    /// How many whole strides these are, and how many steps more.
    whole: usize,
    rest: usize,
    /// Steps from the first to the last element of a window.
    reach: usize,
}

impl Steps {
    fn new(axis: &Axis) -> Steps {
        let dilation = if axis.kernel > 1 { axis.kernel_dilation } else { 0 };
        let (mut step, mut rest) = (axis.stride, dilation);
        while rest > 0 {
            (step, rest) = (rest, step % rest);
        }
        let (stride, dilation) = (axis.stride / step, dilation / step);
        let reach = (axis.kernel - 1) * dilation;
        Steps { step, stride, dilation, whole: dilation / stride, rest: dilation % stride, reach }
    }

    /// How many elements `outputs` windows meet.
    fn covered(&self, outputs: usize) -> usize {
        (outputs - 1) * self.stride + self.reach + 1
    }
}

/// A part of a plane of the input that a patch has a copy of.
#[derive(Clone, Copy)]
struct View<T> {
    image: *const T,
    /// The coordinate of the plane at the first position of the outermost axis of the kernel.
    plane: isize,
    /// The coordinate of the first row.
    row: isize,
    /// How many rows there are.
    rows: usize,
    /// The coordinate of the first element of a row.
    column: isize,
    /// The rows that are not padding.
    inside_rows: [usize; 2],
    /// The elements of a row that are not padding, counted without steps.
    inside: [usize; 2],
    /// Rows of the patch before it.
    before: usize,
}

/// A row of the input in a patch.
#[derive(Clone, Copy)]
struct Line<T> {
    /// The first element in the first channel that is not padding.
    from: *const T,
    /// Where the row begins in the patch.
    to: usize,
    /// As of its view.
    inside: [usize; 2],
}

/// The most rows of which a list is made: as many as small images have in a panel.
const MOST_LINES: usize = 64;

/// Which of `count` elements from coordinate `first` on are among the `extent` of an axis.
fn clip(first: isize, extent: usize, count: usize) -> [usize; 2] {
    let end = (extent as isize - first).clamp(0, count as isize) as usize;
    [((-first).max(0) as usize).min(end), end]
}

/// How the columns of a panel are packed. A patch is a phase after another, each of the rows of all views.
pub(super) struct Patch<'a, T> {
    window: &'a Window<'a, T>,
    middle: Steps,
    inner: Steps,
    views: SmallVec<[View<T>; MOST_COLUMNS]>,
    /// The rows that are not padding, if the kernel has one plane and they are few.
    lines: Option<SmallVec<[Line<T>; MOST_LINES]>>,
    /// Whether each of them is a part of one vector, of the same lanes.
    is_short: bool,
    /// Where in the panel, and in the patch at the first position of the kernel, runs of at most a vector begin.
    places: SmallVec<[[usize; 2]; MOST_COLUMNS]>,
    /// The longest of these runs.
    longest: usize,
    /// Elements of a row of one phase.
    pitch: usize,
    /// Elements of a phase.
    phase: usize,
    /// Elements of the patch of a channel.
    elements: usize,
}

impl<'a, T: Float> Patch<'a, T> {
    /// Nothing where elements of the input are not next to one another, or the patch of one channel is too large.
    #[inline(always)]
    pub fn new(window: &'a Window<'a, T>, lanes: usize) -> Option<Patch<'a, T>> {
        let [_, middle, inner] = &window.spec.axes;
        if inner.x != 1 || inner.input_dilation != 1 || middle.input_dilation != 1 || window.depth.is_empty()
        {
            return None;
        }
        let mut patch = Patch {
            window,
            middle: Steps::new(middle),
            inner: Steps::new(inner),
            views: SmallVec::new(),
            lines: None,
            is_short: false,
            places: SmallVec::new(),
            longest: 0,
            pitch: 0,
            phase: 0,
            elements: 0,
        };
        patch.place(lanes);
        (patch.elements <= ELEMENTS).then_some(patch)
    }

    /// Finds out which parts of the input the runs see.
    fn place(&mut self, lanes: usize) {
        let axis = &self.window.spec.axes[SPATIAL_AXES - 1];
        // Long rows are not copied whole: few runs of them are in a panel.
        let is_long = axis.output >= lanes;
        let longest = runs(self.window).fold(0, |longest, run| longest.max(run.length));
        let covered = self.inner.covered(if is_long { longest } else { axis.output });
        self.pitch = covered.div_ceil(self.inner.stride);
        self.longest = longest.min(lanes);
        let mut rows = 0;
        for run in runs(self.window) {
            let [plane, row, column] = run.start;
            let is_same = self.views.last().is_some_and(|last| {
                !is_long && last.image == run.image && last.plane == plane && last.row <= row
            });
            if !is_same {
                let column = if is_long { column } else { -axis.low };
                let inside = clip(column, axis.input, (covered - 1) * self.inner.step + 1);
                let view = View {
                    image: run.image,
                    plane,
                    row,
                    rows: 0,
                    column,
                    inside_rows: [0; 2],
                    inside,
                    before: rows,
                };
                self.views.push(view);
            }
            let n_views = self.views.len();
            let view = &mut self.views[n_views - 1];
            // The row and the column of the run, in steps from the first of the view.
            let row = (row - view.row) as usize / self.middle.step;
            let column = (column - view.column) as usize / axis.stride;
            view.rows = view.rows.max(row + self.middle.reach + 1);
            rows = view.before + view.rows;
            let place = (view.before + row) * self.pitch + column;
            for piece in (0..run.length).step_by(lanes) {
                self.places.push([run.before + piece, place + piece]);
            }
        }
        let middle = &self.window.spec.axes[SPATIAL_AXES - 2];
        for view in &mut self.views {
            let step = self.middle.step;
            view.inside_rows =
                clip(view.row, middle.input, (view.rows - 1) * step + 1).map(|row| row.div_ceil(step));
        }
        self.phase = rows * self.pitch + lanes;
        self.elements = self.inner.stride * self.phase;
        self.lines = self.list();
        let inside = self.views[0].inside;
        self.is_short = inside[1] <= lanes && self.views.iter().all(|view| view.inside == inside);
    }

    /// Lists the rows.
    fn list(&self) -> Option<SmallVec<[Line<T>; MOST_LINES]>> {
        let [outer, middle, _] = &self.window.spec.axes;
        let mut lines = SmallVec::new();
        for view in &self.views {
            let [begin, end] = view.inside_rows;
            if outer.kernel > 1 || lines.len() + (end - begin) > MOST_LINES {
                return None;
            }
            let Some(plane) = outer.locate(view.plane) else { continue };
            for row in begin..end {
                let at = (view.row + (row * self.middle.step) as isize) * middle.x;
                let from = view.image.wrapping_offset(plane + at + view.column + view.inside[0] as isize);
                let to = (view.before + row) * self.pitch;
                lines.push(Line { from, to, inside: view.inside });
            }
        }
        Some(lines)
    }

    /// Packs the panel.
    ///
    /// # Safety
    ///
    /// As for [`super::window::pack_window`].
    #[inline(always)]
    pub unsafe fn pack<V: Simd<Element = T>>(&self, panel: *mut T, width: usize) {
        // As many elements as the longest run has are copied of each.
        let size = self.longest.next_power_of_two().clamp(V::LANES.min(4), V::LANES);
        let places = &self.places[..];
        let is_regular =
            places.len() * size == width && places.iter().enumerate().all(|(i, place)| place[0] == i * size);
        let mut patches = [MaybeUninit::<T>::uninit(); ELEMENTS + MOST_LANES];
        let patches = patches.as_mut_ptr().cast::<T>();
        // SAFETY: passed on.
        unsafe {
            match (size, if is_regular { places.len() } else { 0 }) {
                (16, 2) => self.pack_by::<V, 16, 2>(patches, panel, width),
                (16, _) => self.pack_by::<V, 16, 0>(patches, panel, width),
                (8, 4) => self.pack_by::<V, 8, 4>(patches, panel, width),
                (8, 2) => self.pack_by::<V, 8, 2>(patches, panel, width),
                (8, _) => self.pack_by::<V, 8, 0>(patches, panel, width),
                (4, 8) => self.pack_by::<V, 4, 8>(patches, panel, width),
                (4, 4) => self.pack_by::<V, 4, 4>(patches, panel, width),
                (4, _) => self.pack_by::<V, 4, 0>(patches, panel, width),
                (_, _) => self.pack_by::<V, 2, 0>(patches, panel, width),
            }
        }
    }

    /// Packs by copies of `SIZE` elements, of `RUNS` runs of that length one after another, or of any if that is 0.
    #[inline(always)]
    unsafe fn pack_by<V: Simd<Element = T>, const SIZE: usize, const RUNS: usize>(
        &self,
        patches: *mut T,
        mut panel: *mut T,
        width: usize,
    ) {
        let [outer, middle, inner] = &self.window.spec.axes;
        let positions = middle.kernel * inner.kernel;
        let Range { start, end } = self.window.depth;
        let planes = start / positions..(end - 1) / positions + 1;
        let at_once = (ELEMENTS / self.elements).min(planes.len());
        let mut at = [planes.start / outer.kernel, planes.start % outer.kernel];
        // SAFETY: there is room for the patches of `at_once` planes and a vector.
        unsafe {
            for i in (0..at_once * self.elements).step_by(V::LANES) {
                V::splat(T::default()).store(patches.add(i));
            }
            for first in planes.clone().step_by(at_once) {
                let planes = first..(first + at_once).min(planes.end);
                for i in 0..planes.len() {
                    self.fill::<V>(at, patches.add(i * self.elements));
                    at[1] += 1;
                    if at[1] == outer.kernel {
                        at = [at[0] + 1, 0];
                    }
                }
                for (i, plane) in planes.enumerate() {
                    let before = plane * positions;
                    let depth = start.max(before) - before..end.min(before + positions) - before;
                    let patch = patches.add(i * self.elements);
                    let count = depth.len();
                    self.copy::<SIZE, RUNS>(depth, patch, panel, width);
                    panel = panel.add(count * width);
                }
            }
        }
    }

    /// Fills the patch of a channel at a position of the outermost axis of the kernel. What is padding in every channel
    /// is zero already; beyond the end of a row zeros are written, which rows behind it overwrite.
    #[inline(always)]
    unsafe fn fill<V: Simd<Element = T>>(&self, [channel, position]: [usize; 2], to: *mut T) {
        let spec = self.window.spec;
        let [outer, middle, _] = &spec.axes;
        if let Some(lines) = &self.lines {
            // SAFETY: the lines are in the images.
            return unsafe { self.fill_lines::<V>(lines, channel as isize * spec.x_channel, to) };
        }
        let row_step = self.middle.step as isize * middle.x;
        for view in &self.views {
            let plane = outer.locate(view.plane + (position * outer.kernel_dilation) as isize);
            let [begin, end] = view.inside_rows;
            let first = view.row + (begin * self.middle.step) as isize;
            let before = first * middle.x + view.column + view.inside[0] as isize;
            let channel = channel as isize * spec.x_channel;
            let mut from = plane.map(|plane| view.image.wrapping_offset(plane + channel + before));
            for row in begin..end {
                let to = to.wrapping_add((view.before + row) * self.pitch);
                // SAFETY: the row is in the image, and the elements are those inside.
                unsafe {
                    match &mut from {
                        Some(from) => {
                            self.fill_row::<V>(*from, view.inside, to);
                            *from = from.wrapping_offset(row_step);
                        }
                        None => self.clear_row::<V>(to),
                    }
                }
            }
        }
    }

    /// Fills the lines from so many elements behind those of the first channel.
    #[inline(always)]
    unsafe fn fill_lines<V: Simd<Element = T>>(&self, lines: &[Line<T>], channel: isize, to: *mut T) {
        let [begin, end] = self.views[0].inside;
        // SAFETY: as for whole rows. Short lines are one vector each, and its mask that of all.
        unsafe {
            for line in lines {
                let (from, to) = (line.from.wrapping_offset(channel), to.add(line.to));
                if !self.is_short {
                    self.fill_row::<V>(from, line.inside, to);
                    continue;
                }
                let x = V::load_range(from.wrapping_sub(begin), begin, end);
                match (self.inner.step, self.inner.stride) {
                    (1, 1) => x.store(to),
                    (2, 1) => V::deinterleave(x, V::splat(T::default())).0.store(to),
                    (1, 2) => {
                        let (even, odd) = V::deinterleave(x, V::splat(T::default()));
                        even.store(to);
                        odd.store(to.add(self.phase));
                    }
                    _ => self.fill_row::<V>(from, line.inside, to),
                }
            }
        }
    }

    /// Zeros in a row of all phases.
    #[inline(always)]
    unsafe fn clear_row<V: Simd<Element = T>>(&self, to: *mut T) {
        for phase in 0..self.inner.stride {
            for i in (0..self.pitch).step_by(V::LANES) {
                // SAFETY: the row is in the patch, and what is behind it is written later or is room for vectors.
                unsafe { V::splat(T::default()).store(to.add(phase * self.phase + i)) };
            }
        }
    }

    /// Copies the elements of a row that are no padding, the first of which is at `from`.
    #[inline(always)]
    unsafe fn fill_row<V: Simd<Element = T>>(&self, from: *const T, [begin, end]: [usize; 2], to: *mut T) {
        let Steps { step, stride, .. } = self.inner;
        // SAFETY: only elements from `begin` to `end` are read. The others in a vector are zeros; what they overwrite
        // is zero, or a row that is filled later.
        unsafe {
            match (step, stride) {
                (1, 1) => {
                    for i in (begin..end).step_by(V::LANES) {
                        let from = from.wrapping_add(i - begin);
                        let x =
                            if i + V::LANES <= end { V::load(from) } else { V::load_range(from, 0, end - i) };
                        x.store(to.add(i));
                    }
                }
                // One phase of every second element, or two phases.
                (2, 1) | (1, 2) => {
                    for i in (begin & !1..end).step_by(2 * V::LANES) {
                        let half = |i: usize| {
                            let lane = |at: usize| at.saturating_sub(i).min(V::LANES);
                            let from = from.wrapping_add(i).wrapping_sub(begin);
                            V::load_range(from, lane(begin), lane(end))
                        };
                        let (even, odd) = V::deinterleave(half(i), half(i + V::LANES));
                        even.store(to.add(i / 2));
                        if stride == 2 {
                            odd.store(to.add(self.phase + i / 2));
                        }
                    }
                }
                _ => {
                    for i in begin.div_ceil(step)..end.div_ceil(step) {
                        let x = *from.wrapping_add(i * step - begin);
                        *to.add(i % stride * self.phase + i / stride) = x;
                    }
                }
            }
        }
    }

    /// Packs these positions of the kernel from a patch.
    #[inline(always)]
    unsafe fn copy<const SIZE: usize, const RUNS: usize>(
        &self,
        depth: Range<usize>,
        patch: *const T,
        mut panel: *mut T,
        width: usize,
    ) {
        let extent = self.window.spec.axes[SPATIAL_AXES - 1].kernel;
        let places = &self.places[..];
        let from: [*const T; RUNS] = std::array::from_fn(|i| patch.wrapping_add(places[i][1]));
        let Steps { whole, rest, stride, .. } = self.inner;
        let (mut row, mut position) = (if depth.start == 0 { 0 } else { depth.start / extent }, 0);
        let (mut phase, mut shift) = (0, row * self.middle.dilation * self.pitch);
        for p in row * extent..depth.end {
            if p >= depth.start {
                let shift = phase * self.phase + shift;
                // SAFETY: the runs are in the patch at every position of the kernel, with room for vectors behind it;
                // the panel has a row for every depth. Runs are in order, so what is written too much is overwritten
                // by the run, or the row of the panel, behind it.
                unsafe {
                    if RUNS > 0 {
                        for (i, from) in from.iter().enumerate() {
                            copy_array::<T, SIZE>(from.wrapping_add(shift), panel.add(i * SIZE));
                        }
                    } else {
                        for &[before, place] in places {
                            copy_array::<T, SIZE>(patch.add(place + shift), panel.add(before));
                        }
                    }
                    panel = panel.add(width);
                }
            }
            // The next position, without a division.
            position += 1;
            if position == extent {
                row += 1;
                (position, phase, shift) = (0, 0, row * self.middle.dilation * self.pitch);
            } else {
                (phase, shift) = (phase + rest, shift + whole);
                if phase >= stride {
                    (phase, shift) = (phase - stride, shift + 1);
                }
            }
        }
    }
}

/// Copies as many elements as the compiler knows.
#[inline(always)]
unsafe fn copy_array<T: Copy, const SIZE: usize>(from: *const T, to: *mut T) {
    // SAFETY: the caller promises that so many can be read and written.
    unsafe { to.cast::<[T; SIZE]>().write_unaligned(from.cast::<[T; SIZE]>().read_unaligned()) }
}
