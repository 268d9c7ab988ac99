//! The inputs that a crate's fuzz targets keep: seeds, and what once went wrong.

use std::path::Path;

/// Runs a fuzz target's body on each input in `fuzz/seeds/TARGET` and `fuzz/crashes/TARGET` of the
/// crate in the folder `manifest`, which is `env!("CARGO_MANIFEST_DIR")`.
///
/// # Panics
/// If there is no input, one cannot be read, or the body panics; the last path printed is then
/// the one that did it.
pub fn replay(manifest: &str, target: &str, body: fn(&[u8])) {
    let mut inputs = 0;
    for kind in ["seeds", "crashes"] {
        let folder = Path::new(manifest).join("fuzz").join(kind).join(target);
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            body(&std::fs::read(path).unwrap());
            inputs += 1;
        }
    }
    assert!(inputs > 0, "no inputs for {target}");
}
