//! From arguments to an exit code.
//!
//! | code | meaning |
//! | --- | --- |
//! | 0 | done; for `watch`: the session completed |
//! | 1 | failed; for `watch`: the session ended in an error |
//! | 2 | wrong arguments or a wrong configuration |
//! | 3 | the gateway cannot be reached |
//! | 130, 143 | ended at once by a (second) SIGINT or SIGTERM |

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser as _};

use crate::app::cli::{Cli, Command};
use crate::app::config::{self, Loaded, Problems, Sources};
use crate::app::screen::say;
use crate::app::{bench, client, demo, publish, serve, telemetry, token, verify, watch};
use crate::upstream::gateway;
use crate::wire;

/// It did not work out.
pub(super) const FAILED: u8 = 1;

/// Wrong arguments or a wrong configuration.
const WRONG: u8 = 2;

/// The gateway cannot be reached.
pub(super) const UNREACHABLE: u8 = 3;

/// After how many tasks a worker looks at the sockets again. While many are busy, what comes from the
/// others is seen the sooner the smaller this is.
const EVENT_INTERVAL: u32 = 16;

/// Ended by SIGINT.
pub(super) const INTERRUPTED: u8 = 130;

/// Ended by SIGTERM.
pub(super) const TERMINATED: u8 = 143;

/// Does what the command line says. Prints its own errors, to standard error.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    match dispatch(cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            complain(&error);
            ExitCode::from(code_of(&error))
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "the last words of the process, with or without a log"
)]
fn complain(error: &anyhow::Error) {
    eprintln!("tidings: {error:#}");
}

fn code_of(error: &anyhow::Error) -> u8 {
    if error.is::<Problems>() {
        return WRONG;
    }
    match error.downcast_ref::<gateway::Error>() {
        Some(gateway::Error::Address(_)) => WRONG,
        Some(error) if error.is_transient() => UNREACHABLE,
        _ => FAILED,
    }
}

fn dispatch(cli: Cli) -> anyhow::Result<u8> {
    let command = cli.command.unwrap_or(Command::Serve(cli.settings));
    match command {
        Command::Serve(settings) => {
            let sources = settings.sources();
            let loaded = load(&sources)?;
            let filter = telemetry::start(&loaded.config.log)?;
            block_on(serve::run(loaded.config, (sources, filter)))
        }
        Command::Demo(args) => {
            let mut loaded = load(&args.settings.sources())?;
            quiet(&mut loaded);
            run_async(&loaded, demo::run(&loaded.config, &args))
        }
        Command::Bench(args) => {
            let mut loaded = load(&Sources::of_process())?;
            quiet(&mut loaded);
            run_async(&loaded, bench::run(&loaded.config, &args))
        }
        Command::Verify(args) => block_on(verify::run(&args)),
        Command::Publish(args) => {
            let gateway = client::of(&args.gateway)?;
            block_on(publish::run(&gateway, &args))
        }
        Command::Watch(args) => {
            let gateway = client::of(&args.gateway)?;
            block_on(watch::run(&gateway, &args))
        }
        Command::Healthcheck(args) => {
            let gateway = client::of(&args)?;
            block_on(client::health(&gateway))
        }
        Command::Token(args) => token::run(args.kind),
        Command::CheckConfig(settings) => {
            load(&settings.sources())?;
            say("the configuration is fine")
        }
        Command::PrintConfig(settings) => say(load(&settings.sources())?.to_toml().trim_end()),
        Command::Completions { shell } => {
            clap_complete::generate(
                shell,
                &mut Cli::command(),
                "tidings",
                &mut std::io::stdout(),
            );
            Ok(0)
        }
        Command::Man { dir } => manual(dir),
        Command::Version { json } => say(&version(json)),
    }
}

/// Prints the manual page, or writes all of them.
fn manual(dir: Option<PathBuf>) -> anyhow::Result<u8> {
    let Some(dir) = dir else {
        clap_mangen::Man::new(Cli::command()).render(&mut std::io::stdout())?;
        return Ok(0);
    };
    let why = || format!("cannot write manual pages into `{}`", dir.display());
    std::fs::create_dir_all(&dir).with_context(why)?;
    clap_mangen::generate_to(Cli::command(), &dir).with_context(why)?;
    Ok(0)
}

fn load(sources: &Sources) -> anyhow::Result<Loaded> {
    Ok(config::load(sources)?)
}

/// What serves for a moment logs its warnings only, unless somebody asked for more.
fn quiet(loaded: &mut Loaded) {
    if !loaded.is_set(&["log", "filter"]) {
        "warn".clone_into(&mut loaded.config.log.filter);
    }
}

fn run_async(
    loaded: &Loaded,
    work: impl Future<Output = anyhow::Result<u8>>,
) -> anyhow::Result<u8> {
    telemetry::start(&loaded.config.log)?;
    block_on(work)
}

/// Runs a future to its end. What it left behind is not waited for.
fn block_on(work: impl Future<Output = anyhow::Result<u8>>) -> anyhow::Result<u8> {
    wire::set_aside_little();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .event_interval(EVENT_INTERVAL)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    result
}

fn version(json: bool) -> String {
    let (name, version) = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    if json {
        let target = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
        serde_json::json!({"name": name, "version": version, "target": target}).to_string()
    } else {
        format!("{name} {version}")
    }
}
