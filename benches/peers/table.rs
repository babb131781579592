//! The table that is printed.

use std::fmt::Write as _;

use crate::cases::Case;
use crate::contenders::Contender;
use crate::footprint::Footprint;

/// All that was measured of one case: for each contender the figure of each round.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) case: &'static Case,
    pub(crate) rounds: Vec<(Contender, Vec<f64>)>,
}

/// The median; NaN of nothing.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[odd / 2],
        even => f64::midpoint(values[even / 2 - 1], values[even / 2]),
    }
}

/// CPU time a request: a column a contender, then the ratios to each.
pub(crate) fn work(contenders: &[Contender], lines: &[Line]) -> String {
    let mut heads = vec!["CPU µs/request".to_owned()];
    heads.extend(contenders.iter().map(|one| one.name().to_owned()));
    let ours = contenders.contains(&Contender::Httpserverd);
    let others = contenders
        .iter()
        .filter(|one| ours && **one != Contender::Httpserverd);
    heads.extend(others.clone().map(|one| format!("÷ {}", one.name())));
    let mut rows = vec![heads];
    for line in lines {
        let mut row = vec![line.case.name.to_owned()];
        row.extend(
            contenders
                .iter()
                .map(|one| figure(median(&mut line.of(*one).to_vec()))),
        );
        row.extend(others.clone().map(|one| ratio(line.ratio_to(*one))));
        rows.push(row);
    }
    draw(&rows)
}

/// Footprints: a row a contender.
pub(crate) fn footprints(all: &[(Contender, Footprint)]) -> String {
    let heads = [
        "at rest",
        "bytes/idle connection",
        "over TLS",
        "HTTP/2",
        "RSS at start, MiB",
        "start to ready, ms",
    ];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for (contender, one) in all {
        let start = crate::load::float(one.start_bytes) / f64::from(1 << 20);
        rows.push(vec![
            contender.name().to_owned(),
            figure(one.idle_bytes),
            figure(one.idle_tls_bytes),
            figure(one.idle_http2_bytes),
            format!("{start:.1}"),
            format!("{:.1}", one.ready_ms),
        ]);
    }
    draw(&rows)
}

impl Line {
    fn of(&self, contender: Contender) -> &[f64] {
        self.rounds
            .iter()
            .find(|(one, _)| *one == contender)
            .map_or(&[], |(_, figures)| figures)
    }

    /// The median of the ratios of each round: what was measured within the same seconds.
    fn ratio_to(&self, other: Contender) -> f64 {
        let pairs = self.of(Contender::Httpserverd).iter().zip(self.of(other));
        median(
            &mut pairs
                .map(|(ours, theirs)| ours / theirs)
                .collect::<Vec<_>>(),
        )
    }
}

fn figure(value: f64) -> String {
    match value {
        none if none.is_nan() => "–".to_owned(),
        small if small < 100.0 => format!("{small:.2}"),
        large => format!("{large:.0}"),
    }
}

fn ratio(value: f64) -> String {
    if value.is_nan() {
        "–".to_owned()
    } else {
        format!("{value:.2}")
    }
}

/// Rows as a Markdown table whose columns stand in line.
fn draw(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().filter_map(move |row| row.get(column)))
        .map(|cells| cells.map(|cell| cell.chars().count()).max().unwrap_or(0))
        .collect();
    let mut drawn = String::new();
    for (number, row) in rows.iter().enumerate() {
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let filled = if column == 0 {
                write!(drawn, "| {cell:<width$} ")
            } else {
                write!(drawn, "| {cell:>width$} ")
            };
            filled.unwrap_or_default();
        }
        drawn.push_str("|\n");
        if number == 0 {
            for (column, width) in widths.iter().enumerate() {
                let dashes = "-".repeat(*width);
                drawn.push_str("|-");
                drawn.push_str(&dashes);
                drawn.push(if column == 0 { '-' } else { ':' });
            }
            drawn.push_str("|\n");
        }
    }
    drawn
}
