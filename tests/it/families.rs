//! A model of each family, trained for some steps: the same bits on all teams, and near the interpreter and eager execution.

pub mod models;

use kiln::TrainerBuilder;
use kiln::prelude::*;
use kiln_ir::{Tolerance, compare};
use models::{FAMILIES, Family};

/// How many steps are taken: the second one reads what the first has written, the third what optimizers keep.
const N_STEPS: usize = 3;

type Way = fn(TrainerBuilder<'static>) -> TrainerBuilder<'static>;

fn begin(
    family: Family,
    way: impl FnOnce(TrainerBuilder<'static>) -> TrainerBuilder<'static>,
) -> Trainer<'static> {
    way(family.trainer.seed(7)).compile(family.x.ty(), family.y.ty()).unwrap()
}

fn losses(trainer: &mut Trainer<'_>, x: &TensorData, y: &TensorData) -> TensorData {
    TensorData::new([N_STEPS], (0..N_STEPS).map(|_| trainer.step(x, y).unwrap()).collect::<Vec<_>>())
}

#[test]
fn steps_have_the_same_bits_on_all_teams() {
    for (name, family) in FAMILIES {
        // The losses, and the parameters and statistics after all steps.
        let train = |threads: usize| {
            let Family { x, y, .. } = family();
            let mut trainer = begin(family(), |trainer| trainer.threads(threads));
            let losses = losses(&mut trainer, &x, &y);
            assert!(losses.to_f64_vec().iter().all(|loss| loss.is_finite()), "{name}: {losses:?}");
            let parameters = trainer.parameters().into_iter().map(|(_, value)| value);
            std::iter::once(losses).chain(parameters).collect::<Vec<_>>()
        };
        let first = train(1);
        for threads in [1, 2, 3, 7] {
            let found = train(threads);
            let differing = found.iter().zip(&first).position(|(found, first)| !found.same_bits(first));
            assert_eq!(differing, None, "{name} on {threads} threads");
        }
    }
}

#[test]
fn steps_are_those_of_the_interpreter_and_of_eager_execution() {
    // Roundings of sums in another order. What optimizers make of gradients that are nothing but rounding is not compared.
    let near = Tolerance { relative: 1e-3, absolute: 2e-5, ulps: 0 };
    let ways: [(&str, Way); 3] = [
        ("compiled", |trainer| trainer.threads(2)),
        ("interpreted", TrainerBuilder::reference),
        ("eagerly", |trainer| trainer.eager(true)),
    ];
    for (name, family) in FAMILIES {
        let Family { x, y, .. } = family();
        let [expected, others @ ..] = ways.map(|(way, set_up)| {
            let mut trainer = begin(family(), set_up);
            let mut values: Vec<(String, TensorData)> =
                trainer.gradients(&x, &y).unwrap().into_iter().collect();
            values.push(("losses".into(), losses(&mut trainer, &x, &y)));
            (way, values)
        });
        for (way, values) in others {
            for ((value, found), (_, expected)) in values.iter().zip(&expected.1) {
                compare(found, expected, near)
                    .unwrap_or_else(|difference| panic!("{name} {way}: {value}: {difference}"));
            }
        }
    }
}
