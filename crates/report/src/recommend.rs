//! Which files to recommend to those who do not want to compare.

use crate::{Collection, Quality};
use aeolus_recipe::FileType;

/// The types that the field recommends.
const BY_THE_FIELD: [FileType; 3] = [FileType::Q4_K_M, FileType::Q5_K_S, FileType::Q5_K_M];

/// The choice, for each file of a collection in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recommended {
    /// Take one of these.
    pub files: Vec<bool>,
    /// No other file is both no larger and no worse; all false without measurements.
    pub frontier: Vec<bool>,
    /// The best of the files that are no larger and better, or smaller and no worse.
    pub beaten_by: Vec<Option<usize>>,
    /// The choice rests on measurements.
    pub measured: bool,
}

/// Chooses. Without measurements: what the field recommends. With them: of those, the ones that
/// no other file beats at their size; if none is left (or none was there), the file on the
/// frontier where a byte more starts to buy less.
pub fn recommend(collection: &Collection, quality: Option<&Quality>) -> Recommended {
    let files = &collection.files;
    let by_the_field: Vec<bool> = files
        .iter()
        .map(|file| file.file_type.is_some_and(|ty| BY_THE_FIELD.contains(&ty)))
        .collect();
    let points: Vec<Option<(f64, f64)>> = files
        .iter()
        .map(|file| {
            let kld = quality?.of(file)?.kld_mean?.value;
            kld.is_finite().then_some((file.bytes as f64, kld))
        })
        .collect();
    let (frontier, beaten_by) = (frontier(&points), beaten_by(&points));
    if !frontier.contains(&true) {
        return Recommended {
            files: by_the_field,
            frontier,
            beaten_by,
            measured: false,
        };
    }
    let mut chosen: Vec<bool> = by_the_field
        .iter()
        .zip(&frontier)
        .zip(&points)
        // A file that was not measured keeps the field's word.
        .map(|((field, frontier), point)| *field && (*frontier || point.is_none()))
        .collect();
    if !chosen.contains(&true) {
        chosen = knee(&points, &frontier);
    }
    Recommended {
        files: chosen,
        frontier,
        beaten_by,
        measured: true,
    }
}

/// For each point (size, loss) the best of those that beat it: they are no worse in both and better in one.
pub fn beaten_by(points: &[Option<(f64, f64)>]) -> Vec<Option<usize>> {
    let beats = |a: (f64, f64), b: (f64, f64)| a.0 <= b.0 && a.1 <= b.1 && (a.0 < b.0 || a.1 < b.1);
    let all = || points.iter().enumerate();
    let best = |point: &Option<(f64, f64)>| {
        let point = (*point)?;
        let beating = all().filter_map(|(i, other)| Some((i, (*other)?)));
        let beating = beating.filter(|(_, other)| beats(*other, point));
        let order = |a: (f64, f64), b: (f64, f64)| a.1.total_cmp(&b.1).then(a.0.total_cmp(&b.0));
        beating.min_by(|a, b| order(a.1, b.1)).map(|(i, _)| i)
    };
    points.iter().map(best).collect()
}

/// The points (size, loss) that no other point beats in one and equals or beats in the other.
pub(crate) fn frontier(points: &[Option<(f64, f64)>]) -> Vec<bool> {
    let beaten = beaten_by(points).into_iter().zip(points);
    beaten
        .map(|(by, point)| point.is_some() && by.is_none())
        .collect()
}

/// The frontier's point farthest below the line between its ends, both axes logarithmic.
fn knee(points: &[Option<(f64, f64)>], frontier: &[bool]) -> Vec<bool> {
    let log = |(x, y): (f64, f64)| (x.max(1.0).ln(), y.max(1e-12).ln());
    let mut line: Vec<(usize, (f64, f64))> = (0..points.len())
        .filter(|&i| frontier[i])
        .filter_map(|i| Some((i, log(points[i]?))))
        .collect();
    line.sort_by(|a, b| a.1.0.total_cmp(&b.1.0));
    let mut chosen = vec![false; points.len()];
    if let (Some(&(_, a)), Some(&(_, b))) = (line.first(), line.last()) {
        let below = |p: (f64, f64)| (b.0 - a.0) * (a.1 - p.1) - (a.0 - p.0) * (b.1 - a.1);
        let best = line.iter().max_by(|x, y| below(x.1).total_cmp(&below(y.1)));
        if let Some((i, _)) = best {
            chosen[*i] = true;
        }
    }
    chosen
}

/// The memories that files are chosen for, in GB of 2^30 bytes.
const MEMORIES: [u64; 6] = [4, 6, 8, 12, 16, 24];
/// What a runtime takes beside the file and the KV cache, in bytes.
const RUNTIME_BYTES: u64 = 1 << 30;

/// The file to take with some memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    /// The least and the most of [`MEMORIES`] that it is for; no most for the last.
    pub memory: (u64, Option<u64>),
    /// Its index; `None` if none fits.
    pub file: Option<usize>,
}

impl Choice {
    pub fn memory_text(&self) -> String {
        match self.memory {
            (least, Some(most)) if least == most => format!("{least} GB"),
            (least, Some(most)) => format!("{least} to {most} GB"),
            (least, None) => format!("{least} GB or more"),
        }
    }
}

