//! Windows that stop between layers are whole forward passes.

use super::hybrids::random;
use super::*;
use crate::model::Windows;

fn lookup(count: usize, length: usize, vocab: usize) -> Vec<Vec<u32>> {
    let token = |w: usize, i: usize| ((i * i + 7 * w * i + 3 * w) % vocab) as u32;
    (0..count)
        .map(|w| (0..length).map(|i| token(w, i)).collect())
        .collect()
}

/// Checks that windows taken through the layers piece by piece have the logits of each window's forward
/// pass, bit by bit.
fn assert_same(model: &Model, numeric: Numeric, what: &str) {
    let (count, length) = (3, 70);
    let texts = lookup(count, length, model.vocab());
    let compute = compute(numeric, true);
    let mut windows = model.embed(compute, &texts).unwrap();
    let layers = model.hyper().layers;
    for (start, end) in [(0, 1), (1, 1), (1, layers)] {
        assert_eq!(windows.layer(), start);
        model.run_layers(compute, start..end, &mut windows).unwrap();
    }
    assert_eq!((windows.count(), windows.tokens()), (count, length));
    let scores = model.scores_of(compute, &windows, 20..length).unwrap();
    let together: Vec<&[f32]> = scores.rows().collect();
    for (text, found) in texts.iter().zip(together.chunks(length - 20)) {
        let mut cache = model.cache(length, CacheType::F32).unwrap();
        let alone = model.forward(compute, text, &mut cache, 20..length);
        let alone = alone.unwrap();
        assert!(alone.rows().eq(found.iter().copied()), "{what} {numeric:?}");
    }
}

#[test]
fn windows_that_stop_between_layers_are_forward_passes() {
    let folder = tempfile::tempdir().unwrap();
    let mini = Model::open(&notus_mini(folder.path(), TensorType::Q4_K)).unwrap();
    for numeric in [Numeric::Exact, Numeric::Precise, Numeric::Fast] {
        assert_same(&mini, numeric, "notus-mini");
    }
    for architecture in ["gemma4", "lfm2", "qwen35"] {
        let model = Model::open(&random(folder.path(), architecture)).unwrap();
        assert_same(&model, Numeric::Exact, architecture);
    }
    for name in ["glm4moe", "granitemoe"] {
        let folder = fixture("families/models/tiny").join(name);
        let options = aeolus_checkpoint::OpenOptions {
            tokenizer: aeolus_checkpoint::TokenizerMode::Skip,
            ..Default::default()
        };
        let source = aeolus_checkpoint::open(&folder, &options).unwrap();
        let files = tempfile::tempdir().unwrap();
        let path = crate::testing::converted(files.path(), &source, TensorType::F32);
        assert_same(&Model::open(&path).unwrap(), Numeric::Exact, name);
    }
}

#[test]
fn layers_come_in_order_and_windows_have_one_length() {
    let folder = tempfile::tempdir().unwrap();
    let model = Model::open(&random(folder.path(), "lfm2")).unwrap();
    let windows = |texts: &[Vec<u32>]| model.embed(exact(), texts);
    let refused = |texts: &[Vec<u32>]| windows(texts).unwrap_err().to_string();
    assert!(refused(&[]).contains("windows of one length"));
    assert!(refused(&[vec![]]).contains("windows of one length"));
    assert!(refused(&[vec![1, 2], vec![1]]).contains("windows of one length"));
    assert!(matches!(
        windows(&[vec![1, 77]]).unwrap_err(),
        Error::TokenOutOfRange { id: 77, .. }
    ));
    let run = |range, windows: &mut Windows| model.run_layers(exact(), range, windows);
    let mut some = windows(&[vec![1, 2, 3]]).unwrap();
    assert!(model.scores_of(exact(), &some, 0..3).is_err(), "no layer");
    assert!(run(1..2, &mut some).is_err(), "the first is left out");
    assert!(run(0..5, &mut some).is_err(), "there are four");
    run(0..4, &mut some).unwrap();
    assert!(model.scores_of(exact(), &some, 0..4).is_err());
    assert_eq!(
        model.scores_of(exact(), &some, 1..3).unwrap().positions(),
        2
    );
}
