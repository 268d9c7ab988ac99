//! A process whose threads lose pages of a mapped file, several at once.

#![cfg(unix)]

use aeolus_source::{Map, report_lost_pages};
use std::path::Path;
use std::process::Command;
use std::sync::Barrier;

/// In the environment of a process that is to lose pages: the file that it maps.
const FILE: &str = "AEOLUS_TEST_LOST_PAGES_OF";
const THREADS: usize = 8;
const PAGE: usize = 64 << 10;

#[test]
fn the_loss_is_told_once_and_in_one_piece() {
    if let Ok(path) = std::env::var(FILE) {
        lose(Path::new(&path));
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a model with a long name.gguf");
    for round in 0..40 {
        std::fs::write(&path, vec![1; THREADS * PAGE]).unwrap();
        let run = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_loss_is_told_once_and_in_one_piece"])
            .arg("--nocapture")
            .env(FILE, &path)
            .output()
            .unwrap();
        let told = String::from_utf8(run.stderr).unwrap();
        assert_eq!(run.status.code(), Some(7), "round {round}: {told}");
        let expected = format!(
            "error: {}: a part of it cannot be read any more: it was shortened while it was \
             being read, or its disk fails; nothing was finished\n",
            path.display()
        );
        assert_eq!(told, expected, "round {round}");
    }
}

/// Maps the file, shortens it, and touches a page of it in every thread at the same time.
fn lose(path: &Path) -> ! {
    report_lost_pages(7);
    let map = Map::open(path).unwrap();
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_len(0).unwrap();
    let barrier = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (map, barrier) = (&map, &barrier);
            scope.spawn(move || {
                barrier.wait();
                std::hint::black_box(map.bytes()[thread * PAGE]);
            });
        }
    });
    unreachable!("pages that are gone were read")
}
