//! Files that are planned, with their sizes: as a table and in documents.

use crate::output::{self, Align};
use aeolus_pipeline::Output;
use aeolus_report::RAM_OVERHEAD_BYTES;
use aeolus_report::documents::{FallbackUse, ForecastFile};
use std::collections::BTreeMap;

/// What is known of a file before it is made.
pub fn file(output: &Output) -> ForecastFile {
    let bytes = output.layout().file_bytes();
    let mut tensor_types = BTreeMap::new();
    for tensor in &output.types().tensors {
        *tensor_types.entry(tensor.ty.name().to_owned()).or_default() += 1;
    }
    let fallbacks = output.types().fallbacks();
    ForecastFile {
        file_type: output.file_type().name().into(),
        bytes,
        max_ram_bytes: bytes + RAM_OVERHEAD_BYTES,
        bits_per_weight: output.types().bits_per_weight(),
        tensor_types,
        fallbacks: fallbacks
            .map(|(tensor, fallback)| FallbackUse {
                tensor: tensor.name.clone(),
                ty: tensor.ty.name().into(),
                wanted: fallback.wanted.name().into(),
                reason: fallback.reason.to_string(),
            })
            .collect(),
        predicted_kld: None,
        chosen: None,
    }
}

/// The table of sizes; the first column is the caller's, and so are those before the last: each
/// a head and a cell for every output.
pub fn table(
    outputs: &[&Output],
    first: (&str, Align),
    names: Vec<String>,
    more: &[(&str, Vec<String>)],
) -> String {
    let mut columns = vec![
        first,
        ("Bits", Align::Right),
        ("Bits/weight", Align::Right),
        ("Size", Align::Right),
        ("Max RAM", Align::Right),
    ];
    columns.extend(more.iter().map(|(head, _)| (*head, Align::Right)));
    columns.push(("Use", Align::Left));
    let large = outputs
        .iter()
        .any(|o| o.layout().file_bytes() >= 100_000_000);
    let rows = names.into_iter().zip(outputs).enumerate();
    let rows = rows.map(|(i, (name, output))| {
        let bytes = output.layout().file_bytes();
        let mut row = vec![
            name,
            output.file_type().bits().to_string(),
            format!("{:.3}", output.types().bits_per_weight()),
            if large {
                format!("{} GB", output::gigabytes(bytes))
            } else {
                output::human_bytes(bytes)
            },
            format!("{} GB", output::gigabytes(bytes + RAM_OVERHEAD_BYTES)),
        ];
        row.extend(more.iter().map(|(_, cells)| cells[i].clone()));
        row.push(output.file_type().description().to_string());
        row
    });
    output::table(&columns, rows)
}
