//! Vectors of floats: the few operations that products and convolutions need, on every instruction set.
//!
//! The functions are `#[inline(always)]` and carry no target feature of their own: they compile to one instruction
//! when they are inlined into a function that enables the feature (`gemm::routines` has all of those).

use std::ops::{Add, Mul};

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

/// The longest vector: AVX-512 with f32.
pub const MOST_LANES: usize = 16;

/// What a vector holds: `f32` or `f64`.
pub trait Float: Copy + Default + Send + Sync + Add<Output = Self> + Mul<Output = Self> + 'static {
    /// One half.
    const HALF: Self;
}

impl Float for f32 {
    const HALF: f32 = 0.5;
}

impl Float for f64 {
    const HALF: f64 = 0.5;
}

/// A vector of floats.
///
/// # Safety
///
/// Of every function: the machine has the instruction set of the implementing type, and the lanes that are said to be
/// read or written are valid for that. Pointers need only the alignment of the element.
pub trait Simd: Copy {
    /// The type of a lane.
    type Element: Float;

    /// How many floats a vector holds; divides [`MOST_LANES`].
    const LANES: usize;

    /// All lanes equal to `x`.
    unsafe fn splat(x: Self::Element) -> Self;

    /// The `LANES` floats at `from`.
    unsafe fn load(from: *const Self::Element) -> Self;

    /// The floats `begin..end` of the `LANES` at `from`, zero in the other lanes, whose memory is not touched.
    unsafe fn load_range(from: *const Self::Element, begin: usize, end: usize) -> Self;

    /// Stores all lanes.
    unsafe fn store(self, to: *mut Self::Element);

    /// Stores the first `count <= LANES` lanes.
    unsafe fn store_first(self, to: *mut Self::Element, count: usize);

    /// `a + b`.
    unsafe fn add(a: Self, b: Self) -> Self;

    /// `a - b`.
    unsafe fn sub(a: Self, b: Self) -> Self;

    /// `a * b + c`, rounded once where the machine can.
    unsafe fn mul_add(a: Self, b: Self, c: Self) -> Self;

    /// Transposes the square of the first `LANES` vectors.
    unsafe fn transpose(block: &mut [Self; MOST_LANES]);

    /// Of the lanes of `a` and then of `b`, those in even places, and those in odd ones.
    unsafe fn deinterleave(a: Self, b: Self) -> (Self, Self);

    /// The lanes of `a` and `b` in turn: the first half of them, and the second.
    unsafe fn interleave(a: Self, b: Self) -> (Self, Self);

    /// Lane `i` of the result is the sum of the lanes of vector `i`, added in pairs: an order that is the same for all.
    #[inline(always)]
    unsafe fn sums(block: &mut [Self; MOST_LANES]) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            Self::transpose(block);
            let mut half = Self::LANES / 2;
            while half > 0 {
                for i in 0..half {
                    block[i] = Self::add(block[i], block[i + half]);
                }
                half /= 2;
            }
        }
        block[0]
    }

    /// Asks for the cache line at `at` to be fetched.
    unsafe fn prefetch(_at: *const Self::Element) {}

    /// The sum of the lanes, added in pairs: an order that depends on nothing but `LANES`.
    #[inline(always)]
    unsafe fn sum(self) -> Self::Element {
        let mut lanes = [Self::Element::default(); MOST_LANES];
        // SAFETY: the array holds `LANES` floats; the instruction set is the caller's promise.
        unsafe { self.store(lanes.as_mut_ptr()) };
        let mut half = Self::LANES / 2;
        while half > 0 {
            for i in 0..half {
                lanes[i] = lanes[i] + lanes[i + half];
            }
            half /= 2;
        }
        lanes[0]
    }
}

/// Writes the functions of a [`Simd`] implementation, each an expression of intrinsics.
macro_rules! vector_functions {
    ($(fn $name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)? { $($body:tt)* })*) => {
        $(
            #[inline(always)]
            unsafe fn $name($($argument: $type),*) $(-> $result)? {
                // SAFETY: the caller promises the instruction set and the lanes, see the trait.
                unsafe { $($body)* }
            }
        )*
    };
}
use vector_functions;

