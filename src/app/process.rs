//! CPU time and memory of a process, as the kernel tells them under `/proc`.

use std::time::Duration;

use anyhow::Context as _;

/// The kernel's unit of CPU time in `/proc`, on every architecture that Linux has today.
const TICK: Duration = Duration::from_millis(10);

/// CPU time that a process has used.
pub(super) fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .with_context(|| format!("cannot measure process {pid}: is it running?"))?;
    ticks(&stat)
        .map(|ticks| TICK * ticks)
        .context("`/proc` is not as expected")
}

/// Memory of a process, in KiB.
pub(super) fn rss_kib(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))
        .with_context(|| format!("cannot measure process {pid}: is it running?"))?;
    resident(&status).context("`/proc` is not as expected")
}

/// Fields 14 and 15, counted after the name, which may hold anything.
fn ticks(stat: &str) -> Option<u32> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn resident(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_lines_are_understood() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 100 0 0 0 25 17 0 0 20 0 3 0 99 0 0";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(resident("Name:\ta\nVmRSS:\t  5120 kB\n"), Some(5120));
        assert_eq!((ticks("nonsense"), resident("nonsense")), (None, None));
    }

    #[test]
    fn this_process_can_be_measured() {
        assert!(rss_kib(std::process::id()).unwrap() > 0);
        cpu(std::process::id()).unwrap();
        assert!(
            cpu(u32::MAX)
                .unwrap_err()
                .to_string()
                .contains("is it running?")
        );
    }
}
