//! Threads and kernels: what every computation needs besides a model.

use std::ops::Range;

use aeolus_quant::Cpu;
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::matmul::{Compute, Numeric};
use crate::model::{CacheType, KvCache, Logits, Model};

/// A pool of threads with the kernels of this machine.
#[derive(Debug)]
pub struct Runtime {
    pool: rayon::ThreadPool,
    compute: Compute,
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
        };
        Ok(Self { pool, compute })
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
        cache: &mut KvCache,
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
        let run = |compute: Compute, number: usize| {
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
}
