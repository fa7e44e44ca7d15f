//! MNIST and data sets in its form: IDX files, plain or compressed with gzip.
//!
//! An IDX file is a magic number (two zero bytes, the element type, the number of axes), the extents as
//! big-endian `u32`, and the elements. Only unsigned bytes are read here.
//!
//! Format: Y. LeCun, C. Cortes, C. Burges, *The MNIST database of handwritten digits*,
//! <http://yann.lecun.com/exdb/mnist/>, "File formats".

use super::dataset::{Dataset, Split};
use flate2::read::MultiGzDecoder;
use kiln_ir::TensorData;
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Cursor, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Element type 8: unsigned bytes.
const UNSIGNED_BYTE: u8 = 0x08;
/// The first bytes of a gzip file (RFC 1952, section 2.3.1).
const GZIP_MAGIC: [u8; 2] = [0x1F, 0x8B];
/// Larger contents are taken for a damaged header: the largest set in this form (EMNIST) has 0.6 GB.
const MAX_ELEMENTS: u64 = 1 << 31;
/// Labels are `0..N_CLASSES`.
const N_CLASSES: u8 = 10;

/// An IDX file could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct IdxError {
    /// The file, or the directory in which it should be.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: IdxProblem,
}

/// What is wrong with an IDX file.
#[derive(Debug)]
pub enum IdxProblem {
    /// None of the names is in the directory.
    Missing(Vec<String>),
    /// The system cannot read it.
    Io(io::Error),
    /// It is compressed and the compressed data are damaged.
    Gzip(io::Error),
    /// It does not begin as an IDX file of unsigned bytes with this number of axes.
    Magic {
        /// The four bytes it should begin with.
        expected: [u8; 4],
        /// Those it does begin with.
        found: [u8; 4],
    },
    /// The extents promise more than any such data set holds.
    TooLarge {
        /// The extents in the header.
        extents: Vec<u32>,
    },
    /// It ends too early.
    Truncated {
        /// Bytes that it should have, uncompressed.
        expected: u64,
        /// Bytes that it has.
        found: u64,
    },
    /// It goes on after the last element.
    TrailingBytes {
        /// Bytes that it should have, uncompressed.
        expected: u64,
    },
    /// A label is not a class.
    Label {
        /// The sample.
        sample: usize,
        /// Its label.
        label: u8,
    },
    /// The images have no pixels or there are none of them.
    Empty {
        /// The extents in the header.
        extents: Vec<u32>,
    },
    /// There are not as many labels as images.
    SampleCounts {
        /// Images in the other file.
        images: usize,
        /// Labels in this file.
        labels: usize,
    },
}

/// Reads MNIST, or a data set in the same form, from a directory.
///
/// Inputs: `f32[n, 1, rows, columns]`, 0 to 1. Targets: `i64[n]`, 0 to 9. The files have their usual names,
/// `train-images-idx3-ubyte` and so on, also with a dot before `idx`, with or without `.gz`.
///
/// Errors: a file is missing, damaged, or does not match the others; the error names it.
pub fn mnist(directory: &Path) -> Result<Split, IdxError> {
    Ok(Split { train: read_part(directory, "train")?, test: read_part(directory, "t10k")? })
}

fn read_part(directory: &Path, part: &str) -> Result<Dataset, IdxError> {
    let images_path = find(directory, &format!("{part}-images"), "idx3-ubyte")?;
    let labels_path = find(directory, &format!("{part}-labels"), "idx1-ubyte")?;
    let ([n_images, n_rows, n_columns], pixels) = read::<3>(&images_path)?;
    let ([n_labels], labels) = read::<1>(&labels_path)?;
    if pixels.is_empty() {
        let extents = [n_images, n_rows, n_columns].map(|extent| extent as u32).to_vec();
        return Err(IdxError { path: images_path, problem: IdxProblem::Empty { extents } });
    }
    if n_images != n_labels {
        let problem = IdxProblem::SampleCounts { images: n_images, labels: n_labels };
        return Err(IdxError { path: labels_path, problem });
    }
    if let Some(sample) = labels.iter().position(|label| *label >= N_CLASSES) {
        let problem = IdxProblem::Label { sample, label: labels[sample] };
        return Err(IdxError { path: labels_path, problem });
    }
    let x = pixels.into_iter().map(|pixel| f32::from(pixel) / 255.0).collect();
    let y = labels.into_iter().map(i64::from).collect();
    let x = TensorData::new([n_images, 1, n_rows, n_columns], x);
    Ok(Dataset::new(x, TensorData::new([n_labels], y)).expect("as many labels as images"))
}

