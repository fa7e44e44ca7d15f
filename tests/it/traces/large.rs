//! Recorded runs of a recurrent model, a transformer, residual, generative and diffusion models.

use super::{COMPILED, EAGER, Tensors, Trace, Way, compare_losses, compare_tensors, shared};
use kiln::TrainerBuilder;
use kiln::models::{CharLstm, Dcgan, Ddpm, Gpt, GptConfig, Resnet18, Vae};
use kiln::prelude::*;

fn check_lstm(way: Way) {
    let Some(directory) = shared("traces/lstm") else { return };
    let model = CharLstm::new(65);
    let trainer = way(model.trainer(1e-3)).compile(i64(&[32, 64]), i64(&[32, 64])).unwrap();
    Trace::read(&directory).check(trainer, ["ids", "targets"]);
}

fn check_gpt(way: Way) {
    let Some(directory) = shared("traces/gpt") else { return };
    let model = Gpt::new(GptConfig::SMALL);
    let trainer = way(model.trainer(1e-3)).compile(i64(&[12, 64]), i64(&[12, 64])).unwrap();
    Trace::read(&directory).check(trainer, ["ids", "targets"]);
}

fn check_vae(way: Way) {
    let Some(directory) = shared("traces/vae") else { return };
    let model = Vae::new();
    let trainer = Trainer::minimizing(&model, |x| model.loss(&x[0], &x[1])).optimizer(Adam::new(1e-3));
    let trainer = way(trainer).compile([f32(&[128, 784]), f32(&[128, 20])], ()).unwrap();
    Trace::read(&directory).check_minimizing(trainer, ["x", "eps"]);
}

fn check_ddpm(way: Way) {
    let Some(directory) = shared("traces/ddpm") else { return };
    let model = Ddpm::new();
    let trainer = Trainer::minimizing(&model, |x| model.loss(&x[0], &x[1], &x[2]));
    let images = f32(&[32, 1, 32, 32]);
    let types = [images.clone(), i64(&[32]), images];
    let trainer = way(trainer.optimizer(Adam::new(2e-4))).compile(types, ()).unwrap();
    Trace::read(&directory).check_minimizing(trainer, ["x0", "t", "eps"]);
}

/// The recorded parameters, but for two biases that are moved by a few roundings.
///
/// In the first step two of the 262,144 elements before the first rectifier of the last block lie at 9.4e-7 (sample 27,
/// channel 148) and -1.6e-6 (sample 27, channel 164) when computed in `f64`; in `f32` the values there are off by 2e-6 on
/// average and 1e-5 at most. Which side of zero they are on decides whether a gradient passes, and so 7.6e-3 and 1.7e-3 of
/// that of `layer4.1.bn1.bias` and nearly as much of all below, in any arithmetic. Kiln's two ways of execution round these
/// two differently. So they are put further on the sides where they are: nothing else lies in between.
fn away_from_kinks(init: &Tensors) -> Tensors {
    let mut moved = init.clone();
    let bias = moved.get_mut("layer4.1.bn1.bias").expect("a parameter");
    let mut values = bias.to_f64_vec().iter().map(|&value| value as f32).collect::<Vec<_>>();
    values[148] += 2e-5;
    values[164] -= 2e-5;
    *bias = TensorData::new([values.len()], values);
    moved
}

fn check_resnet18(way: Way) {
    let Some(directory) = shared("traces/resnet18") else { return };
    let (model, trace) = (Resnet18::new(3, 10), Trace::read(&directory));
    let begin = |rate: f64| {
        let sgd = Sgd::new(rate).momentum(0.9).weight_decay(5e-4);
        let trainer = way(Trainer::new(&model).loss(cross_entropy).optimizer(sgd));
        let mut trainer = trainer.compile(f32(&[32, 3, 32, 32]), i64(&[32])).unwrap();
        trainer.set_parameters(&trace.init).unwrap();
        trainer
    };
    let [x, y] = trace.batch(["x", "y"], 0);
    let mut trainer = begin(0.1);
    trainer.set_parameters(&away_from_kinks(&trace.init)).unwrap();
    trace.compare("grads0", trainer.gradients(&x, &y).unwrap(), &trace.gradients);
    let step = |trainer: &mut Trainer<'_>, step: usize| {
        let [x, y] = trace.batch(["x", "y"], step);
        vec![trainer.step(&x, &y).unwrap().into()]
    };
    trainer.set_parameters(&trace.init).unwrap();
    compare_losses(&trace.json, 2, |k| step(&mut trainer, k));
    let gentle = &trace.json["gentle"];
    let mut trainer = begin(gentle["lr"].as_f64().unwrap());
    compare_losses(gentle, usize::MAX, |k| step(&mut trainer, k));
    let found = trainer.parameters().into_iter().collect();
    compare_tensors("gentle", &gentle["final"], found, trace.last_gentle.as_ref().unwrap());
}

