//! Parameter groups and regularisation, against numbers that PyTorch computed in `f64`: a layer of two inputs and two
//! outputs that takes turns on two batches.

use super::support::{assert_within, run};
use kiln::TrainerBuilder;
use kiln::loss::CrossEntropy;
use kiln::nn::{ActivityRegularization, GaussianNoise};
use kiln::optim::Steps;
use kiln::prelude::*;
use kiln::trainer::Penalty;

type Losses = Vec<f64>;

/// Trains the layer for so many steps, from the parameters that PyTorch was given: losses, weight, bias.
fn train(
    n_steps: usize,
    forward: impl Fn(&Tensor) -> Tensor,
    set_up: impl Fn(TrainerBuilder<'_>) -> TrainerBuilder<'_>,
) -> (Losses, TensorData, TensorData) {
    let model = Linear::new(2, 2);
    let trainer = Trainer::of(&model, |x| forward(&model.forward(&x[0]))).loss(mse);
    let mut trainer = set_up(trainer).compile(f32(&[2, 2]), f32(&[2, 2])).unwrap();
    let square = |values: [f32; 4]| TensorData::new([2, 2], values.to_vec());
    trainer.set_parameter("weight", square([0.5, -0.25, 0.125, 1.0])).unwrap();
    trainer.set_parameter("bias", TensorData::new([2], vec![0.1f32, -0.2])).unwrap();
    let inputs = [[1.0, 2.0, -1.0, 0.5], [0.5, -1.0, 2.0, 1.0]].map(square);
    let targets = [[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0]].map(square);
    let mut step = |i: usize| f64::from(trainer.step(&inputs[i % 2], &targets[i % 2]).unwrap());
    let losses = (0..n_steps).map(&mut step).collect();
    (losses, trainer.parameter("weight").unwrap(), trainer.parameter("bias").unwrap())
}

#[track_caller]
fn assert_losses(found: &[f64], expected: [f64; 4]) {
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-6, "{found} instead of {expected}");
    }
}

#[test]
fn groups_follow_one_schedule_each_from_its_own_rate() {
    // AdamW([{'params': [w], 'weight_decay': 0.1}, {'params': [b], 'weight_decay': 0.0, 'lr': 0.2}], lr=0.05, eps=1e-3)
    // with StepLR(o, 2, 0.5)
    let (_, weight, bias) = train(6, Tensor::clone, |trainer| {
        trainer
            .optimizer(AdamW::new(0.05).eps(1e-3).weight_decay(0.1))
            .group("biases", |name, _| name == "bias", AdamW::new(0.2).eps(1e-3).weight_decay(0.0))
            .schedule(Steps { size: 2, gamma: 0.5 })
    });
    let expected = [0.4939190371602405, -0.09239179043476724, -0.019080237548762313, 0.8108867316733819];
    assert_within(&weight, &expected, 3e-6);
    assert_within(&bias, &[0.35839634363706996, -0.2808190336527696], 3e-6);
}

#[test]
fn penalties_on_parameters_are_part_of_the_loss() {
    // loss + 0.02 * w.abs().sum() + 0.03 * (w ** 2).sum()
    let (losses, weight, bias) = train(4, Tensor::clone, |trainer| {
        let penalty = Penalty { l1: 0.02, l2: 0.03 };
        trainer.optimizer(Sgd::new(0.1)).penalize(|name, _| name == "weight", penalty)
    });
    assert_losses(&losses, [1.4453125, 1.296907514375, 0.6915877443476582, 0.9486099868419279]);
    let expected = [0.46312348052374996, -0.022387893318500003, -0.07974687727475001, 0.4745188982404999];
    assert_within(&weight, &expected, 1e-6);
    assert_within(&bias, &[0.1595252271875, -0.111590572], 1e-6);
}