/// The first of the usual names that is in the directory.
fn find(directory: &Path, stem: &str, kind: &str) -> Result<PathBuf, IdxError> {
    let names: Vec<String> = ["-", "."]
        .iter()
        .flat_map(|dot| ["", ".gz"].iter().map(move |suffix| format!("{stem}{dot}{kind}{suffix}")))
        .collect();
    match names.iter().map(|name| directory.join(name)).find(|path| path.exists()) {
        Some(path) => Ok(path),
        None => Err(IdxError { path: directory.to_path_buf(), problem: IdxProblem::Missing(names) }),
    }
}

/// Reads an IDX file of unsigned bytes with `RANK` axes: the extents and the elements.
pub fn read<const RANK: usize>(path: &Path) -> Result<([usize; RANK], Vec<u8>), IdxError> {
    let contents = || -> Result<_, IdxProblem> {
        let mut file = BufReader::new(File::open(path).map_err(IdxProblem::Io)?);
        let mut start = Vec::new();
        (&mut file).take(GZIP_MAGIC.len() as u64).read_to_end(&mut start).map_err(IdxProblem::Io)?;
        // What a file is called says less than how it begins.
        if start == GZIP_MAGIC {
            read_from(MultiGzDecoder::new(Cursor::new(start).chain(file)), IdxProblem::Gzip)
        } else {
            read_from(Cursor::new(start).chain(file), IdxProblem::Io)
        }
    };
    contents().map_err(|problem| IdxError { path: path.to_path_buf(), problem })
}

fn read_from<const RANK: usize>(
    mut source: impl Read,
    failure: impl Fn(io::Error) -> IdxProblem,
) -> Result<([usize; RANK], Vec<u8>), IdxProblem> {
    let n_header_bytes = 4 * (1 + RANK as u64);
    let header = read_at_most(&mut source, n_header_bytes, &failure)?;
    let words: Vec<[u8; 4]> = header.as_chunks().0.to_vec();
    let expected = [0, 0, UNSIGNED_BYTE, RANK as u8];
    if let Some(&found) = words.first().filter(|found| **found != expected) {
        return Err(IdxProblem::Magic { expected, found });
    }
    if words.len() != 1 + RANK {
        return Err(IdxProblem::Truncated { expected: n_header_bytes, found: header.len() as u64 });
    }
    let extents: Vec<u32> = words[1..].iter().map(|word| u32::from_be_bytes(*word)).collect();
    let n_elements = extents.iter().try_fold(1u64, |n, extent| n.checked_mul(u64::from(*extent)));
    let Some(n_elements) = n_elements.filter(|n| *n <= MAX_ELEMENTS) else {
        return Err(IdxProblem::TooLarge { extents });
    };
    // One more than there should be: reaching the end also makes gzip compare its checksum.
    let elements = read_at_most(&mut source, n_elements + 1, &failure)?;
    let expected = n_header_bytes + n_elements;
    if (elements.len() as u64) < n_elements {
        return Err(IdxProblem::Truncated { expected, found: n_header_bytes + elements.len() as u64 });
    }
    if elements.len() as u64 > n_elements {
        return Err(IdxProblem::TrailingBytes { expected });
    }
    Ok((std::array::from_fn(|axis| extents[axis] as usize), elements))
}

/// The next bytes, fewer at the end. Memory grows with what is there, not with what a header promises.
fn read_at_most(
    source: &mut impl Read,
    n_bytes: u64,
    failure: impl Fn(io::Error) -> IdxProblem,
) -> Result<Vec<u8>, IdxProblem> {
    let mut bytes = Vec::new();
    match source.take(n_bytes).read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => Err(failure(error)),
    }
}

