//! What a user is told: one short program for each mistake, the full text in a snapshot.
//!
//! Snapshots hold the lines of this file: new cases go to its end.

use kiln::nn::{Init, Param};
use kiln::prelude::*;
use kiln::{Error, Tensor};

/// The mistakes of a function of tensors of these types.
fn mistakes(types: &[TensorType], function: impl Fn(&[Tensor])) -> String {
    let tracer = Tracer::new("test");
    let inputs: Vec<Tensor> =
        types.iter().enumerate().map(|(i, ty)| tracer.input(&format!("x{i}"), ty.clone())).collect();
    function(&inputs);
    tracer.check().expect_err("the function is wrong").to_string()
}

struct Mlp {
    fc1: Linear,
    fc2: Linear,
}
kiln::parameters!(Mlp { fc1, fc2 });

impl Model for Mlp {
    fn forward(&self, x: &Tensor) -> Tensor {
        self.fc2.forward(&self.fc1.forward(x).relu())
    }
}

fn mlp() -> Mlp {
    Mlp { fc1: Linear::new(4, 3), fc2: Linear::new(3, 2) }
}

fn trainer(model: &Mlp) -> Trainer<'_> {
    let trainer = Trainer::new(model).loss(cross_entropy).optimizer(Sgd::new(0.1));
    trainer.compile(f32(&[5, 4]), i64(&[5])).unwrap()
}

fn text<T>(result: Result<T, Error>) -> String {
    result.err().expect("an error").to_string()
}

#[test]
fn shapes_that_do_not_broadcast() {
    insta::assert_snapshot!(mistakes(&[f32(&[128, 784]), f32(&[784, 512]), f32(&[256])], |x| {
        let product = x[0].matmul(&x[1]);
        let _ = product + &x[2];
    }));
}

#[test]
fn independent_mistakes_are_reported_at_once() {
    insta::assert_snapshot!(mistakes(&[f32(&[2, 3]), f32(&[4])], |x| {
        let wrong = &x[0] + &x[1];
        let follows = wrong.exp().matmul(&x[0]);
        let _ = follows.softmax(7);
        let _ = x[0].sum(2);
        let _ = x[1].reshape([3, 5]);
    }));
}

#[test]
fn inner_extents_of_a_product_differ() {
    insta::assert_snapshot!(mistakes(&[f32(&[8, 3]), f32(&[4, 5])], |x| {
        let _ = x[0].matmul(&x[1]);
    }));
}

#[test]
fn a_layer_gets_other_features() {
    let model = mlp();
    let result =
        Trainer::new(&model).loss(cross_entropy).optimizer(Sgd::new(0.1)).compile(f32(&[5, 6]), i64(&[5]));
    insta::assert_snapshot!(text(result.map(|_| ())));
}

#[test]
fn axes_that_are_not_there() {
    insta::assert_snapshot!(mistakes(&[f32(&[2, 3])], |x| {
        let _ = x[0].sum(-3);
        let _ = x[0].mean([1, -1]);
        let _ = x[0].transpose(0, 2);
        let _ = x[0].permute([0, 0]);
    }));
}

#[test]
fn element_types_that_an_op_does_not_take() {
    insta::assert_snapshot!(mistakes(&[i64(&[3]), f32(&[3])], |x| {
        let _ = x[0].mean(..);
        let _ = x[1].bitwise_and(&x[0]);
        let _ = x[1].select(&x[0], 1);
    }));
}

#[test]
fn parts_that_are_not_there() {
    insta::assert_snapshot!(mistakes(&[f32(&[4, 3])], |x| {
        let _ = x[0].narrow(0, 2, 5);
        let _ = x[0].split_sizes(&[1, 1], 1);
        let _ = x[0].pad(&[(0, -9)], 0.0);
        let _ = x[0].broadcast_to([4, 5]);
        let _ = cat(&[&x[0], &x[0].t()], 0);
    }));
}

