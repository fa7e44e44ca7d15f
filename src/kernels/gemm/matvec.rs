//! Products with one row or one column: matrix times vector, without packing.

use std::ops::Range;

use super::routines::{Element, Routines};
use super::vector::Lines;
use super::{Epilogue, GemmSpec, Part, View};
use crate::kernels::part::Costs;

/// A product that is a matrix times a vector, whichever of its operands is the vector.
pub struct Matvec {
    spec: GemmSpec,
    /// Whether the left operand is the vector (there is one row), so that results lie along the columns.
    along_columns: bool,
    /// Whether the depths of the matrix are next to one another; else its lines are.
    deep: bool,
}

/// Results that are computed, and finished, together: with `combine` they stay in the first cache.
const CHUNK: usize = 2048;

impl Matvec {
    /// The product as a matrix times a vector, if it is one and the matrix has a stride of one.
    pub fn new(spec: &GemmSpec) -> Option<Matvec> {
        if spec.panels.is_some() {
            return None;
        }
        let (along_columns, line, depth, result) = if spec.m == 1 {
            (true, spec.b.column, spec.b.row, 1)
        } else if spec.n == 1 {
            (false, spec.a.row, spec.a.column, spec.c.row)
        } else {
            return None;
        };
        let deep = depth == 1;
        (deep || (line == 1 && result == 1)).then_some(Matvec { spec: *spec, along_columns, deep })
    }

    /// Room for the vector, if it must be made contiguous.
    pub fn scratch_bytes(&self, size: usize) -> usize {
        if self.vector_stride() == 1 { 0 } else { self.spec.k * size }
    }

    fn vector_stride(&self) -> isize {
        if self.along_columns { self.spec.a.column } else { self.spec.b.row }
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
        [c, scratch]: [*mut T; 2],
        part: Part,
        epilogue: Option<&Epilogue>,
    ) {
        let spec = &self.spec;
        let batch = spec.batch.iter().product();
        // Lines are columns to the division of work, so that no two threads write to one cache line.
        let costs = Costs { tile_rows: 1, column_unit: 64 / size_of::<T>() };
        let lines = if self.along_columns { spec.n } else { spec.m };
        let Some(share) = costs.share([batch, 1, lines], spec.k, part) else { return };
        let at = |view: &View, index| spec.batch_offset(view, index);
        for index in share.batch {
            let (left, right) =
                (a.wrapping_offset(at(&spec.a, index)), b.wrapping_offset(at(&spec.b, index)));
            let (matrix, vector) = if self.along_columns { (right, left) } else { (left, right) };
            // SAFETY: the caller's promises.
            unsafe {
                let vector = self.contiguous(vector, scratch);
                let result = c.wrapping_offset(at(&spec.c, index));
                let mut first = share.columns.start;
                while first < share.columns.end {
                    let chunk = first..(first + CHUNK).min(share.columns.end);
                    self.chunk(routines, chunk.clone(), matrix, vector, result);
                    if let Some(epilogue) = epilogue {
                        self.finish(index, chunk.clone(), epilogue);
                    }
                    first = chunk.end;
                }
            }
        }
    }

    /// The vector itself, or a copy of it in `scratch`.
    unsafe fn contiguous<T: Element>(&self, vector: *const T, scratch: *mut T) -> *const T {
        let stride = self.vector_stride();
        if stride == 1 {
            return vector;
        }
        for p in 0..self.spec.k {
            // SAFETY: the vector has `k` elements, and so has the scratch.
            unsafe { *scratch.add(p) = *vector.offset(p as isize * stride) }
        }
        scratch
    }

    unsafe fn chunk<T: Element>(
        &self,
        routines: &Routines<T>,
        lines: Range<usize>,
        matrix: *const T,
        vector: *const T,
        result: *mut T,
    ) {
        let spec = &self.spec;
        let (line_stride, depth_stride, result_stride) = if self.along_columns {
            (spec.b.column, spec.b.row, 1)
        } else {
            (spec.a.row, spec.a.column, spec.c.row)
        };
        let first = lines.start as isize;
        let result = result.wrapping_offset(first * result_stride);
        let matrix = Lines {
            at: matrix.wrapping_offset(first * line_stride),
            stride: if self.deep { line_stride } else { depth_stride },
            lines: lines.len(),
            depth: spec.k,
        };
        // SAFETY: the caller's promises.
        unsafe {
            if self.deep {
                (routines.dot)(&matrix, vector, result, result_stride);
            } else {
                (routines.combine)(&matrix, vector, result);
            }
        }
    }

    unsafe fn finish(&self, batch: usize, lines: Range<usize>, epilogue: &Epilogue) {
        // SAFETY: the caller's promise.
        unsafe {
            if self.along_columns {
                epilogue.call(batch..batch + 1, lines);
            } else {
                let before = batch * self.spec.m;
                epilogue.call(before + lines.start..before + lines.end, 0..1);
            }
        }
    }
}
