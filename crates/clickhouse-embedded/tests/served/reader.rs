//! Every danger of an engine without users, shown closed for the reader.

use crate::process::Served;

/// A table, a view over a system table, and rows to read.
async fn served() -> Served {
    let served = Served::start(&[]);
    served.sql("CREATE TABLE t (a UInt8, engine String) ENGINE = MergeTree ORDER BY a").await;
    served.sql("INSERT INTO t VALUES (1, 'x'), (2, 'y')").await;
    served.sql("CREATE VIEW v AS SELECT sum(a) AS s FROM t").await;
    served
}

#[tokio::test]
async fn the_reader_reads() {
    let served = served().await;
    for (sql, expected) in [
        ("SELECT sum(a) FROM t", "3\n"),
        ("SELECT s FROM v", "3\n"),
        ("WITH 1 AS x SELECT x + 1", "2\n"),
        ("(SELECT 1) UNION ALL (SELECT 1)", "1\n1\n"),
        ("FROM t SELECT max(a)", "2\n"),
        ("SELECT sum(number) FROM numbers(4)", "6\n"),
        ("SELECT engine FROM t WHERE a = 1", "x\n"),
        ("SELECT count() FROM system.tables WHERE name = 't'", "1\n"),
        ("SELECT 'file(' || format('{}', 'x')", "file(x\n"),
        ("EXISTS TABLE t", "1\n"),
        ("SHOW TABLES", "t\nv\n"),
        ("SELECT name FROM view(SELECT 'n' AS name)", "n\n"),
        ("SELECT 1 /* a comment */ -- and another", "1\n"),
        ("SELECT system.one.dummy FROM system.one", "0\n"),
    ] {
        let answer = served.reader(sql).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, expected), "{sql}");
    }
    for sql in ["DESCRIBE TABLE t", "EXPLAIN SELECT 1", "SHOW CREATE TABLE t", "CHECK TABLE t"] {
        let answer = served.reader(sql).await;
        assert_eq!(answer.status, 200, "{sql}: {}", answer.text);
    }
}