#[cfg(test)]
mod tests {
    use super::*;

    /// A vector type does what the trait says.
    ///
    /// # Safety
    /// The machine has the instruction set of `V`.
    unsafe fn check<V: Simd<Element = T>, T: Float + From<u8> + PartialEq + std::fmt::Debug>() {
        let source: Vec<T> = (1..=255).map(T::from).collect();
        let zero = T::default();
        // SAFETY: every access is within `source` and `to`; the instruction set is the caller's promise.
        unsafe {
            for begin in 0..=V::LANES {
                for end in begin..=V::LANES {
                    let mut to = [T::from(99); MOST_LANES];
                    V::load_range(source.as_ptr(), begin, end).store(to.as_mut_ptr());
                    for i in 0..V::LANES {
                        assert_eq!(to[i], if (begin..end).contains(&i) { source[i] } else { zero });
                    }
                }
                let mut to = [T::from(99); MOST_LANES];
                V::load(source.as_ptr()).store_first(to.as_mut_ptr(), begin);
                for i in 0..MOST_LANES {
                    assert_eq!(to[i], if i < begin { source[i] } else { T::from(99) });
                }
            }
            let mut block = [V::splat(zero); MOST_LANES];
            for (i, row) in block.iter_mut().enumerate().take(V::LANES) {
                *row = V::load(source.as_ptr().add(i * (V::LANES - 1)));
            }
            V::transpose(&mut block);
            for (j, column) in block.iter().enumerate().take(V::LANES) {
                let mut to = [zero; MOST_LANES];
                column.store(to.as_mut_ptr());
                for (i, &x) in to.iter().enumerate().take(V::LANES) {
                    assert_eq!(x, source[i * (V::LANES - 1) + j]);
                }
            }
            let (even, odd) =
                V::deinterleave(V::load(source.as_ptr()), V::load(source.as_ptr().add(V::LANES)));
            for (parity, half) in [even, odd].into_iter().enumerate() {
                let mut to = [zero; MOST_LANES];
                half.store(to.as_mut_ptr());
                for (i, &x) in to.iter().enumerate().take(V::LANES) {
                    assert_eq!(x, source[2 * i + parity]);
                }
            }
            let (low, high) = V::interleave(even, odd);
            for (half, vector) in [low, high].into_iter().enumerate() {
                let mut to = [zero; MOST_LANES];
                vector.store(to.as_mut_ptr());
                assert_eq!(to[..V::LANES], source[half * V::LANES..][..V::LANES]);
            }
            let difference = V::sub(V::load(source.as_ptr().add(3)), V::load(source.as_ptr()));
            assert_eq!(difference.sum(), T::from(3 * V::LANES as u8));
            let fused = V::mul_add(V::splat(T::from(3)), V::load(source.as_ptr()), V::splat(T::from(2)));
            let sum = V::add(fused, V::splat(T::from(1))).sum();
            let expected = (1..=V::LANES).fold(zero, |sum, i| sum + T::from(3 * i as u8 + 3));
            assert_eq!(sum, expected);
        }
    }

    #[test]
    fn vectors_do_what_the_trait_says() {
        use crate::kernels::isa::Isa;
        // SAFETY: each type is checked only where its instruction set is available.
        unsafe {
            check::<[f32; 4], f32>();
            check::<[f64; 2], f64>();
            #[cfg(target_arch = "x86_64")]
            {
                use std::arch::x86_64::*;
                if Isa::Avx2.is_available() {
                    check::<__m256, f32>();
                    check::<__m256d, f64>();
                }
                if Isa::Avx512.is_available() {
                    check::<__m512, f32>();
                    check::<__m512d, f64>();
                }
            }
            #[cfg(target_arch = "aarch64")]
            if Isa::Neon.is_available() {
                check::<std::arch::aarch64::float32x4_t, f32>();
                check::<std::arch::aarch64::float64x2_t, f64>();
            }
        }
        assert!(Isa::Portable.is_available());
    }
}