/// For each memory the best of the quantized files that fit: the nearest to the original, or without
/// measurements the largest. Memories with the same answer are one choice. Empty where nothing is
/// quantized, or nothing of it is a model that runs.
pub(crate) fn choose(collection: &Collection, quality: Option<&Quality>) -> Vec<Choice> {
    let kv = collection.model.kv_bytes_per_token;
    let kv = kv.and_then(|bytes| bytes.checked_mul(collection.memory_context()));
    let kld = |file: &crate::File| {
        quality
            .and_then(|q| q.of(file)?.kld_mean)
            .map(|kld| kld.value)
    };
    let files = || {
        collection.files.iter().enumerate().filter(|(_, file)| {
            let is_quantized = file.file_type.is_some_and(FileType::is_quantized);
            is_quantized && file.foreign_type().is_none()
        })
    };
    if collection.model.holds.is_some() || files().next().is_none() {
        return Vec::new();
    }
    let is_measured = files().any(|(_, file)| kld(file).is_some_and(f64::is_finite));
    let best = |memory: u64| {
        let budget = (memory << 30).saturating_sub(RUNTIME_BYTES + kv.unwrap_or(0));
        let fitting = files().filter(|(_, file)| file.bytes <= budget);
        let rank = |file: &crate::File| match is_measured {
            true => (
                kld(file)
                    .filter(|kld| kld.is_finite())
                    .unwrap_or(f64::INFINITY),
                file.bytes,
            ),
            // The largest first.
            false => (0.0, u64::MAX - file.bytes),
        };
        fitting
            .min_by(|a, b| {
                let (a, b) = (rank(a.1), rank(b.1));
                a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
            })
            .map(|(i, _)| i)
    };
    let mut choices: Vec<Choice> = Vec::new();
    for memory in MEMORIES {
        let file = best(memory);
        match choices.last_mut().filter(|last| last.file == file) {
            Some(last) => last.memory.1 = Some(memory),
            None => choices.push(Choice {
                memory: (memory, Some(memory)),
                file,
            }),
        }
    }
    if let Some(last) = choices.last_mut() {
        last.memory.1 = None;
    }
    choices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frontier_leaves_out_what_is_beaten() {
        let points = [
            Some((3.0, 0.04)),
            Some((4.0, 0.02)),
            Some((4.5, 0.03)),
            Some((4.0, 0.02)),
            None,
            Some((5.0, 0.001)),
        ];
        assert_eq!(frontier(&points), [true, true, false, true, false, true]);
        let by = [None, None, Some(1), None, None, None];
        assert_eq!(beaten_by(&points), by, "the first of two that are alike");
        let points = [(1.0, 0.5), (2.0, 0.1), (3.0, 0.2), (4.0, 0.6)].map(Some);
        assert_eq!(beaten_by(&points), [None, None, Some(1), Some(1)]);
    }

    #[test]
    fn each_memory_has_the_best_file_that_fits() {
        use crate::{Collection, File, HeaderFacts};
        use aeolus_gguf::{Endian, Metadata};
        let file = |ty: FileType, bytes: u64| {
            let mut metadata = Metadata::new();
            metadata.insert("general.file_type", ty.ftype_id());
            let header = HeaderFacts {
                version: 3,
                endian: Endian::Little,
                metadata: &metadata,
                tensors: &[],
                bytes,
            };
            File::from_header(&format!("m.{}.gguf", ty.name()), &header)
        };
        let gib = 1u64 << 30;
        let mut metadata = Metadata::new();
        for (key, value) in [
            ("general.architecture", "llama".into()),
            ("llama.context_length", aeolus_gguf::Value::U32(4096)),
        ] {
            metadata.insert(key, value);
        }
        let files = vec![
            file(FileType::Q4_0, 5 * gib),
            file(FileType::Q4_K_M, 5 * gib),
            file(FileType::Q8_0, 8 * gib),
            file(FileType::BF16, 15 * gib),
        ];
        let mut collection = Collection::new(&metadata, files);
        // A quarter GiB at 4096 tokens.
        collection.model.kv_bytes_per_token = Some(1 << 16);
        let shown = |quality: Option<&Quality>| -> Vec<(String, Option<String>)> {
            let choices = choose(&collection, quality).into_iter();
            choices
                .map(|choice| {
                    let method = choice
                        .file
                        .map(|file| collection.files[file].method.clone());
                    (choice.memory_text(), method)
                })
                .collect()
        };
        let quality = |klds: [f64; 3]| -> Quality {
            let names = ["Q4_0", "Q4_K_M", "Q8_0"].into_iter().zip(klds);
            let files = names.map(|(name, kld)| {
                format!(r#"{{"file_type": "{name}", "quality": {{"kld_mean": {kld}}}}}"#)
            });
            let files: Vec<String> = files.collect();
            serde_json::from_str(&format!(r#"{{"files": [{}]}}"#, files.join(","))).unwrap()
        };
        let some = |memory: &str, method: &str| (memory.to_owned(), Some(method.to_owned()));
        let measured = shown(Some(&quality([0.03, 0.02, 0.001])));
        let expected = [
            ("4 to 6 GB".to_owned(), None),
            some("8 GB", "Q4_K_M"),
            some("12 GB or more", "Q8_0"),
        ];
        assert_eq!(measured, expected);
        // Smaller and better.
        let measured = shown(Some(&quality([0.0005, 0.02, 0.001])));
        assert_eq!(measured[1..], [some("8 GB or more", "Q4_0")]);
        assert_eq!(shown(None)[2], some("12 GB or more", "Q8_0"));
    }

    #[test]
    fn the_knee_is_where_more_bytes_buy_less() {
        let points = [Some((1.0, 1.0)), Some((2.0, 0.01)), Some((8.0, 0.005))];
        assert_eq!(knee(&points, &[true; 3]), [false, true, false]);
        assert_eq!(knee(&[Some((1.0, 1.0))], &[true]), [true]);
        assert_eq!(knee(&[], &[]), Vec::<bool>::new());
    }
}
