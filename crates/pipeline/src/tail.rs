//! Hashes the outputs in their own order while threads finish blocks in any.
//!
//! Blocks are numbered as they lie in the outputs. A finished block waits here, in memory, until
//! every output's hash has passed it; the threads that finish blocks do the hashing, each output's
//! by one of them at a time. How far blocks run ahead of the slowest hash is bounded, and with it
//! the memory.

use crate::prefix::Prefix;
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Blocks that may be made or wait at a time, for so many threads.
pub(crate) fn in_flight(threads: usize) -> usize {
    // While one thread is at a large block, another can finish as many small ones.
    2 * threads + 2
}

/// The encodings of a block, and where each output has its one.
#[derive(Debug)]
pub(crate) struct Done {
    pub encoded: Vec<Vec<u8>>,
    /// For each output the encoding (index) and its offset in bytes from the start of the file.
    pub pieces: Vec<(usize, u64)>,
}

#[derive(Debug)]
pub(crate) struct Tail {
    state: Mutex<State>,
    /// Something moved for those who wait.
    moved: Condvar,
    in_flight: usize,
}

#[derive(Debug)]
struct State {
    done: BTreeMap<usize, Arc<Done>>,
    lanes: Vec<Lane>,
    /// Buffers of blocks that are through.
    free: Vec<Vec<Vec<u8>>>,
    stopped: bool,
}

/// One output's hash.
#[derive(Debug)]
struct Lane {
    /// The block that comes next.
    next: usize,
    /// A thread is at it.
    busy: bool,
    /// What has been passed.
    prefix: Prefix,
}

struct Job {
    lane: usize,
    block: Arc<Done>,
    prefix: Prefix,
}

