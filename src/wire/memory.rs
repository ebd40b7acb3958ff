//! Memory that the allocator takes, and that a crowd leaves behind.
//!
//! glibc sets aside 64 MiB of addresses for each of up to eight arenas a core, as threads first ask
//! for memory: a process whose addresses are bounded would have none left. One a core is enough.
//!
//! glibc keeps what was freed in its arenas: after ten thousand connections have closed, all their
//! memory would stay with the process. Asked once, it gives nearly all of it back. The call walks
//! every arena (tens of milliseconds after a large crowd), so it is made off the worker threads,
//! and only after a mass disconnect.

/// Closed connections after which memory is given back.
pub(crate) const CROWD: usize = 1000;

/// Has the allocator set aside no more than it needs, unless `MALLOC_ARENA_MAX` says how much. To be
/// called before there are threads.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "glibc offers this by its C interface only")]
pub(crate) fn set_aside_little() {
    if std::env::var_os("MALLOC_ARENA_MAX").is_some() {
        return;
    }
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let arenas = libc::c_int::try_from(cores.max(2)).unwrap_or(libc::c_int::MAX);
    // SAFETY: mallopt takes no pointer, and no other thread is in the allocator yet.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, arenas) };
}

/// Other allocators set aside what they need.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn set_aside_little() {}

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
