//! Images side by side in one PNG file.

use super::error::CliError;
use crate::atomic_file;
use flate2::{Compression, Crc, write::ZlibEncoder};
use kiln_ir::TensorData;
use std::io::Write;
use std::path::Path;

/// Pixels between two images.
const GAP: usize = 2;
/// The grey between images.
const BACKGROUND: u8 = 128;
/// Colour type 0 of a PNG file: grey.
const GREY: u8 = 0;

/// Writes images `[n, .., height, width]` as a grid with so many in a row, from left to right and top to bottom. Pixels
/// are `low` (black) to `high` (white). The file appears whole or not at all.
///
/// Errors: it cannot be written.
///
/// # Panics
/// When there is no image, or the shape has no axes of pixels.
pub fn grid(path: &Path, images: &TensorData, columns: usize, [low, high]: [f64; 2]) -> Result<(), CliError> {
    let shape = images.shape();
    let [height, width] = [shape[shape.len() - 2], shape[shape.len() - 1]];
    let n = images.n_elements() / (height * width);
    assert!(n > 0 && columns > 0, "a grid needs an image");
    let (rows, columns) = (n.div_ceil(columns), columns.min(n));
    let size = [columns * (width + GAP) - GAP, rows * (height + GAP) - GAP];
    let mut pixels = vec![BACKGROUND; size[0] * size[1]];
    for i in 0..n * height * width {
        let (image, y, x) = (i / (height * width), i / width % height, i % width);
        let (row, column) = (image / columns, image % columns);
        let share = (images.get(i).as_f64() - low) / (high - low);
        // Sixteen greys: nobody sees more in a small image, and the file is a third as large.
        let grey = (share.clamp(0.0, 1.0) * 15.0).round() * 17.0;
        pixels[(row * (height + GAP) + y) * size[0] + column * (width + GAP) + x] = grey as u8;
    }
    let file = png(&pixels, size);
    atomic_file::write(path, &file).map_err(|error| CliError::file(path, error.to_string()))
}

/// Images `[n, ..]` in turns with others of the same pixels, row by row of `columns`: for comparing them in a
/// [`grid`]. Pixels are `[height, width]` of each.
///
/// # Panics
/// When the numbers of pixels are others.
pub fn alternating(
    a: &TensorData,
    b: &TensorData,
    columns: usize,
    [height, width]: [usize; 2],
) -> TensorData {
    let [a, b] = [a, b].map(TensorData::to_f64_vec);
    let row = columns * height * width;
    let rows = a.chunks(row).zip(b.chunks(row)).flat_map(|(a, b)| [a, b]);
    let pixels: Vec<f32> = rows.flatten().map(|pixel| *pixel as f32).collect();
    TensorData::new([2 * a.len() / (height * width), height, width], pixels)
}

/// A grey image as a PNG file. Source: W3C, *Portable Network Graphics Specification*, third edition, 2025.
fn png(pixels: &[u8], [width, height]: [usize; 2]) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let [w, h] = [width, height].map(|extent| (extent as u32).to_be_bytes());
    // 8 bits a pixel; the only compression and filter methods there are, 0; not interlaced.
    let header = [&w[..], &h[..], &[8, GREY, 0, 0, 0]].concat();
    // Each line begins with the number of its filter; 0: none.
    let lines: Vec<u8> =
        pixels.chunks(width).flat_map(|line| std::iter::once(0).chain(line.iter().copied())).collect();
    chunk(&mut file, *b"IHDR", &header);
    chunk(&mut file, *b"IDAT", &compressed(&lines));
    chunk(&mut file, *b"IEND", &[]);
    file
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("a vector takes what is written to it")
}

/// Length, name, contents, and the check sum of the latter two.
fn chunk(file: &mut Vec<u8>, name: [u8; 4], contents: &[u8]) {
    file.extend((contents.len() as u32).to_be_bytes());
    let mut sum = Crc::new();
    for part in [&name[..], contents] {
        sum.update(part);
        file.extend(part);
    }
    file.extend(sum.sum().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::ZlibDecoder;
    use std::io::Read;

    #[test]
    fn a_grid_is_a_png_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("grid.png");
        let images = TensorData::new([3, 1, 1, 2], vec![0.0f32, 1.0, 0.5, -3.0, 9.0, 0.0]);
        grid(&path, &images, 2, [0.0, 1.0]).unwrap();
        let file = std::fs::read(&path).unwrap();
        // Two images a row: 2 + 2 + 2 pixels; two rows: 1 + 2 + 1 lines.
        assert_eq!(
            file[..33],
            b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x06\0\0\0\x04\x08\0\0\0\0\x88\x6f\x11\x9f"[..]
        );
        let length = u32::from_be_bytes(file[33..37].try_into().unwrap()) as usize;
        let mut lines = Vec::new();
        ZlibDecoder::new(&file[41..41 + length]).read_to_end(&mut lines).unwrap();
        let g = BACKGROUND;
        assert_eq!(lines[..7], [0, 0, 255, g, g, 136, 0]);
        assert_eq!(lines[21..], [0, 255, 0, g, g, g, g]);
        assert!(file.ends_with(b"\0\0\0\0IEND\xae\x42\x60\x82"));
    }
}