impl Tail {
    /// Hashes that begin with these prefixes, one for each output; without any, buffers are
    /// handed round and nothing else happens.
    pub fn new(prefixes: Vec<Prefix>, in_flight: usize) -> Self {
        let lane = |prefix| Lane {
            next: 0,
            busy: false,
            prefix,
        };
        Self {
            state: Mutex::new(State {
                done: BTreeMap::new(),
                lanes: prefixes.into_iter().map(lane).collect(),
                free: Vec::new(),
                stopped: false,
            }),
            moved: Condvar::new(),
            in_flight,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits, hashing if there is something to hash, until block `index` may be begun, and gives
    /// buffers for it; `None` once [`stop`](Self::stop) was called. Blocks are to be begun in
    /// order.
    pub fn admit(&self, index: usize) -> Option<Vec<Vec<u8>>> {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return None;
            }
            if index < state.front().saturating_add(self.in_flight) {
                return Some(state.free.pop().unwrap_or_default());
            }
            state = match state.job() {
                Some(job) => {
                    drop(state);
                    self.hash(job);
                    self.lock()
                }
                None => {
                    let waited = self.moved.wait(state);
                    waited.unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
    }

    /// Takes a finished block, all bytes of which are written, and hashes what there is to hash.
    pub fn push(&self, index: usize, done: Done) {
        let mut state = self.lock();
        if state.lanes.is_empty() {
            state.free.push(done.encoded);
            return;
        }
        state.done.insert(index, Arc::new(done));
        while let Some(job) = state.job() {
            drop(state);
            self.hash(job);
            state = self.lock();
        }
    }

    /// Lets nobody wait any longer.
    pub fn stop(&self) {
        self.lock().stopped = true;
        self.moved.notify_all();
    }

    /// How far each output is written and hashed.
    pub fn prefixes(&self) -> Vec<Prefix> {
        let state = self.lock();
        state.lanes.iter().map(|lane| lane.prefix.clone()).collect()
    }

    fn hash(&self, job: Job) {
        let Job {
            lane,
            block,
            mut prefix,
        } = job;
        let (encoding, offset) = block.pieces[lane];
        let bytes = &block.encoded[encoding];
        // What an earlier run has done may end within a block.
        let known = prefix.bytes.saturating_sub(offset);
        if known < bytes.len() as u64 {
            prefix.feed_zeros(offset);
            prefix.feed(&bytes[known as usize..]);
        }
        drop(block);
        let mut state = self.lock();
        let front = state.front();
        let lane = &mut state.lanes[lane];
        lane.prefix = prefix;
        lane.next += 1;
        lane.busy = false;
        if state.front() > front {
            if let Some(block) = state.done.remove(&front).and_then(Arc::into_inner) {
                state.free.push(block.encoded);
            }
            self.moved.notify_all();
        }
    }
}

impl State {
    /// The first block that some hash has not passed.
    fn front(&self) -> usize {
        let next = self.lanes.iter().map(|lane| lane.next);
        next.min().unwrap_or(usize::MAX)
    }

    /// The next thing to hash: of the output that is furthest behind.
    fn job(&mut self) -> Option<Job> {
        let ready = |lane: &&mut Lane| !lane.busy && self.done.contains_key(&lane.next);
        let all = self.lanes.iter_mut().enumerate();
        let ready = all.filter(|(_, lane)| ready(lane));
        let (index, lane) = ready.min_by_key(|(_, lane)| lane.next)?;
        lane.busy = true;
        Some(Job {
            lane: index,
            block: Arc::clone(self.done.get(&lane.next)?),
            prefix: lane.prefix.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Block `index` of an output whose blocks have 1000 bytes with 24 zeros after each.
    fn block(index: usize) -> Done {
        Done {
            encoded: vec![vec![index as u8; 1000], vec![!index as u8; 1000]],
            pieces: vec![(0, index as u64 * 1024), (1, index as u64 * 1024)],
        }
    }

    #[test]
    fn hashes_do_not_depend_on_the_order_of_threads() {
        const BLOCKS: usize = 200;
        for threads in [1, 2, 7] {
            for known in [0, 1, 1000, 1023, 1024, 5000, BLOCKS as u64 * 1024] {
                let mut files = [Vec::new(), Vec::new()];
                for i in 0..BLOCKS {
                    for (file, bytes) in files.iter_mut().zip(block(i).encoded) {
                        file.extend(bytes);
                        file.resize((i + 1) * 1024, 0u8);
                    }
                }
                let mut start = Prefix::default();
                start.feed(&files[1][..known as usize]);
                let tail = Tail::new(vec![Prefix::default(), start], in_flight(threads));
                let (next, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
                std::thread::scope(|scope| {
                    for _ in 0..threads {
                        scope.spawn(|| {
                            loop {
                                let index = next.fetch_add(1, Ordering::Relaxed);
                                if index >= BLOCKS {
                                    break;
                                }
                                tail.admit(index).unwrap();
                                if index % 5 == 0 {
                                    std::thread::yield_now();
                                }
                                tail.push(index, block(index));
                                let waiting = tail.lock().done.len();
                                most.fetch_max(waiting, Ordering::Relaxed);
                            }
                        });
                    }
                });
                assert!(most.into_inner() <= in_flight(threads));
                for (mut prefix, file) in tail.prefixes().into_iter().zip(&files) {
                    prefix.feed_zeros(BLOCKS as u64 * 1024);
                    let whole = aeolus_source::hex(&Sha256::digest(file));
                    assert!(prefix.sha256() == whole, "{threads} threads, {known} known");
                }
                assert!(tail.lock().done.is_empty());
            }
        }
    }

    #[test]
    fn nobody_waits_for_a_run_that_stopped() {
        let tail = Tail::new(vec![Prefix::default()], 2);
        std::thread::scope(|scope| {
            assert!(tail.admit(0).is_some() && tail.admit(1).is_some());
            let waits = scope.spawn(|| tail.admit(2).is_none());
            tail.stop();
            assert!(waits.join().unwrap());
        });
    }
}
