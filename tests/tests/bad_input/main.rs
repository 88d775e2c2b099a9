//! Bad input against the running collector, over every transport: a clear answer each time, the
//! process lives, its memory stays bounded, and the next good request works.

mod bodies;
mod wire;

use std::time::Duration;

use anyhow::{Context, Result};
use end_to_end::Stack;
use end_to_end::otlp::{self, StageSignal};
use end_to_end::pages::Pages;
use end_to_end::parts::Part;

use bodies::Body;
use wire::{Outcome, Wire};

/// How long what was acknowledged may take to be shown.
const SHOWN_DEADLINE: Duration = Duration::from_secs(20);
/// Memory that the collector may ever hold, whatever it is sent.
const MEMORY_BYTES_MAX: u64 = 600 << 20;
/// A stage of the lifecycle that never alerts.
const STAGE: &str = "MANUFACTURING_STARTED";

/// What must come of a body.
#[derive(Debug, Clone, Copy)]
enum Expected {
    /// Refused: HTTP status, gRPC code, and what the message says.
    Refused(u16, tonic::Code, &'static str),
    /// Taken but for so many spans; with what the message says.
    Partial(i64, &'static str),
    /// Taken whole.
    Taken,
}

use Expected::{Partial, Refused, Taken};
use tonic::Code::{InvalidArgument, ResourceExhausted, Unimplemented};

/// What is sent, by which transports, and what must come of it.
const TABLE: [(Body, &[Wire], Expected); 16] = [
    (Body::Garbage, &Wire::BINARY, Refused(400, InvalidArgument, "not a valid OTLP protobuf")),
    (Body::Garbage, &[Wire::Json], Refused(400, InvalidArgument, "not a valid OTLP JSON")),
    (Body::Truncated, &Wire::BINARY, Refused(400, InvalidArgument, "not a valid OTLP protobuf")),
    (Body::Truncated, &[Wire::Json], Refused(400, InvalidArgument, "not a valid OTLP JSON")),
    (Body::OtherType, &[Wire::Protobuf], Refused(415, InvalidArgument, "Content-Type")),
    (Body::OtherCoding, &Wire::HTTP, Refused(415, InvalidArgument, "Content-Encoding")),
    (Body::OtherMethod, &[Wire::Grpc], Refused(0, Unimplemented, "")),
    (Body::HundredMegabytes, &Wire::ALL, Refused(413, ResourceExhausted, "larger than")),
    (Body::GzipBomb, &Wire::ALL, Refused(413, ResourceExhausted, "larger than")),
    (Body::BrokenGzip, &Wire::HTTP, Refused(400, InvalidArgument, "not valid gzip")),
    (Body::ZeroTraceId, &Wire::ALL, Partial(1, "trace")),
    (Body::ShortIds, &Wire::ALL, Partial(1, "")),
    (Body::In1970, &Wire::ALL, Taken),
    (Body::In2200, &Wire::ALL, Taken),
    (Body::TenThousandAttributes, &Wire::ALL, Taken),
    // Repaired and counted rather than lost: one bad character is no reason to lose an order.
    (Body::InvalidText, &Wire::ALL, Taken),
];

#[tokio::test]
async fn bad_input_gets_a_clear_answer_and_does_no_harm() -> Result<()> {
    let mut stack = Stack::start().await?;
    let pages = Pages::new(stack.client().clone(), stack.url(Part::TrackerUi)?);
    let mut faults = Vec::new();
    let mut sent = 0;
    for (body, wires, expected) in TABLE {
        for wire in wires {
            sent += 1;
            let order_id = format!("ORD-2026-97{sent:04}");
            let outcome = wire.send(&stack, body, &order_id).await;
            let outcome = outcome.with_context(|| format!("{body:?} over {wire:?}"))?;
            if let Some(fault) = fault(*wire, expected, &outcome) {
                faults.push(format!("{body:?} over {wire:?}: {fault}; came {outcome:?}"));
            }
            stack.must_run()?;
            if !matches!(expected, Refused(..)) {
                // What came with the bad item, or is merely strange, is there.
                pages.order_until(&order_id, "to be known", SHOWN_DEADLINE, |_| true).await?;
            }
            let good = StageSignal::now(&format!("{order_id}-GOOD"), STAGE, "mes");
            otlp::send(stack.client(), &stack.otlp_http()?, &good.request())
                .await
                .with_context(|| format!("the good request after {body:?} over {wire:?}"))?;
            pages.order_at(&good.order_id, STAGE, SHOWN_DEADLINE).await?;
        }
    }
    let memory_bytes = stack.process(Part::Collector)?.memory_peak_bytes()?;
    println!("{sent} bodies; the collector held {} MB at most", memory_bytes >> 20);
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert!(memory_bytes < MEMORY_BYTES_MAX, "the collector held {memory_bytes} bytes");
    stack.finish().await
}

fn fault(wire: Wire, expected: Expected, outcome: &Outcome) -> Option<String> {
    let says = |text: &str, message: &str| {
        let same = message.to_lowercase().contains(&text.to_lowercase());
        (!same).then(|| format!("expected a message with {text:?}"))
    };
    match (expected, outcome) {
        (Refused(status, _, text), Outcome::Http { status: came, message, .. }) => {
            if status != *came { Some(format!("expected {status}")) } else { says(text, message) }
        }
        (Refused(_, code, text), Outcome::Grpc { code: came, message }) => {
            if code != *came {
                Some(format!("expected {code:?}"))
            } else {
                says(text, message)
            }
        }
        (Partial(rejected, text), Outcome::Taken { rejected: came, message }) => {
            if rejected != *came {
                Some(format!("expected {rejected} rejected"))
            } else {
                says(text, message)
            }
        }
        (Taken, Outcome::Taken { rejected: 0, .. }) => None,
        _ => Some(format!("expected {expected:?} over {wire:?}")),
    }
}
