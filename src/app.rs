//! The wiring: command line, configuration, telemetry, and what each subcommand does.
//!
//! This is the top floor: it may use every part, and no part knows it. It alone reads files and
//! the environment, prints to the terminal, and decides the exit code.

pub mod cli;
pub mod config;
pub mod gateway;

mod bench;
mod client;
mod demo;
mod engine;
mod exit;
mod keys;
mod latencies;
mod outage;
mod process;
mod publish;
pub mod reload;
mod screen;
mod serve;
mod telemetry;
mod token;
mod verify;
mod watch;

pub use self::exit::run;
