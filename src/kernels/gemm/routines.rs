//! The innermost functions, compiled for each instruction set and each type of float.

use super::pack::{self, Source};
use super::tile::{self, BroadcastTile, ScatteredTile, Target, Tile, Tiles};
use super::vector::{self, Lines};
use crate::kernels::conv::band::{self, Band};
use crate::kernels::conv::window::{self, Window};
use crate::kernels::conv::winograd::transform::{
    self, OutputTiles, Tiles as InputTiles, WeightTiles, Windows,
};
use crate::kernels::isa::Isa;
use crate::kernels::simd::{Float, Simd};

/// The functions of one instruction set. All are unsafe as their generic originals are.
pub struct Routines<T: Float> {
    /// How many floats a vector holds.
    pub lanes: usize,
    /// The tiles.
    pub tiles: Tiles<T>,
    /// [`tile::add_tile`].
    pub add_tile: unsafe fn(usize, *const T, usize, &Target<T>),
    /// [`pack::pack`].
    pub pack: unsafe fn(&Source<T>, *mut T, usize),
    /// [`window::pack_window`].
    pub pack_window: unsafe fn(&Window<T>, *mut T, usize),
    /// [`band::pad`].
    pub pad: unsafe fn(&Band<T>, *mut T),
    /// [`transform::weights`].
    pub winograd_weights: unsafe fn(&WeightTiles, *const T, *mut T),
    /// [`transform::input`].
    pub winograd_input: unsafe fn(&InputTiles, *const T, *mut T),
    /// [`transform::output`].
    pub winograd_output: unsafe fn(&OutputTiles, *const T, *mut T),
    /// [`transform::cotangent`].
    pub winograd_cotangent: unsafe fn(&InputTiles, *const T, *mut T),
    /// [`transform::gradient`].
    pub winograd_gradient: unsafe fn(&Windows, *const T, *mut T),
    /// [`vector::dot`].
    pub dot: unsafe fn(&Lines<T>, *const T, *mut T, isize),
    /// [`vector::dots`].
    pub dots: unsafe fn(&Lines<T>, &Lines<T>, *mut T, [isize; 2]),
    /// [`vector::combine`].
    pub combine: unsafe fn(&Lines<T>, *const T, *mut T),
}

/// A float with routines.
pub trait Element: Float {
    /// The routines of an instruction set, which must be available.
    fn routines(isa: Isa) -> &'static Routines<Self>;
}

