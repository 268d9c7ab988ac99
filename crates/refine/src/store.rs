//! The codes that are chosen so far, in a file beside the outputs.
//!
//! `NAME.refined.partial` has the blocks of each matrix one after the other in the order in which they were
//! chosen, its journal a record of each: which, where, their checksum, and what they cost. A run that was
//! killed finds all of those that its journal has, and chooses only the others. It takes as much disk space
//! as the quantized tensors of all outputs, until these are written.

use crate::run::Wanted;
use crate::{Chosen, Error};
use aeolus_gguf::{TensorType, Value};
use aeolus_job::{Event, Identity, Names, PartialFile, Progress, checksum};
use aeolus_pipeline::Via;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::Path;

/// One matrix of a tensor.
type Key = (Wanted, usize);

/// The codes of matrices.
#[derive(Debug)]
pub struct Store {
    file: PartialFile,
    places: BTreeMap<Key, Record>,
    end: u64,
    keys: Vec<(String, Value<'static>)>,
    identity: String,
}

/// Where the blocks of a matrix are, and what they cost on the held-out windows.
#[derive(Clone, Debug, PartialEq)]
struct Record {
    key: Key,
    offset: u64,
    bytes: u64,
    sum: u64,
    plain_cost: f64,
    refined_cost: f64,
}

impl Record {
    fn text(&self) -> String {
        let (wanted, matrix) = &self.key;
        let via = if wanted.through_f16 { "f16" } else { "source" };
        format!(
            "{} {} {via} {matrix} {} {} {:016x} {:016x} {:016x}",
            wanted.tensor,
            wanted.ty,
            self.offset,
            self.bytes,
            self.sum,
            self.plain_cost.to_bits(),
            self.refined_cost.to_bits()
        )
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.rsplit(' ');
        let mut hex = || u64::from_str_radix(words.next()?, 16).ok();
        let (refined, plain, sum) = (hex()?, hex()?, hex()?);
        let mut number = || words.next()?.parse::<u64>().ok();
        let (bytes, offset, matrix) = (number()?, number()?, number()?);
        let through_f16 = match words.next()? {
            "f16" => true,
            "source" => false,
            _ => return None,
        };
        let ty = words.next()?;
        let ty = TensorType::all().find(|known| known.to_string() == ty)?;
        // A name may have spaces.
        let mut name: Vec<&str> = words.collect();
        name.reverse();
        let wanted = Wanted {
            tensor: name.join(" "),
            ty,
            through_f16,
        };
        Some(Self {
            key: (wanted, usize::try_from(matrix).ok()?),
            offset,
            bytes,
            sum,
            plain_cost: f64::from_bits(plain),
            refined_cost: f64::from_bits(refined),
        })
    }

    fn is_refined(&self) -> bool {
        self.refined_cost < self.plain_cost
    }
}

/// What was chosen for one tensor in one type.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Kept {
    /// Its matrices (experts).
    pub matrices: usize,
    /// Those whose refined codes are better on held-out windows; the others have plain ones.
    pub refined: usize,
    /// Costs of plain codes on the held-out windows.
    pub plain_cost: f64,
    /// Costs of the codes that stay.
    pub cost: f64,
}

