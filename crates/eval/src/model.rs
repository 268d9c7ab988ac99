//! A GGUF file that is run: `aeolus-infer` behind [`Scorer`].

use crate::Error;
use crate::distribution;
use crate::fingerprint::{fingerprint, vocabulary_digest};
use crate::logprobs::BaseFacts;
use crate::scorer::{Numeric, Scorer};
use crate::state::State;
use aeolus_gguf::{Metadata, Shape};
use aeolus_infer::{CacheType, Runtime, Tap, Tokenizer};
use aeolus_job::{Cancel, Event, Progress};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A model, its tokenizer, and the threads it runs on.
#[derive(Debug)]
pub struct Model<'r> {
    path: PathBuf,
    name: String,
    runtime: &'r Runtime,
    model: aeolus_infer::Model,
    tokenizer: Tokenizer,
    fingerprint: OnceLock<String>,
}

/// Threads and rounding.
///
/// # Errors
/// [`Error::Start`] if there are no such threads, or no such kernels.
pub fn runtime(threads: usize, numeric: Numeric) -> Result<Runtime, Error> {
    Runtime::new(threads, numeric).map_err(Error::Start)
}

impl<'r> Model<'r> {
    /// Loads a GGUF file: model and tokenizer are checked, no weight is read.
    ///
    /// # Errors
    /// [`Error::Gguf`], [`Error::Model`].
    pub fn open(path: &Path, runtime: &'r Runtime) -> Result<Self, Error> {
        let error = |error| match error {
            // These name the file themselves.
            aeolus_infer::Error::Gguf(error) => Error::Gguf(error),
            error => Error::Model {
                path: path.into(),
                error,
            },
        };
        let model = aeolus_infer::Model::open(path).map_err(error)?;
        let tokenizer = Tokenizer::from_metadata(model.metadata()).map_err(error)?;
        if tokenizer.len() != model.vocab() {
            return Err(error(aeolus_infer::Error::Vocabulary(format!(
                "the tokenizer has {} tokens, the model scores {}",
                tokenizer.len(),
                model.vocab()
            ))));
        }
        let name = path.file_name().map_or_else(
            || path.display().to_string(),
            |name| name.to_string_lossy().into_owned(),
        );
        Ok(Self {
            path: path.into(),
            name,
            runtime,
            fingerprint: OnceLock::new(),
            model,
            tokenizer,
        })
    }

    /// Calls it by another name than its file's.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// What runs.
    pub fn loaded(&self) -> &aeolus_infer::Model {
        &self.model
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its keys.
    pub fn metadata(&self) -> &Metadata<'_> {
        self.model.metadata()
    }

    /// What computes.
    pub fn transformer(&self) -> &aeolus_infer::Model {
        &self.model
    }

    /// Its tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// What tells it from other files: [`fingerprint`](crate::fingerprint()). The first call reads
    /// all weights.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    pub fn fingerprint(&self, progress: &dyn Progress, cancel: &Cancel) -> Result<&str, Error> {
        if let Some(known) = self.fingerprint.get() {
            return Ok(known);
        }
        let file = self.model.file();
        let of = file.maps().iter().map(|map| map.len() as u64).sum();
        let name = self.name.as_str();
        let read = |bytes| progress.event(Event::Reading { name, bytes, of });
        read(0);
        let found = fingerprint(file, self.runtime, cancel, read)?;
        Ok(self.fingerprint.get_or_init(|| found))
    }

    /// What tells its results in `state` from others: its fingerprint, or, in one that ends with the
    /// run, its path, for which nothing is read.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    pub fn mark(
        &self,
        state: &State,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<String, Error> {
        match state.is_kept() {
            true => Ok(self.fingerprint(progress, cancel)?.to_owned()),
            false => Ok(format!("file {}", self.path.display())),
        }
    }

    /// Weights of its matrices and vectors.
    pub fn weights(&self) -> u64 {
        let tensors = self.model.file().tensors();
        tensors.iter().map(|t| t.shape.elems()).sum()
    }

    /// How it computes.
    pub fn numeric(&self) -> Numeric {
        self.runtime.numeric()
    }

    /// What the text's windows begin with.
    pub fn bos(&self) -> Option<u32> {
        crate::text::bos(&self.tokenizer)
    }

    /// Names and shapes of its tensors.
    pub(crate) fn shapes(&self) -> impl Iterator<Item = (&str, Shape)> {
        let tensors = self.model.file().tensors().iter();
        tensors.map(|tensor| (&*tensor.name, tensor.shape))
    }

    /// Runs independent windows, each with a tap; without `output` their logits are not computed.
    ///
    /// # Errors
    /// [`Error::Model`] for the first window that fails.
    pub(crate) fn tapped_windows<T: Tap>(
        &self,
        windows: &[Vec<u32>],
        output: bool,
        taps: &[T],
    ) -> Result<(), Error> {
        let all = windows.iter().map(Vec::len).min().unwrap_or(0);
        let outputs = 0..if output { all } else { 0 };
        let ran = self
            .runtime
            .tapped_windows(&self.model, windows, outputs, taps);
        ran.map_err(|error| self.error(error))
    }

    /// Tokens of a whole text: [`text::tokens`](crate::text::tokens).
    pub fn tokens(&self, text: &str) -> Vec<u32> {
        crate::text::tokens(&self.tokenizer, text)
    }

    /// Bytes of text that some tokens stand for; control tokens have none.
    pub fn text_bytes(&self, tokens: &[u32]) -> u64 {
        let bytes = |token: &u32| {
            self.tokenizer
                .token_bytes(*token, false)
                .map_or(0, |b| b.len())
        };
        tokens.iter().map(|token| bytes(token) as u64).sum()
    }

    /// What a file of its log-probabilities says about it; without the fingerprint, for which all of
    /// it would be read.
    pub fn facts(&self) -> BaseFacts {
        BaseFacts {
            vocab: self.vocab(),
            vocabulary: Some(vocabulary_digest(&self.tokenizer.vocabulary().pieces)),
            fingerprint: None,
            numeric: Some(self.numeric()),
        }
    }

    /// Checks that its tokens are those of the base called `base_name`.
    ///
    /// # Errors
    /// [`Error::VocabularySize`], [`Error::Vocabulary`].
    pub fn check_vocabulary(
        &self,
        base_name: &str,
        base: &BaseFacts,
        base_pieces: Option<&[String]>,
    ) -> Result<(), Error> {
        if base.vocab != self.vocab() {
            return Err(Error::VocabularySize {
                base: base_name.into(),
                base_tokens: base.vocab,
                other: self.name.clone(),
                other_tokens: self.vocab(),
            });
        }
        let own = &self.tokenizer.vocabulary().pieces;
        let difference = match (base_pieces, &base.vocabulary) {
            (Some(pieces), _) => pieces
                .iter()
                .zip(own)
                .position(|(a, b)| a != b)
                .map(|id| format!("token {id} is {:?}, there it is {:?}", own[id], pieces[id])),
            (None, Some(digest)) if *digest != vocabulary_digest(own) => {
                Some("the digest of its tokens is another".into())
            }
            _ => None,
        };
        match difference {
            None => Ok(()),
            Some(difference) => Err(Error::Vocabulary {
                base: base_name.into(),
                other: self.name.clone(),
                difference,
            }),
        }
    }

    fn error(&self, error: aeolus_infer::Error) -> Error {
        Error::Model {
            path: self.path.clone(),
            error,
        }
    }
}