#[tokio::test]
async fn every_danger_is_closed() {
    let served = served().await;
    for (sql, codes) in [
        // Files of the host.
        ("SELECT * FROM file('/etc/passwd', 'LineAsString')", &[497][..]),
        ("SELECT file('/etc/passwd')", &[497]),
        ("SELECT `file`('/etc/passwd')", &[497]),
        ("SELECT \"file\" /* x */ ('/etc/passwd')", &[497]),
        ("SELECT `fil\\x65`('/etc/passwd')", &[497]),
        ("SELECT FILE('/etc/passwd')", &[497]),
        ("DESCRIBE file('/etc/passwd', 'LineAsString')", &[497]),
        ("DESCRIBE TABLE FUNCTION file('/etc/passwd')", &[497, 62]),
        ("EXPLAIN SELECT * FROM file('/etc/passwd', 'LineAsString')", &[497]),
        ("SELECT * FROM view(SELECT * FROM file('/etc/passwd', 'LineAsString'))", &[497]),
        ("SELECT * FROM `/etc/passwd`", &[60]),
        ("SELECT * FROM default.`/etc/passwd`", &[60]),
        ("SELECT * FROM '/etc/passwd'", &[60]),
        ("SELECT * FROM waybill_boot.`/etc/passwd`", &[81, 60]),
        ("SELECT * FROM filesystem('/etc')", &[497]),
        ("SELECT * FROM sqlite('/etc/passwd', 't')", &[497]),
        ("SELECT * FROM icebergLocal('/etc')", &[497]),
        ("SELECT 1 // '\n, file('/etc/passwd') '", &[497, 62]),
        ("SELECT $a$ ' $a$, file('/etc/passwd'), ' '", &[497, 62]),
        ("SELECT 1 # '\n, file('/etc/passwd') -- '", &[497, 62]),
        // Other hosts and programs.
        ("SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')", &[497]),
        ("SELECT * FROM s3('http://127.0.0.1:1/a.csv')", &[497]),
        ("SELECT * FROM remote('127.0.0.1:1', system.one)", &[497]),
        ("SELECT * FROM mysql('127.0.0.1:1', 'a', 'b', 'c', 'd')", &[497]),
        ("SELECT * FROM postgresql('127.0.0.1:1', 'a', 'b', 'c', 'd')", &[497]),
        ("SELECT * FROM mongodb('127.0.0.1:1', 'a', 'b', 'c', 'd', 'x Int8')", &[497]),
        ("SELECT * FROM redis('127.0.0.1:1', 'k', 'k String')", &[497]),
        ("SELECT * FROM executable('ls', 'TSV', 'a String')", &[497]),
        ("SELECT * FROM clusterAllReplicas('default', system.one)", &[497]),
        ("SELECT aiGenerate('x')", &[497]),
        ("SELECT * FROM eval('SELECT 1')", &[497, 62]),
        // Writing, in the store and beyond.
        ("SELECT 1 INTO OUTFILE '/tmp/waybill-reader' TRUNCATE", &[164]),
        ("INSERT INTO t VALUES (3, 'z')", &[164]),
        ("INSERT INTO FUNCTION file('/tmp/waybill-reader', 'TSV', 'a UInt8') SELECT 1", &[164]),
        ("CREATE TABLE u (a UInt8) ENGINE = Memory", &[164]),
        ("CREATE TEMPORARY TABLE u (a UInt8)", &[164]),
        ("DROP TABLE t", &[164]),
        ("ALTER TABLE t DELETE WHERE 1", &[164]),
        ("OPTIMIZE TABLE t", &[164]),
        ("BACKUP TABLE t TO File('/tmp/waybill-reader')", &[164]),
        ("CREATE FUNCTION f AS (x) -> x", &[164]),
        // Control, several statements, settings.
        ("SYSTEM SHUTDOWN", &[164]),
        ("SYSTEM KILL", &[164]),
        ("KILL QUERY WHERE 1", &[164]),
        ("SET max_threads = 1", &[164]),
        ("SET readonly = 0", &[164]),
        ("USE system", &[164]),
        ("SELECT 1; DROP TABLE t", &[62]),
        ("SELECT 1; SELECT 2", &[62]),
        ("SELECT 1 SETTINGS readonly = 0", &[164]),
        ("SELECT 1 SETTINGS max_execution_time = 1000", &[164]),
        ("BEGIN TRANSACTION", &[164]),
        // Tables that tell of others.
        ("SELECT * FROM system.processes", &[497]),
        ("SELECT * FROM `system`.`processes`", &[497]),
        ("SELECT * FROM SYSTEM . \"processes\"", &[497, 81]),
        ("SELECT * FROM system /* x */ . processes", &[497]),
        ("SELECT * FROM merge('system', 'processes')", &[497]),
        ("SELECT * FROM loop(system.processes)", &[497]),
        ("SELECT * FROM loop('system', 'processes') LIMIT 1", &[497]),
        ("SELECT * FROM loop(system, processes) LIMIT 1", &[497]),
        ("SELECT * FROM viewIfPermitted(SELECT 1 ELSE null('x UInt8'))", &[497]),
        ("SELECT * FROM system.server_settings", &[497]),
        ("SELECT * FROM system.named_collections", &[497]),
        ("SELECT * FROM system.errors", &[497]),
        ("SELECT * FROM system.stack_trace", &[497]),
        ("SELECT 1 IN system.processes", &[497]),
        ("SHOW PROCESSLIST", &[497]),
        ("SHOW USERS", &[497]),
    ] {
        let answer = served.reader(sql).await;
        assert!(codes.contains(&answer.code()), "{sql}: {} {}", answer.code(), answer.text);
        assert!(!answer.text.contains("root:"), "{sql}");
    }
    assert!(!std::path::Path::new("/tmp/waybill-reader").exists());
    assert_eq!(served.sql("SELECT count() FROM t").await, "2");
}

#[tokio::test]
async fn parameters_and_settings_open_nothing() {
    let served = served().await;
    for (query, sql, code) in [
        ("&param_t=processes&param_d=system", "SELECT * FROM {d:Identifier}.{t:Identifier}", 497),
        ("&param_t=system.processes", "SELECT * FROM {t:Identifier}", 497),
        ("&param_t=/etc/passwd", "SELECT * FROM {t:Identifier}", 60),
        ("&database=system", "SELECT * FROM processes", 497),
        ("&readonly=0", "SELECT 1", 164),
        ("&max_memory_usage_for_user=0", "SELECT 1", 164),
        ("&allow_introspection_functions=1", "SELECT 1", 452),
        ("&max_execution_time=86400", "SELECT 1", 452),
        ("&format_template_row=/etc/passwd", "SELECT 1 FORMAT Template", 452),
        ("&output_format_schema=/tmp/waybill-reader", "SELECT 1 FORMAT Protobuf", 452),
        ("&format_schema=/etc/passwd:X", "SELECT 1 FORMAT Protobuf", 452),
        ("&additional_result_filter=1", "SELECT 1", 452),
    ] {
        let answer = served.post(&format!("?user=reader{query}"), sql).await;
        assert_eq!(answer.code(), code, "{query} {sql}: {}", answer.text);
    }
    let allowed = "?user=reader&readonly=1&max_threads=1&max_block_size=99&output_format_json_quote_64bit_integers=1";
    let answer = served.post(allowed, "SELECT getSetting('max_block_size') FORMAT CSV").await;
    assert_eq!(answer.text, "99\n");
}
