//! The costs of all tensors in all types, and their file.
//!
//! A line of text for each tensor, its name and its costs, under a header that says what these are of:
//!
//! ```text
//! aeolus sensitivity 2
//! source 9f86d081884c7d65...
//! calibration 60303ae22b998861...
//! unit nats
//! types Q2_K Q3_K Q4_K Q5_K Q6_K
//! blk.0.attn_q.weight 1.2e-5 4.1e-6 - 3e-7 1e-7
//! ```
//!
//! A dash stands for a type that the tensor cannot have. A file of another source, calibration, version or
//! list of types is not used: it is made again.

use super::{Candidate, Item};
use aeolus_gguf::{Shape, TensorType};
use std::fmt::Write;

/// The first line.
const FORM: &str = "aeolus sensitivity 2";

/// The largest file that is read, in bytes: 8,000 tensors of 40 types.
pub const MAX_TABLE_BYTES: u64 = 16 << 20;

/// Why a file is not a table of this model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// It is of something else.
    #[error("it is of another {what}")]
    Other {
        /// What differs.
        what: &'static str,
    },
    /// It is damaged.
    #[error("line {line}: {problem}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
}

/// What costs are counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nats of KL divergence per token.
    Nats,
    /// Shares of the squares of the matrices' outputs that are wrong, where there is no backward pass.
    Share,
}

impl Unit {
    /// Its name in a file.
    fn name(self) -> &'static str {
        match self {
            Self::Nats => "nats",
            Self::Share => "share",
        }
    }
}

/// The costs of one tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its GGUF name.
    pub name: String,
    /// The cost of each of the table's types, in its unit.
    pub costs: Vec<Option<f64>>,
}

/// The costs of all tensors.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Digest of the source.
    pub source: String,
    /// Digest of the calibration text's windows, and of how moments were taken.
    pub calibration: String,
    /// What costs are counted in.
    pub unit: Unit,
    /// The types, from few bits to many.
    pub types: Vec<TensorType>,
    /// In the order of the file.
    pub rows: Vec<Row>,
}

impl Table {
    /// Its text.
    pub fn to_text(&self) -> String {
        let types: Vec<&str> = self.types.iter().map(|ty| ty.name()).collect();
        let mut text = format!(
            "{FORM}\nsource {}\ncalibration {}\nunit {}\ntypes {}\n",
            self.source,
            self.calibration,
            self.unit.name(),
            types.join(" ")
        );
        for row in &self.rows {
            text.push_str(&row.name);
            for cost in &row.costs {
                // Writing to a string does not fail. The shortest digits that give the number again.
                let _ = match cost {
                    Some(cost) => write!(text, " {cost:e}"),
                    None => write!(text, " -"),
                };
            }
            text.push('\n');
        }
        text
    }

    /// A table from its text, if it is one of this source, calibration and list of types.
    ///
    /// # Errors
    /// [`TableError::Other`] if it is of something else, [`TableError::Line`] if it is damaged.
    pub fn parse(
        text: &str,
        source: &str,
        calibration: &str,
        types: &[TensorType],
    ) -> Result<Self, TableError> {
        let mut lines = text.lines().enumerate();
        let names: Vec<&str> = types.iter().map(|ty| ty.name()).collect();
        let mut expect = |what: &'static str, expected: &[String]| {
            let line = lines.next().map(|(_, line)| line);
            let found = expected.iter().position(|e| line == Some(e.as_str()));
            found.ok_or(TableError::Other { what })
        };
        expect("version", &[FORM.to_owned()])?;
        expect("source", &[format!("source {source}")])?;
        expect("calibration", &[format!("calibration {calibration}")])?;
        let units = [Unit::Nats, Unit::Share];
        let unit = units[expect("unit", &units.map(|u| format!("unit {}", u.name())))?];
        expect("list of types", &[format!("types {}", names.join(" "))])?;
        let rows = lines.map(|(number, line)| {
            let bad = |problem: String| TableError::Line {
                line: number + 1,
                problem,
            };
            let mut words = line.split(' ');
            let name = words.next().filter(|name| !name.is_empty());
            let name = name.ok_or_else(|| bad("no tensor".to_owned()))?.to_owned();
            let costs: Result<Vec<_>, _> = words
                .map(|word| match word {
                    "-" => Ok(None),
                    _ => match word.parse::<f64>() {
                        Ok(cost) if cost.is_finite() && cost >= 0.0 => Ok(Some(cost)),
                        _ => Err(bad(format!("{word:?} is not a cost"))),
                    },
                })
                .collect();
            let costs = costs?;
            match costs.len() == types.len() {
                true => Ok(Row { name, costs }),
                false => Err(bad(format!(
                    "{} costs, expected {}",
                    costs.len(),
                    types.len()
                ))),
            }
        });
        Ok(Self {
            source: source.to_owned(),
            calibration: calibration.to_owned(),
            unit,
            types: types.to_vec(),
            rows: rows.collect::<Result<_, _>>()?,
        })
    }

    /// The costs of a tensor.
    pub fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }
}

/// Tensors that get one type.
#[derive(Clone, Debug, PartialEq)]
pub struct Together {
    /// Names and shapes, at least one.
    pub tensors: Vec<(String, Shape)>,
    /// What they may have, the candidates of [`item`](Self::item).
    pub types: Vec<TensorType>,
    /// The same with bytes and costs.
    pub item: Item,
}

impl Table {
    /// The tensors to choose types of: those of `tensors` that the table knows, in their order. The stacks
    /// of experts of one layer are together; types that one of them cannot have are left out. Tensors that
    /// can have none of the types are not among them.
    pub fn groups(&self, tensors: &[(String, Shape)]) -> Vec<Together> {
        type Group = (Option<String>, Vec<(String, Shape)>);
        let mut groups: Vec<Group> = Vec::new();
        for (name, shape) in tensors {
            if self.row(name).is_none() {
                continue;
            }
            let key = experts_of(name);
            let known = groups
                .iter_mut()
                .find(|(known, _)| key.is_some() && *known == key);
            match known {
                Some((_, group)) => group.push((name.clone(), *shape)),
                None => groups.push((key, vec![(name.clone(), *shape)])),
            }
        }
        let together = groups.into_iter().filter_map(|(_, tensors)| {
            let (mut types, mut candidates) = (Vec::new(), Vec::new());
            for (index, ty) in self.types.iter().enumerate() {
                let mut each = tensors.iter().map(|(name, shape)| {
                    let cost = self.row(name)?.costs[index]?;
                    let bytes = ty.row_bytes(shape.cols())?.checked_mul(shape.rows())?;
                    Some(Candidate { bytes, cost })
                });
                let sum = each.try_fold((0_u64, 0.0), |(bytes, cost), one: Option<Candidate>| {
                    let one = one?;
                    Some((u64::checked_add(bytes, one.bytes)?, cost + one.cost))
                });
                if let Some((bytes, cost)) = sum {
                    types.push(*ty);
                    candidates.push(Candidate { bytes, cost });
                }
            }
            let item = Item { candidates };
            (!types.is_empty()).then_some(Together {
                tensors,
                types,
                item,
            })
        });
        together.collect()
    }
}

/// What the stacks of experts of one layer have in common: `blk.N.`.
fn experts_of(name: &str) -> Option<String> {
    let rest = name.strip_prefix("blk.")?;
    let (layer, part) = rest.split_once('.')?;
    part.contains("_exps.").then(|| format!("blk.{layer}."))
}
