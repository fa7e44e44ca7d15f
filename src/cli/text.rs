//! Texts as numbers of characters: what language models are trained on and what they write.

use super::error::CliError;
use super::measure::uniform;
use super::options::Options;
use crate::data::{Dataset, permutation};
use kiln_ir::TensorData;
use std::fmt::Display;

/// A text in which each different character has a number, divided into what is trained on and what the validation loss is
/// measured on.
#[derive(Clone, Debug)]
pub struct Text {
    /// The characters in the order of their numbers.
    vocabulary: Vec<char>,
    /// The first nine tenths.
    train: Vec<i64>,
    /// The last tenth.
    validation: Vec<i64>,
}

impl Text {
    /// The numbers of a text's characters.
    ///
    /// Errors: there are so few that no tenth can be spared.
    pub fn new(text: &str) -> Result<Text, CliError> {
        let mut vocabulary: Vec<char> = text.chars().collect();
        vocabulary.sort_unstable();
        vocabulary.dedup();
        let mut of_text = Text { vocabulary, train: Vec::new(), validation: Vec::new() };
        let mut tokens = of_text.encode(text);
        if tokens.len() < 100 {
            return Err(CliError::Arguments(format!("a text of {} characters is too short", tokens.len())));
        }
        of_text.validation = tokens.split_off(tokens.len() * 9 / 10);
        of_text.train = tokens;
        Ok(of_text)
    }

    /// How many different characters there are.
    pub fn n_characters(&self) -> usize {
        self.vocabulary.len()
    }

    /// How many characters are trained on, and how many are left.
    pub fn lengths(&self) -> [usize; 2] {
        [self.train.len(), self.validation.len()]
    }

    /// The numbers of the characters of a text; those that the vocabulary lacks are left out.
    pub fn encode(&self, text: &str) -> Vec<i64> {
        text.chars().filter_map(|c| self.vocabulary.binary_search(&c).ok()).map(|i| i as i64).collect()
    }

    /// The characters of these numbers.
    pub fn decode(&self, tokens: &[i64]) -> String {
        tokens.iter().map(|&token| self.vocabulary[token as usize]).collect()
    }

    /// Continues the prompt of the options. `next` is shown one character after the other, and gives the scores for what
    /// follows: a tensor with one number for each character of the vocabulary.
    ///
    /// Errors: those of `next`.
    pub fn write(
        &self,
        options: &Options,
        mut next: impl FnMut(i64) -> Result<TensorData, CliError>,
    ) -> Result<String, CliError> {
        let sampling = Sampling { temperature: options.temperature, top_k: options.top_k as usize };
        let mut written = self.encode(&options.prompt);
        if written.is_empty() {
            written.push(0);
        }
        let mut scores = next(written[0])?;
        for &character in &written[1..] {
            scores = next(character)?;
        }
        for uniform in uniform(options.length, options.seed) {
            let character = sampling.draw(scores.as_slice().expect("scores are f32"), uniform);
            written.push(character);
            scores = next(character)?;
        }
        Ok(self.decode(&written))
    }

    /// Windows of `length` characters one after the other, each with the same moved on by one as its target, at most `limit`
    /// of them. They begin anywhere within the first window, which depends on the seed and the epoch alone, so that a
    /// model sees characters in other places in each epoch.
    ///
    /// Errors: the text is shorter than a window.
    pub fn windows(
        &self,
        length: usize,
        seed: u64,
        epoch: usize,
        limit: Option<u32>,
    ) -> Result<Dataset, CliError> {
        // The first of a random order of the places there are.
        let place = permutation(length, seed.wrapping_add(epoch as u64))[0];
        windows(&self.train, length, place, limit)
    }

    /// The windows of what the validation loss is measured on. Errors: as [`windows`](Text::windows).
    pub fn validation(&self, length: usize, limit: Option<u32>) -> Result<Dataset, CliError> {
        windows(&self.validation, length, 0, limit)
    }
}

fn windows(tokens: &[i64], length: usize, place: usize, limit: Option<u32>) -> Result<Dataset, CliError> {
    let limit = limit.map_or(usize::MAX, |limit| limit as usize);
    let n = (tokens.len().saturating_sub(place + 1) / length).min(limit);
    if n == 0 {
        let problem = format!("{} characters are no window of {length} and one more", tokens.len());
        return Err(CliError::Arguments(problem));
    }
    let shifted = |by: usize| TensorData::new([n, length], tokens[place + by..][..n * length].to_vec());
    Ok(Dataset::new(shifted(0), shifted(1))?)
}

/// How a character is drawn from scores.
#[derive(Clone, Copy, Debug)]
pub struct Sampling {
    /// What scores are divided by.
    pub temperature: f64,
    /// How many characters there are to choose from.
    pub top_k: usize,
}

impl Sampling {
    /// The number of a character: each with the probability `softmax(scores / temperature)` among those of the `top_k`
    /// greatest scores. `uniform` is a random number between 0 and 1.
    ///
    /// Source: Fan, Lewis, Dauphin, *Hierarchical Neural Story Generation*, 2018, section 5.3.
    ///
    /// # Panics
    /// When there are no scores.
    pub fn draw(self, scores: &[f32], uniform: f64) -> i64 {
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        order.truncate(self.top_k.max(1));
        let weight = |&i: &usize| (f64::from(scores[i] - scores[order[0]]) / self.temperature).exp();
        let mut left = uniform * order.iter().map(weight).sum::<f64>();
        let drawn = order.iter().find(|i| {
            left -= weight(i);
            left < 0.0
        });
        *drawn.unwrap_or(&order[0]) as i64
    }
}

/// A generated text, with bars that set it apart.
pub fn quoted(text: &str) -> impl Display {
    let lines: Vec<String> = text.lines().map(|line| format!("  | {line}")).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_followed_by_their_targets() {
        let text = Text::new(&"abcdefghij".repeat(20)).unwrap();
        assert_eq!((text.n_characters(), text.lengths()), (10, [180, 20]));
        let data = text.windows(8, 3, 1, None).unwrap();
        assert_eq!(data.x().shape()[1], 8);
        let (x, y): (&[i64], &[i64]) = (data.x().as_slice().unwrap(), data.y().as_slice().unwrap());
        assert_eq!(x[1..], y[..y.len() - 1]);
        assert_eq!(text.decode(&text.encode("fade?")), "fade");
        assert_eq!(text.windows(8, 3, 1, Some(2)).unwrap().n_samples(), 2);
        assert!(text.validation(20, None).is_err() && Text::new("short").is_err());
    }

    #[test]
    fn likely_characters_are_drawn_more_often() {
        let scores = [0.0f32, 2f32.ln(), 5f32.ln(), f32::NEG_INFINITY];
        let draw = |temperature, top_k, uniform| Sampling { temperature, top_k }.draw(&scores, uniform);
        // Probabilities 5/8, 2/8 and 1/8, from the most likely.
        let drawn: Vec<i64> = [0.0, 0.62, 0.63, 0.87, 0.88, 0.999].map(|u| draw(1.0, 4, u)).to_vec();
        assert_eq!(drawn, [2, 2, 1, 1, 0, 0]);
        assert_eq!(draw(1.0, 2, 0.999), 1);
        assert_eq!(draw(0.01, 4, 0.999), 2);
    }
}
