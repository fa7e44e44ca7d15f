//! Products of few rows or few columns whose operands both lie along the depth, without packing.
//!
//! A tile of ten columns would waste six lanes of sixteen, and packing the other operand would cost as much as the
//! product itself. Here lanes are depths: a tile is as many dot products as a vector has lanes, whose partial sums are
//! added across lanes at the end, all at once.

use super::routines::{Element, Routines};
use super::vector::Lines;
use super::{Epilogue, GemmSpec, Part};
use crate::kernels::part::Costs;

/// The most rows or columns: with more, packing pays.
const MOST: usize = 20;
/// The least vectors of depth: with fewer, the sums across lanes are most of the work.
const LEAST_VECTORS: usize = 4;
/// Lines of the longer side that are computed, and finished, together: their results stay in the first cache.
const CHUNK: usize = 256;

/// A product of few rows or columns.
pub struct Narrow<'a>(&'a GemmSpec);

impl<'a> Narrow<'a> {
    /// The product, if it is one.
    pub fn new<T: Element>(routines: &Routines<T>, spec: &'a GemmSpec) -> Option<Narrow<'a>> {
        let narrow = (2..=MOST).contains(&spec.m.min(spec.n));
        let deep = spec.a.column == 1 && spec.b.row == 1 && spec.k >= LEAST_VECTORS * routines.lanes;
        (narrow && deep && spec.panels.is_none()).then_some(Narrow(spec))
    }

    /// Computes the part.
    ///
    /// # Safety
    ///
    /// As for [`super::gemm`].
    pub unsafe fn run<T: Element>(
        &self,
        routines: &Routines<T>,
        [a, b]: [*const T; 2],
        c: *mut T,
        part: Part,
        epilogue: Option<&Epilogue>,
    ) {
        let Narrow(spec) = self;
        let batch = spec.batch.iter().product();
        let costs = Costs { tile_rows: routines.lanes / 2, column_unit: 64 / size_of::<T>() };
        let Some(share) = costs.share([batch, spec.m, spec.n], spec.k, part) else { return };
        let lines = |at: *const T, first: usize, stride: isize, lines: usize| Lines {
            at: at.wrapping_offset(first as isize * stride),
            stride,
            lines,
            depth: spec.k,
        };
        for index in share.batch {
            let [a, b] = [(a, &spec.a), (b, &spec.b)]
                .map(|(at, view)| at.wrapping_offset(spec.batch_offset(view, index)));
            let c = c.wrapping_offset(spec.batch_offset(&spec.c, index));
            for first in share.rows.clone().step_by(CHUNK) {
                let rows = first..(first + CHUNK).min(share.rows.end);
                for first in share.columns.clone().step_by(CHUNK) {
                    let columns = first..(first + CHUNK).min(share.columns.end);
                    let left = lines(a, rows.start, spec.a.row, rows.len());
                    let right = lines(b, columns.start, spec.b.column, columns.len());
                    let offset = rows.start as isize * spec.c.row + columns.start as isize;
                    let result = c.wrapping_offset(offset);
                    // SAFETY: the caller's promises.
                    unsafe {
                        if left.lines >= right.lines {
                            (routines.dots)(&left, &right, result, [spec.c.row, 1]);
                        } else {
                            (routines.dots)(&right, &left, result, [1, spec.c.row]);
                        }
                        if let Some(epilogue) = epilogue {
                            let before = index * spec.m;
                            epilogue.call(before + rows.start..before + rows.end, columns);
                        }
                    }
                }
            }
        }
    }
}
