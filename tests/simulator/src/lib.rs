//! Shop, CRM and MES as separate processes with the real OpenTelemetry SDK.
//!
//! `simulator run` plans orders from a seed, starts three children of itself that act them out,
//! stands in for the message broker between them, and prints the truth: how many orders are at
//! each stage, late and stuck. Data runs downhill through the modules: vocabulary, plans of
//! traces, scenarios, the population, the truth, then the wire, the services and the run.

pub mod attributes;
pub mod stage;
pub mod trace_plan;
pub mod settings;
pub mod scenario;
pub mod population;
pub mod truth;
pub mod telemetry;
pub mod wire;
pub mod service;
pub mod failure;
pub mod broker;
pub mod run;