#[test]
fn convolutions_that_do_not_fit() {
    insta::assert_snapshot!(mistakes(&[f32(&[8, 3, 5, 5]), f32(&[6, 4, 3, 3]), f32(&[6, 3, 3, 3])], |x| {
        let _ = x[0].conv2d(&x[1], None, ConvOptions::new());
        let _ = x[0].conv1d(&x[1], None, ConvOptions::new());
        let _ = x[0].conv2d(&x[1], None, ConvOptions::new().stride([1, 2, 3]));
        let _ = x[0].conv2d(&x[2], None, ConvOptions::new().groups(2));
    }));
}

#[test]
fn pools_that_do_not_fit() {
    insta::assert_snapshot!(mistakes(&[f32(&[8, 3, 5, 5])], |x| {
        let _ = x[0].max_pool2d(7);
        let _ = x[0].avg_pool2d(PoolOptions::new(3).padding(2));
        let _ = x[0].adaptive_avg_pool([2; 5]);
    }));
}

#[test]
fn indices_that_do_not_fit() {
    insta::assert_snapshot!(mistakes(&[f32(&[4, 3]), f32(&[2]), i64(&[2])], |x| {
        let _ = x[0].index_select(0, &x[1]);
        let _ = x[0].gather(0, &x[2]);
        let _ = x[1].embedding(&x[2]);
    }));
}

#[test]
fn predictions_and_targets_that_do_not_fit() {
    insta::assert_snapshot!(mistakes(&[f32(&[4, 1]), f32(&[4]), i64(&[4, 1])], |x| {
        let _ = mse(&x[0], &x[1]);
        let _ = cross_entropy(&x[0], &x[2]);
    }));
}

#[test]
fn a_loss_that_is_not_one_number() {
    let model = mlp();
    let trainer = Trainer::new(&model).loss(|y, t| y - t).optimizer(Sgd::new(0.1));
    insta::assert_snapshot!(text(trainer.compile(f32(&[5, 4]), f32(&[5, 2])).map(|_| ())));
}

#[test]
fn a_parameter_that_the_loss_does_not_depend_on() {
    let model = mlp();
    let trainer = Trainer::of(&model, |x| model.fc2.forward(&x[0])).loss(mse).optimizer(Sgd::new(0.1));
    insta::assert_snapshot!(text(trainer.compile(f32(&[5, 3]), f32(&[5, 2])).map(|_| ())));
}

#[test]
fn an_op_that_cuts_the_gradient() {
    let model = mlp();
    let forward = |x: &[Tensor]| {
        let hidden = model.fc1.forward(&x[0]).round();
        model.fc2.forward(&hidden)
    };
    let trainer = Trainer::of(&model, forward).loss(mse).optimizer(Sgd::new(0.1));
    insta::assert_snapshot!(text(trainer.compile(f32(&[5, 4]), f32(&[5, 2])).map(|_| ())));
}

#[test]
fn frozen_parameters_need_no_gradient() {
    let model = mlp();
    let forward = |x: &[Tensor]| model.fc2.forward(&model.fc1.forward(&x[0]).detach());
    let trainer = Trainer::of(&model, forward).loss(mse).optimizer(Sgd::new(0.1)).freeze("fc1");
    assert!(trainer.compile(f32(&[5, 4]), f32(&[5, 2])).is_ok());
}

#[test]
fn a_parameter_that_is_not_listed() {
    struct Forgetful {
        listed: Linear,
        forgotten: Param,
    }
    kiln::parameters!(Forgetful { listed });
    let model = Forgetful { listed: Linear::new(2, 2), forgotten: Param::new([2], Init::Ones) };
    let forward = |x: &[Tensor]| model.listed.forward(&x[0]) * model.forgotten.of(&x[0]);
    let trainer = Trainer::of(&model, forward).loss(mse).optimizer(Sgd::new(0.1));
    insta::assert_snapshot!(text(trainer.compile(f32(&[5, 2]), f32(&[5, 2])).map(|_| ())));
}

#[test]
fn two_parameters_of_one_name() {
    struct Twins(Param, Param);
    impl Module for Twins {
        fn visit<'m>(&'m self, visitor: &mut kiln::nn::Visitor<'m>) {
            visitor.child("twin", &self.0);
            visitor.child("twin", &self.1);
        }
    }
    let model = Twins(Param::new([2], Init::Ones), Param::new([2], Init::Ones));
    let trainer =
        Trainer::of(&model, |x| model.0.of(&x[0]) * model.1.of(&x[0])).loss(mse).optimizer(Sgd::new(0.1));
    insta::assert_snapshot!(text(trainer.compile(f32(&[2]), f32(&[2])).map(|_| ())));
}

