//! Memory that a crowd leaves behind.
//!
//! glibc keeps what was freed in its arenas: after ten thousand connections have closed, all their
//! memory would stay with the process. Asked once, it gives nearly all of it back. The call walks
//! every arena (tens of milliseconds after a large crowd), so it is made off the worker threads,
//! and only after a mass disconnect.

/// Closed connections after which memory is given back.
pub(crate) const CROWD: usize = 1000;

/// Asks the allocator to give freed memory back to the system. Blocks for tens of milliseconds.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "glibc offers this by its C interface only")]
pub(crate) fn give_back() {
    // SAFETY: malloc_trim takes no pointer, may be called at any time from any thread, and only
    // touches memory that is free.
    let gave = unsafe { libc::malloc_trim(0) };
    tracing::debug!(gave, "freed memory was given back");
}

/// Other allocators give back by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_back() {}
