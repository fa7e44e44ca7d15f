//! Curves of a training run as a picture.

use crate::atomic_file;
use plotters::coord::Shift;
use plotters::coord::ranged1d::{Ranged, ValueFormatter};
use plotters::prelude::*;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A curve with its name in the legend: points from left to right.
pub type Curve<'a> = (&'a str, Vec<(f64, f64)>);

/// A picture could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    /// It could not be written.
    #[error("{}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It could not be drawn.
    #[error("cannot draw `{title}`: {message}")]
    Draw {
        /// The title of the picture.
        title: String,
        /// What the library says.
        message: String,
    },
}

/// Width and height in pixels.
const SIZE: (u32, u32) = (800, 500);
/// Family and size of the text at the axes; the title's is larger.
const LABELS: (&str, u32) = ("sans-serif", 16);
/// A curve of more points is thinned: nobody sees more than one a pixel.
const MAX_GROUPS: usize = SIZE.0 as usize;
/// A ratio of the largest to the smallest value from which the vertical axis is logarithmic.
const LOGARITHMIC_FROM: f64 = 20.0;
/// The colour of lines behind the curves.
const LIGHT: RGBColor = RGBColor(225, 225, 225);
/// Colours that people with colour blindness can tell apart.
///
/// Source: M. Okabe, K. Ito, *Color Universal Design*, 2008, <https://jfly.uni-koeln.de/color/>.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

/// A picture of curves.
#[derive(Clone, Debug)]
pub struct Chart<'a> {
    title: &'a str,
    x: &'a str,
    y: &'a str,
    y_range: Option<Range<f64>>,
    dots: Vec<(f64, f64)>,
    legend: SeriesLabelPosition,
}

impl<'a> Chart<'a> {
    /// A chart with this title and these names of its axes.
    pub fn new(title: &'a str, x: &'a str, y: &'a str) -> Chart<'a> {
        Chart { title, x, y, y_range: None, dots: Vec::new(), legend: SeriesLabelPosition::UpperRight }
    }

    /// The same with a vertical axis of this range, whatever the curves are.
    pub fn range(self, range: Range<f64>) -> Chart<'a> {
        Chart { y_range: Some(range), ..self }
    }

