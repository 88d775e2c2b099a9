//! The official Python and JavaScript clients, unchanged, driven by scripts beside this test.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::Served;

const CLIENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");

fn runs(program: &Path, script: &Path, served: &Served) {
    let output = Command::new(program).arg(script).arg(&served.url).output().unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.trim_end() == "ok", "{out}\n{err}");
}

#[test]
fn python_clickhouse_connect() {
    let python = std::env::var_os("WAYBILL_TEST_PYTHON").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin/python"),
        PathBuf::from,
    );
    let requirements = "crates/clickhouse-embedded/tests/clients/python/requirements.txt";
    let probe = Command::new(&python).args(["-c", "import clickhouse_connect"]).output();
    assert!(
        probe.is_ok_and(|output| output.status.success()),
        "clickhouse-connect is missing; run `python3 -m venv .venv && .venv/bin/pip install \
         --require-hashes -r {requirements}` in the workspace"
    );
    let served = Served::start(&[]);
    runs(&python, &Path::new(CLIENTS).join("python/official_client.py"), &served);
}

#[test]
fn javascript_clickhouse_client() {
    let folder = Path::new(CLIENTS).join("js");
    assert!(
        folder.join("node_modules/@clickhouse/client").is_dir(),
        "@clickhouse/client is missing; run `npm ci --prefix \
         crates/clickhouse-embedded/tests/clients/js` in the workspace"
    );
    let served = Served::start(&[]);
    runs(Path::new("node"), &folder.join("official_client.mjs"), &served);
}
