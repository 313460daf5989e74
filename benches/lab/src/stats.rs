//! Medians, spread, and what pairs of rounds prove.

/// The middle of what was measured, and where its middle half lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) rounds: usize,
    pub(crate) median: f64,
    pub(crate) lower_quartile: f64,
    pub(crate) upper_quartile: f64,
}

/// None of nothing.
pub(crate) fn summary(values: &[f64]) -> Option<Summary> {
    if values.is_empty() {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    Some(Summary {
        rounds: sorted.len(),
        median: quantile(&sorted, 0.5),
        lower_quartile: quantile(&sorted, 0.25),
        upper_quartile: quantile(&sorted, 0.75),
    })
}

/// Of values in order, interpolated between neighbours.
fn quantile(sorted: &[f64], at: f64) -> f64 {
    let place = at * (sorted.len() - 1) as f64;
    let (below, above) = (
        sorted[place.floor() as usize],
        sorted[place.ceil() as usize],
    );
    below + (above - below) * place.fract()
}

/// How one contestant's rounds compare with another's of the same rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Paired {
    pub(crate) pairs: usize,
    /// The typical ratio: Hodges and Lehmann's, the median of all pairwise means of the logarithms.
    pub(crate) ratio: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// How sure it is that the true ratio lies between: 0.95 or a little more from six pairs on,
    /// less with fewer, which is all that they can prove.
    pub(crate) confidence: f64,
}

/// How sure an interval shall be.
const CONFIDENCE: f64 = 0.95;

/// The interval of Wilcoxon's signed-rank test: it asks only that the ratio's logarithm is as
/// often above as below its middle, so that one round that the machine spoilt does not decide.
/// None when no pair can be made a ratio.
pub(crate) fn paired(pairs: &[(f64, f64)]) -> Option<Paired> {
    let logs: Vec<f64> = pairs
        .iter()
        .filter(|(ours, theirs)| *ours > 0.0 && *theirs > 0.0)
        .map(|(ours, theirs)| (ours / theirs).ln())
        .collect();
    if logs.is_empty() {
        return None;
    }
    let mut means = Vec::with_capacity(logs.len() * (logs.len() + 1) / 2);
    for (n, one) in logs.iter().enumerate() {
        means.extend(logs[n..].iter().map(|other| (one + other) / 2.0));
    }
    means.sort_by(f64::total_cmp);
    let (cut, confidence) = cut(logs.len());
    Some(Paired {
        pairs: logs.len(),
        ratio: quantile(&means, 0.5).exp(),
        low: means[cut].exp(),
        high: means[means.len() - 1 - cut].exp(),
        confidence,
    })
}

/// How many of the sorted means lie outside the interval at either end, and how sure it then is.
fn cut(pairs: usize) -> (usize, f64) {
    // Of the 2^pairs equally likely ways to give the ranks signs: how many have each sum of ranks.
    let mut ways = vec![1.0];
    for rank in 1..=pairs {
        let mut next = vec![0.0; ways.len() + rank];
        for (sum, count) in ways.iter().enumerate() {
            next[sum] += count / 2.0;
            next[sum + rank] += count / 2.0;
        }
        ways = next;
    }
    let mut cut = 0;
    let mut tail = ways[0];
    while 1.0 - 2.0 * (tail + ways[cut + 1]) >= CONFIDENCE {
        cut += 1;
        tail += ways[cut];
    }
    (cut, 1.0 - 2.0 * tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_wilcoxons() {
        // The critical values of the textbooks' tables, two-sided at 5%: 3 for 8, 8 for 10, 25
        // for 15 pairs, none below 6.
        assert_eq!(cut(5).0, 0);
        assert!(cut(5).1 < 0.95);
        assert_eq!(cut(6).0, 0);
        assert!(cut(6).1 > 0.95);
        assert_eq!(cut(8).0, 3);
        assert_eq!(cut(10).0, 8);
        assert_eq!(cut(15).0, 25);
    }

    #[test]
    fn a_spoilt_round_does_not_decide() {
        let mut pairs: Vec<(f64, f64)> =
            (0..15).map(|n| (0.9 + f64::from(n) * 1e-3, 1.0)).collect();
        pairs[7].0 = 5.0;
        let paired = paired(&pairs).unwrap();
        assert!((0.90..0.92).contains(&paired.ratio), "{paired:?}");
        assert!(paired.low > 0.89 && paired.high < 0.93, "{paired:?}");
    }

    #[test]
    fn equal_values_prove_equality() {
        let paired = paired(&[(2.0, 2.0); 15]).unwrap();
        assert_eq!((paired.low, paired.ratio, paired.high), (1.0, 1.0, 1.0));
    }

    #[test]
    fn what_is_zero_has_no_ratio() {
        assert_eq!(paired(&[(0.0, 1.0), (1.0, 0.0)]), None);
        assert_eq!(summary(&[]), None);
    }

    #[test]
    fn a_summary_has_quartiles() {
        let summary = summary(&[4.0, 1.0, 3.0, 2.0, 5.0]).unwrap();
        assert_eq!(
            (
                summary.lower_quartile,
                summary.median,
                summary.upper_quartile
            ),
            (2.0, 3.0, 4.0)
        );
    }
}