/// Writes a module with the routines of one vector type: functions that enable its features and inline the generic
/// originals.
macro_rules! routines {
    ($(#[$feature:meta])* $module:ident: $vector:ty, [$($rows:literal)*] x [$($vectors:literal)*]) => {
        mod $module {
            use super::*;

            type Vector = $vector;
            type T = <Vector as Simd>::Element;

            $(#[$feature])*
            unsafe fn tile<const R: usize, const N: usize>(
                depth: usize,
                rows: *const T,
                columns: *const T,
                column_stride: isize,
                target: &Target<T>,
            ) {
                // SAFETY: the caller's promise; the features are enabled here.
                unsafe {
                    let rows = |p, i| rows.wrapping_add(p * R + i);
                    let columns = |p| columns.wrapping_offset(p as isize * column_stride);
                    tile::tile::<Vector, R, N>(depth, rows, columns, target)
                }
            }

            $(#[$feature])*
            unsafe fn scattered<const R: usize, const N: usize>(
                rows: *const T,
                columns: *const T,
                depths: &[isize],
                target: &Target<T>,
            ) {
                // SAFETY: as above; `p` is less than the number of depths.
                unsafe {
                    let rows = |p, i| rows.wrapping_add(p * R + i);
                    let columns = |p| columns.wrapping_offset(*depths.get_unchecked(p));
                    tile::tile::<Vector, R, N>(depths.len(), rows, columns, target)
                }
            }

            $(#[$feature])*
            unsafe fn broadcast<const R: usize, const N: usize>(
                rows: *const T,
                offsets: &[isize],
                depths: &[isize],
                columns: *const T,
                column_stride: isize,
                target: &Target<T>,
            ) {
                // SAFETY: as above; there is an offset for each row.
                unsafe {
                    let offsets: [isize; R] = std::array::from_fn(|i| *offsets.get_unchecked(i));
                    let rows = |p, i: usize| rows.wrapping_offset(*depths.get_unchecked(p) + offsets[i]);
                    let columns = |p| columns.wrapping_offset(p as isize * column_stride);
                    tile::tile::<Vector, R, N>(depths.len(), rows, columns, target)
                }
            }

            $(#[$feature])*
            unsafe fn add_tile(rows: usize, tile: *const T, width: usize, target: &Target<T>) {
                // SAFETY: as above.
                unsafe { tile::add_tile::<Vector>(rows, tile, width, target) }
            }

            $(#[$feature])*
            unsafe fn pack(source: &Source<T>, panel: *mut T, width: usize) {
                // SAFETY: as above.
                unsafe { pack::pack::<Vector>(source, panel, width) }
            }

            $(#[$feature])*
            unsafe fn pack_window(window: &Window<T>, panel: *mut T, width: usize) {
                // SAFETY: as above.
                unsafe { window::pack_window::<Vector>(window, panel, width) }
            }

            $(#[$feature])*
            unsafe fn pad(band: &Band<T>, to: *mut T) {
                // SAFETY: as above.
                unsafe { band::pad::<Vector>(band, to) }
            }

            $(#[$feature])*
            unsafe fn winograd_weights(tiles: &WeightTiles, from: *const T, to: *mut T) {
                // SAFETY: as above.
                unsafe { transform::weights::<Vector>(tiles, from, to) }
            }

            $(#[$feature])*
            unsafe fn winograd_input(tiles: &InputTiles, band: *const T, to: *mut T) {
                // SAFETY: as above.
                unsafe { transform::input::<Vector>(tiles, band, to) }
            }

            $(#[$feature])*
            unsafe fn winograd_output(tiles: &OutputTiles, products: *const T, to: *mut T) {
                // SAFETY: as above.
                unsafe { transform::output::<Vector>(tiles, products, to) }
            }

            $(#[$feature])*
            unsafe fn winograd_cotangent(tiles: &InputTiles, band: *const T, to: *mut T) {
                // SAFETY: as above.
                unsafe { transform::cotangent::<Vector>(tiles, band, to) }
            }

            $(#[$feature])*
            unsafe fn winograd_gradient(windows: &Windows, products: *const T, to: *mut T) {
                // SAFETY: as above.
                unsafe { transform::gradient::<Vector>(windows, products, to) }
            }

            $(#[$feature])*
            unsafe fn dot(matrix: &Lines<T>, x: *const T, result: *mut T, result_stride: isize) {
                // SAFETY: as above.
                unsafe { vector::dot::<Vector>(matrix, x, result, result_stride) }
            }

            $(#[$feature])*
            unsafe fn dots(a: &Lines<T>, b: &Lines<T>, result: *mut T, strides: [isize; 2]) {
                // SAFETY: as above.
                unsafe { vector::dots::<Vector>(a, b, result, strides) }
            }

            $(#[$feature])*
            unsafe fn combine(matrix: &Lines<T>, x: *const T, result: *mut T) {
                // SAFETY: as above.
                unsafe { vector::combine::<Vector>(matrix, x, result) }
            }

            const fn band<const N: usize>() -> &'static [Tile<T>] {
                const { &[$(tile::<$rows, N> as Tile<T>),*] }
            }

            const fn scattered_band<const N: usize>() -> &'static [ScatteredTile<T>] {
                const { &[$(scattered::<$rows, N> as ScatteredTile<T>),*] }
            }

            const fn broadcast_band<const N: usize>() -> &'static [BroadcastTile<T>] {
                const { &[$(broadcast::<$rows, N> as BroadcastTile<T>),*] }
            }

            pub static ROUTINES: Routines<T> = Routines {
                lanes: Vector::LANES,
                tiles: Tiles {
                    functions: &[$(band::<$vectors>()),*],
                    scattered: &[$(scattered_band::<$vectors>()),*],
                    broadcast: &[$(broadcast_band::<$vectors>()),*],
                },
                add_tile,
                pack,
                pack_window,
                pad,
                winograd_weights,
                winograd_input,
                winograd_output,
                winograd_cotangent,
                winograd_gradient,
                dot,
                dots,
                combine,
            };
        }
    };
}

// The tiles fill the registers: 14 x 2 accumulators of 32, 6 x 2 of 16, 8 x 3 of 32. Plain Rust is compiled for
// the 16 registers of the baseline.
#[cfg(target_arch = "x86_64")]
routines!(
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
    avx512_f32: std::arch::x86_64::__m512, [1 2 3 4 5 6 7 8 9 10 11 12 13 14] x [1 2]
);
#[cfg(target_arch = "x86_64")]
routines!(
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
    avx512_f64: std::arch::x86_64::__m512d, [1 2 3 4 5 6 7 8 9 10 11 12 13 14] x [1 2]
);
#[cfg(target_arch = "x86_64")]
routines!(
    #[target_feature(enable = "avx2,fma")]
    avx2_f32: std::arch::x86_64::__m256, [1 2 3 4 5 6] x [1 2]
);
#[cfg(target_arch = "x86_64")]
routines!(
    #[target_feature(enable = "avx2,fma")]
    avx2_f64: std::arch::x86_64::__m256d, [1 2 3 4 5 6] x [1 2]
);
#[cfg(target_arch = "aarch64")]
routines!(
    #[target_feature(enable = "neon")]
    neon_f32: std::arch::aarch64::float32x4_t, [1 2 3 4 5 6 7 8] x [1 2 3]
);
#[cfg(target_arch = "aarch64")]
routines!(
    #[target_feature(enable = "neon")]
    neon_f64: std::arch::aarch64::float64x2_t, [1 2 3 4 5 6 7 8] x [1 2 3]
);
routines!(portable_f32: [f32; 4], [1 2 3 4 5] x [1 2]);
routines!(portable_f64: [f64; 2], [1 2 3 4 5] x [1 2]);

/// The arms choose among the modules that this architecture has.
macro_rules! element {
    ($element:ty, $avx512:ident, $avx2:ident, $neon:ident, $portable:ident) => {
        impl Element for $element {
            fn routines(isa: Isa) -> &'static Routines<$element> {
                match isa {
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx512 => &$avx512::ROUTINES,
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx2 => &$avx2::ROUTINES,
                    #[cfg(target_arch = "aarch64")]
                    Isa::Neon => &$neon::ROUTINES,
                    Isa::Portable => &$portable::ROUTINES,
                    // Never available here.
                    #[cfg(not(target_arch = "x86_64"))]
                    Isa::Avx512 | Isa::Avx2 => &$portable::ROUTINES,
                    #[cfg(not(target_arch = "aarch64"))]
                    Isa::Neon => &$portable::ROUTINES,
                }
            }
        }
    };
}

element!(f32, avx512_f32, avx2_f32, neon_f32, portable_f32);
element!(f64, avx512_f64, avx2_f64, neon_f64, portable_f64);
