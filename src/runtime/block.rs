//! Where the bytes of buffers come from: the allocator, or for large ones the system itself.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};

use super::buffer::ALIGNMENT;

/// From this size on a block comes from the system: what is mapped is zero already, so nothing is written to it, and
/// its pages can be large.
const LARGE: usize = 1 << 20;

/// The size of a large page, on the machines that have one size of them in common use.
const LARGE_PAGE: usize = 2 << 20;

/// The size of a page at least, where pages are not large.
const PAGE: usize = 4 << 10;

/// A block of zeros at a multiple of [`ALIGNMENT`], given back on drop.
pub(super) struct Block {
    start: NonNull<u8>,
    n_bytes: usize,
    origin: Origin,
    /// A thread that lets the system give the pages.
    populating: Option<JoinHandle<()>>,
}

enum Origin {
    Allocator(Layout),
    /// The mapping that the block is part of.
    #[cfg(unix)]
    System {
        mapping: NonNull<u8>,
        n_bytes: usize,
    },
}

impl Block {
    /// A block of `n_bytes`, or nothing if there is no layout of that size.
    pub fn zeroed(n_bytes: usize) -> Option<Block> {
        #[cfg(unix)]
        if n_bytes >= LARGE
            && let Some(block) = Block::mapped(n_bytes)
        {
            return Some(block);
        }
        // At least one line, because a layout must not be empty.
        let layout = Layout::from_size_align(n_bytes.max(ALIGNMENT), ALIGNMENT).ok()?;
        // SAFETY: the layout is not empty.
        let Some(start) = NonNull::new(unsafe { alloc_zeroed(layout) }) else { handle_alloc_error(layout) };
        Some(Block { start, n_bytes, origin: Origin::Allocator(layout), populating: None })
    }

    /// A mapping that begins at a large page, or nothing if the system refuses.
    #[cfg(unix)]
    fn mapped(n_bytes: usize) -> Option<Block> {
        // Whole large pages, and room to move the start to the first of them; what is not touched costs nothing.
        let pages = n_bytes.checked_next_multiple_of(LARGE_PAGE)?;
        let total = pages.checked_add(LARGE_PAGE)?;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new anonymous mapping has nothing to do with memory that exists.
        let mapping = unsafe { libc::mmap(std::ptr::null_mut(), total, protection, flags, -1, 0) };
        if mapping == libc::MAP_FAILED {
            return None;
        }
        let mapping = NonNull::new(mapping.cast::<u8>())?;
        let skip = mapping.as_ptr().align_offset(LARGE_PAGE);
        // SAFETY: `skip` is less than a large page, by which the mapping is longer than its pages.
        let start = unsafe { mapping.add(skip) };
        // Only advice: a page fault for each 2 MB instead of 4 KB, and fewer misses of address translation. Whether it
        // was taken does not matter.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        // SAFETY: the range lies in the mapping.
        unsafe {
            libc::madvise(start.as_ptr().cast(), pages, libc::MADV_HUGEPAGE);
        }
        let origin = Origin::System { mapping, n_bytes: total };
        Some(Block { start, n_bytes, origin, populating: None })
    }

    /// Lets the system give all pages of a large block now; else it gives each when it is first touched.
    pub fn populate(&self) {
        if let Some(pages) = self.pages() {
            pages.populate();
        }
    }

    /// The same on a thread of its own.
    pub fn populate_beside(&mut self) {
        // Without a thread, pages come when they are touched.
        let begin =
            |pages: Pages| Builder::new().name("kiln-pages".to_string()).spawn(move || pages.populate()).ok();
        self.populating = self.pages().and_then(begin);
    }

    fn pages(&self) -> Option<Pages> {
        match self.origin {
            Origin::Allocator(_) => None,
            #[cfg(unix)]
            Origin::System { .. } => {
                Some(Pages { start: self.start, n_bytes: self.n_bytes.next_multiple_of(LARGE_PAGE) })
            }
        }
    }

    /// The first byte.
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// How many bytes there are, as asked for.
    pub fn n_bytes(&self) -> usize {
        self.n_bytes
    }
}

/// Asks the system for large pages for memory of the allocator that is about to be filled: of a result of 50 MB, faults for
/// pages of 4 KB took longer than copying it. Only advice.
pub fn advise_large_pages<T>(memory: &mut [MaybeUninit<T>]) {
    let start = memory.as_mut_ptr().cast::<u8>();
    let skip = start.align_offset(LARGE_PAGE);
    let n_bytes = size_of_val(memory).saturating_sub(skip) / LARGE_PAGE * LARGE_PAGE;
    if n_bytes == 0 {
        return;
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    // SAFETY: whole pages of this memory, of which no byte changes.
    unsafe {
        libc::madvise(start.add(skip).cast(), n_bytes, libc::MADV_HUGEPAGE);
    }
}

/// The pages of a mapping.
struct Pages {
    start: NonNull<u8>,
    n_bytes: usize,
}

// SAFETY: only the system is told of the address; no byte is read or written.
unsafe impl Send for Pages {}

impl Pages {
    fn populate(self) {
        // A touch each: a request to the system for all at once keeps other threads from getting memory. What is touched may
        // already be in use, so nothing may change: a zero is exchanged for a zero, which is a write all the same.
        for offset in (0..self.n_bytes).step_by(PAGE) {
            // SAFETY: the block, which waits for this thread before it goes, has whole pages, aligned to more than a word.
            let word = unsafe { AtomicU64::from_ptr(self.start.as_ptr().add(offset).cast()) };
            // Another value means that the page is there.
            let _ = word.compare_exchange(0, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if let Some(thread) = self.populating.take() {
            // It cannot panic, and pages that are there or not change nothing.
            let _ = thread.join();
        }
        match self.origin {
            // SAFETY: the block was allocated with this layout.
            Origin::Allocator(layout) => unsafe { dealloc(self.start.as_ptr(), layout) },
            // SAFETY: this is the mapping that was made, and nothing refers to it any more.
            #[cfg(unix)]
            Origin::System { mapping, n_bytes } => unsafe {
                libc::munmap(mapping.as_ptr().cast(), n_bytes);
            },
        }
    }
}