#[test]
fn a_trainer_without_a_loss() {
    let model = mlp();
    insta::assert_snapshot!(text(Trainer::new(&model).compile(f32(&[5, 4]), i64(&[5])).map(|_| ())));
}

#[test]
fn a_batch_of_another_shape() {
    let model = mlp();
    let (x, label) = (TensorData::new([6, 4], vec![0f32; 24]), TensorData::new([6], vec![0i64; 6]));
    insta::assert_snapshot!(text(trainer(&model).step(&x, &label)));
}

#[test]
fn a_batch_of_another_element_type() {
    let model = mlp();
    let (x, label) = (TensorData::new([5, 4], vec![0f32; 20]), TensorData::new([5], vec![0i32; 5]));
    insta::assert_snapshot!(text(trainer(&model).step(&x, &label)));
}

#[test]
fn a_batch_of_more_tensors() {
    let model = mlp();
    let (x, label) = (TensorData::new([5, 4], vec![0f32; 20]), TensorData::new([5], vec![0i64; 5]));
    insta::assert_snapshot!(text(trainer(&model).step(&[&x, &x], &label)));
}

#[test]
fn a_prediction_for_other_features() {
    let model = mlp();
    insta::assert_snapshot!(text(trainer(&model).predict(&TensorData::new([5, 6], vec![0f32; 30]))));
}

#[test]
fn a_parameter_that_does_not_exist() {
    let model = mlp();
    insta::assert_snapshot!(text(trainer(&model).parameter("fc3.weight")));
}

#[test]
fn a_value_of_another_shape_for_a_parameter() {
    let model = mlp();
    let value = TensorData::new([3], vec![0f32; 3]);
    insta::assert_snapshot!(text(trainer(&model).set_parameter("fc1.weight", value)));
}

#[test]
fn a_file_of_another_model() {
    let small = mlp();
    let large = Mlp { fc1: Linear::new(4, 3), fc2: Linear::new(3, 7) };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.safetensors");
    trainer(&large).save(&path).unwrap();
    insta::assert_snapshot!(text(trainer(&small).load(&path)).replace(path.to_str().unwrap(), "FILE"));
}

#[test]
fn a_file_that_lacks_a_parameter() {
    let model = mlp();
    let mut values: std::collections::BTreeMap<_, _> = trainer(&model).parameters().into_iter().collect();
    values.remove("fc2.bias");
    insta::assert_snapshot!(text(trainer(&model).set_parameters(&values)));
}

#[test]
fn tensors_of_two_traces() {
    let other = Tracer::new("other").input("y", f32(&[2]));
    insta::assert_snapshot!(mistakes(&[f32(&[2])], |x| {
        let _ = &x[0] + &other;
    }));
}

#[test]
fn an_activation_in_a_sequence_of_layers() {
    let model = Sequential::new().then(Linear::new(4, 3)).then(kiln::nn::Softmax(5));
    let trainer = Trainer::new(&model).loss(mse).optimizer(Sgd::new(0.1));
    insta::assert_snapshot!(text(trainer.compile(f32(&[5, 4]), f32(&[5, 3])).map(|_| ())));
}

#[test]
fn operands_of_other_families_that_do_not_fit() {
    insta::assert_snapshot!(mistakes(&[f32(&[2, 3]), f32(&[4]), i64(&[4, 3])], |x| {
        let _ = x[0].lt(&x[1]);
        let _ = x[0].logical_or(&x[1]);
        let _ = x[0].gt(0).select(&x[0], &x[1]);
        let _ = x[0].cumsum(2);
        let _ = x[0].scatter_add(1, &x[2], &x[0]);
        let _ = x[0].gt(0).neg();
        let _ = x[2].matmul(&x[1].slice(0, ..2));
        let _ = x[0].argmax([0, 1]);
        let _ = x[1].slice(0, 4..).max(..);
        let _ = x[0].layer_norm(3, None, None, 1e-5);
    }));
}

