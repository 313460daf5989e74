//! The charts: for a workload one picture, a row for each of its first two figures, a column for
//! each way to use the machine, a bar for each contestant with its quartiles.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::ranged1d::SegmentValue;
use plotters::prelude::*;

use crate::bars::OURS;
use crate::cli::figure;
use crate::record::{HEADLINES, Record};
use crate::stage::Threads;
use crate::stats::{Summary, summary};
use crate::workload::{Better, Metric, Workload};

/// The picture's width, and what one contestant, and a panel without any, takes of its height.
const WIDTH: u32 = 1000;
const BAR_HEIGHT: u32 = 26;
const FRAME_HEIGHT: u32 = 76;

const OUR_COLOUR: RGBColor = RGBColor(0, 114, 178);
const THEIR_COLOUR: RGBColor = RGBColor(190, 196, 202);
const TEXT_COLOUR: RGBColor = RGBColor(40, 44, 48);

/// Draws the picture of one workload.
pub(super) fn draw(file: &Path, workload: &Workload, records: &[(Threads, Record)]) -> Result<()> {
    let metrics = &workload.metrics[..workload.metrics.len().min(HEADLINES)];
    let most = records
        .iter()
        .map(|(_, record)| record.contestants.len())
        .max()
        .unwrap_or(0);
    let height = metrics.len() as u32 * (FRAME_HEIGHT + BAR_HEIGHT * most as u32);
    let area = SVGBackend::new(file, (WIDTH, height)).into_drawing_area();
    // The backend's errors borrow from it.
    let told = |error: DrawingAreaErrorKind<_>| anyhow!("draw {}: {error}", file.display());
    area.fill(&WHITE).map_err(told)?;
    let panels = area.split_evenly((metrics.len(), records.len()));
    let wanted = metrics
        .iter()
        .flat_map(|metric| records.iter().map(move |record| (metric, record)));
    for (panel, (metric, (threads, record))) in panels.iter().zip(wanted) {
        let bars: Vec<(&str, Summary)> = record
            .contestants
            .iter()
            .filter_map(|one| {
                Some((
                    one.name.as_str(),
                    summary(&record.values(&one.name, metric.name))?,
                ))
            })
            .collect();
        draw_panel(panel, metric, *threads, &bars).map_err(told)?;
    }
    area.present().map_err(told)
}

fn draw_panel<B: DrawingBackend>(
    panel: &DrawingArea<B, plotters::coord::Shift>,
    metric: &Metric,
    threads: Threads,
    bars: &[(&str, Summary)],
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    let longest = bars
        .iter()
        .map(|(_, summary)| summary.upper_quartile)
        .fold(0.0, f64::max);
    if longest <= 0.0 {
        return Ok(());
    }
    let better = match metric.better {
        Better::Lower => "less is better",
        Better::Higher => "more is better",
    };
    let caption = format!(
        "{}, {} ({better}), nbthread {}",
        metric.title,
        metric.unit,
        threads.count()
    );
    let label = |size: i32| ("sans-serif", size).into_font().color(&TEXT_COLOUR);
    let last = bars.len() as i32 - 1;
    let mut chart = ChartBuilder::on(panel)
        .caption(caption, label(14))
        .margin(10)
        .x_label_area_size(24)
        .y_label_area_size(104)
        // Room for the longest bar's number.
        .build_cartesian_2d(0.0..longest * 1.22, (0..last).into_segmented())?;
    // The first contestant stands on top.
    let place = |n: usize| last - n as i32;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(RGBColor(232, 234, 236))
        .axis_style(RGBColor(150, 156, 162))
        .x_labels(5)
        .x_label_formatter(&|value| value.to_string())
        .y_labels(bars.len())
        .label_style(label(12))
        .y_label_formatter(&|value| match value {
            SegmentValue::CenterOf(place) | SegmentValue::Exact(place) => {
                let bar = usize::try_from(last - place).ok().and_then(|n| bars.get(n));
                bar.map_or_else(String::new, |(name, _)| (*name).to_owned())
            }
            SegmentValue::Last => String::new(),
        })
        .draw()?;
    chart.draw_series(bars.iter().enumerate().map(|(n, (name, summary))| {
        let colour = if name.starts_with(OURS) {
            OUR_COLOUR
        } else {
            THEIR_COLOUR
        };
        let corners = [
            (0.0, SegmentValue::Exact(place(n))),
            (summary.median, SegmentValue::Exact(place(n) + 1)),
        ];
        let mut bar = Rectangle::new(corners, colour.filled());
        bar.set_margin(4, 4, 0, 0);
        bar
    }))?;
    chart.draw_series(bars.iter().enumerate().map(|(n, (_, summary))| {
        let middle = SegmentValue::CenterOf(place(n));
        let ends = vec![
            (summary.lower_quartile, middle.clone()),
            (summary.upper_quartile, middle),
        ];
        PathElement::new(ends, TEXT_COLOUR.stroke_width(2))
    }))?;
    chart.draw_series(bars.iter().enumerate().map(|(n, (_, summary))| {
        let end = summary.upper_quartile.max(summary.median);
        EmptyElement::at((end, SegmentValue::CenterOf(place(n))))
            + Text::new(figure(summary.median), (6, -6), label(12))
    }))?;
    Ok(())
}
