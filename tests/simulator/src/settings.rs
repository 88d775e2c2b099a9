//! What can be set: flags of the orchestrator and of the services it starts.

use crate::trace_plan::System;
use clap::{Args, Parser, Subcommand};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;
use thiserror::Error;

/// Clocks may differ from the true time by this much at most, either way: more, and the order of
/// two stages would no longer be beyond doubt. A larger offset is refused.
pub const CLOCK_OFFSET_MAX_MS: i64 = 1_500;
/// Live stages follow each other by more than this plus what the clocks differ by. A shorter
/// interval is refused: Waybill takes stages closer together than 2 s for simultaneous.
pub const STAGE_INTERVAL_MIN_MS: i64 = 2_100;
/// Orders of the population at most; more are refused.
pub const POPULATION_MAX: u64 = 100_000;

/// Shop, CRM and MES with the real OpenTelemetry SDK, and the truth about their orders.
#[derive(Debug, Parser)]
#[command(name = "simulator", version)]
pub struct Cli {
    /// What to be.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can be.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Plan orders, start the three services, pass their messages, and print the truth.
    Run(RunSettings),
    /// Be the shop. Started by `run`, which talks to it on standard input and output.
    Shop(ServiceSettings),
    /// Be the CRM. Started by `run`.
    Crm(ServiceSettings),
    /// Be MES. Started by `run`.
    Mes(ServiceSettings),
}

/// Settings of `run`.
#[derive(Clone, Debug, Args)]
pub struct RunSettings {
    /// Where services that speak OTLP over HTTP (shop, MES) send to.
    #[arg(long, env = "SIMULATOR_OTLP_HTTP", default_value = "http://127.0.0.1:4318")]
    pub otlp_http: String,
    /// Where services that speak OTLP over gRPC (CRM) send to.
    #[arg(long, env = "SIMULATOR_OTLP_GRPC", default_value = "http://127.0.0.1:4317")]
    pub otlp_grpc: String,
    /// What MES speaks; the shop always speaks HTTP and the CRM gRPC.
    #[arg(long, value_enum, default_value_t = Protocol::Grpc)]
    pub mes_protocol: Protocol,
    /// Everything random follows from it; it is part of every order id.
    #[arg(long, default_value_t = 42)]
    pub seed: u32,
    /// Back-dated orders made at the start. The special orders are always among them.
    #[arg(long, default_value_t = 300)]
    pub orders: u64,
    /// Shares of the orders, as `b2c=0.6,b2b=0.25,ready_made=0.15` or as a JSON object.
    #[arg(long, default_value = "b2c=0.6,b2b=0.25,ready_made=0.15")]
    pub mix: Mix,
    /// Share of the unfinished orders that hang: late or stuck, about half and half.
    #[arg(long, default_value_t = 0.2)]
    pub hang_share: f64,
    /// Live orders per minute after the population; 0 means none.
    #[arg(long, default_value_t = 0.0)]
    pub rate: f64,
    /// Time between two stages of a live order.
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration)]
    pub stage_interval: Duration,
    /// How long live traffic lasts; 0 means until SIGTERM or Ctrl-C.
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
    pub duration: Duration,
    /// How far a system's clock is off, as `mes=-700ms`; may be repeated. Default: MES -700 ms,
    /// CRM +400 ms.
    #[arg(long, allow_hyphen_values = true)]
    pub clock_offset: Vec<ClockOffset>,
    /// Where to write the truth as JSON (atomically).
    #[arg(long)]
    pub truth_file: Option<PathBuf>,
    /// Where to write ids worth looking up as JSON (atomically).
    #[arg(long)]
    pub examples_file: Option<PathBuf>,
}

impl RunSettings {
    /// Checks what a single flag cannot know.
    ///
    /// # Errors
    /// Names the flag and what it may be.
    pub fn check(&self) -> Result<(), SettingsError> {
        let share = |flag, value: f64, most: f64| {
            let good = value.is_finite() && (0.0..=most).contains(&value);
            if good { Ok(()) } else { Err(SettingsError::OutOfRange { flag, most }) }
        };
        share("hang-share", self.hang_share, 1.0)?;
        share("rate", self.rate, 60_000.0)?;
        if self.orders > POPULATION_MAX {
            return Err(SettingsError::TooManyOrders);
        }
        let offsets_ms = System::ALL.map(|system| self.clock_offset_ms(system));
        let spread_ms = offsets_ms.iter().max().zip(offsets_ms.iter().min());
        let least_ms = STAGE_INTERVAL_MIN_MS + spread_ms.map_or(0, |(most, least)| most - least);
        if self.stage_interval.as_millis() < u128::from(least_ms.unsigned_abs()) {
            return Err(SettingsError::StageInterval { least_ms });
        }
        Ok(())
    }

