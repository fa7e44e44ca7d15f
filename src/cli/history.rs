//! What a training has been through: its losses, its measurements and its time, which a checkpoint remembers.

use crate::trainer::Resume;
use crate::trainer::resume::{count, number, recalled, recalled_count, recalled_number};
use kiln_ir::TensorData;
use std::collections::BTreeMap;
use std::time::Duration;

/// A line of points: step, value.
type Points = Vec<(f64, f64)>;

/// The past of a training.
#[derive(Debug, PartialEq)]
pub(super) struct History {
    /// How many steps there were.
    pub n_steps: usize,
    /// Losses since the last measurement: their sum and number.
    recent: (f64, usize),
    /// Sums over the steps of the present epoch, by name.
    of_epoch: Vec<(String, f64)>,
    /// The losses of the steps, then what was measured.
    curves: Vec<(String, Points)>,
    /// Time of steps, that of measurements left out.
    pub training: Duration,
}

/// The name of the curve of the losses of steps.
const TRAINING: &str = "training";

/// What stands before the name of a sum over the present epoch.
const OF_EPOCH: &str = "epoch.";

/// What stands before place and name of a curve.
const CURVE: &str = "curve.";

impl History {
    pub fn new() -> History {
        let curves = vec![(TRAINING.to_string(), Vec::new())];
        History { n_steps: 0, recent: (0.0, 0), of_epoch: Vec::new(), curves, training: Duration::ZERO }
    }

    /// Takes note of a step and its loss.
    pub fn step(&mut self, loss: f64) {
        self.curves[0].1.push((self.n_steps as f64, loss));
        self.recent = (self.recent.0 + loss, self.recent.1 + 1);
        self.n_steps += 1;
    }

    /// Adds a point at the present step to a curve beside that of the training losses.
    pub fn point(&mut self, curve: &str, value: f64) {
        let point = (self.n_steps as f64, value);
        match self.curves.iter_mut().find(|(name, _)| name == curve) {
            Some((_, points)) => points.push(point),
            None => self.curves.push((curve.to_string(), vec![point])),
        }
    }

    /// Adds to a sum over the steps of the present epoch.
    pub fn add(&mut self, name: &str, value: f64) {
        match self.of_epoch.iter_mut().find(|(of, _)| of == name) {
            Some((_, sum)) => *sum += value,
            None => self.of_epoch.push((name.to_string(), value)),
        }
    }

    /// What was added in the present epoch.
    pub fn sum(&self, name: &str) -> f64 {
        self.of_epoch.iter().find(|(of, _)| of == name).map_or(0.0, |(_, sum)| *sum)
    }

    /// Begins the next epoch.
    pub fn next_epoch(&mut self) {
        self.of_epoch.clear();
    }

    /// The mean loss of the steps since it was last asked for.
    pub fn take_mean_loss(&mut self) -> f64 {
        let (sum, n) = std::mem::take(&mut self.recent);
        sum / n as f64
    }

    /// The last point of the first curve that was measured.
    pub fn last_measured(&self) -> Option<f64> {
        self.curves.get(1).and_then(|(_, points)| points.last()).map(|point| point.1)
    }

    /// All curves, for drawing.
    pub fn drawn(&self) -> Vec<(&str, Points)> {
        self.curves.iter().map(|(name, points)| (&**name, averaged(points))).collect()
    }
}

impl Resume for History {
    fn remembered(&self) -> Vec<(String, TensorData)> {
        let (sum, n) = self.recent;
        let mut values = vec![
            count("n_steps", self.n_steps as u64),
            number("recent_sum", sum),
            count("recent_n", n as u64),
            number("seconds", self.training.as_secs_f64()),
        ];
        values.extend(self.of_epoch.iter().map(|(name, sum)| number(&format!("{OF_EPOCH}{name}"), *sum)));
        for (i, (name, points)) in self.curves.iter().enumerate() {
            let numbers = points.iter().flat_map(|&(x, y)| [x, y]).collect();
            // Files are in the order of names; the place comes first.
            values.push((format!("{CURVE}{i}.{name}"), TensorData::new([points.len(), 2], numbers)));
        }
        values
    }

    fn recall(&mut self, values: &BTreeMap<String, TensorData>) -> Result<(), String> {
        let (mut curves, mut of_epoch): (Vec<(String, Points)>, _) = (Vec::new(), Vec::new());
        for name in values.keys() {
            if let Some(of) = name.strip_prefix(OF_EPOCH) {
                of_epoch.push((of.to_string(), recalled_number(values, name)?));
            }
            let Some((_, curve)) = name.strip_prefix(CURVE).and_then(|rest| rest.split_once('.')) else {
                continue;
            };
            let numbers: Vec<f64> = recalled(values, name)?;
            let points = numbers.chunks_exact(2).map(|point| (point[0], point[1])).collect();
            curves.push((curve.to_string(), points));
        }
        if curves.is_empty() {
            return Err("there are no losses".to_string());
        }
        let recent = (recalled_number(values, "recent_sum")?, recalled_count(values, "recent_n")? as usize);
        let seconds = recalled_number(values, "seconds")?;
        let training = Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?;
        let n_steps = recalled_count(values, "n_steps")? as usize;
        *self = History { n_steps, recent, of_epoch, curves, training };
        Ok(())
    }
}

/// A curve of more points is drawn as means of neighbours: losses of single steps scatter, and files stay small.
const MAX_POINTS: usize = 200;

fn averaged(points: &[(f64, f64)]) -> Points {
    let mean = |of: fn(&(f64, f64)) -> f64, group: &[(f64, f64)]| {
        group.iter().map(of).sum::<f64>() / group.len() as f64
    };
    let groups = points.chunks(points.len().div_ceil(MAX_POINTS).max(1));
    groups.map(|group| (mean(|point| point.0, group), mean(|point| point.1, group))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_curves_are_means_of_neighbours() {
        let points: Points = (0..1000).map(|step| (f64::from(step), f64::from(step % 2))).collect();
        let drawn = averaged(&points);
        assert_eq!(drawn.len(), MAX_POINTS);
        assert_eq!(drawn[0], (2.0, 0.4));
        assert_eq!(averaged(&points[..3]), points[..3]);
        assert!(averaged(&[]).is_empty());
    }

    #[test]
    fn the_past_is_remembered() {
        let mut history = History::new();
        for loss in [0.5, 0.25] {
            history.step(loss);
        }
        history.point("test", 0.4);
        history.point("generator", 0.1);
        history.step(0.125);
        history.add("mistakes", 1.0);
        history.add("mistakes", 2.0);
        history.training = Duration::from_millis(1500);
        let values: BTreeMap<String, TensorData> = history.remembered().into_iter().collect();
        let mut again = History::new();
        again.recall(&values).unwrap();
        assert_eq!(again, history);
        assert_eq!(again.last_measured(), Some(0.4));
        assert_eq!((again.sum("mistakes"), again.sum("others")), (3.0, 0.0));
        again.next_epoch();
        assert_eq!(again.sum("mistakes"), 0.0);
        assert_eq!((again.take_mean_loss(), again.n_steps), (0.875 / 3.0, 3));
        assert!(again.recall(&BTreeMap::new()).is_err());
    }
}
