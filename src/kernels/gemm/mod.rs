//! Matrix products: batched, of any strides, in f32 and f64, with an epilogue on the results while they are in cache.
//!
//! [`gemm`] computes one thread's part. The bits of the result depend on the instruction set, the shape and which
//! strides are one, never on the number of threads.

use std::ops::Range;

use super::isa::Isa;
pub use super::part::{Epilogue, Part};
use nest::{Extents, Product};
use pack::Source;
pub(super) use routines::{Element, Routines};
use tile::Target;

mod matvec;
mod narrow;
pub(super) mod nest;
pub(super) mod pack;
mod routines;
mod shallow;
#[cfg(test)]
mod tests;
pub(super) mod tile;
mod vector;

/// The most axes of a batch.
pub const BATCH_AXES: usize = 3;

/// The types that products are computed in.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FloatType {
    /// 32 bits.
    F32,
    /// 64 bits.
    F64,
}

impl FloatType {
    /// Bytes of an element.
    pub fn size(self) -> usize {
        match self {
            FloatType::F32 => size_of::<f32>(),
            FloatType::F64 => size_of::<f64>(),
        }
    }
}

/// How a batch of matrices lies in memory: strides in elements, of any sign.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct View {
    /// The strides of the batch axes.
    pub batch: [isize; BATCH_AXES],
    /// From a row to the next.
    pub row: isize,
    /// From a column to the next.
    pub column: isize,
}

/// Columns that lie in panels, which is the order in which tiles read them: nothing is packed then.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Panels {
    /// Columns of a panel: a whole number of vectors that divides the number of columns.
    pub width: usize,
    /// From a panel to the next, in elements.
    pub stride: isize,
}

/// A batch of matrix products `c = a * b`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GemmSpec {
    /// The type of all elements.
    pub dtype: FloatType,
    /// The extents of the batch axes, outermost first; 1 for those that are not used.
    pub batch: [usize; BATCH_AXES],
    /// Rows of `a` and `c`.
    pub m: usize,
    /// Columns of `b` and `c`.
    pub n: usize,
    /// Columns of `a` and rows of `b`.
    pub k: usize,
    /// `a`: `m` by `k`.
    pub a: View,
    /// `b`: `k` by `n`.
    pub b: View,
    /// How the columns of `b` lie, if in panels: then the column stride is 1, within a panel.
    pub panels: Option<Panels>,
    /// `c`: `m` by `n`; its column stride must be 1 unless `n` is 1.
    pub c: View,
}

impl GemmSpec {
    /// The same product with the batch made part of the rows where all matrices of the batch share `b` and the rows
    /// of `a` and `c` go on from one to the next.
    fn merged(&self) -> GemmSpec {
        let mut spec = *self;
        for axis in (0..BATCH_AXES).rev() {
            let rows = spec.m as isize;
            if spec.batch[axis] != 1 {
                let follows = |view: &View| view.batch[axis] == rows * view.row;
                if spec.b.batch[axis] != 0 || !follows(&spec.a) || !follows(&spec.c) {
                    break;
                }
                spec.m *= spec.batch[axis];
                spec.batch[axis] = 1;
            }
        }
        spec
    }

    fn extents(&self) -> Extents {
        Extents {
            batch: self.batch.iter().product(),
            rows: self.m,
            columns: self.n,
            depth: self.k,
            panel: self.panels.map(|panels| panels.width),
        }
    }

    /// The distance of matrix `index` of the batch from the first.
    fn batch_offset(&self, view: &View, mut index: usize) -> isize {
        let mut offset = 0;
        for axis in (0..BATCH_AXES).rev() {
            offset += (index % self.batch[axis]) as isize * view.batch[axis];
            index /= self.batch[axis];
        }
        offset
    }
}

/// How many bytes of scratch [`gemm`] needs in every thread, whatever the number of parts.
pub fn scratch_bytes(isa: Isa, spec: &GemmSpec) -> usize {
    fn of<T: Element>(isa: Isa, spec: &GemmSpec) -> usize {
        let routines = T::routines(isa);
        match matvec::Matvec::new(spec) {
            Some(product) => product.scratch_bytes(size_of::<T>()),
            None if shallow::is_shallow(spec) => shallow::scratch_bytes(routines, spec),
            None => nest::scratch_bytes(routines, &spec.extents()),
        }
    }
    let spec = spec.merged();
    match spec.dtype {
        FloatType::F32 => of::<f32>(isa, &spec),
        FloatType::F64 => of::<f64>(isa, &spec),
    }
}