    /// How far that system's clock is off, in milliseconds.
    #[must_use]
    pub fn clock_offset_ms(&self, system: System) -> i64 {
        let default_ms = match system {
            System::Shop => 0,
            System::Crm => 400,
            System::Mes => -700,
        };
        self.clock_offset
            .iter()
            .rev()
            .find(|offset| offset.system == system)
            .map_or(default_ms, |offset| offset.offset_ms)
    }
}

/// Settings of one service.
#[derive(Clone, Debug, Args)]
pub struct ServiceSettings {
    /// `http` (protobuf) or `grpc`.
    #[arg(long, value_enum)]
    pub protocol: Protocol,
    /// Where to send to: the root of the receiver, without a signal's path.
    #[arg(long)]
    pub endpoint: String,
    /// How far this process's clock is off.
    #[arg(long, default_value_t = 0, allow_hyphen_values = true)]
    pub clock_offset_ms: i64,
}

/// The two ways OTLP travels here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Protocol {
    /// OTLP over HTTP with protobuf bodies.
    Http,
    /// OTLP over gRPC.
    Grpc,
}

/// How far one system's clock is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockOffset {
    /// Whose clock.
    pub system: System,
    /// By how much, in milliseconds; negative when it is slow.
    pub offset_ms: i64,
}

impl FromStr for ClockOffset {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || SettingsError::ClockOffset(text.to_owned());
        let (name, offset) = text.split_once('=').ok_or_else(bad)?;
        let system = System::ALL.into_iter().find(|s| s.name() == name).ok_or_else(bad)?;
        let (sign, length) = offset.strip_prefix('-').map_or((1, offset), |rest| (-1, rest));
        let length = length.strip_prefix('+').unwrap_or(length);
        let length = humantime::parse_duration(length).map_err(|_| bad())?;
        let offset_ms = i64::try_from(length.as_millis()).map_err(|_| bad())? * sign;
        if offset_ms.abs() > CLOCK_OFFSET_MAX_MS {
            return Err(SettingsError::ClockTooFarOff);
        }
        Ok(Self { system, offset_ms })
    }
}

/// Shares of the three sorts of orders; they need not add up to one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mix {
    /// Custom pieces ordered in the shop.
    pub b2c: f64,
    /// Custom pieces ordered by partners.
    pub b2b: f64,
    /// Ready-made pieces ordered in the shop.
    pub ready_made: f64,
}

impl FromStr for Mix {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || SettingsError::Mix(text.to_owned());
        let mut shares: BTreeMap<String, f64> = if text.trim_start().starts_with('{') {
            serde_json::from_str(text).map_err(|_| bad())?
        } else {
            let pair = |part: &str| {
                let (name, share) = part.split_once('=')?;
                Some((name.trim().to_owned(), share.trim().parse().ok()?))
            };
            text.split(',').map(pair).collect::<Option<_>>().ok_or_else(bad)?
        };
        let mut take = |name| shares.remove(name).unwrap_or(0.0);
        let mix = Self { b2c: take("b2c"), b2b: take("b2b"), ready_made: take("ready_made") };
        let all = [mix.b2c, mix.b2b, mix.ready_made];
        let sum: f64 = all.iter().sum();
        let good = shares.is_empty() && all.iter().all(|s| *s >= 0.0) && sum > 0.0;
        if good && sum.is_finite() { Ok(mix) } else { Err(bad()) }
    }
}

/// A setting that cannot be.
#[derive(Debug, Error, PartialEq)]
pub enum SettingsError {
    /// A number outside its range.
    #[error("--{flag} must lie between 0 and {most}")]
    OutOfRange {
        /// The flag's name.
        flag: &'static str,
        /// The largest value it takes.
        most: f64,
    },
    /// More orders than the planner makes.
    #[error("--orders must be at most {POPULATION_MAX}")]
    TooManyOrders,
    /// Stages too close together.
    #[error("--stage-interval must be at least {least_ms} ms with these clocks")]
    StageInterval {
        /// The shortest interval that leaves the order of stages beyond doubt.
        least_ms: i64,
    },
    /// Not `system=offset`.
    #[error("--clock-offset `{0}` is not like `mes=-700ms`, of shop, crm or mes")]
    ClockOffset(String),
    /// A clock too far off.
    #[error("--clock-offset must be at most {CLOCK_OFFSET_MAX_MS} ms either way")]
    ClockTooFarOff,
    /// Not a mix.
    #[error("--mix `{0}` is not like `b2c=0.6,b2b=0.25,ready_made=0.15` with a share above 0")]
    Mix(String),
}
