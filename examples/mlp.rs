//! Trains a multi-layer perceptron on handwritten digits that are embedded in the crate.
//!
//! `cargo run --release --example mlp`

use kiln::data::{Loader, Remainder, digits};
use kiln::metrics::accuracy;
use kiln::prelude::*;

struct Mlp {
    hidden: Linear,
    head: Linear,
}
kiln::parameters!(Mlp { hidden, head });

impl Model for Mlp {
    fn forward(&self, x: &Tensor) -> Tensor {
        self.head.forward(&self.hidden.forward(x).relu())
    }
}

fn main() -> Result<(), kiln::Error> {
    let digits = digits();
    let model = Mlp { hidden: Linear::new(64, 64), head: Linear::new(64, 10) };
    let mut trainer = Trainer::new(&model)
        .loss(cross_entropy)
        .optimizer(Adam::new(3e-3))
        .compile(f32(&[64, 64]), i64(&[64]))?;

    let batches = Loader::new(&digits.train, 64).shuffled(0).remainder(Remainder::Drop);
    for epoch in 0..10 {
        let mut loss = 0.0;
        for (x, label) in batches.epoch(epoch) {
            loss += trainer.step(&x, &label)?;
        }
        println!("epoch {epoch}: loss {:.4}", loss / batches.n_batches() as f32);
    }

    let (loss, scores) = trainer.evaluate(digits.test.x(), digits.test.y())?;
    println!("test: loss {loss:.4}, accuracy {:.1}%", 100.0 * accuracy(&scores, digits.test.y()));
    Ok(())
}
