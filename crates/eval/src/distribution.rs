//! One position: logits of a vocabulary against the token that came, and against the base's
//! distribution.
//!
//! Logits are f32, everything computed from them f64. With logits `l`, `lse = ln sum exp(l)`:
//!
//! ```text
//! log p(i) = l(i) - lse                                log-probability of token i
//! nll      = -log p(target)                            negative log-likelihood, in nats
//! KLD      = sum over i of P(i) (log P(i) - log Q(i))  P the base, Q the file under test, in nats
//! dp       = Q(target) - P(target)                     change in the right token's probability
//! ```

/// A logit that is no number, or infinite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct NonFinite {
    /// Which token's.
    pub token: usize,
    /// NaN or an infinity.
    pub value: f32,
}

/// Position and height of the highest logit; the first of equals.
pub(crate) fn top(logits: &[f32]) -> Result<(usize, f32), NonFinite> {
    let mut best = (0, f32::NEG_INFINITY);
    let mut sum = 0.0f32;
    for (token, &value) in logits.iter().enumerate() {
        // 0 for numbers, NaN for what is none: one check at the end instead of one for each.
        sum += value * 0.0;
        if value > best.1 {
            best = (token, value);
        }
    }
    if sum == 0.0 {
        return Ok(best);
    }
    let bad = logits.iter().position(|l| !l.is_finite()).unwrap_or(0);
    Err(NonFinite {
        token: bad,
        value: logits[bad],
    })
}

/// Position of the highest logit, and the logarithm of the sum of all exponentials.
pub(crate) fn log_sum_exp(logits: &[f32]) -> Result<(usize, f64), NonFinite> {
    let (token, max) = top(logits)?;
    let max = f64::from(max);
    let sum: f64 = logits.iter().map(|&l| (f64::from(l) - max).exp()).sum();
    Ok((token, max + sum.ln()))
}

/// Negative log-likelihood of `target`, in nats.
pub(crate) fn nll(logits: &[f32], target: u32) -> Result<f64, NonFinite> {
    let (_, lse) = log_sum_exp(logits)?;
    Ok(lse - f64::from(logits[target as usize]))
}

/// What the base says at one position.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct BaseRow {
    /// Log-probability of every token, in nats.
    pub log_probs: Vec<f64>,
    /// Tokens at or below this log-probability add nothing to the divergence.
    pub floor: f64,
    /// The most probable token.
    pub top: usize,
}

/// One position of two models.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Comparison {
    /// Of the file under test.
    pub nll: f64,
    /// Of the base.
    pub nll_base: f64,
    /// From the base to the file under test.
    pub kld: f64,
    /// The file's probability of the target less the base's.
    pub dp: f64,
    /// Both have the same most probable token.
    pub same_top: bool,
}

/// Compares the logits of a file with the base's distribution.
pub(crate) fn compare(
    base: &BaseRow,
    logits: &[f32],
    target: u32,
) -> Result<Comparison, NonFinite> {
    let (top, lse) = log_sum_exp(logits)?;
    let mut kld = 0.0;
    for (&log_p, &logit) in base.log_probs.iter().zip(logits) {
        if log_p > base.floor {
            kld += log_p.exp() * (log_p - (f64::from(logit) - lse));
        }
    }
    let nll = lse - f64::from(logits[target as usize]);
    let nll_base = -base.log_probs[target as usize];
    Ok(Comparison {
        nll,
        nll_base,
        kld,
        dp: (-nll).exp() - (-nll_base).exp(),
        same_top: top == base.top,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(logits: &[f32]) -> BaseRow {
        let (top, lse) = log_sum_exp(logits).unwrap();
        BaseRow {
            log_probs: logits.iter().map(|&l| f64::from(l) - lse).collect(),
            floor: f64::NEG_INFINITY,
            top,
        }
    }

    fn logs(probabilities: &[f64]) -> Vec<f32> {
        probabilities.iter().map(|p| p.ln() as f32).collect()
    }

    #[test]
    fn known_distributions_give_the_values_computed_by_hand() {
        // KLD((1/2, 1/4, 1/4) || (1/4, 1/2, 1/4)) = 1/2 ln 2 - 1/4 ln 2 = 1/4 ln 2.
        let p = row(&logs(&[0.5, 0.25, 0.25]));
        let q = logs(&[0.25, 0.5, 0.25]);
        let found = compare(&p, &q, 0).unwrap();
        let ln2 = std::f64::consts::LN_2;
        assert!((found.kld - ln2 / 4.0).abs() < 1e-7, "{}", found.kld);
        assert!((found.nll - 4.0f64.ln()).abs() < 1e-7);
        assert!((found.nll_base - ln2).abs() < 1e-7);
        assert!((found.dp + 0.25).abs() < 1e-7);
        assert!(!found.same_top);
        // Against a uniform distribution over 4: ln 4 less the entropy.
        let p = row(&logs(&[0.7, 0.1, 0.1, 0.1]));
        let entropy = -(0.7f64.ln() * 0.7 + 3.0 * 0.1 * 0.1f64.ln());
        let found = compare(&p, &[3.0; 4], 1).unwrap();
        assert!((found.kld - (4.0f64.ln() - entropy)).abs() < 1e-7);
        assert!(found.same_top, "the first of equals is the top");
    }

    #[test]
    fn a_distribution_with_itself_and_with_a_shift_is_zero() {
        let logits: Vec<f32> = (0..4096).map(|i| (i as f32 * 0.37).sin() * 12.0).collect();
        let found = compare(&row(&logits), &logits, 17).unwrap();
        assert!(found.kld.abs() < 1e-12, "{}", found.kld);
        assert_eq!(found.dp, 0.0);
        assert!(found.same_top);
        let shifted: Vec<f32> = logits.iter().map(|l| l + 64.0).collect();
        let found = compare(&row(&logits), &shifted, 17).unwrap();
        // Adding 64 rounds a logit to 2^-18 or so.
        assert!(found.kld.abs() < 1e-9, "{}", found.kld);
    }

    #[test]
    fn a_sum_of_many_small_terms_is_kept() {
        // 32,000 equal logits: p = 1/32000 each, far apart in scale from a shift of 500.
        let nll = nll(&[500.0; 32_000], 31_999).unwrap();
        assert!((nll - 32_000f64.ln()).abs() < 1e-12, "{nll}");
        let extreme = super::nll(&[-1e30, 1e30, 0.0], 1).unwrap();
        assert_eq!(extreme, 0.0);
    }

    #[test]
    fn tokens_that_do_not_count_add_nothing() {
        let mut base = row(&logs(&[0.5, 0.5]));
        base.log_probs.push(-16.0);
        base.floor = -16.0;
        let q = logs(&[0.25, 0.25, 0.5]);
        let found = compare(&base, &q, 0).unwrap();
        assert!((found.kld - std::f64::consts::LN_2).abs() < 1e-7);
        let found = compare(&base, &q, 2).unwrap();
        assert_eq!(found.nll_base, 16.0, "but it has its likelihood");
    }

    #[test]
    fn what_is_no_number_is_named() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let logits = [1.0, 2.0, bad, 3.0];
            let found = nll(&logits, 0).unwrap_err();
            assert_eq!(found.token, 2);
            assert_eq!(found.value.to_bits(), bad.to_bits());
            assert!(compare(&row(&[0.0; 4]), &logits, 0).is_err());
        }
    }
}
