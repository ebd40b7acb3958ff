//! What a run is to be: who there is, what they do, and what goes wrong.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{bail, ensure};
use uuid::Uuid;

use super::dice::Dice;
use crate::app::cli::{Fault, VerifyArgs};
use crate::app::client;
use crate::auth::Secret;
use crate::upstream::gateway::{Error, Gateway};

/// Most deliveries of a run.
const DELIVERIES_MAX: u64 = 50_000_000;

/// Longest run.
const DURATION_MAX: Duration = Duration::from_hours(2);

/// Publishes a second of one producer, about.
const PRODUCER_RATE: u32 = 10;

/// Most producers.
const PRODUCERS_MAX: u32 = 64;

/// Most topics of one client.
const CLIENT_TOPICS_MAX: usize = 4;

/// What a run is to be.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) clients: usize,
    pub(super) producers: usize,
    pub(super) rate: u32,
    /// Bytes that each event is longer by.
    pub(super) size: usize,
    pub(super) duration: Duration,
    pub(super) every: Duration,
    pub(super) away: Duration,
    pub(super) patience: Duration,
    pub(super) faults: Vec<Fault>,
    pub(super) topics: Vec<TopicPlan>,
    /// What is shown to the gateway.
    pub(super) token: Option<Secret>,
}

/// A topic and who publishes to it.
#[derive(Debug, Clone)]
pub(super) struct TopicPlan {
    /// Its whole name.
    pub(super) name: String,
    /// The producers, by number.
    pub(super) producers: Vec<usize>,
}

/// Faults that a gateway started elsewhere allows.
const ELSEWHERE: [Fault; 8] = [
    Fault::Kick,
    Fault::HalfClose,
    Fault::Blackhole,
    Fault::Delay,
    Fault::Stall,
    Fault::Stuck,
    Fault::Retry,
    Fault::Herd,
];

impl Plan {
    /// The gateway at an address, shown the token of the run.
    pub(super) fn gateway(&self, url: &str) -> Result<Gateway, Error> {
        self.gateway_from(url, None)
    }

    /// The same, called from one of the addresses of this machine.
    pub(super) fn gateway_from(&self, url: &str, source: Option<IpAddr>) -> Result<Gateway, Error> {
        let token = self.token.as_ref().map(|token| token.reveal().to_owned());
        Ok(Gateway::from_address(url, source)?.with_token(token))
    }

    /// Makes a plan of arguments.
    pub(super) fn new(args: &VerifyArgs) -> anyhow::Result<Self> {
        let faults = faults(args)?;
        ensure!(
            args.duration <= DURATION_MAX,
            "a run of more than two hours is too long: take a shorter --for"
        );
        let events = u64::from(args.rate) * args.duration.as_secs().max(1);
        let readers = u64::from(args.clients.div_ceil(args.topics));
        ensure!(
            events.saturating_mul(readers) <= DELIVERIES_MAX,
            "this would be more than {DELIVERIES_MAX} deliveries: take fewer clients, a lower \
             --rate, or more topics"
        );
        let random = Uuid::new_v4().as_u64_pair().1;
        // Short enough to be typed, and exact in JSON.
        let seed = args.seed.unwrap_or(random % 1_000_000_000);
        let producers = (args.rate / PRODUCER_RATE).clamp(2, PRODUCERS_MAX) as usize;
        Ok(Self {
            seed,
            token: client::token(args.token.as_ref()).map(Secret::from),
            clients: args.clients as usize,
            producers,
            rate: args.rate,
            size: args.size as usize,
            duration: args.duration,
            every: args.every,
            away: args.away,
            patience: args.patience,
            faults,
            topics: topics(args.topics as usize, producers),
        })
    }

    /// Whether a fault is made.
    pub(super) fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    /// Whether the network between clients and gateway has to be ours.
    pub(super) fn needs_network(&self) -> bool {
        self.has(Fault::Blackhole) || self.has(Fault::Delay)
    }