impl fmt::Display for IdxProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IdxProblem::Missing(names) => write!(f, "no such file in this directory: {}", names.join(", ")),
            IdxProblem::Io(error) => error.fmt(f),
            IdxProblem::Gzip(error) if error.kind() == ErrorKind::UnexpectedEof => {
                f.write_str("the compressed data end too early")
            }
            IdxProblem::Gzip(error) => write!(f, "the compressed data are damaged: {error}"),
            IdxProblem::Magic { expected, found } => {
                let rank = expected[3];
                write!(f, "not an IDX file of bytes with {rank} axes: begins with {}", hex(found))?;
                write!(f, " instead of {}", hex(expected))
            }
            IdxProblem::TooLarge { extents } => {
                write!(f, "the header promises {extents:?} bytes, more than the {MAX_ELEMENTS} that are read")
            }
            IdxProblem::Truncated { expected, found } => {
                write!(f, "ends after {found} of {expected} bytes")
            }
            IdxProblem::TrailingBytes { expected } => write!(f, "goes on after its {expected} bytes"),
            IdxProblem::Label { sample, label } => {
                write!(f, "sample {sample} has the label {label}, not one of 0 to {}", N_CLASSES - 1)
            }
            IdxProblem::Empty { extents } => write!(f, "no pixels in images of {extents:?}"),
            IdxProblem::SampleCounts { images, labels } => write!(f, "{labels} labels for {images} images"),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::fs;
    use std::io::Write;
    use tempfile::TempDir;

    fn idx(extents: &[u32], elements: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, UNSIGNED_BYTE, extents.len() as u8];
        bytes.extend(extents.iter().flat_map(|extent| extent.to_be_bytes()));
        bytes.extend(elements);
        bytes
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// A directory with three images of 2 by 1 to train and one to test, compressed or not.
    fn small_mnist() -> TempDir {
        let directory = tempfile::tempdir().unwrap();
        let write = |name, bytes: Vec<u8>| fs::write(directory.path().join(name), bytes).unwrap();
        write("train-images-idx3-ubyte.gz", gzip(&idx(&[3, 2, 1], &[0, 255, 51, 0, 1, 2])));
        write("train-labels-idx1-ubyte", idx(&[3], &[9, 0, 4]));
        write("t10k-images.idx3-ubyte", idx(&[1, 2, 1], &[102, 153]));
        write("t10k-labels-idx1-ubyte.gz", gzip(&idx(&[1], &[7])));
        directory
    }

    /// The error after one file of a good directory is replaced, the directory left out of it.
    fn error_with(name: &str, bytes: &[u8]) -> String {
        let directory = small_mnist();
        fs::write(directory.path().join(name), bytes).unwrap();
        message(&directory)
    }

    fn message(directory: &TempDir) -> String {
        let error = mnist(directory.path()).expect_err("the files are bad").to_string();
        let prefix = directory.path().display().to_string();
        error.strip_prefix(&prefix).expect("the error names the file").to_string()
    }

    const TRAIN_LABELS: &str = "train-labels-idx1-ubyte";

    #[test]
    fn files_are_read_plain_and_compressed() {
        let split = mnist(small_mnist().path()).unwrap();
        let x = TensorData::new([3, 1, 2, 1], vec![0.0f32, 1.0, 0.2, 0.0, 1.0 / 255.0, 2.0 / 255.0]);
        assert_eq!(split.train, Dataset::new(x, TensorData::new([3], vec![9i64, 0, 4])).unwrap());
        assert_eq!(split.test.x(), &TensorData::new([1, 1, 2, 1], vec![0.4f32, 0.6]));
        assert_eq!(split.test.y(), &TensorData::new([1], vec![7i64]));
    }

    #[test]
    fn a_missing_file_is_named() {
        let directory = small_mnist();
        fs::remove_file(directory.path().join(TRAIN_LABELS)).unwrap();
        assert_eq!(
            message(&directory),
            ": no such file in this directory: train-labels-idx1-ubyte, train-labels-idx1-ubyte.gz, \
             train-labels.idx1-ubyte, train-labels.idx1-ubyte.gz"
        );
    }

    #[test]
    fn a_file_that_is_cut_off_is_named() {
        let whole = idx(&[3], &[9, 0, 4]);
        let error = |n_bytes: usize| error_with(TRAIN_LABELS, &whole[..n_bytes]);
        assert_eq!(error(0), "/train-labels-idx1-ubyte: ends after 0 of 8 bytes");
        assert_eq!(error(1), "/train-labels-idx1-ubyte: ends after 1 of 8 bytes");
        assert_eq!(error(7), "/train-labels-idx1-ubyte: ends after 7 of 8 bytes");
        assert_eq!(error(10), "/train-labels-idx1-ubyte: ends after 10 of 11 bytes");
    }

    #[test]
    fn a_compressed_file_that_is_cut_off_anywhere_is_named() {
        let name = "t10k-labels-idx1-ubyte.gz";
        let whole = gzip(&idx(&[1], &[7]));
        for n_bytes in 2..whole.len() {
            let error = error_with(name, &whole[..n_bytes]);
            assert_eq!(error, "/t10k-labels-idx1-ubyte.gz: the compressed data end too early");
        }
    }

    #[test]
    fn damaged_compressed_data_are_an_error() {
        let whole = gzip(&idx(&[3, 2, 1], &[0, 255, 51, 0, 1, 2]));
        let checksum = whole.len() - 8;
        let mut damaged = whole.clone();
        damaged[checksum] ^= 1;
        let error = error_with("train-images-idx3-ubyte.gz", &damaged);
        let start = "/train-images-idx3-ubyte.gz: the compressed data are damaged: ";
        assert!(error.starts_with(start), "{error}");
        let mut followed = whole;
        followed.extend(b"something else, long enough for a header");
        let error = error_with("train-images-idx3-ubyte.gz", &followed);
        assert!(error.starts_with(start), "{error}");
    }

    #[test]
    fn another_kind_of_file_is_an_error() {
        assert_eq!(
            error_with(TRAIN_LABELS, b"<!DOCTYPE html>"),
            "/train-labels-idx1-ubyte: not an IDX file of bytes with 1 axes: begins with 3c 21 44 4f \
             instead of 00 00 08 01"
        );
        assert_eq!(
            error_with(TRAIN_LABELS, &idx(&[3, 2, 1], &[0; 6])),
            "/train-labels-idx1-ubyte: not an IDX file of bytes with 1 axes: begins with 00 00 08 03 \
             instead of 00 00 08 01"
        );
    }

    #[test]
    fn bytes_after_the_end_are_an_error() {
        let error = error_with(TRAIN_LABELS, &idx(&[3], &[9, 0, 4, 5]));
        assert_eq!(error, "/train-labels-idx1-ubyte: goes on after its 11 bytes");
    }

    #[test]
    fn absurd_sizes_are_an_error_and_allocate_nothing() {
        let name = "train-images-idx3-ubyte.gz";
        assert_eq!(
            error_with(name, &idx(&[u32::MAX, u32::MAX, u32::MAX], &[0; 100])),
            "/train-images-idx3-ubyte.gz: the header promises [4294967295, 4294967295, 4294967295] bytes, \
             more than the 2147483648 that are read"
        );
        assert_eq!(
            error_with(name, &idx(&[2, 1 << 15, 1 << 15], &[0; 100])),
            "/train-images-idx3-ubyte.gz: ends after 116 of 2147483664 bytes"
        );
    }

    #[test]
    fn files_that_do_not_belong_together_are_an_error() {
        assert_eq!(
            error_with(TRAIN_LABELS, &idx(&[2], &[9, 0])),
            "/train-labels-idx1-ubyte: 2 labels for 3 images"
        );
        assert_eq!(
            error_with(TRAIN_LABELS, &idx(&[3], &[9, 10, 0])),
            "/train-labels-idx1-ubyte: sample 1 has the label 10, not one of 0 to 9"
        );
        assert_eq!(
            error_with("train-images-idx3-ubyte.gz", &idx(&[3, 0, 28], &[])),
            "/train-images-idx3-ubyte.gz: no pixels in images of [3, 0, 28]"
        );
    }

    #[test]
    fn a_directory_in_place_of_a_file_is_an_error() {
        let directory = small_mnist();
        fs::remove_file(directory.path().join(TRAIN_LABELS)).unwrap();
        fs::create_dir(directory.path().join(TRAIN_LABELS)).unwrap();
        assert!(message(&directory).starts_with("/train-labels-idx1-ubyte: "));
    }

    /// Counts and sums of the real files, from their description and the first labels as published.
    #[test]
    fn the_real_mnist_is_read() {
        let Some(directory) = crate::data::testing::shared("data/mnist") else { return };
        let split = mnist(&directory).unwrap();
        assert_eq!(split.train.x().shape()[..], [60_000, 1, 28, 28]);
        assert_eq!(split.test.x().shape()[..], [10_000, 1, 28, 28]);
        assert_eq!(split.train.y().as_slice::<i64>().unwrap()[..8], [5, 0, 4, 1, 9, 2, 1, 3]);
        assert_eq!(split.test.y().as_slice::<i64>().unwrap()[..8], [7, 2, 1, 0, 4, 1, 4, 9]);
        let pixels: &[f32] = split.train.x().as_slice().unwrap();
        let mean = pixels.iter().map(|pixel| f64::from(*pixel)).sum::<f64>() / pixels.len() as f64;
        // 0.1307 is the mean by which everyone centres MNIST.
        assert!((mean - 0.1307).abs() < 5e-5, "mean {mean}");
    }
}
