//! The figures of a run.

use std::fmt::Write as _;

use serde::Serialize;

use super::Kind;

/// The figures of a run.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) kind: Kind,
    pub(super) url: String,
    /// Whether gateway and clients shared a process, so that figures of the process are of both.
    pub(super) in_process: bool,
    pub(super) clients: u32,
    #[serde(flatten)]
    pub(super) delivery: Option<Delivery>,
    #[serde(flatten)]
    pub(super) memory: Option<Memory>,
}

/// How events were delivered.
#[derive(Debug, Serialize)]
pub(super) struct Delivery {
    pub(super) events: u32,
    pub(super) delivered: u64,
    pub(super) lost: u64,
    pub(super) doubled: u64,
    pub(super) out_of_order: u64,
    pub(super) seconds: f64,
    pub(super) deliveries_per_second: f64,
    pub(super) latency_p50_ms: f64,
    pub(super) latency_p99_ms: f64,
    #[serde(
        rename = "server_cpu_us_per_delivery",
        skip_serializing_if = "Option::is_none"
    )]
    pub(super) server_cpu_us: Option<f64>,
}

/// What waiting connections cost.
#[derive(Debug, Serialize)]
pub(super) struct Memory {
    pub(super) rss_before_kib: u64,
    pub(super) rss_connected_kib: u64,
    pub(super) rss_after_kib: u64,
    pub(super) kib_per_connection: f64,
}

impl Report {
    /// Whether nothing was lost, doubled or out of order.
    pub(super) fn is_clean(&self) -> bool {
        let delivery = self.delivery.as_ref();
        delivery.is_none_or(|d| d.lost == 0 && d.doubled == 0 && d.out_of_order == 0)
    }

    /// For people.
    pub(super) fn told(&self) -> String {
        let place = if self.in_process {
            ", started in this process"
        } else {
            ""
        };
        let mut text = format!("gateway at {}{place}; {} clients\n", self.url, self.clients);
        if let Some(delivery) = &self.delivery {
            delivery.tell(&mut text);
        }
        if let Some(memory) = &self.memory {
            memory.tell(self.in_process, &mut text);
        }
        text.trim_end().to_owned()
    }
}

impl Delivery {
    fn tell(&self, text: &mut String) {
        write!(
            text,
            "{} events, {} deliveries in {:.2} s: {:.0} a second\n\
             latency: p50 {:.2} ms, p99 {:.2} ms\n\
             lost {}, doubled {}, out of order {}\n",
            self.events,
            self.delivered,
            self.seconds,
            self.deliveries_per_second,
            self.latency_p50_ms,
            self.latency_p99_ms,
            self.lost,
            self.doubled,
            self.out_of_order,
        )
        .expect("a String takes all");
        if let Some(cpu) = self.server_cpu_us {
            writeln!(text, "server: {cpu:.2} us of CPU a delivery").expect("a String takes all");
        }
    }
}

impl Memory {
    fn tell(&self, in_process: bool, text: &mut String) {
        let of = if in_process {
            " (gateway and clients together)"
        } else {
            ""
        };
        writeln!(
            text,
            "RSS{of}: {} KiB before, {} KiB connected, {} KiB after; {:.1} KiB a connection",
            self.rss_before_kib,
            self.rss_connected_kib,
            self.rss_after_kib,
            self.kib_per_connection,
        )
        .expect("a String takes all");
    }
}
