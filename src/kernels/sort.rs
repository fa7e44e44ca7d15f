//! Sorting lines of a tensor, as the indices of their elements in order.
//!
//! Elements become unsigned keys that have the order of the elements; keys are sorted together with their indices. Short
//! lines are sorted by insertion, long ones digit by digit from the last one (Knuth, *The Art of Computer Programming*,
//! volume 3, section 5.2.5, algorithm R), in time proportional to their extent. Both keep equal keys in order, and their
//! result is the same bits on every machine.

use std::mem::size_of;

/// Lines up to this extent are sorted by insertion: less work than counting the digits of a key.
const SHORT: usize = 48;

/// Values of a digit: a byte.
const RADIX: usize = 256;

/// A key and the index of its element.
#[derive(Clone, Copy)]
#[repr(C)]
struct Item {
    key: u64,
    index: i64,
}

/// Bytes of scratch memory that a thread needs to sort lines of this extent: two lists of items.
pub fn scratch_bytes(extent: usize) -> usize {
    2 * extent * size_of::<Item>()
}

/// Which lines of a tensor are sorted, and how. The lines run along an axis whose elements are `stride` apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lines {
    /// First line.
    pub begin: usize,
    /// Line after the last.
    pub end: usize,
    /// Elements of a line.
    pub extent: usize,
    /// Distance of neighbouring elements of a line: the product of the extents of the axes after it.
    pub stride: usize,
    /// Whether the greatest element comes first.
    pub descending: bool,
}

/// An element that has a key.
pub trait Sortable: Copy {
    /// Bytes of the key that are not zero for every element.
    const KEY_BYTES: u32;

    /// A number that is less for lesser elements, and equal for equal ones.
    fn key(self) -> u64;
}

/// The key of a float, from its bits: with the sign bit turned around for positive numbers, and all bits for negative
/// ones, they order as the numbers do. (Herf, *Radix Tricks*, 2001.) Zeros are one number, NaN is above all.
macro_rules! float_key {
    ($($float:ty, $bits:ty);*) => {$(
        impl Sortable for $float {
            const KEY_BYTES: u32 = <$bits>::BITS / 8;

            fn key(self) -> u64 {
                const SIGN: $bits = 1 << (<$bits>::BITS - 1);
                if self.is_nan() {
                    return <$bits>::MAX.into();
                }
                let bits = self.to_bits();
                // Both zeros get the key of the positive one.
                let key = if bits & SIGN == 0 || bits == SIGN { bits | SIGN } else { !bits };
                key.into()
            }
        }
    )*};
}
float_key!(f32, u32; f64, u64);

/// The key of an integer: its distance from the least one.
macro_rules! int_key {
    ($($int:ty, $unsigned:ty);*) => {$(
        impl Sortable for $int {
            const KEY_BYTES: u32 = <$int>::BITS / 8;

            fn key(self) -> u64 {
                (self.wrapping_sub(<$int>::MIN) as $unsigned).into()
            }
        }
    )*};
}
int_key!(i32, u32; i64, u64; u8, u8);

/// Writes the indices of the elements of lines in their order.
///
/// # Safety
/// `x` and `result` are to tensors that hold the lines and do not overlap; `scratch` is to [`scratch_bytes`] that nobody
/// else uses, aligned for 8 bytes.
pub unsafe fn argsort<T: Sortable>(x: *const T, result: *mut i64, scratch: *mut u8, lines: Lines) {
    let Lines { extent, stride, descending, .. } = lines;
    // SAFETY: the caller's promise: two lists of items, of which the first is written before anything is read; an item
    // is plain numbers.
    let (items, spare) = unsafe {
        let scratch = scratch.cast::<Item>();
        scratch.write_bytes(0, 2 * extent);
        let all = std::slice::from_raw_parts_mut(scratch, 2 * extent);
        all.split_at_mut(extent)
    };
    for line in lines.begin..lines.end {
        let start = (line / stride) * extent * stride + line % stride;
        for (i, item) in items.iter_mut().enumerate() {
            // SAFETY: element `i` of the line is in the tensor.
            let key = unsafe { *x.add(start + i * stride) }.key();
            *item = Item { key: if descending { !key } else { key }, index: i as i64 };
        }
        let sorted = sort(items, spare, T::KEY_BYTES);
        for (place, item) in sorted.iter().enumerate() {
            // SAFETY: as above, of the result.
            unsafe { *result.add(start + place * stride) = item.index };
        }
    }
}

/// The items in order, in one of the two lists.
fn sort<'a>(items: &'a mut [Item], spare: &'a mut [Item], key_bytes: u32) -> &'a [Item] {
    if items.len() <= SHORT {
        insert_each(items);
        return items;
    }
    let (mut from, mut to) = (items, spare);
    for digit in 0..key_bytes {
        if distribute(from, to, 8 * digit) {
            (from, to) = (to, from);
        }
    }
    from
}

