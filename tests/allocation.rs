//! A step allocates nothing, whatever the model. A test binary of its own, because it counts the allocations of the whole process.

#[path = "it/families/models.rs"]
mod models;

use models::{FAMILIES, Family};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::SeqCst);
        // SAFETY: the caller's promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_step_allocates_nothing() {
    for (name, family) in FAMILIES {
        for threads in [1, 2] {
            let Family { trainer, x, y } = family();
            let mut trainer = trainer.threads(threads).compile(x.ty(), y.ty()).unwrap();
            trainer.step(&x, &y).unwrap();
            let before = ALLOCATIONS.load(Ordering::SeqCst);
            for _ in 0..10 {
                trainer.step(&x, &y).unwrap();
            }
            let after = ALLOCATIONS.load(Ordering::SeqCst);
            assert_eq!(after - before, 0, "allocations in ten steps of {name} on {threads} threads");
        }
    }
}