#[test]
fn orders_and_shapes_that_do_not_fit() {
    insta::assert_snapshot!(mistakes(&[f32(&[2, 3]), f32(&[4])], |x| {
        let _ = x[0].sort(2, false);
        let _ = x[0].topk(4, 1, true);
        let _ = x[0].reshape([4, 2]);
        let _ = x[0].reshape([-1, -1]);
        let _ = x[0].permute([0]);
        let _ = x[0].conv_transpose1d(&x[1], None, ConvOptions::new());
        let _ = x[0].atan2(&x[1]);
        let _ = x[0].attention(&x[0], &x[1], None, false);
        let _ = Scan::over(&[&x[0], &x[1]]).run(|_, parts| (vec![], parts.to_vec()));
    }));
}

#[test]
fn randomness_without_a_random_state() {
    insta::assert_snapshot!(mistakes(&[f32(&[2, 3])], |x| {
        x[0].tracer().set_training(true);
        let _ = x[0].dropout(0.5);
        let _ = x[0].dropout(1.5);
    }));
}

#[test]
fn a_gradient_of_what_has_none() {
    insta::assert_snapshot!(mistakes(&[f32(&[2, 3])], |x| {
        let tracer = x[0].tracer();
        let _ = tracer.gradient(&x[0].exp(), &[&x[0]]);
        let _ = tracer.gradient(&x[0].floor().sum(..), &[&x[0]]);
        let _ = tracer.gradient(&x[0].detach().sum(..), &[&x[0]]);
        let mut value = x[0].matmul(&x[0].transpose(0, 1)).eigvalsh();
        for _ in 0..3 {
            value = tracer.gradient(&value.square().sum(..), &[&x[0]]).remove(0);
        }
    }));
}

#[test]
fn equations_that_do_not_fit() {
    insta::assert_snapshot!(mistakes(&[f32(&[2, 3]), f32(&[4, 5])], |x| {
        let _ = einsum("ij,jk->ik", &[&x[0], &x[1]]);
        let _ = einsum("ij->ik", &[&x[0]]);
        let _ = einsum("i->i", &[&x[0]]);
        let _ = einsum("ij,jk->ik", &[&x[0]]);
        let _ = x[0].tensordot(&x[1], [0, 1], [0]);
    }));
}

#[test]
fn files_that_cannot_be_read() {
    let model = mlp();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.safetensors");
    let mut texts = vec![text(trainer(&model).load(&path))];
    trainer(&model).save(&path).unwrap();
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 3]).unwrap();
    texts.push(text(trainer(&model).load(&path)));
    std::fs::write(&path, "no parameters").unwrap();
    texts.push(text(trainer(&model).load(&path)));
    let directory = directory.path().display().to_string();
    insta::assert_snapshot!(texts.join("\n\n").replace(&directory, "DIRECTORY"));
}

#[test]
fn other_axes_that_are_not_there() {
    insta::assert_snapshot!(mistakes(&[f32(&[2, 3]), i64(&[2, 3])], |x| {
        let _ = x[0].flip(2);
        let _ = x[0].squeeze(-3);
        let _ = x[0].argmin(2);
        let _ = x[0].gather(2, &x[1]);
        let _ = cat(&[&x[0], &x[0]], 2);
        let _ = x[0].slice(2, ..1);
        let _ = x[0].prod(2);
        let _ = x[0].cumsum(-3);
    }));
}

#[test]
fn indices_and_states_that_do_not_suit() {
    let types = [f32(&[4, 6]), i64(&[3]), f32(&[2, 6]), f32(&[2, 3, 5, 5]), f32(&[3, 5, 5, 2])];
    insta::assert_snapshot!(mistakes(&types, |x| {
        let _ = x[0].embedding(&x[2]);
        let _ = x[0].one_hot(6);
        let _ = x[0].topk(7, -1, true);
        let _ = x[0].topk(2, 3, true);
        let _ = x[0].index_add(0, &x[1], &x[2], 1.0);
        let _ = x[3].grid_sample(&x[4], kiln::Resample::Nearest, kiln::Border::Constant(0.0), false);
        let _ = kiln::nn::Upsample::nearest(2.0).forward(&x[0]);
        let weights = kiln::nn::CellWeights {
            weight_ih: x[0].clone(),
            weight_hh: x[0].clone(),
            bias_ih: None,
            bias_hh: None,
            weight_hr: None,
        };
        let _ = kiln::nn::cell(kiln::nn::CellKind::Lstm, &x[0], &x[..1], &weights);
    }));
}