    /// The same with single points, drawn as dots.
    pub fn dots(self, dots: Vec<(f64, f64)>) -> Chart<'a> {
        Chart { dots, ..self }
    }

    /// The same with the names of the curves below right instead of above.
    pub fn legend_below(self) -> Chart<'a> {
        Chart { legend: SeriesLabelPosition::LowerRight, ..self }
    }

    /// Draws curves as an SVG file, which appears at `path` whole or not at all.
    ///
    /// Unless the chart has a range, the vertical axis is logarithmic when all values are positive and differ much. Points
    /// that are not finite are gaps in their curve.
    pub fn draw(&self, path: impl AsRef<Path>, curves: &[Curve<'_>]) -> Result<(), PlotError> {
        let path = path.as_ref();
        let picture = self.svg(curves).map_err(|message| PlotError::Draw {
            title: self.title.to_string(),
            message: message.to_string(),
        })?;
        atomic_file::write(path, picture.as_bytes())
            .map_err(|source| PlotError::Write { path: path.to_path_buf(), source })
    }

    fn svg(&self, curves: &[Curve<'_>]) -> DrawResult<String> {
        let mut picture = String::new();
        let area = SVGBackend::with_string(&mut picture, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let (x, y) = (range(curves, |point| point.0), range(curves, |point| point.1));
        match (&self.y_range, y) {
            (Some(y), _) => self.draw_curves(&area, curves, axis(x), y.clone(), plain)?,
            (None, Some(y)) if y.start > 0.0 && y.end >= y.start * LOGARITHMIC_FROM => {
                let y = (y.start / 1.2..y.end * 1.2).log_scale();
                self.draw_curves(&area, curves, axis(x), y, logarithmic)?;
            }
            (None, y) => self.draw_curves(&area, curves, axis(x), axis(y), plain)?,
        }
        area.present()?;
        // The area borrows the text until here.
        drop(area);
        Ok(picture)
    }

    fn draw_curves<Y>(
        &self,
        area: &DrawingArea<SVGBackend<'_>, Shift>,
        curves: &[Curve<'_>],
        x: Range<f64>,
        y: impl plotters::coord::ranged1d::AsRangedCoord<CoordDescType = Y, Value = f64>,
        y_label: fn(f64) -> String,
    ) -> DrawResult<()>
    where
        Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let mut chart = ChartBuilder::on(area)
            .caption(self.title, (LABELS.0, 24))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(64)
            .build_cartesian_2d(x, y)?;
        chart
            .configure_mesh()
            .x_desc(self.x)
            .y_desc(self.y)
            .x_label_formatter(&|x| plain(*x))
            .y_label_formatter(&|y| y_label(*y))
            .label_style(LABELS)
            .axis_desc_style(LABELS)
            .light_line_style(WHITE)
            .bold_line_style(LIGHT)
            .draw()?;
        chart.draw_series(self.dots.iter().map(|&point| Circle::new(point, 3, BLACK.filled())))?;
        for ((label, points), colour) in curves.iter().zip(COLOURS.iter().cycle()) {
            let style = colour.stroke_width(2);
            let mut pieces = pieces(points).into_iter();
            // The legend names the curve once, by its first piece, and even if it has none.
            chart
                .draw_series(LineSeries::new(pieces.next().unwrap_or_default(), style))?
                .label(*label)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
            for piece in pieces {
                chart.draw_series(LineSeries::new(piece, style))?;
            }
        }
        if curves.len() > 1 {
            chart
                .configure_series_labels()
                .position(self.legend.clone())
                .label_font(LABELS)
                .background_style(WHITE.mix(0.85))
                .border_style(LIGHT)
                .draw()?;
        }
        Ok(())
    }
}

type DrawResult<T> = Result<T, Box<dyn std::error::Error>>;

/// The smallest and largest finite value, if there is any.
fn range(curves: &[Curve<'_>], value: impl Fn(&(f64, f64)) -> f64) -> Option<Range<f64>> {
    let points = curves.iter().flat_map(|(_, points)| points).filter(|point| is_finite(point));
    points.map(value).fold(None, |range, value| match range {
        None => Some(value..value),
        Some(range) => Some(range.start.min(value)..range.end.max(value)),
    })
}

/// An axis that shows this range, with some width even if there is only one value, or none.
fn axis(range: Option<Range<f64>>) -> Range<f64> {
    match range {
        None => 0.0..1.0,
        Some(range) if range.start == range.end => {
            let half = (range.start.abs() / 2.0).max(0.5);
            range.start - half..range.end + half
        }
        Some(range) => range,
    }
}

fn is_finite(point: &(f64, f64)) -> bool {
    point.0.is_finite() && point.1.is_finite()
}

/// The runs of finite points of a curve, thinned if there are many.
fn pieces(points: &[(f64, f64)]) -> Vec<Vec<(f64, f64)>> {
    points.split(|point| !is_finite(point)).filter(|piece| !piece.is_empty()).map(thinned).collect()
}

/// The lowest and the highest point of each of many equal groups: the outline stays the same.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= 2 * MAX_GROUPS {
        return points.to_vec();
    }
    let group_size = points.len().div_ceil(MAX_GROUPS);
    let by_value = |a: &usize, b: &usize| points[*a].1.total_cmp(&points[*b].1);
    let mut kept = Vec::with_capacity(2 * MAX_GROUPS);
    for start in (0..points.len()).step_by(group_size) {
        let group = start..(start + group_size).min(points.len());
        let low = group.clone().min_by(by_value).expect("a group has a point");
        let high = group.max_by(by_value).expect("a group has a point");
        kept.push(points[low.min(high)]);
        if low != high {
            kept.push(points[low.max(high)]);
        }
    }
    kept
}

/// A number on a logarithmic axis: only those that begin with 1, 2 or 5, since the others crowd.
fn logarithmic(value: f64) -> String {
    let leading = format!("{value:.0e}");
    if leading.starts_with(['1', '2', '5']) { plain(value) } else { String::new() }
}

/// A number as short as it is right to some digits.
fn plain(value: f64) -> String {
    if value != 0.0 && !(1e-4..1e6).contains(&value.abs()) {
        return format!("{value:.1e}").replace(".0e", "e");
    }
    let rounded = format!("{value:.4}");
    rounded.trim_end_matches('0').trim_end_matches('.').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn falling(n: usize, from: f64) -> Vec<(f64, f64)> {
        (0..n).map(|step| (step as f64, from / (1.0 + step as f64))).collect()
    }

    #[test]
    fn a_picture_names_its_curves() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("loss.svg");
        let curves = [("train <1>", falling(50, 2.0)), ("test & more", falling(50, 1.0))];
        Chart::new("digits-mlp", "step", "loss").draw(&path, &curves).unwrap();
        let picture = std::fs::read_to_string(&path).unwrap();
        assert!(picture.starts_with("<svg") && picture.trim_end().ends_with("</svg>"));
        for text in ["digits-mlp", "train &lt;1&gt;", "test &amp; more", "loss", "step"] {
            assert!(picture.contains(text), "{text} is missing");
        }
        // Each curve once in the chart and once in the legend.
        assert_eq!(picture.matches("stroke-width=\"2\"").count(), 2 * curves.len());
    }

    #[test]
    fn curves_that_are_empty_flat_or_diverge_can_be_drawn() {
        let odd = [
            vec![],
            vec![(0.0, 0.5)],
            vec![(0.0, 0.0), (1.0, 0.0)],
            vec![(0.0, 1.0), (1.0, f64::NAN), (2.0, f64::INFINITY)],
            vec![(0.0, f64::NAN)],
            vec![(0.0, -1.0), (1.0, 1e30)],
            vec![(0.0, 1e-30), (1.0, 1e30)],
        ];
        for points in odd {
            let picture = Chart::new("odd", "x", "y").svg(&[("curve", points.clone())]).unwrap();
            assert!(!picture.contains("NaN") && !picture.contains("inf"), "{points:?}");
        }
        assert!(Chart::new("nothing", "x", "y").range(0.0..2.0).dots(vec![(0.5, 1.0)]).svg(&[]).is_ok());
    }

    #[test]
    fn points_that_are_not_finite_are_gaps() {
        let nan = f64::NAN;
        let points = [(0.0, nan), (1.0, 1.0), (2.0, 2.0), (3.0, nan), (4.0, nan), (5.0, 5.0)];
        assert_eq!(pieces(&points), [vec![(1.0, 1.0), (2.0, 2.0)], vec![(5.0, 5.0)]]);
    }

    #[test]
    fn thinning_keeps_the_extremes() {
        let mut points = falling(100_000, 1.0);
        points[50_001].1 = 9.0;
        points[70_003].1 = -9.0;
        let kept = thinned(&points);
        assert!(kept.len() <= 2 * MAX_GROUPS);
        assert!(kept.contains(&points[50_001]) && kept.contains(&points[70_003]));
        assert!(kept.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn an_error_names_the_file() {
        let error = Chart::new("t", "x", "y").draw("no/such/loss.svg", &[]).unwrap_err().to_string();
        assert!(error.starts_with("no/such/loss.svg: "), "{error}");
    }

    #[test]
    fn numbers_are_short() {
        let texts = [0.0, 2.0, 0.25, 1500.0, 2.5e-7, 3e7, -0.5].map(plain);
        assert_eq!(texts, ["0", "2", "0.25", "1500", "2.5e-7", "3e7", "-0.5"]);
        assert_eq!([0.1, 0.2, 0.3, 50.0, 90.0].map(logarithmic), ["0.1", "0.2", "", "50", ""]);
    }
}