/// Computes this part of `c = a * b` and calls the epilogue on every finished region.
///
/// The epilogue counts rows over the whole batch: row `i` of matrix `b` is `b * m + i`.
///
/// # Safety
///
/// `isa` is available. The operands are readable and the result is writable where the spec says, aligned to their
/// elements, and the result overlaps neither operand nor itself. `scratch` has [`scratch_bytes`], is aligned to 64
/// bytes, and is this thread's own during the call.
#[expect(
    clippy::too_many_arguments,
    reason = "what a product is, where it is, and what one thread does of it"
)]
pub unsafe fn gemm(
    isa: Isa,
    spec: &GemmSpec,
    a: *const u8,
    b: *const u8,
    c: *mut u8,
    scratch: *mut u8,
    part: Part,
    epilogue: Option<&Epilogue>,
) {
    unsafe fn of<T: Element>(
        isa: Isa,
        spec: &GemmSpec,
        [a, b]: [*const T; 2],
        [c, scratch]: [*mut T; 2],
        part: Part,
        epilogue: Option<&Epilogue>,
    ) {
        let routines = T::routines(isa);
        // SAFETY: the caller's promises.
        unsafe {
            if let Some(product) = matvec::Matvec::new(spec) {
                product.run(routines, [a, b], [c, scratch], part, epilogue);
            } else if let Some(product) = narrow::Narrow::new(routines, spec) {
                product.run(routines, [a, b], c, part, epilogue);
            } else {
                let product = Matrices { routines, spec, a, b, c };
                if shallow::is_shallow(spec) {
                    shallow::run(&product, scratch, part, epilogue);
                } else {
                    nest::run(routines, &product, scratch, part, epilogue);
                }
            }
        }
    }
    let spec = spec.merged();
    debug_assert!(spec.c.column == 1 || spec.n <= 1, "the columns of a result are next to one another");
    // SAFETY: the caller's promises.
    unsafe {
        match spec.dtype {
            FloatType::F32 => {
                of::<f32>(isa, &spec, [a.cast(), b.cast()], [c.cast(), scratch.cast()], part, epilogue)
            }
            FloatType::F64 => {
                of::<f64>(isa, &spec, [a.cast(), b.cast()], [c.cast(), scratch.cast()], part, epilogue)
            }
        }
    }
}

/// The operands and the result of a product, as the loop nest wants them.
struct Matrices<'a, T: Element> {
    routines: &'a Routines<T>,
    spec: &'a GemmSpec,
    a: *const T,
    b: *const T,
    c: *mut T,
}

impl<T: Element> Matrices<'_, T> {
    /// Where an element of the result is, and the distance between rows.
    fn place(&self, batch: usize, row: usize, column: usize) -> (*mut T, isize) {
        let view = &self.spec.c;
        let offset = self.spec.batch_offset(view, batch) + row as isize * view.row + column as isize;
        (self.c.wrapping_offset(offset), view.row)
    }

    /// Where an element of the right operand is.
    fn right(&self, batch: usize, column: usize, depth: usize) -> *const T {
        let view = &self.spec.b;
        let along = match self.spec.panels {
            Some(Panels { width, stride }) => (column / width) as isize * stride + (column % width) as isize,
            None => column as isize * view.column,
        };
        self.b.wrapping_offset(self.spec.batch_offset(view, batch) + along + depth as isize * view.row)
    }
}

impl<T: Element> Product for Matrices<'_, T> {
    type Element = T;

    fn extents(&self) -> Extents {
        self.spec.extents()
    }

    unsafe fn pack_rows(&self, batch: usize, rows: Range<usize>, depth: Range<usize>, panel: *mut T) {
        let view = &self.spec.a;
        let offset = self.spec.batch_offset(view, batch)
            + rows.start as isize * view.row
            + depth.start as isize * view.column;
        let source = Source {
            at: self.a.wrapping_offset(offset),
            line_stride: view.row,
            depth_stride: view.column,
            lines: rows.len(),
            depth: depth.len(),
        };
        // SAFETY: the caller's promises.
        unsafe { (self.routines.pack)(&source, panel, rows.len()) }
    }

    unsafe fn pack_columns(
        &self,
        batch: usize,
        columns: Range<usize>,
        depth: Range<usize>,
        panel: *mut T,
        width: usize,
    ) {
        let view = &self.spec.b;
        let source = Source {
            at: self.right(batch, columns.start, depth.start),
            line_stride: view.column,
            depth_stride: view.row,
            lines: columns.len(),
            depth: depth.len(),
        };
        // SAFETY: the caller's promises.
        unsafe { (self.routines.pack)(&source, panel, width) }
    }

    fn columns_in_place(&self, batch: usize, column: usize, depth: usize) -> Option<(*const T, isize)> {
        let view = &self.spec.b;
        (view.column == 1).then(|| (self.right(batch, column, depth), view.row))
    }

    fn result_in_place(&self, batch: usize, row: usize, columns: Range<usize>) -> Option<(*mut T, isize)> {
        Some(self.place(batch, row, columns.start))
    }

    fn result_runs(&self, _: usize, _: usize, _: Range<usize>, _: impl FnMut(usize, Target<T>)) {
        unreachable!("the result of a product is always in place")
    }

    unsafe fn finish(&self, batch: usize, rows: Range<usize>, columns: Range<usize>, epilogue: &Epilogue) {
        let before = batch * self.spec.m;
        // SAFETY: the caller's promise.
        unsafe { epilogue.call(before + rows.start..before + rows.end, columns) }
    }
}
