//! Threads and kernels: what every computation needs besides a model.

use std::ops::Range;

use aeolus_quant::Cpu;
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::matmul::{Compute, Numeric, Tap};
use crate::model::{Cache, CacheType, Logits, Model};

/// A pool of threads with the kernels of this machine.
#[derive(Debug)]
pub struct Runtime {
    pool: rayon::ThreadPool,
    compute: Compute<'static>,
}

impl Runtime {
    /// Starts `threads` threads; 0 for as many as the machine has cores.
    ///
    /// # Errors
    /// [`Error::Threads`], or [`Error::Cpu`] if `AEOLUS_CPU` names kernels that cannot run here.
    pub fn new(threads: usize, numeric: Numeric) -> Result<Self> {
        let kernels = Cpu::select()?.kernels();
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("aeolus-{i}"))
            .build()
            .map_err(|source| Error::Threads { threads, source })?;
        let compute = Compute {
            kernels,
            numeric,
            parallel: pool.current_num_threads() > 1,
            tap: None,
        };
        Ok(Self { pool, compute })
    }

    /// What computes, for calls that are [installed](Self::install).
    pub fn compute(&self) -> Compute<'static> {
        self.compute
    }

    /// Number of threads.
    pub fn threads(&self) -> usize {
        self.pool.current_num_threads()
    }

    /// How numbers are rounded.
    pub fn numeric(&self) -> Numeric {
        self.compute.numeric
    }

    /// The name of the CPU level.
    pub fn kernels(&self) -> &'static str {
        self.compute.kernels.name()
    }

    /// Runs other work on its threads: parallel iterators in it use them.
    pub fn install<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.pool.install(work)
    }

    /// [`Model::forward`] on all threads.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn forward(
        &self,
        model: &Model,
        tokens: &[u32],
        cache: &mut Cache,
        outputs: Range<usize>,
    ) -> Result<Logits> {
        self.pool
            .install(|| model.forward(self.compute, tokens, cache, outputs))
    }

    /// Logits of many independent windows of a text, at the positions `outputs` of each.
    ///
    /// Each window starts with an empty cache (in f32). As long as there is a window for every
    /// thread, each thread computes one by itself; that needs no waiting for each other. `visit`
    /// gets the number of a window and its logits, from any thread and in any order.
    ///
    /// # Errors
    /// As [`Model::forward`], for the first window that fails.
    pub fn windows<W: AsRef<[u32]> + Sync>(
        &self,
        model: &Model,
        windows: &[W],
        outputs: Range<usize>,
        visit: impl Fn(usize, Logits) + Sync,
    ) -> Result<()> {
        self.run_windows(model, windows, outputs, |_| None, visit)
    }

    /// The same, where each window has a tap that is shown the inputs of its products. Where `outputs`
    /// is empty, nothing is multiplied with the output matrix.
    ///
    /// # Errors
    /// As [`Model::forward`], for the first window that fails.
    ///
    /// # Panics
    /// If there are fewer taps than windows.
    pub fn tapped_windows<W: AsRef<[u32]> + Sync, T: Tap>(
        &self,
        model: &Model,
        windows: &[W],
        outputs: Range<usize>,
        taps: &[T],
    ) -> Result<()> {
        let tap = |number: usize| Some(&taps[number] as &dyn Tap);
        self.run_windows(model, windows, outputs, tap, |_, _| ())
    }

    fn run_windows<'t, W: AsRef<[u32]> + Sync>(
        &self,
        model: &Model,
        windows: &[W],
        outputs: Range<usize>,
        tap: impl Fn(usize) -> Option<&'t dyn Tap> + Sync,
        visit: impl Fn(usize, Logits) + Sync,
    ) -> Result<()> {
        let run = |compute: Compute<'t>, number: usize| {
            let compute = Compute {
                tap: tap(number),
                ..compute
            };
            let tokens = windows[number].as_ref();
            let mut cache = model.cache(tokens.len().max(1), CacheType::F32)?;
            visit(
                number,
                model.forward(compute, tokens, &mut cache, outputs.clone())?,
            );
            Ok(())
        };
        let alone = Compute {
            parallel: false,
            ..self.compute
        };
        let threads = self.threads();
        let in_groups = windows.len() / threads * threads;
        self.pool.install(|| {
            (0..in_groups)
                .into_par_iter()
                .with_max_len(1)
                .try_for_each(|number| run(alone, number))?;
            (in_groups..windows.len()).try_for_each(|number| run(self.compute, number))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::matmul::Matrix;
    use crate::testing::{Small, write_gguf};

    #[test]
    fn windows_are_forward_passes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("small.gguf");
        let small = Small::ODD;
        write_gguf(
            &path,
            small.metadata(),
            &small.tensors(),
            aeolus_gguf::Endian::Little,
        );
        let model = Model::open(&path).unwrap();
        let windows: Vec<Vec<u32>> = (0..5)
            .map(|w| (0..40).map(|i| (i * w + 3) % 77).collect())
            .collect();
        for threads in [1, 2, 3, 7] {
            let runtime = Runtime::new(threads, Numeric::Exact).unwrap();
            assert_eq!(runtime.threads(), threads);
            let seen = Mutex::new(vec![None; windows.len()]);
            let visit = |number: usize, logits| {
                let old = seen.lock().unwrap()[number].replace(logits);
                assert!(old.is_none(), "each window once");
            };
            runtime.windows(&model, &windows, 10..40, visit).unwrap();
            for (window, logits) in windows.iter().zip(seen.into_inner().unwrap()) {
                let mut cache = model.cache(40, CacheType::F32).unwrap();
                let alone = runtime.forward(&model, window, &mut cache, 10..40).unwrap();
                assert!(logits.unwrap() == alone);
            }
        }
        let runtime = Runtime::new(2, Numeric::Exact).unwrap();
        let bad = [vec![1, 2], vec![77, 1], vec![0, 0]];
        let error = runtime.windows(&model, &bad, 0..2, |_, _| {}).unwrap_err();
        assert!(matches!(error, Error::TokenOutOfRange { id: 77, .. }));
    }

    /// Names and inputs of all products of a window.
    #[derive(Debug, Default)]
    struct Seen(Mutex<Vec<(String, Vec<f32>)>>);

    impl Tap for Seen {
        fn inputs(&self, matrices: &[&Matrix], x: &[f32]) {
            let mut seen = self.0.lock().unwrap();
            for matrix in matrices {
                assert_eq!(x.len() % matrix.cols(), 0);
                seen.push((matrix.name().to_owned(), x.to_vec()));
            }
        }
    }

    #[test]
    fn a_tap_sees_the_inputs_of_every_product_of_its_window() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("small.gguf");
        let small = Small::ODD;
        write_gguf(
            &path,
            small.metadata(),
            &small.tensors(),
            aeolus_gguf::Endian::Little,
        );
        let model = Model::open(&path).unwrap();
        let windows = [
            vec![1, 2, 3, 4, 5],
            vec![6, 7, 8, 9, 10],
            vec![5, 4, 3, 2, 1],
        ];
        let seen = |threads, outputs: Range<usize>| {
            let runtime = Runtime::new(threads, Numeric::Fast).unwrap();
            let taps: [Seen; 3] = Default::default();
            let ran = runtime.tapped_windows(&model, &windows, outputs, &taps);
            ran.unwrap();
            taps.map(|tap| tap.0.into_inner().unwrap())
        };
        let of_two = seen(2, 0..0);
        assert_eq!(of_two, seen(1, 0..0));
        let names: Vec<&str> = of_two[0].iter().map(|(name, _)| &**name).collect();
        let layers = (0..small.layers).flat_map(|layer| {
            let parts = [
                "attn_q",
                "attn_k",
                "attn_v",
                "attn_output",
                "ffn_gate",
                "ffn_up",
                "ffn_down",
            ];
            parts.map(|part| format!("blk.{layer}.{part}.weight"))
        });
        assert_eq!(names, layers.collect::<Vec<_>>());
        assert_eq!(
            of_two[0][0].1, of_two[0][1].1,
            "queries and keys share their input"
        );
        assert_ne!(of_two[0][0].1, of_two[1][0].1);
        let with_output = seen(2, 3..5);
        let (name, x) = with_output[2].last().unwrap();
        assert_eq!(
            (&**name, x.len()),
            ("token_embd.weight", 2 * small.hidden),
            "tied"
        );
    }
}
