//! One look at the machine. The only user of `sysinfo`.

use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};
use sysinfo::{Disks, MINIMUM_CPU_UPDATE_INTERVAL, Networks, Pid, ProcessesToUpdate, System};

use crate::topic::iso8601;

const MB: f64 = 1024.0 * 1024.0;
const GB: f64 = MB * 1024.0;

/// The name of the machine.
pub fn host_name() -> String {
    System::host_name().unwrap_or_else(|| "localhost".to_owned())
}

/// Looks at the machine; remembers the look before, since the load of processors lies between two.
#[derive(Default)]
pub(super) struct Sampler(Mutex<Option<System>>);

impl Sampler {
    /// The state of the machine. Blocks; the first time for as long as a look at the processors
    /// takes.
    pub(super) fn sample(&self) -> Value {
        let mut system = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = system.is_none();
        let system = system.get_or_insert_with(System::new);
        let own = Pid::from_u32(std::process::id());
        let look = |system: &mut System| {
            system.refresh_cpu_usage();
            system.refresh_processes(ProcessesToUpdate::Some(&[own]), true);
        };
        if is_first {
            look(system);
            std::thread::sleep(MINIMUM_CPU_UPDATE_INTERVAL);
        }
        look(system);
        system.refresh_memory();
        let (own_cpu, own_memory) = system.process(own).map_or((0.0, 0), |process| {
            (f64::from(process.cpu_usage()), process.memory())
        });
        let (used, total) = (system.used_memory() as f64, system.total_memory() as f64);
        json!({
            "timestamp": iso8601(jiff::Timestamp::now().as_millisecond()),
            "cpu": {
                "percent": rounded(f64::from(system.global_cpu_usage())),
                "count": system.cpus().len(),
                "process_percent": rounded(own_cpu),
            },
            "memory": {
                "percent": percent(used, total),
                "used_gb": rounded(used / GB),
                "total_gb": rounded(total / GB),
                "process_mb": rounded(own_memory as f64 / MB),
            },
            "disk": disk(),
            "network": network(),
        })
    }
}

/// The disk that holds the root of the file system; the largest if none does.
fn disk() -> Value {
    let disks = Disks::new_with_refreshed_list();
    let root = disks.iter().max_by_key(|disk| {
        (
            disk.mount_point() == std::path::Path::new("/"),
            disk.total_space(),
        )
    });
    let (total, free) = root.map_or((0, 0), |disk| (disk.total_space(), disk.available_space()));
    let used = total.saturating_sub(free) as f64;
    json!({
        "percent": percent(used, total as f64),
        "used_gb": rounded(used / GB),
        "total_gb": rounded(total as f64 / GB),
    })
}

/// What all networks carried since the machine began.
fn network() -> Value {
    let networks = Networks::new_with_refreshed_list();
    let sum = |of: fn(&sysinfo::NetworkData) -> u64| -> f64 {
        networks.values().map(|network| of(network) as f64).sum()
    };
    json!({
        "bytes_sent_mb": rounded(sum(sysinfo::NetworkData::total_transmitted) / MB),
        "bytes_recv_mb": rounded(sum(sysinfo::NetworkData::total_received) / MB),
    })
}

fn percent(part: f64, whole: f64) -> f64 {
    if whole > 0.0 {
        rounded(part * 100.0 / whole)
    } else {
        0.0
    }
}

/// Two digits behind the point.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
