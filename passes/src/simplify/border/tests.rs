//! Each row about parts and borders, as text to difference.

use super::super::Simplify;
use crate::testing::check;
use insta::assert_snapshot;

fn changes(text: &str) -> String {
    check(&Simplify, text)
}

#[test]
fn a_slice_of_everything_goes() {
    assert_snapshot!(changes(
        "
        graph f(%x: f32[4, 3]) {
            %a: f32[4, 3] = slice %x { start = [0, 0], limit = [4, 3], step = [1, 1] }
            return %a
        }
    "
    ), @"
      graph f(%x: f32[4, 3]) {
    -     %a: f32[4, 3] = slice %x { start = [0, 0], limit = [4, 3] }
    -     return %a
    +     return %x
      }
    ");
}

#[test]
fn slices_meet() {
    assert_snapshot!(changes(
        "
        graph f(%x: f32[20]) {
            %a: f32[6] = slice %x { start = [2], limit = [19], step = [3] }
            %b: f32[2] = slice %a { start = [1], limit = [5], step = [2] }
            return %b
        }
    "
    ), @"
      graph f(%x: f32[20]) {
    -     %a: f32[6] = slice %x { start = [2], limit = [19], step = [3] }
    -     %b: f32[2] = slice %a { start = [1], limit = [5], step = [2] }
    +     %b: f32[2] = slice %x { start = [5], limit = [12], step = [6] }
          return %b
      }
    ");
}

#[test]
fn slice_goes_above_a_repetition() {
    assert_snapshot!(changes(
        "
        graph f(%x: f32[4]) {
            %a: f32[4, 6] = broadcast %x { axes = [0] }
            %b: f32[2, 3] = slice %a { start = [1, 0], limit = [3, 6], step = [1, 2] }
            return %b
        }
    "
    ), @"
      graph f(%x: f32[4]) {
    -     %a: f32[4, 6] = broadcast %x { axes = [0] }
    -     %b: f32[2, 3] = slice %a { start = [1, 0], limit = [3, 6], step = [1, 2] }
    +     %slice: f32[2] = slice %x { start = [1], limit = [3] }
    +     %b: f32[2, 3] = broadcast %slice { axes = [0] }
          return %b
      }
    ");
}

#[test]
fn slice_of_a_border_is_a_smaller_border() {
    assert_snapshot!(changes(
        "
        graph f(%x: f32[4]) {
            %a: f32[9] = pad %x { low = [2], high = [3], interior = [0], value = 0.0 }
            %b: f32[6] = slice %a { start = [1], limit = [7], step = [1] }
            %c: f32[2] = slice %a { start = [3], limit = [5], step = [1] }
            return %b, %c
        }
    "
    ), @"
      graph f(%x: f32[4]) {
    -     %a: f32[9] = pad %x { low = [2], high = [3], value = 0.0 }
    -     %b: f32[6] = slice %a { start = [1], limit = [7] }
    -     %c: f32[2] = slice %a { start = [3], limit = [5] }
    +     %b: f32[6] = pad %x { low = [1], high = [1], value = 0.0 }
    +     %c: f32[2] = slice %x { start = [1], limit = [3] }
          return %b, %c
      }
    ");
}

#[test]
fn slice_that_takes_only_border_stays() {
    assert_snapshot!(changes(
        "
        graph f(%x: f32[4]) {
            %a: f32[12] = pad %x { low = [2], high = [6], interior = [0], value = 0.0 }
            %b: f32[2] = slice %a { start = [9], limit = [11], step = [1] }
            return %b
        }
    "
    ), @"unchanged");
}

#[test]
fn slice_of_one_part_forgets_the_others() {
    assert_snapshot!(changes(
        "
        graph f(%x: f32[2, 3], %y: f32[4, 3]) {
            %a: f32[6, 3] = concatenate %x, %y { axis = 0 }
            %b: f32[2, 2] = slice %a { start = [3, 0], limit = [6, 2], step = [2, 1] }
            return %b
        }
    "
    ), @"
      graph f(%x: f32[2, 3], %y: f32[4, 3]) {
    -     %a: f32[6, 3] = concatenate %x, %y { axis = 0 }
    -     %b: f32[2, 2] = slice %a { start = [3, 0], limit = [6, 2], step = [2, 1] }
    +     %b: f32[2, 2] = slice %y { start = [1, 0], limit = [4, 2], step = [2, 1] }
          return %b
      }
    ");
}

#[test]
fn slice_across_parts_stays() {
    assert_snapshot!(changes(
        "
        graph f(%x: f32[2], %y: f32[4]) {
            %a: f32[6] = concatenate %x, %y { axis = 0 }
            %b: f32[3] = slice %a { start = [1], limit = [4], step = [1] }
            return %b
        }
    "
    ), @"unchanged");
}

#[test]
fn a_border_of_nothing_goes() {
    assert_snapshot!(changes(
        "
        graph f(%x: f32[1, 4]) {
            %a: f32[1, 4] = pad %x { low = [0, 0], high = [0, 0], interior = [3, 0], value = 1.0 }
            return %a
        }
    "
    ), @"
      graph f(%x: f32[1, 4]) {
    -     %a: f32[1, 4] = pad %x { low = [0, 0], high = [0, 0], interior = [3, 0], value = 1.0 }
    -     return %a
    +     return %x
      }
    ");
}

#[test]
fn a_negative_border_is_a_slice() {
    assert_snapshot!(changes(
        "
        graph f(%x: f32[5, 4]) {
            %a: f32[2, 4] = pad %x { low = [-1, 0], high = [-2, 0], interior = [0, 0], value = 1.0 }
            return %a
        }
    "
    ), @"
      graph f(%x: f32[5, 4]) {
    -     %a: f32[2, 4] = pad %x { low = [-1, 0], high = [-2, 0], value = 1.0 }
    +     %a: f32[2, 4] = slice %x { start = [1, 0], limit = [3, 4] }
          return %a
      }
    ");
}

#[test]
fn borders_meet() {
    assert_snapshot!(changes(
        "
        graph f(%x: f32[3]) {
            %a: f32[8] = pad %x { low = [1], high = [2], interior = [1], value = 0.0 }
            %b: f32[9] = pad %a { low = [-2], high = [3], interior = [0], value = 0.0 }
            return %b
        }
    "
    ), @"
      graph f(%x: f32[3]) {
    -     %a: f32[8] = pad %x { low = [1], high = [2], interior = [1], value = 0.0 }
    -     %b: f32[9] = pad %a { low = [-2], high = [3], value = 0.0 }
    +     %b: f32[9] = pad %x { low = [-1], high = [5], interior = [1], value = 0.0 }
          return %b
      }
    ");
}

#[test]
fn a_border_where_elements_were_cut_off_stays() {
    assert_snapshot!(changes(
        "
        graph f(%x: f32[5]) {
            %a: f32[4] = pad %x { low = [-2], high = [1], interior = [0], value = 0.0 }
            %b: f32[5] = pad %a { low = [1], high = [0], interior = [0], value = 0.0 }
            return %b
        }
    "
    ), @"unchanged");
}

#[test]
fn borders_of_two_values_stay() {
    assert_snapshot!(changes(
        "
        graph f(%x: f32[5]) {
            %a: f32[6] = pad %x { low = [1], high = [0], interior = [0], value = 0.0 }
            %b: f32[7] = pad %a { low = [1], high = [0], interior = [0], value = 1.0 }
            return %b
        }
    "
    ), @"unchanged");
}

#[test]
fn concatenation_forgets_empty_parts() {
    assert_snapshot!(changes(
        "
        graph f(%x: f32[2], %y: f32[0]) {
            %a: f32[2] = concatenate %y, %x { axis = 0 }
            return %a
        }
    "
    ), @"
      graph f(%x: f32[2], %y: f32[0]) {
    -     %a: f32[2] = concatenate %y, %x { axis = 0 }
    -     return %a
    +     return %x
      }
    ");
}

#[test]
fn concatenations_meet() {
    assert_snapshot!(changes(
        "
        graph f(%x: f32[2], %y: f32[3]) {
            %a: f32[5] = concatenate %x, %y { axis = 0 }
            %b: f32[7] = concatenate %a, %x { axis = 0 }
            return %b
        }
    "
    ), @"
      graph f(%x: f32[2], %y: f32[3]) {
    -     %a: f32[5] = concatenate %x, %y { axis = 0 }
    -     %b: f32[7] = concatenate %a, %x { axis = 0 }
    +     %b: f32[7] = concatenate %x, %y, %x { axis = 0 }
          return %b
      }
    ");
}

#[test]
fn neighbouring_slices_become_one() {
    assert_snapshot!(changes(
        "
        graph f(%x: f32[6, 2]) {
            %a: f32[2, 2] = slice %x { start = [0, 0], limit = [2, 2], step = [1, 1] }
            %b: f32[4, 2] = slice %x { start = [2, 0], limit = [6, 2], step = [1, 1] }
            %c: f32[6, 2] = concatenate %a, %b { axis = 0 }
            %d: f32[6, 2] = concatenate %b, %a { axis = 0 }
            return %c, %d
        }
    "
    ), @"
      graph f(%x: f32[6, 2]) {
          %a: f32[2, 2] = slice %x { start = [0, 0], limit = [2, 2] }
          %b: f32[4, 2] = slice %x { start = [2, 0], limit = [6, 2] }
    -     %c: f32[6, 2] = concatenate %a, %b { axis = 0 }
          %d: f32[6, 2] = concatenate %b, %a { axis = 0 }
    -     return %c, %d
    +     return %x, %d
      }
    ");
}

#[test]
fn parts_that_are_added_become_a_whole() {
    // In any order, and `%d` stays: its parts overlap.
    assert_snapshot!(changes(
        "
        graph f(%x: f32[2, 3], %y: f32[2, 4], %z: f32[2, 1]) {
            %px: f32[2, 9] = pad %x { low = [0, 0], high = [0, 6], value = 0.0 }
            %py: f32[2, 9] = pad %y { low = [0, 4], high = [0, 1], value = 0.0 }
            %pz: f32[2, 9] = pad %z { low = [0, 3], high = [0, 5], value = 0.0 }
            %a: f32[2, 9] = add %px, %py
            %b: f32[2, 9] = add %a, %pz
            %pw: f32[2, 9] = pad %y { low = [0, 3], high = [0, 2], value = 0.0 }
            %d: f32[2, 9] = add %py, %pw
            return %b, %d
        }
    "
    ), @"
      graph f(%x: f32[2, 3], %y: f32[2, 4], %z: f32[2, 1]) {
    -     %px: f32[2, 9] = pad %x { low = [0, 0], high = [0, 6], value = 0.0 }
          %py: f32[2, 9] = pad %y { low = [0, 4], high = [0, 1], value = 0.0 }
    -     %pz: f32[2, 9] = pad %z { low = [0, 3], high = [0, 5], value = 0.0 }
    -     %a: f32[2, 9] = add %px, %py
    -     %b: f32[2, 9] = add %a, %pz
          %pw: f32[2, 9] = pad %y { low = [0, 3], high = [0, 2], value = 0.0 }
          %d: f32[2, 9] = add %py, %pw
    +     %concatenate: f32[2, 8] = concatenate %x, %z, %y { axis = 1 }
    +     %pad: f32[2, 9] = pad %concatenate { low = [0, 0], high = [0, 1], value = 0.0 }
    +     %fill: f32[2, 9] = fill { value = 0.0 }
    +     %b: f32[2, 9] = add %pad, %fill
          return %b, %d
      }
    ");
}
