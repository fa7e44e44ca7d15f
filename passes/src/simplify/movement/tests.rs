//! Each row about axes and views, as text to difference.

use super::super::Simplify;
use crate::testing::check;
use insta::assert_snapshot;

fn changes(text: &str) -> String {
    check(&Simplify, text)
}

#[test]
fn reshapes_meet() {
    assert_snapshot!(changes(
        "
        graph f(%x: f32[2, 3]) {
            %a: f32[6] = reshape %x
            %b: f32[3, 2] = reshape %a
            return %b
        }
    "
    ), @"
      graph f(%x: f32[2, 3]) {
    -     %a: f32[6] = reshape %x
    -     %b: f32[3, 2] = reshape %a
    +     %b: f32[3, 2] = reshape %x
          return %b
      }
    ");
}

#[test]
fn a_reshape_there_and_back_goes() {
    assert_snapshot!(changes(
        "
        graph f(%x: f32[2, 3]) {
            %a: f32[6] = reshape %x
            %b: f32[2, 3] = reshape %a
            return %b
        }
    "
    ), @"
      graph f(%x: f32[2, 3]) {
    -     %a: f32[6] = reshape %x
    -     %b: f32[2, 3] = reshape %a
    -     return %b
    +     return %x
      }
    ");
}

#[test]
fn reshape_goes_above_a_repetition() {
    assert_snapshot!(changes(
        "
        graph f(%x: f32[2, 3]) {
            %a: f32[4, 2, 3] = broadcast %x { axes = [1, 2] }
            %b: f32[2, 2, 6] = reshape %a
            return %b
        }
    "
    ), @"
      graph f(%x: f32[2, 3]) {
    -     %a: f32[4, 2, 3] = broadcast %x { axes = [1, 2] }
    -     %b: f32[2, 2, 6] = reshape %a
    +     %reshape: f32[6] = reshape %x
    +     %b: f32[2, 2, 6] = broadcast %reshape { axes = [2] }
          return %b
      }
    ");
}

#[test]
fn reshape_that_joins_old_and_new_axes_stays() {
    assert_snapshot!(changes(
        "
        graph f(%x: f32[2]) {
            %a: f32[2, 3] = broadcast %x { axes = [0] }
            %b: f32[6] = reshape %a
            return %b
        }
    "
    ), @"unchanged");
}

#[test]
fn permutations_meet() {
    assert_snapshot!(changes(
        "
        graph f(%x: f32[2, 3, 4]) {
            %a: f32[3, 4, 2] = permute %x { permutation = [1, 2, 0] }
            %b: f32[2, 4, 3] = permute %a { permutation = [2, 1, 0] }
            %c: f32[2, 3, 4] = permute %b { permutation = [0, 2, 1] }
            return %b, %c
        }
    "
    ), @"
      graph f(%x: f32[2, 3, 4]) {
    -     %a: f32[3, 4, 2] = permute %x { permutation = [1, 2, 0] }
    -     %b: f32[2, 4, 3] = permute %a { permutation = [2, 1, 0] }
    -     %c: f32[2, 3, 4] = permute %b { permutation = [0, 2, 1] }
    -     return %b, %c
    +     %b: f32[2, 4, 3] = permute %x { permutation = [0, 2, 1] }
    +     return %b, %x
      }
    ");
}

#[test]
fn moving_axes_of_extent_1_is_a_reshape() {
    assert_snapshot!(changes(
        "
        graph f(%x: f32[2, 1, 3]) {
            %a: f32[1, 2, 3] = permute %x { permutation = [1, 0, 2] }
            return %a
        }
    "
    ), @"
      graph f(%x: f32[2, 1, 3]) {
    -     %a: f32[1, 2, 3] = permute %x { permutation = [1, 0, 2] }
    +     %a: f32[1, 2, 3] = reshape %x
          return %a
      }
    ");
}

#[test]
fn permute_goes_above_a_repetition() {
    assert_snapshot!(changes(
        "
        graph f(%x: f32[2, 3]) {
            %a: f32[2, 4, 3] = broadcast %x { axes = [0, 2] }
            %b: f32[3, 2, 4] = permute %a { permutation = [2, 0, 1] }
            return %b
        }
    "
    ), @"
      graph f(%x: f32[2, 3]) {
    -     %a: f32[2, 4, 3] = broadcast %x { axes = [0, 2] }
    -     %b: f32[3, 2, 4] = permute %a { permutation = [2, 0, 1] }
    +     %permute: f32[3, 2] = permute %x { permutation = [1, 0] }
    +     %b: f32[3, 2, 4] = broadcast %permute { axes = [0, 1] }
          return %b
      }
    ");
}

#[test]
fn permute_of_whole_groups_goes_above_a_reshape() {
    assert_snapshot!(changes(
        "
        graph f(%x: f32[6, 4]) {
            %a: f32[2, 3, 4] = reshape %x
            %b: f32[4, 2, 3] = permute %a { permutation = [2, 0, 1] }
            return %b
        }
    "
    ), @"
      graph f(%x: f32[6, 4]) {
    -     %a: f32[2, 3, 4] = reshape %x
    -     %b: f32[4, 2, 3] = permute %a { permutation = [2, 0, 1] }
    +     %permute: f32[4, 6] = permute %x { permutation = [1, 0] }
    +     %b: f32[4, 2, 3] = reshape %permute
          return %b
      }
    ");
}

#[test]
fn permute_of_part_of_a_group_stays() {
    assert_snapshot!(changes(
        "
        graph f(%x: f32[6, 4]) {
            %a: f32[2, 3, 4] = reshape %x
            %b: f32[3, 2, 4] = permute %a { permutation = [1, 0, 2] }
            return %b
        }
    "
    ), @"unchanged");
}

#[test]
fn repetitions_meet() {
    assert_snapshot!(changes(
        "
        graph f(%x: f32[3]) {
            %a: f32[2, 3] = broadcast %x { axes = [1] }
            %b: f32[2, 4, 3] = broadcast %a { axes = [0, 2] }
            return %b
        }
    "
    ), @"
      graph f(%x: f32[3]) {
    -     %a: f32[2, 3] = broadcast %x { axes = [1] }
    -     %b: f32[2, 4, 3] = broadcast %a { axes = [0, 2] }
    +     %b: f32[2, 4, 3] = broadcast %x { axes = [2] }
          return %b
      }
    ");
}

#[test]
fn new_axes_of_extent_1_are_a_reshape() {
    assert_snapshot!(changes(
        "
        graph f(%x: f32[3]) {
            %a: f32[3, 1] = broadcast %x { axes = [0] }
            return %a
        }
    "
    ), @"
      graph f(%x: f32[3]) {
    -     %a: f32[3, 1] = broadcast %x { axes = [0] }
    +     %a: f32[3, 1] = reshape %x
          return %a
      }
    ");
}

#[test]
fn repetition_takes_over_added_units() {
    assert_snapshot!(changes(
        "
        graph f(%x: f32[3]) {
            %a: f32[3, 1] = reshape %x
            %b: f32[3, 5, 1] = broadcast %a { axes = [0, 2] }
            return %b
        }
    "
    ), @"
      graph f(%x: f32[3]) {
    -     %a: f32[3, 1] = reshape %x
    -     %b: f32[3, 5, 1] = broadcast %a { axes = [0, 2] }
    +     %b: f32[3, 5, 1] = broadcast %x { axes = [0] }
          return %b
      }
    ");
}

#[test]
fn reversals_meet() {
    assert_snapshot!(changes(
        "
        graph f(%x: f32[2, 1, 3]) {
            %a: f32[2, 1, 3] = reverse %x { axes = [0, 1] }
            %b: f32[2, 1, 3] = reverse %a { axes = [0, 2] }
            return %b
        }
    "
    ), @"
      graph f(%x: f32[2, 1, 3]) {
    -     %a: f32[2, 1, 3] = reverse %x { axes = [0, 1] }
    -     %b: f32[2, 1, 3] = reverse %a { axes = [0, 2] }
    +     %b: f32[2, 1, 3] = reverse %x { axes = [2] }
          return %b
      }
    ");
}

#[test]
fn reversal_goes_above_a_repetition() {
    assert_snapshot!(changes(
        "
        graph f(%x: f32[3]) {
            %a: f32[2, 3] = broadcast %x { axes = [1] }
            %b: f32[2, 3] = reverse %a { axes = [0, 1] }
            return %b
        }
    "
    ), @"
      graph f(%x: f32[3]) {
    -     %a: f32[2, 3] = broadcast %x { axes = [1] }
    -     %b: f32[2, 3] = reverse %a { axes = [0, 1] }
    +     %reverse: f32[3] = reverse %x { axes = [0] }
    +     %b: f32[2, 3] = broadcast %reverse { axes = [1] }
          return %b
      }
    ");
}