#[test]
fn penalties_on_parameters_do_not_count_in_evaluation_and_of_a_group_only_for_it() {
    let model = Linear::new(2, 2);
    let penalty = Penalty { l1: 0.0, l2: 1.0 };
    let trainer = Trainer::new(&model)
        .loss(mse)
        .optimizer(Sgd::new(0.0))
        .group("weights", |name, _| name == "weight", Sgd::new(0.25))
        .penalize(|_, _| true, penalty)
        .training_program("shrink", |step, x| {
            // The loss is of the bias alone: what moves the weight is its penalty.
            let loss =
                model.bias.as_ref().unwrap().of(&x[0]).sum(..) + (model.weight.of(&x[0]) * 0.0).sum(..);
            step.minimize("weights", &loss);
            vec![loss]
        });
    let mut trainer = trainer.compile(f32(&[1, 2]), f32(&[1, 2])).unwrap();
    let zeros = TensorData::new([1, 2], vec![0f32; 2]);
    let (weight, bias) = (trainer.parameter("weight").unwrap(), trainer.parameter("bias").unwrap());
    let squares = |data: &TensorData| data.to_f64_vec().iter().map(|p| p * p).sum::<f64>();
    let (loss, _) = trainer.evaluate(&zeros, &zeros).unwrap();
    assert!((f64::from(loss) - squares(&bias) / 2.0).abs() < 1e-6);
    trainer.run("shrink", &zeros).unwrap();
    let halves: Vec<f64> = weight.to_f64_vec().iter().map(|w| w / 2.0).collect();
    assert_within(&trainer.parameter("weight").unwrap(), &halves, 1e-6);
    assert_eq!(trainer.parameter("bias").unwrap(), bias);
}

#[test]
fn penalties_on_activations_are_part_of_the_loss() {
    // loss + 0.01 * z.abs().sum() + 0.02 * (z ** 2).sum()
    let activity = ActivityRegularization { l1: 0.01, l2: 0.02 };
    let (losses, weight, bias) =
        train(4, |z| activity.forward(z), |trainer| trainer.optimizer(Sgd::new(0.1)));
    assert_losses(&losses, [1.47565625, 1.3247503659062496, 0.6907983307045876, 0.975589529643656]);
    let expected = [0.4531028833992499, -0.03761487717324998, -0.08957797908187501, 0.463624000637];
    assert_within(&weight, &expected, 1e-6);
    assert_within(&bias, &[0.14728619809835, -0.11792735077270003], 1e-6);
}

#[test]
fn noise_is_normal_in_training_and_absent_elsewhere() {
    struct Noisy {
        scale: Param,
    }
    kiln::parameters!(Noisy { scale });
    let model = Noisy { scale: Param::new([], Init::Ones) };
    let trainer = Trainer::of(&model, |x| GaussianNoise(0.5).forward(&x[0]) * model.scale.of(&x[0]));
    // Deviations from what is expected: the mean, and the mean of squares.
    let trainer = trainer.loss_of(|y, _| y.mean(..).abs() + (y.square().mean(..) - 0.25).abs());
    let mut trainer = trainer.optimizer(Sgd::new(0.0)).compile(f32(&[16, 4096]), ()).unwrap();
    let zeros = TensorData::new([16, 4096], vec![0f32; 16 * 4096]);
    let losses: Vec<f32> = (0..2).map(|_| trainer.step(&zeros, &()).unwrap()).collect();
    // Of 65536 normal numbers of deviation 0.5 the mean deviates by 0.002, the mean of squares by 0.0014: five of each.
    assert!(losses.iter().all(|loss| *loss < 0.017), "{losses:?}");
    assert!(losses[0] != losses[1], "{losses:?}");
    let (_, prediction) = trainer.evaluate(&zeros, &()).unwrap();
    assert_eq!(prediction, zeros);
}

#[test]
fn smoothed_labels_are_those_of_pytorch() {
    let logits = TensorData::new([2, 3], vec![0.5f32, -1.0, 2.0, 0.1, 0.3, -0.2]);
    let label = TensorData::new([2], vec![2i64, 0]);
    // cross_entropy(x, t, label_smoothing=0.1)
    let smoothed = CrossEntropy::new().label_smoothing(0.1);
    assert_within(&run(&[&logits, &label], |x| smoothed.of(&x[0], &x[1])), &[0.7402919738294731], 1e-6);
}