/// Moves each item before those of greater keys.
fn insert_each(items: &mut [Item]) {
    for end in 1..items.len() {
        let item = items[end];
        let mut place = end;
        while place > 0 && items[place - 1].key > item.key {
            items[place] = items[place - 1];
            place -= 1;
        }
        items[place] = item;
    }
}

/// Copies the items in the order of one digit of their keys, equal ones in the order they have; does nothing, and says so,
/// when the digit is the same in all.
fn distribute(from: &[Item], to: &mut [Item], shift: u32) -> bool {
    let digit = |item: &Item| (item.key >> shift) as usize % RADIX;
    let mut places = [0usize; RADIX];
    from.iter().for_each(|item| places[digit(item)] += 1);
    if places[digit(&from[0])] == from.len() {
        return false;
    }
    let mut next = 0;
    for place in &mut places {
        next += std::mem::replace(place, next);
    }
    for item in from {
        let place = &mut places[digit(item)];
        to[*place] = *item;
        *place += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The order of one line.
    fn order<T: Sortable>(x: &[T], descending: bool) -> Vec<i64> {
        let mut result = vec![-1; x.len()];
        let mut scratch = vec![0u64; scratch_bytes(x.len()) / 8];
        let lines = Lines { begin: 0, end: 1, extent: x.len(), stride: 1, descending };
        // SAFETY: the line is the whole tensor, and the scratch memory as large as asked for.
        unsafe { argsort(x.as_ptr(), result.as_mut_ptr(), scratch.as_mut_ptr().cast(), lines) };
        result
    }

    /// Numbers that repeat, of both signs, without an order.
    fn mixed(n: usize) -> Vec<i64> {
        (0..n as i64).map(|i| (i * 7919 % 101 - 50) * (i * 31 % 7)).collect()
    }

    fn expected<T: PartialOrd>(x: &[T], descending: bool) -> Vec<i64> {
        let mut order: Vec<i64> = (0..x.len() as i64).collect();
        order.sort_by(|&i, &j| {
            let order = x[i as usize].partial_cmp(&x[j as usize]).expect("no NaN here");
            if descending { order.reverse() } else { order }
        });
        order
    }

    #[test]
    fn orders_are_those_of_a_stable_sort() {
        for n in [0, 1, 2, 5, SHORT, SHORT + 1, 300, 1000] {
            let ints = mixed(n);
            let wide: Vec<i64> = ints.iter().map(|&i| i * 12_345_678_901).collect();
            let narrow: Vec<i32> = ints.iter().map(|&i| i as i32).collect();
            let bytes: Vec<u8> = ints.iter().map(|&i| i as u8).collect();
            let floats: Vec<f32> = ints.iter().map(|&i| i as f32 * 0.37).collect();
            let doubles: Vec<f64> = ints.iter().map(|&i| i as f64 * 1e100).collect();
            for descending in [false, true] {
                assert_eq!(order(&wide, descending), expected(&wide, descending));
                assert_eq!(order(&narrow, descending), expected(&narrow, descending));
                assert_eq!(order(&bytes, descending), expected(&bytes, descending));
                assert_eq!(order(&floats, descending), expected(&floats, descending));
                assert_eq!(order(&doubles, descending), expected(&doubles, descending));
            }
        }
    }

    #[test]
    fn special_numbers_have_their_places() {
        let x = [f64::NAN, 0.0, f64::INFINITY, -0.0, f64::NEG_INFINITY, -f64::NAN, 5e-324, f64::MAX];
        assert_eq!(order(&x, false), [4, 1, 3, 6, 7, 2, 0, 5]);
        assert_eq!(order(&x, true), [0, 5, 2, 7, 6, 1, 3, 4]);
    }

    #[test]
    fn lines_may_be_strided_and_divided() {
        // [2, 60, 3], along the middle axis.
        let x: Vec<f32> = mixed(360).iter().map(|&i| i as f32).collect();
        let mut result = vec![-1; 360];
        let mut scratch = vec![0u64; scratch_bytes(60) / 8];
        for (begin, end) in [(0, 4), (4, 6)] {
            let lines = Lines { begin, end, extent: 60, stride: 3, descending: false };
            // SAFETY: six lines of 60 elements are the whole tensor.
            unsafe { argsort(x.as_ptr(), result.as_mut_ptr(), scratch.as_mut_ptr().cast(), lines) };
        }
        for line in 0..6 {
            let start = line / 3 * 180 + line % 3;
            let of_line = |v: &[f32]| (0..60).map(|i| v[start + 3 * i]).collect::<Vec<f32>>();
            let found: Vec<i64> = (0..60).map(|i| result[start + 3 * i]).collect();
            assert_eq!(found, expected(&of_line(&x), false));
        }
    }
}
