//! The figures as a picture for the README: one bar a scenario, on a logarithmic axis.

use anyhow::Context as _;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::report::Report;
use super::scenario::Scenario;
use super::table::shown;

/// Width of the picture in pixels: that of a README.
const WIDTH: u32 = 880;

/// Height of a bar with the space around it.
const ROW: u32 = 34;

/// Thickness of a bar in rows.
const THICKNESS: f64 = 0.62;

/// Height of the title and what stands below it.
const HEAD: u32 = 84;

/// Height of the axis with its labels.
const FOOT: u32 = 40;

/// Width of the scenarios' names.
const NAMES: u32 = 200;

/// Room for the labels of bars that reach the end of the axis.
const LABELS: u32 = 76;

/// Seconds at the ends of the axis, unless something lies beyond.
const AXIS: (f64, f64) = (0.1, 100.0);

/// GitHub shows one picture in light and in dark mode, so this one brings a background of its own.
const BACKGROUND: RGBColor = RGBColor(250, 250, 248);
const INK: RGBColor = RGBColor(36, 41, 47);
const FAINT: RGBColor = RGBColor(101, 109, 118);
const GRID: RGBColor = RGBColor(218, 222, 227);

/// The colour of a scenario's bar: by what a person waits for.
fn colour(scenario: Scenario) -> RGBColor {
    match scenario {
        Scenario::Cold => RGBColor(140, 149, 159),
        Scenario::Template | Scenario::TemplateNoRotation => RGBColor(45, 120, 200),
        Scenario::MappedRam | Scenario::MappedRamNoRotation => RGBColor(120, 170, 225),
        Scenario::Suspended | Scenario::Stop => RGBColor(60, 150, 110),
        Scenario::CaptureTemplate | Scenario::CaptureMappedRam => RGBColor(205, 140, 60),
    }
}

/// The picture as SVG.
///
/// # Errors
/// When it cannot be drawn.
pub(crate) fn svg(report: &Report) -> anyhow::Result<String> {
    let mut text = String::new();
    // An error of the drawing borrows what it draws on.
    draw(report, &mut text).map_err(|error| anyhow::anyhow!("{error}")).context("cannot draw the plot")?;
    Ok(text)
}

fn draw(report: &Report, text: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let rows: Vec<_> = report.scenarios.iter().collect();
    let count = u32::try_from(rows.len())?;
    let root = SVGBackend::with_string(text, (WIDTH, HEAD + ROW * count + FOOT)).into_drawing_area();
    root.fill(&BACKGROUND)?;
    let left = Pos::new(HPos::Left, VPos::Top);
    let title = ("sans-serif", 20, FontStyle::Bold, &INK).into_text_style(&root).pos(left);
    root.draw(&Text::new("Seconds that a command takes", (16, 12), title))?;
    let runs = report.scenarios.values().map(|figures| figures.seconds.runs.len()).max().unwrap_or_default();
    let legend = format!(
        "medians of up to {runs} runs, lines from the fastest to the slowest; the axis is logarithmic"
    );
    let small = ("sans-serif", 12, &FAINT).into_text_style(&root).pos(left);
    root.draw(&Text::new(legend, (16, 40), small.clone()))?;
    root.draw(&Text::new(report.host.line(), (16, 58), small))?;

    let (start, end) = axis(report);
    let mut chart = ChartBuilder::on(&root.margin(HEAD, 0, 0, LABELS))
        .x_label_area_size(FOOT)
        .y_label_area_size(NAMES)
        .build_cartesian_2d(
            (start..end).log_scale().with_key_points(decades(start, end)),
            0.0..f64::from(count),
        )?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(GRID)
        .x_label_formatter(&|seconds| format!("{seconds} s"))
        .x_label_style(("sans-serif", 12, &FAINT))
        .draw()?;

    let name = ("sans-serif", 14, &INK).into_text_style(&root).pos(Pos::new(HPos::Right, VPos::Center));
    let label = ("sans-serif", 13, &INK).into_text_style(&root).pos(Pos::new(HPos::Left, VPos::Center));
    // The axis goes up, and people read down.
    for (above, (scenario, figures)) in (1..=count).rev().zip(rows) {
        let (middle, seconds) = (f64::from(above) - 0.5, &figures.seconds);
        let bar = [(start, middle - THICKNESS / 2.0), (seconds.median, middle + THICKNESS / 2.0)];
        let whisker =
            ErrorBar::new_horizontal(middle, seconds.min, seconds.median, seconds.max, INK.filled(), 6);
        chart.draw_series([Rectangle::new(bar, colour(*scenario).filled())])?;
        chart.draw_series([whisker])?;
        let text = Text::new(shown(seconds.median), (9, 0), label.clone());
        chart.draw_series([EmptyElement::at((seconds.max, middle)) + text])?;
        let text = Text::new(scenario.to_string(), (-10, 0), name.clone());
        chart.draw_series([EmptyElement::at((start, middle)) + text])?;
    }
    root.present()?;
    Ok(())
}

/// Ends of the axis: powers of ten that everything lies between.
fn axis(report: &Report) -> (f64, f64) {
    let spreads = report.scenarios.values().map(|figures| &figures.seconds);
    let power = |exponent: f64| 10_f64.powf(exponent);
    spreads.fold(AXIS, |(start, end), seconds| {
        // Nothing is measured to less than a tenth of a millisecond, and 0 has no logarithm.
        let min = seconds.min.max(1e-4);
        (start.min(power(min.log10().floor())), end.max(power(seconds.max.log10().ceil())))
    })
}

/// The powers of ten from `start` to `end`.
fn decades(start: f64, end: f64) -> Vec<f64> {
    let next = |decade: &f64| Some(decade * 10.0);
    // Half a decade more than asked for: products of floating-point numbers do not quite meet the end.
    let decades = std::iter::successors(Some(start), next).take_while(|&decade| decade < end * 5.0);
    // As people write them: 0.1 × 10 × 10 is not quite 10.
    decades.map(|decade| (decade * 1e6).round() / 1e6).collect()
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::sample;
    use super::super::scenario::tests::ALL;
    use super::*;

    #[test]
    fn every_scenario_has_a_name_a_value_and_the_host_is_named() {
        let mut report = sample();
        let figures = report.scenarios[&Scenario::Template].clone();
        for scenario in ALL {
            report.scenarios.entry(scenario).or_insert_with(|| figures.clone());
        }
        let svg = svg(&report).unwrap();
        for (scenario, figures) in &report.scenarios {
            assert!(svg.contains(scenario.as_str()), "{scenario} is missing:\n{svg}");
            assert!(svg.contains(&shown(figures.seconds.median)), "{scenario} has no value:\n{svg}");
        }
        assert!(svg.contains("Example CPU 9000"), "{svg}");
    }

    #[test]
    fn the_axis_has_room_for_everything() {
        let mut report = sample();
        assert_eq!(axis(&report), AXIS);
        assert_eq!(decades(AXIS.0, AXIS.1), [0.1, 1.0, 10.0, 100.0]);
        let stop = report.scenarios.get_mut(&Scenario::Stop).unwrap();
        (stop.seconds.min, stop.seconds.max) = (0.02, 120.0);
        let (start, end) = axis(&report);
        assert_eq!(decades(start, end), [0.01, 0.1, 1.0, 10.0, 100.0, 1000.0]);
    }
}
