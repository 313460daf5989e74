//! evenkeel beside HAProxy, nginx and the kernel: `cargo bench --bench side_by_side`. What is
//! measured, and how, stands in benches/lab; the environment chooses from it (see `measure` there).
//!
//! A bench of criterion's has all of its samples before the next one begins, and on a machine that
//! others share that compares minutes rather than balancers. So the rounds come first, with every
//! contestant once in each, and criterion is handed them as samples, one a round: it tells how they
//! scatter, and how they compare with the last run.
//!
//! `EVENKEEL_BENCH=short`, or `--test`, takes everything once in some 90 seconds, fails when a
//! request does, and proves nothing else.
#![allow(clippy::print_stderr, reason = "a bench is there to be read")]

use std::process::ExitCode;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, SamplingMode};
use evenkeel_bench::{Length, Series, measure, play_part};

/// What criterion needs to say anything.
const FEWEST_SAMPLES: usize = 10;

/// What handing out a round takes: criterion derives from it how often it asks, and would ask for
/// a billion repetitions of what takes no time.
const A_MOMENT: Duration = Duration::from_millis(1);

fn main() -> ExitCode {
    if let Some(done) = play_part() {
        return done;
    }
    let asked = std::env::var("EVENKEEL_BENCH").is_ok_and(|length| length == "short");
    let short = asked || std::env::args().any(|word| word == "--test");
    match measure(if short { Length::Short } else { Length::Full }) {
        Ok(series) if !short => analyse(&series),
        Ok(_) => {}
        Err(error) => {
            eprintln!("side_by_side: {error:#}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn analyse(series: &[Series]) {
    let mut criterion = Criterion::default().configure_from_args();
    for one in series
        .iter()
        .filter(|one| one.times.len() >= FEWEST_SAMPLES)
    {
        let mut group = criterion.benchmark_group(&one.group);
        group
            .sampling_mode(SamplingMode::Flat)
            .sample_size(one.times.len())
            .warm_up_time(A_MOMENT)
            .measurement_time(A_MOMENT * u32::try_from(4 * one.times.len()).unwrap_or(u32::MAX));
        // As many samples are taken as there are rounds: wherever the warm-up left off, each round
        // is one of them.
        let mut rounds = one.times.iter().cycle();
        group.bench_function(BenchmarkId::from_parameter(&one.name), |bencher| {
            bencher.iter_custom(|times| {
                std::thread::park_timeout(A_MOMENT);
                let round = rounds
                    .next()
                    .expect("a cycle does not end, and this one is not empty");
                round.mul_f64(times as f64)
            });
        });
        group.finish();
    }
    criterion.final_summary();
}
