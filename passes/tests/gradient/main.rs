//! Gradients, first and second order, against finite differences of the reference interpreter, and the conventions at
//! kinks and ties.

mod cases;
mod check;
mod compositions;
mod loops;
mod rules;
mod ties;
mod unreached;

use check::{check, check_second_order};

#[test]
fn every_op_passes_on_the_finite_difference() {
    let cases = cases::all();
    assert!(cases.len() > 500, "the table has shrunk to {}", cases.len());
    for case in &cases {
        check(case);
    }
}

#[test]
fn every_gradient_has_the_gradient_of_the_finite_difference() {
    for case in &cases::all() {
        check_second_order(case);
    }
}
