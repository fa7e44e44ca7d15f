//! Memory for tensors: aligned, zeroed, and in debug builds fenced.

use std::ptr::NonNull;
use std::{fmt, slice, thread};

use super::block::Block;

/// Alignment in bytes of every buffer: a cache line, and the widest vector register (AVX-512).
pub const ALIGNMENT: usize = 64;

/// Bytes on either side of a buffer that nobody may write, in debug builds.
const GUARD: usize = if cfg!(debug_assertions) { 2 * ALIGNMENT } else { 0 };

/// What the guards hold: as f32 it is -2.3e-16, neither zero nor anything a kernel is likely to store.
const CANARY: u8 = 0xA5;

/// A fixed number of bytes at a multiple of [`ALIGNMENT`], zero at first.
///
/// Generated code writes through raw pointers. In debug builds, guard bytes lie before and after the
/// buffer; [`AlignedBuffer::check`] and `drop` find out whether someone wrote there.
pub struct AlignedBuffer {
    start: NonNull<u8>,
    n_bytes: usize,
    block: Block,
}

/// Guard bytes of a buffer were overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfBounds {
    /// Where the first bad byte is, counted from the start of the buffer: negative or at least `n_bytes`.
    pub offset: isize,
    /// The size of the buffer.
    pub n_bytes: usize,
}

impl AlignedBuffer {
    /// A buffer of `n_bytes` zeros; zero bytes are allowed.
    ///
    /// A large one costs nothing until it is touched: the pages come from the system, zeroed by it, when a kernel
    /// first writes to them, on the thread that does.
    pub fn zeroed(n_bytes: usize) -> AlignedBuffer {
        let block = n_bytes
            .checked_next_multiple_of(ALIGNMENT)
            .and_then(|rounded| rounded.checked_add(2 * GUARD))
            .and_then(Block::zeroed)
            .unwrap_or_else(|| panic!("a buffer of {n_bytes} bytes is larger than the address space"));
        // SAFETY: the block is at least 2 * GUARD bytes long.
        let start = unsafe { block.start().add(GUARD) };
        let buffer = AlignedBuffer { start, n_bytes, block };
        buffer.fill_guards();
        buffer
    }

    /// A buffer of `n_bytes` zeros that will all be needed soon: the pages of a large one come from a thread of its own.
    pub fn populated(n_bytes: usize) -> AlignedBuffer {
        let mut buffer = AlignedBuffer::zeroed(n_bytes);
        buffer.block.populate_beside();
        buffer
    }

    /// Lets the system give all pages of a large buffer now.
    pub fn populate(&self) {
        self.block.populate();
    }

    /// The size in bytes, as asked for.
    pub fn n_bytes(&self) -> usize {
        self.n_bytes
    }

    /// The address of the first byte, to read from.
    pub fn as_ptr(&self) -> *const u8 {
        self.start.as_ptr()
    }

    /// The address of the first byte, to write to.
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// All bytes.
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: `n_bytes` initialised bytes belong to this buffer.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.n_bytes) }
    }

    /// All bytes, to be written.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as in `as_slice`, and the buffer is borrowed mutably.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.n_bytes) }
    }

    /// Whether the guard bytes are untouched. Always so in release builds, which have none.
    pub fn check(&self) -> Result<(), OutOfBounds> {
        let (before, after) = self.guards();
        let bad = |byte: &u8| *byte != CANARY;
        let offset = match (before.iter().rposition(bad), after.iter().position(bad)) {
            (Some(index), _) => index as isize - before.len() as isize,
            (None, Some(index)) => (self.n_bytes + index) as isize,
            (None, None) => return Ok(()),
        };
        Err(OutOfBounds { offset, n_bytes: self.n_bytes })
    }

    fn fill_guards(&self) {
        // SAFETY: both ranges lie in this buffer's block, as computed in `guards`.
        unsafe {
            self.start.sub(GUARD).write_bytes(CANARY, GUARD);
            self.start.add(self.n_bytes).write_bytes(CANARY, self.n_guard_bytes_after());
        }
    }

    fn guards(&self) -> (&[u8], &[u8]) {
        // SAFETY: the block is laid out as guard, bytes rounded up to a line, guard; the second range
        // begins right behind the last byte and ends with the block. Both were written at the start.
        unsafe {
            (
                slice::from_raw_parts(self.start.sub(GUARD).as_ptr(), GUARD),
                slice::from_raw_parts(self.start.add(self.n_bytes).as_ptr(), self.n_guard_bytes_after()),
            )
        }
    }

    fn n_guard_bytes_after(&self) -> usize {
        if GUARD == 0 { 0 } else { self.block.n_bytes() - GUARD - self.n_bytes }
    }
}

impl Drop for AlignedBuffer {
    fn drop(&mut self) {
        if let (Err(error), false) = (self.check(), thread::panicking()) {
            panic!("internal error: {error} (this is a bug in the compiler, please report it)");
        }
    }
}

// SAFETY: the buffer owns its bytes, as a `Box<[u8]>` does.
unsafe impl Send for AlignedBuffer {}
// SAFETY: shared access only reads.
unsafe impl Sync for AlignedBuffer {}

impl fmt::Debug for AlignedBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AlignedBuffer({} bytes)", self.n_bytes)
    }
}

impl fmt::Display for OutOfBounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {} of a buffer of {} bytes was written", self.offset, self.n_bytes)
    }
}

impl std::error::Error for OutOfBounds {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_of_any_size_are_aligned_zeroed_and_fenced() {
        for n_bytes in [0, 1, 63, 64, 65, 1000, 1 << 20] {
            let mut buffer = AlignedBuffer::zeroed(n_bytes);
            assert_eq!(buffer.n_bytes(), n_bytes);
            assert_eq!(buffer.as_ptr().addr() % ALIGNMENT, 0);
            assert!(buffer.as_slice().iter().all(|byte| *byte == 0));
            buffer.as_mut_slice().fill(0xFF);
            assert_eq!(buffer.check(), Ok(()));
        }
    }

    #[test]
    #[cfg(debug_assertions)]
    fn a_write_outside_is_found_and_located() {
        for offset in [-128isize, -1, 10, 63, 64, 191] {
            let mut buffer = AlignedBuffer::zeroed(10);
            // SAFETY: the byte lies in the guards, 128 bytes on either side of the rounded size.
            let byte = unsafe { &mut *buffer.as_mut_ptr().offset(offset) };
            *byte = 1;
            assert_eq!(buffer.check(), Err(OutOfBounds { offset, n_bytes: 10 }));
            *byte = CANARY;
            assert_eq!(buffer.check(), Ok(()));
        }
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "byte 10 of a buffer of 10 bytes was written")]
    fn dropping_a_buffer_checks_its_guards() {
        let mut buffer = AlignedBuffer::zeroed(10);
        // SAFETY: the byte lies in the guard.
        unsafe { buffer.as_mut_ptr().add(10).write(0) };
    }

    #[test]
    #[should_panic(expected = "larger than the address space")]
    fn a_buffer_larger_than_the_address_space_is_refused() {
        AlignedBuffer::zeroed(usize::MAX - 10);
    }
}