impl Scorer for Model<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn vocab(&self) -> usize {
        self.model.vocab()
    }

    fn width(&self) -> usize {
        self.runtime.threads()
    }

    fn context(&self) -> usize {
        self.model.hyper().context
    }

    fn verify_unchanged(&self) -> Result<(), Error> {
        let mut maps = self.model.file().maps().iter();
        Ok(maps.try_for_each(|map| map.verify_unchanged())?)
    }

    fn windows(
        &self,
        windows: &[Vec<u32>],
        outputs: Range<usize>,
        visit: &(dyn Fn(usize, &[f32]) + Sync),
    ) -> Result<(), Error> {
        self.runtime
            .windows(&self.model, windows, outputs, |window, logits| {
                visit(window, &logits.into_data());
            })
            .map_err(|error| self.error(error))
    }

    /// The sequences' common beginning is computed once.
    fn endings(&self, sequences: &[Vec<u32>], starts: &[usize]) -> Result<Vec<Vec<f64>>, Error> {
        let longest = sequences.iter().map(Vec::len).max().unwrap_or(0);
        let first = starts.iter().copied().min().unwrap_or(0);
        // The position before the first ending is computed with each sequence: its logits are
        // asked for.
        let common = common_prefix(sequences).min(first.saturating_sub(1));
        let cache = self.model.cache(longest.max(1), CacheType::F32);
        let mut cache = cache.map_err(|error| self.error(error))?;
        let forward = |cache: &mut _, tokens: &[u32], outputs: Range<usize>| {
            let logits = self.runtime.forward(&self.model, tokens, cache, outputs);
            logits.map_err(|error| self.error(error))
        };
        if let (Some(sequence), 1..) = (sequences.first(), common) {
            forward(&mut cache, &sequence[..common], 0..0)?;
        }
        cache.mark();
        let mut all = Vec::with_capacity(sequences.len());
        for (number, (sequence, &start)) in sequences.iter().zip(starts).enumerate() {
            // A vocabulary of next to nothing may have no token for an ending.
            if sequence.len() <= start {
                all.push(Vec::new());
                continue;
            }
            // The last token predicts nothing that is asked for.
            let tokens = &sequence[common..sequence.len() - 1];
            // Exactly so many are left: there is the mark.
            cache.truncate(common);
            let logits = forward(&mut cache, tokens, start - 1 - common..tokens.len())?;
            let ending = logits.rows().zip(&sequence[start..]).enumerate();
            let log_probs = ending.map(|(position, (logits, target))| {
                distribution::nll(logits, *target)
                    .map(|nll| -nll)
                    .map_err(|bad| Error::NonFinite {
                        model: self.name.clone(),
                        window: number,
                        position: start - 1 + position,
                        token: bad.token,
                        value: bad.value,
                    })
            });
            all.push(log_probs.collect::<Result<Vec<f64>, _>>()?);
        }
        Ok(all)
    }
}

/// Tokens that all sequences begin with.
fn common_prefix(sequences: &[Vec<u32>]) -> usize {
    let Some((first, others)) = sequences.split_first() else {
        return 0;
    };
    others.iter().fold(first.len(), |shared, other| {
        let same = first.iter().zip(other).take_while(|(a, b)| a == b);
        shared.min(same.count())
    })
}
