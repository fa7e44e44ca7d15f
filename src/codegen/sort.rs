//! Sorting: the routine that a kernel calls for its lines, and how these are divided.

use crate::kernels::sort::{self, Lines};
use kiln_ir::op::sort::ArgSort;
use kiln_ir::{DType, Shape};

/// `fn(pointers, scratch, first line, line after the last, extent, stride, whether descending)`: the pointers are to the
/// operand and to the result.
pub type SortFunction = unsafe extern "C" fn(*const *mut u8, *mut u8, usize, usize, usize, usize, usize);

/// A sort, ready to be called by the driver.
#[derive(Clone, Copy, Debug)]
pub struct SortCall {
    /// Name of the routine as a symbol.
    pub name: &'static str,
    /// The routine.
    pub function: SortFunction,
    /// Lines to be sorted.
    pub lines: usize,
    /// Elements of each.
    pub extent: usize,
    /// Distance of neighbouring elements of a line.
    pub stride: usize,
    /// Whether the greatest element comes first.
    pub descending: bool,
}

impl SortCall {
    /// The call for a sort of a tensor.
    pub fn new(sort: ArgSort, dtype: DType, shape: &Shape) -> SortCall {
        let (name, function): (_, SortFunction) = match dtype {
            DType::F32 => ("kiln_argsort_f32", kiln_argsort::<f32>),
            DType::F64 => ("kiln_argsort_f64", kiln_argsort::<f64>),
            DType::I32 => ("kiln_argsort_i32", kiln_argsort::<i32>),
            DType::I64 => ("kiln_argsort_i64", kiln_argsort::<i64>),
            // A truth value is a byte, 0 or 1.
            DType::U8 | DType::Bool => ("kiln_argsort_u8", kiln_argsort::<u8>),
        };
        let (extent, stride) = (shape[sort.axis], shape.strides()[sort.axis]);
        let lines = shape.without(&[sort.axis]).n_elements();
        SortCall { name, function, lines, extent, stride, descending: sort.descending }
    }

    /// Bytes of scratch memory per thread.
    pub fn scratch_bytes(&self) -> usize {
        sort::scratch_bytes(self.extent)
    }

    /// Elements times what is done with each: a few passes over the digits of its key.
    pub fn work(&self) -> usize {
        const PASSES: usize = 16;
        self.lines.saturating_mul(self.extent).saturating_mul(PASSES)
    }
}

/// Sorts a thread's lines; called by generated code.
///
/// # Safety
/// The pointers are to the operand and the result of a sort of a live program with these lines, apart from each other, and
/// `scratch` is this thread's and as large as planned.
unsafe extern "C" fn kiln_argsort<T: sort::Sortable>(
    pointers: *const *mut u8,
    scratch: *mut u8,
    begin: usize,
    end: usize,
    extent: usize,
    stride: usize,
    descending: usize,
) {
    let lines = Lines { begin, end, extent, stride, descending: descending != 0 };
    // SAFETY: the caller's promise.
    unsafe {
        let (x, result) = (*pointers, *pointers.add(1));
        sort::argsort::<T>(x.cast_const().cast(), result.cast(), scratch, lines);
    }
}
