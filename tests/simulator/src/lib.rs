//! Shop, CRM and MES as separate processes with the real OpenTelemetry SDK.
