//! How often tokens occur in a text.

/// The share of each token of a vocabulary in all tokens of some windows; those that do not occur count as
/// half an occurrence.
pub(crate) fn frequencies(windows: &[Vec<u32>], vocab: usize) -> Vec<f32> {
    let mut counts = vec![0.5_f64; vocab];
    for token in windows.iter().flatten() {
        if let Some(count) = counts.get_mut(*token as usize) {
            *count += 1.0;
        }
    }
    let all: f64 = counts.iter().sum();
    counts
        .into_iter()
        .map(|count| (count / all) as f32)
        .collect()
}