fn check_dcgan(way: Way) {
    let Some(directory) = shared("traces/dcgan") else { return };
    let (model, trace) = (Dcgan::new(), Trace::read(&directory));
    let begin = |trainer| begin(trainer, way, &trace);
    let step = |trainer: &mut Trainer<'_>, step: usize| {
        let losses = trainer.run("step", &trace.batch(["real", "z"], step)).unwrap();
        losses.iter().map(|loss| loss.get(0).as_f64()).collect()
    };
    compare_dcgan_gradients(&model, &trace, begin);
    let mut trainer = begin(model.trainer(2e-4));
    compare_losses(&trace.json, 2, |k| step(&mut trainer, k));
    let gentle = &trace.json["gentle"];
    let mut trainer = begin(model.trainer(gentle["lr"].as_f64().unwrap()));
    compare_losses(gentle, usize::MAX, |k| step(&mut trainer, k));
    let found = trainer.parameters().into_iter().collect();
    compare_tensors("gentle", &gentle["final"], found, trace.last_gentle.as_ref().unwrap());
}

/// Makes a trainer of programs that starts as recorded.
fn begin<'m>(trainer: TrainerBuilder<'m>, way: Way, trace: &Trace) -> Trainer<'m> {
    let mut trainer = way(trainer).build().unwrap();
    trainer.set_parameters(&trace.init).unwrap();
    trainer
}

/// The gradients of each network in its own phase of the first step.
fn compare_dcgan_gradients<'m>(
    model: &'m Dcgan,
    trace: &Trace,
    begin: impl Fn(TrainerBuilder<'m>) -> Trainer<'m>,
) {
    let names = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let traced_names = names.clone();
    let trainer = model.trainer(2e-4).training_program("gradients", move |step, batch| {
        let fake = model.g.forward(&batch[1]);
        let of_d = step.gradients("d", &model.d_loss(&batch[0], &fake.detach()));
        let mut all: Vec<(String, Tensor)> =
            of_d.iter().map(|(name, g)| (name.to_string(), g.clone())).collect();
        step.apply(of_d);
        let of_g = step.gradients("g", &model.g_loss(&fake));
        all.extend(of_g.iter().map(|(name, g)| (name.to_string(), g.clone())));
        let (names, gradients) = all.into_iter().unzip();
        *traced_names.borrow_mut() = names;
        gradients
    });
    let gradients = begin(trainer).run("gradients", &trace.batch(["real", "z"], 0)).unwrap();
    let found = names.borrow().iter().cloned().zip(gradients).collect();
    trace.compare("grads0", found, &trace.gradients);
}

#[test]
fn lstm_trains_as_recorded() {
    check_lstm(COMPILED);
}

#[test]
fn lstm_trains_as_recorded_eagerly() {
    check_lstm(EAGER);
}

#[test]
fn gpt_trains_as_recorded() {
    check_gpt(COMPILED);
}

#[test]
fn gpt_trains_as_recorded_eagerly() {
    check_gpt(EAGER);
}

#[test]
fn vae_trains_as_recorded() {
    check_vae(COMPILED);
}

#[test]
fn vae_trains_as_recorded_eagerly() {
    check_vae(EAGER);
}

#[test]
fn ddpm_trains_as_recorded() {
    check_ddpm(COMPILED);
}

#[test]
fn ddpm_trains_as_recorded_eagerly() {
    check_ddpm(EAGER);
}

#[test]
fn resnet18_trains_as_recorded() {
    check_resnet18(COMPILED);
}

#[test]
fn resnet18_trains_as_recorded_eagerly() {
    check_resnet18(EAGER);
}

#[test]
fn dcgan_trains_as_recorded() {
    check_dcgan(COMPILED);
}

#[test]
fn dcgan_trains_as_recorded_eagerly() {
    check_dcgan(EAGER);
}
