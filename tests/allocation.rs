//! A step allocates nothing. A test binary of its own, because it counts the allocations of the whole process.

use kiln::prelude::*;
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

struct Net {
    conv: Conv2d,
    fc: Linear,
}
kiln::parameters!(Net { conv, fc });

impl Model for Net {
    fn forward(&self, x: &Tensor) -> Tensor {
        let x = self.conv.forward(x).relu().max_pool2d(2).dropout(0.25);
        self.fc.forward(&x.flatten(1, -1)).gelu()
    }
}

#[test]
fn a_step_allocates_nothing() {
    let model = Net { conv: Conv2d::new(1, 8, 3), fc: Linear::new(8 * 13 * 13, 10) };
    let x = TensorData::new([16, 1, 28, 28], vec![0.5f32; 16 * 28 * 28]);
    let y = TensorData::new([16], vec![3i64; 16]);
    for (threads, n_batches) in [(1, 1), (2, 1), (2, 3)] {
        let trainer = Trainer::new(&model).loss(cross_entropy).optimizer(Adam::new(1e-3)).threads(threads);
        let trainer = trainer.schedule(Cosine::new(20).warm_up(5)).accumulate(n_batches);
        let mut trainer = trainer.compile(f32(&[16, 1, 28, 28]), i64(&[16])).unwrap();
        trainer.step(&x, &y).unwrap();
        let before = ALLOCATIONS.load(Ordering::SeqCst);
        for _ in 0..10 {
            trainer.step(&x, &y).unwrap();
        }
        let after = ALLOCATIONS.load(Ordering::SeqCst);
        assert_eq!(
            after - before,
            0,
            "allocations in ten steps on {threads} threads, {n_batches} batches each"
        );
    }
}
