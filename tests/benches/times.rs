//! Times of many runs of a program that is named on the command line.

use std::time::Duration;

/// What the benchmark was asked for; Cargo's own argument comes first.
pub fn given() -> Vec<String> {
    std::env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect()
}

pub fn median(sorted: &[Duration]) -> Duration {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

pub fn tell(name: &str, sorted: &[Duration]) {
    let ms = |duration: Option<&Duration>| duration.map_or(0.0, |duration| duration.as_secs_f64() * 1000.0);
    println!(
        "{name}, {} runs: median {:.1} ms, min {:.1} ms, max {:.1} ms",
        sorted.len(),
        ms(Some(&median(sorted))),
        ms(sorted.first()),
        ms(sorted.last())
    );
}