#[test]
fn an_attention_that_the_model_does_not_list() {
    let message = mistakes(&[f32(&[2, 3, 8])], |x| {
        let _ = kiln::nn::MultiheadAttention::new(8, 2).forward(&x[0]);
    });
    assert!(message.contains("the model uses a parameter that it does not list"), "{message}");
}

/// Rust's own library calls a function that is handed over by its name: that is not where the user looks.
#[test]
fn a_loss_by_its_name_that_does_not_suit_the_target() {
    let model = mlp();
    let trainer = Trainer::new(&model).loss(mse).optimizer(Sgd::new(0.1));
    insta::assert_snapshot!(text(trainer.compile(f32(&[5, 4]), f32(&[6, 2])).map(|_| ())));
}

#[test]
fn names_and_batches_that_a_trainer_does_not_know() {
    let model = mlp();
    let mut texts = Vec::new();
    let begun = || Trainer::new(&model).loss(mse).optimizer(Sgd::new(0.1));
    let (x, y) = (f32(&[5, 4]), f32(&[5, 2]));
    texts.push(text(begun().freeze("fc9").compile(x.clone(), y.clone()).map(|_| ())));
    texts.push(text(begun().optimizer_of("fc", Sgd::new(1.0)).compile(x.clone(), y.clone()).map(|_| ())));
    texts.push(text(begun().compile(x.clone(), ()).map(|_| ())));
    let mut trainer = begun().compile(x, y).unwrap();
    let zeros = |shape: &[usize]| TensorData::zeros(&f32(shape));
    texts.push(text(trainer.run("generate", &zeros(&[5, 4]))));
    texts.push(text(trainer.step(&zeros(&[3, 4]), &zeros(&[5, 2]))));
    texts.push(text(trainer.evaluate(&zeros(&[5, 4]), &())));
    texts.push(text(trainer.predict(&())));
    insta::assert_snapshot!(texts.join("\n\n"));
}

#[test]
fn kernels_and_batches_of_matrices_that_do_not_fit() {
    let types = [f32(&[1, 4, 2, 2]), f32(&[4, 4, 3, 3]), f32(&[2, 3, 3]), f32(&[5, 3, 1])];
    insta::assert_snapshot!(mistakes(&types, |x| {
        let _ = x[0].conv2d(&x[1], None, ConvOptions::new());
        let _ = x[0].conv2d(&x[1], None, ConvOptions::new().dilation(2).padding(1));
        let _ = x[2].solve_triangular(&x[3], false, false);
        let _ = x[2].cholesky_solve(&x[3], true);
    }));
}

/// One number at a time that an optimizer cannot do with.
#[test]
fn numbers_that_no_optimizer_can_use() {
    let model = mlp();
    let mut told = String::new();
    let mut say = |trainer: kiln::TrainerBuilder<'_>| {
        let compiled = trainer.compile(f32(&[5, 4]), i64(&[5])).map(|_| ());
        told += &text(compiled);
        told.push('\n');
    };
    let with = || Trainer::new(&model).loss(cross_entropy);
    say(with().optimizer(Sgd::new(-1.0)));
    say(with().optimizer(Sgd::new(f64::NAN)));
    say(with().optimizer(Sgd::new(0.1).momentum(-0.9)));
    say(with().optimizer(Adam::new(1e-3).betas(0.9, 1.0)));
    say(with().optimizer(AdamW::new(1e-3).eps(-1e-8)));
    say(with().optimizer(NAdam::new(1e-3).momentum_decay(-1.0)));
    say(with().optimizer(Adagrad::new(1e-3).lr_decay(-0.5)));
    say(with().optimizer(Adadelta::new(1.0).rho(1.5)));
    say(with().optimizer(RmsProp::new(1e-3).weight_decay(-0.1)));
    say(with().optimizer(Lion::new(1e-4).betas(-0.1, 0.99)));
    say(with().optimizer(Sgd::new(0.1)).clip_norm(-1.0));
    insta::assert_snapshot!(told);
}
