//! Files of gigabytes on their way to the Hub.

use super::{Scene, TOKEN};
use crate::support::arg;
use aeolus_testkit::hub_server::Repo;
use std::fs;
use std::process::Stdio;
use std::time::Duration;

/// The most memory that a running process had, file pages included, in bytes.
fn peak(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

#[test]
fn five_gigabytes_go_up_in_little_memory() {
    let bytes = 5_000_000_000;
    let scene = Scene::new();
    let folder = scene.path("out");
    fs::create_dir(&folder).unwrap();
    let file = fs::File::create(folder.join("weights.bin")).unwrap();
    file.set_len(bytes).unwrap();
    scene.server.add_repo("tester/large", Repo::new());

    let mut child = scene
        .command(["publish", arg(&folder), "tester/large"])
        .env("HF_TOKEN", TOKEN)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        most = most.max(peak(child.id()).unwrap_or(0));
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        (1..256_000_000).contains(&most),
        "{most} bytes of memory at most"
    );
    // It is in the store, whole, and the commit names it without holding it.
    assert!(scene.server.stored().values().any(|s| s.bytes == bytes));
    let commits = scene.server.commits();
    assert_eq!(commits.len(), 1);
    assert!(commits[0].1.len() < 10_000, "{}", commits[0].1.len());
}
