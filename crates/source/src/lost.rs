//! What happens when a mapped file loses pages under its reader.
//!
//! Another program that shortens a mapped file, or a disk that cannot be read, takes pages from
//! under the map: the next touch raises `SIGBUS`, which ends a process without a word. A library
//! must not decide about signals, so nothing happens here until the program asks for it with
//! [`report_lost_pages`].

#![cfg(unix)]

use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

/// Maps that are told apart; of further ones only their loss is told, not their name.
const PLACES: usize = 1024;

/// Where a map is, and what it is of. Places are taken over by later maps; the messages stay in
/// memory, since the handler may be reading one: that costs some bytes for each file a process maps.
struct Place {
    start: AtomicUsize,
    bytes: AtomicUsize,
    message: AtomicPtr<Message>,
}

/// The whole line that is said of a map, made beforehand: a handler can only write, and what is
/// written by one call arrives in one piece.
struct Message(Vec<u8>);

static ALL: [Place; PLACES] = [const {
    Place {
        start: AtomicUsize::new(0),
        bytes: AtomicUsize::new(0),
        message: AtomicPtr::new(std::ptr::null_mut()),
    }
}; PLACES];

/// A map's entry; gone with it.
#[derive(Debug)]
pub(crate) struct Entry(Option<usize>);

impl Entry {
    /// Notes that `bytes` from address `start` are those of the file at `path`.
    pub fn new(start: usize, bytes: usize, path: &std::path::Path) -> Self {
        use std::os::unix::ffi::OsStrExt;
        if bytes == 0 {
            return Self(None);
        }
        let free = ALL.iter().position(|place| {
            let (taken, free) = (usize::MAX, 0);
            let order = Ordering::AcqRel;
            let swapped = place
                .bytes
                .compare_exchange(free, taken, order, Ordering::Relaxed);
            swapped.is_ok()
        });
        if let Some(index) = free {
            let place = &ALL[index];
            let what: [&[u8]; 3] = [
                b"error: ",
                path.as_os_str().as_bytes(),
                b": a part of it cannot be read any more: it was shortened while it was being \
                  read, or its disk fails; nothing was finished\n",
            ];
            let message = Box::new(Message(what.concat()));
            // The message that was here before stays in memory: see above.
            place
                .message
                .store(Box::into_raw(message), Ordering::Release);
            place.start.store(start, Ordering::Release);
            place.bytes.store(bytes, Ordering::Release);
        }
        Self(free)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(index) = self.0 {
            ALL[index].start.store(0, Ordering::Release);
            ALL[index].bytes.store(0, Ordering::Release);
        }
    }
}

/// From now on a process that loses pages of a [`Map`](crate::Map) says which file it was and ends
/// with `exit_code`, instead of being killed. `SIGBUS` from elsewhere does what it did.
///
/// The handler writes one line to stderr and leaves: no destructors run, files are left as they
/// are, as after a kill. Threads that run into it at the same time say nothing more.
pub fn report_lost_pages(exit_code: i32) {
    static ONCE: Once = Once::new();
    static EXIT_CODE: AtomicUsize = AtomicUsize::new(2);
    static SAID: AtomicBool = AtomicBool::new(false);

    extern "C" fn handle(
        signal: libc::c_int,
        info: *mut libc::siginfo_t,
        _context: *mut libc::c_void,
    ) {
        // SAFETY: with SA_SIGINFO the kernel passes a valid siginfo; that of SIGBUS has an address.
        #[allow(unsafe_code, reason = "what the kernel tells of a fault is a C union")]
        let address = unsafe { (*info).si_addr() } as usize;
        let of = |place: &&Place| {
            let start = place.start.load(Ordering::Acquire);
            let bytes = place.bytes.load(Ordering::Acquire);
            start != 0 && address >= start && address - start < bytes
        };
        // Only calls that are safe in a signal handler: loads, swap, write, pause, _exit, signal.
        let Some(place) = ALL.iter().find(of) else {
            // Not ours: returning runs into the same fault again, which then does what it did.
            // SAFETY: setting a default action has no precondition.
            #[allow(unsafe_code, reason = "a C call")]
            unsafe {
                libc::signal(signal, libc::SIG_DFL);
            }
            return;
        };
        if SAID.swap(true, Ordering::AcqRel) {
            // Another thread lost pages, too, and is about to end the process.
            loop {
                // SAFETY: pause waits and has no precondition.
                #[allow(unsafe_code, reason = "a C call")]
                unsafe {
                    libc::pause()
                };
            }
        }
        let message = place.message.load(Ordering::Acquire);
        // SAFETY: a place with a start has a message, set before it, that is never freed.
        #[allow(unsafe_code, reason = "the handler cannot share ownership of it")]
        let message = unsafe { message.as_ref() };
        let message = message.map_or(&b""[..], |message| &message.0);
        // SAFETY: the pointer and length are those of a live slice.
        #[allow(unsafe_code, reason = "write is the one way to speak in a handler")]
        unsafe {
            libc::write(2, message.as_ptr().cast(), message.len())
        };
        // SAFETY: _exit ends the process and has no precondition.
        #[allow(unsafe_code, reason = "exit would run code, which a handler must not")]
        unsafe {
            libc::_exit(EXIT_CODE.load(Ordering::Relaxed) as libc::c_int)
        }
    }

    EXIT_CODE.store(exit_code as usize, Ordering::Relaxed);
    ONCE.call_once(|| {
        // SAFETY: the action is fully set (zeros are an empty mask), and its handler only makes
        // calls that are safe in one.
        #[allow(unsafe_code, reason = "a signal handler has no safe form")]
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handle as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigaction(libc::SIGBUS, &action, std::ptr::null_mut());
        }
    });
}
