//! Small random models, refined as a whole.

use super::*;
use crate::backward::tests::{random, random_texts};
use aeolus_infer::Numeric;
use aeolus_job::Identity;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The matrices of the random models that are wanted: their rows are whole blocks.
fn wanted() -> BTreeSet<Wanted> {
    let parts = [
        "attn_q",
        "attn_k",
        "attn_v",
        "attn_output",
        "ffn_gate",
        "ffn_up",
    ];
    let layers = (0..4).flat_map(|i| parts.map(|part| format!("blk.{i}.{part}.weight")));
    let names = layers.chain([EMBEDDING.to_owned()]);
    let in_both = names.flat_map(|tensor| {
        [TensorType::Q4_0, TensorType::Q5_1].map(|ty| Wanted {
            tensor: tensor.clone(),
            ty,
            through_f16: false,
        })
    });
    in_both.collect()
}

/// Refines a model, told of the work by `progress`; the store is in `folder` under this name.
fn run(
    (model, effort): (&Model, Effort),
    (folder, name): (&Path, &str),
    threads: usize,
    (progress, cancel): (&dyn Progress, &Cancel),
) -> (Store, Result<BTreeMap<Wanted, String>, Error>) {
    let identity = Identity::new([("test", format!("{effort:?}"))]);
    let mut store = Store::open(&folder.join(name), &identity, Vec::new(), &()).unwrap();
    let runtime = Runtime::new(threads, Numeric::Exact).unwrap();
    let job = Job {
        model,
        runtime: &runtime,
        windows: &random_texts(12, 24),
        held_out: 3,
        effort,
        seed: 1,
        folder,
        progress,
        cancel,
    };
    let left = refine(&job, &wanted(), &mut store);
    (store, left)
}

/// All codes, in the order of what is wanted.
fn codes(store: &Store, model: &Model) -> Vec<Vec<u8>> {
    let each = wanted().into_iter().map(|w| {
        let info = model.file().tensor(&w.tensor).unwrap();
        let (rows, cols) = (info.shape.rows(), info.shape.cols());
        let mut out = vec![0; (rows * w.ty.row_bytes(cols).unwrap()) as usize];
        let via = aeolus_pipeline::Via::Source;
        aeolus_pipeline::Codes::read(store, &w.tensor, w.ty, via, 0..rows as usize, &mut out)
            .unwrap();
        out
    });
    each.collect()
}

#[test]
fn every_effort_refines_what_is_wanted_with_the_same_bytes_for_any_threads() {
    let folder = tempfile::tempdir().unwrap();
    let go_on = Cancel::new();
    for architecture in ["llama", "granite"] {
        let model = Model::open(&random(folder.path(), architecture, 5)).unwrap();
        let mut all: Vec<Vec<Vec<u8>>> = Vec::new();
        for effort in [Effort::One, Effort::Two, Effort::Three] {
            let name = format!("{architecture}-{effort:?}");
            let place = |threads: usize| format!("{name}-{threads}");
            let one = place(1);
            let (store, left) = run((&model, effort), (folder.path(), &one), 1, (&(), &go_on));
            assert_eq!(left.unwrap(), BTreeMap::new());
            let kept = store.kept();
            assert_eq!(kept.len(), wanted().len());
            let refined = kept.values().filter(|kept| kept.refined == 1).count();
            assert!(2 * refined > kept.len(), "{name}: {refined} are better");
            assert!(kept.values().all(|kept| kept.cost <= kept.plain_cost));
            let found = codes(&store, &model);
            for threads in [2, 3] {
                let other = place(threads);
                let place = (folder.path(), &*other);
                let (store, _) = run((&model, effort), place, threads, (&(), &go_on));
                assert!(codes(&store, &model) == found, "{name}, {threads} threads");
            }
            all.push(found);
        }
        assert!(all[0] != all[1] && all[1] != all[2], "{architecture}");
    }
}

#[test]
fn a_run_that_was_ended_after_any_matrix_goes_on_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let model = Model::open(&random(folder.path(), "llama", 6)).unwrap();
    let go_on = Cancel::new();
    let of = (&model, Effort::Three);
    let (whole, _) = run(of, (folder.path(), "whole"), 2, (&(), &go_on));
    let mut ended = 0;
    loop {
        // Five more matrices each time.
        let (count, cancel) = (AtomicUsize::new(0), Cancel::new());
        let progress = |event: Event<'_>| {
            if matches!(event, Event::Advanced { .. }) && count.fetch_add(1, Ordering::Relaxed) == 4
            {
                cancel.set();
            }
        };
        let (store, left) = run(of, (folder.path(), "parts"), 2, (&progress, &cancel));
        match left {
            Err(Error::Cancelled) => ended += 1,
            left => {
                left.unwrap();
                assert!(codes(&store, &model) == codes(&whole, &model));
                break;
            }
        }
    }
    assert!(ended > 5, "{ended}");
}

#[test]
fn effort_3_is_refused_where_there_is_no_backward_pass_and_effort_1_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let model = Model::open(&random(folder.path(), "gemma2", 1)).unwrap();
    let go_on = Cancel::new();
    let three = (&model, Effort::Three);
    let (store, left) = run(three, (folder.path(), "three"), 2, (&(), &go_on));
    assert!(left.unwrap_err().to_string().contains("no backward pass"));
    assert!(store.kept().is_empty());
    let one = (&model, Effort::One);
    let (store, left) = run(one, (folder.path(), "one"), 2, (&(), &go_on));
    left.unwrap();
    assert_eq!(store.kept().len(), wanted().len());
}