    /// The topics of a client: mostly one, for some several.
    pub(super) fn topics_of(&self, client: usize, dice: &mut Dice) -> Vec<usize> {
        let mut topics = vec![client % self.topics.len()];
        let most = CLIENT_TOPICS_MAX.min(self.topics.len());
        let wanted = if dice.percent(25) {
            1 + dice.below(most)
        } else {
            1
        };
        while topics.len() < wanted {
            let topic = dice.below(self.topics.len());
            if !topics.contains(&topic) {
                topics.push(topic);
            }
        }
        topics
    }
}

fn faults(args: &VerifyArgs) -> anyhow::Result<Vec<Fault>> {
    let Some(wanted) = &args.faults else {
        let kill = args.url.is_none().then_some(Fault::Kill);
        return Ok(ELSEWHERE.into_iter().chain(kill).collect());
    };
    if args.url.is_some() && wanted.contains(&Fault::Kill) {
        bail!("only a gateway that `verify` started is killed: leave `kill` or --url out");
    }
    let mut faults = wanted.clone();
    faults.sort_unstable();
    faults.dedup();
    Ok(faults)
}

/// Topics with names of their own for each run, each with two producers or more. Every third is no
/// session.
fn topics(count: usize, producers: usize) -> Vec<TopicPlan> {
    let run = Uuid::now_v7().simple().to_string();
    let topic = |number: usize| {
        let kind = if number % 3 == 2 { "room" } else { "session" };
        TopicPlan {
            name: format!("{kind}:verify-{}-{number}", &run[20..]),
            producers: Vec::new(),
        }
    };
    let mut topics: Vec<TopicPlan> = (0..count.max(1)).map(topic).collect();
    for pair in 0..topics.len().max(producers) {
        let place = pair % topics.len();
        for producer in [pair % producers, (pair + 1) % producers] {
            if !topics[place].producers.contains(&producer) {
                topics[place].producers.push(producer);
            }
        }
    }
    topics
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::app::cli::{Cli, Command};

    fn plan(line: &[&str]) -> anyhow::Result<Plan> {
        let line = [&["tidings", "verify"], line].concat();
        match Cli::try_parse_from(line)?.command {
            Some(Command::Verify(args)) => Plan::new(&args),
            _ => panic!("verify"),
        }
    }

    #[test]
    fn only_a_gateway_of_its_own_is_killed() {
        assert!(plan(&[]).unwrap().has(Fault::Kill));
        let elsewhere = plan(&["--url", "http://127.0.0.1:1"]).unwrap();
        assert!(!elsewhere.has(Fault::Kill) && elsewhere.has(Fault::Kick));
        let why = plan(&["--url", "http://127.0.0.1:1", "--faults", "kill"]).unwrap_err();
        assert!(why.to_string().contains("started"), "{why}");
    }

    #[test]
    fn a_run_without_end_is_refused() {
        assert!(plan(&["--for", "3h"]).is_err());
        let much = ["--clients", "20000", "--topics", "1", "--rate", "1000"];
        assert!(plan(&much).is_err());
    }

    #[test]
    fn topics_have_producers_and_clients_have_topics() {
        let plan = plan(&["--topics", "5", "--seed", "9", "--faults", "kick,stall"]).unwrap();
        assert_eq!((plan.seed, plan.faults.len()), (9, 2));
        for topic in &plan.topics {
            assert!(
                topic
                    .producers
                    .iter()
                    .all(|number| *number < plan.producers)
            );
        }
        let mut several = 0;
        for client in 0..100 {
            let mut topics = plan.topics_of(client, &mut Dice::new(9, client as u64));
            several += usize::from(topics.len() > 1);
            let count = topics.len();
            topics.sort_unstable();
            topics.dedup();
            assert_eq!(topics.len(), count);
        }
        assert!((5..60).contains(&several), "{several}");
    }
}