impl Store {
    /// Opens what an earlier run of this `identity` left beside the outputs as `path`, or begins. `keys` say
    /// in outputs how the codes were chosen.
    ///
    /// # Errors
    /// [`Error::Job`].
    pub fn open(
        path: &Path,
        identity: &Identity,
        keys: Vec<(String, Value<'static>)>,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        let (mut file, found) = PartialFile::open_logged(Names::of(path), identity, Record::parse)?;
        let (records, why) = found.records_or_why();
        if let Some(why) = why {
            progress.event(Event::StartedOver {
                path: &file.names().partial,
                why: &why,
            });
        }
        let len = file.len()?;
        let is_good = |record: &&Record| {
            let (offset, bytes) = (record.offset, record.bytes);
            if offset.checked_add(bytes).is_none_or(|end| end > len) {
                return false;
            }
            let mut blocks = vec![0; bytes as usize];
            file.read_at(&mut blocks, offset).is_ok() && checksum(&blocks) == record.sum
        };
        let good = records.iter().take_while(is_good).count();
        let end = records[..good].iter().map(|r| r.offset + r.bytes).max();
        let end = end.unwrap_or(0);
        file.begin(end, good)?;
        Ok(Self {
            file,
            places: records[..good]
                .iter()
                .map(|r| (r.key.clone(), r.clone()))
                .collect(),
            end,
            keys,
            identity: aeolus_source::hex(&Sha256::digest(format!("{identity:?}"))),
        })
    }

    /// Whether it has a matrix.
    pub fn has_matrix(&self, wanted: &Wanted, matrix: usize) -> bool {
        self.places.contains_key(&(wanted.clone(), matrix))
    }

    /// Keeps the codes of a matrix.
    ///
    /// # Errors
    /// [`Error::Job`].
    pub(crate) fn put(
        &mut self,
        wanted: &Wanted,
        matrix: usize,
        chosen: &Chosen,
    ) -> Result<(), Error> {
        let record = Record {
            key: (wanted.clone(), matrix),
            offset: self.end,
            bytes: chosen.bytes.len() as u64,
            sum: checksum(&chosen.bytes),
            plain_cost: chosen.plain_cost,
            refined_cost: chosen.refined_cost,
        };
        self.file.write_at(&chosen.bytes, self.end)?;
        self.file.note(&record.text())?;
        self.end += record.bytes;
        self.places.insert(record.key.clone(), record);
        Ok(())
    }

    /// What was chosen, by what was wanted.
    pub fn kept(&self) -> BTreeMap<&Wanted, Kept> {
        let mut all: BTreeMap<&Wanted, Kept> = BTreeMap::new();
        for record in self.places.values() {
            let kept = all.entry(&record.key.0).or_default();
            kept.matrices += 1;
            kept.refined += usize::from(record.is_refined());
            kept.plain_cost += record.plain_cost;
            kept.cost += match record.is_refined() {
                true => record.refined_cost,
                false => record.plain_cost,
            };
        }
        all
    }

    /// Removes the file and its journal: the outputs are whole.
    pub fn discard(self) {
        self.file.discard();
    }
}

fn wanted(tensor: &str, ty: TensorType, via: Via) -> Wanted {
    Wanted {
        tensor: tensor.to_owned(),
        ty,
        through_f16: via == Via::F16,
    }
}

impl aeolus_pipeline::Codes for Store {
    fn has(&self, tensor: &str, ty: TensorType, via: Via) -> bool {
        self.has_matrix(&wanted(tensor, ty, via), 0)
    }

    fn read(
        &self,
        tensor: &str,
        ty: TensorType,
        via: Via,
        rows: Range<usize>,
        out: &mut [u8],
    ) -> io::Result<()> {
        let wanted = wanted(tensor, ty, via);
        let row_bytes = out.len() / rows.len().max(1);
        let missing = || io::Error::other("a matrix is missing");
        let mut out = out;
        let mut row = rows.start;
        // Matrices have the same number of rows.
        let first = &self.places.get(&(wanted.clone(), 0)).ok_or_else(missing)?;
        let each = (first.bytes as usize / row_bytes.max(1)).max(1);
        while row < rows.end {
            let (matrix, inner) = (row / each, row % each);
            let some = (each - inner).min(rows.end - row);
            let place = self
                .places
                .get(&(wanted.clone(), matrix))
                .ok_or_else(missing)?;
            let (now, later) = out.split_at_mut(some * row_bytes);
            let offset = place.offset + (inner * row_bytes) as u64;
            self.file.read_at(now, offset).map_err(io::Error::other)?;
            out = later;
            row += some;
        }
        Ok(())
    }

    fn identity(&self) -> String {
        self.identity.clone()
    }

    fn keys(&self) -> Vec<(String, Value<'static>)> {
        self.keys.clone()
    }
}
