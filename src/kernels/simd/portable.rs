//! Arrays as vectors of 128 bits, in plain Rust: the compiler finds what vector instructions the target has.

use super::{Float, MOST_LANES, Simd};

/// `[T; N]` as a vector, for the `N` that make 128 bits.
macro_rules! array_vector {
    ($element:ty, $lanes:literal) => {
        impl Simd for [$element; $lanes] {
            type Element = $element;
            const LANES: usize = $lanes;

            #[inline(always)]
            unsafe fn splat(x: $element) -> Self {
                [x; $lanes]
            }

            #[inline(always)]
            unsafe fn load(from: *const $element) -> Self {
                // SAFETY: the caller promises that all lanes can be read.
                unsafe { from.cast::<Self>().read_unaligned() }
            }

            #[inline(always)]
            unsafe fn load_range(from: *const $element, begin: usize, end: usize) -> Self {
                let mut lanes = [<$element>::default(); $lanes];
                for i in begin..end {
                    // SAFETY: the caller promises that these lanes can be read.
                    lanes[i] = unsafe { *from.add(i) };
                }
                lanes
            }

            #[inline(always)]
            unsafe fn store(self, to: *mut $element) {
                // SAFETY: the caller promises that all lanes can be written.
                unsafe { to.cast::<Self>().write_unaligned(self) }
            }

            #[inline(always)]
            unsafe fn store_first(self, to: *mut $element, count: usize) {
                // SAFETY: the caller promises that the first `count <= LANES` lanes can be written.
                unsafe { std::ptr::copy_nonoverlapping(self.as_ptr(), to, count) }
            }

            #[inline(always)]
            unsafe fn add(a: Self, b: Self) -> Self {
                std::array::from_fn(|i| a[i] + b[i])
            }

            #[inline(always)]
            unsafe fn sub(a: Self, b: Self) -> Self {
                std::array::from_fn(|i| a[i] - b[i])
            }

            #[inline(always)]
            unsafe fn mul_add(a: Self, b: Self, c: Self) -> Self {
                // Two roundings: where there is no instruction, `f32::mul_add` is a slow call.
                std::array::from_fn(|i| a[i] * b[i] + c[i])
            }

            #[inline(always)]
            unsafe fn transpose(block: &mut [Self; MOST_LANES]) {
                transpose(block)
            }

            #[inline(always)]
            unsafe fn deinterleave(a: Self, b: Self) -> (Self, Self) {
                let lane = |i: usize| if i < $lanes { a[i] } else { b[i - $lanes] };
                (std::array::from_fn(|i| lane(2 * i)), std::array::from_fn(|i| lane(2 * i + 1)))
            }

            #[inline(always)]
            unsafe fn interleave(a: Self, b: Self) -> (Self, Self) {
                let lane = |i: usize| if i % 2 == 0 { a[i / 2] } else { b[i / 2] };
                (std::array::from_fn(lane), std::array::from_fn(|i| lane(i + $lanes)))
            }
        }
    };
}

array_vector!(f32, 4);
array_vector!(f64, 2);

#[inline(always)]
fn transpose<T: Float, const N: usize>(block: &mut [[T; N]; MOST_LANES]) {
    let rows = *block;
    for (j, column) in block.iter_mut().enumerate().take(N) {
        *column = std::array::from_fn(|i| rows[i][j]);
    }
}
