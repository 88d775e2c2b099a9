//! What the writer may do, and what even the writer may not.

use crate::process::Served;

#[tokio::test]
async fn the_writer_works() {
    let served = Served::start(&[]);
    for (sql, expected) in [
        ("CREATE DATABASE d", ""),
        ("CREATE TABLE d.t (a UInt64, b String) ENGINE = ReplacingMergeTree ORDER BY a", ""),
        ("CREATE TABLE d.sums (a UInt64) ENGINE = MergeTree ORDER BY a", ""),
        ("CREATE MATERIALIZED VIEW d.mv TO d.sums AS SELECT a FROM d.t", ""),
        ("CREATE VIEW d.v AS SELECT count() AS n FROM d.t", ""),
        ("INSERT INTO d.t SELECT number, 'x' FROM numbers(10)", ""),
        ("INSERT INTO d.t (a, b) VALUES (10, 'y'), (11, concat('a', 'b'))", ""),
        ("SELECT n FROM d.v", "12"),
        ("SELECT count() FROM d.sums", "12"),
        ("ALTER TABLE d.t ADD COLUMN c UInt8 DEFAULT 7", ""),
        ("ALTER TABLE d.t DELETE WHERE a = 11 SETTINGS mutations_sync = 1", ""),
        ("OPTIMIZE TABLE d.t FINAL", ""),
        ("SELECT count(), sum(c) FROM d.t", "11\t77"),
        ("CREATE FUNCTION twice AS (x) -> x * 2", ""),
        ("SELECT twice(21)", "42"),
        ("SELECT count() FROM merge('d', '^t$')", "11"),
        ("SELECT count() >= 1 FROM system.processes", "1"),
        (
            "CREATE DICTIONARY d.names (a UInt64, b String) PRIMARY KEY a SOURCE(CLICKHOUSE(DB 'd' TABLE 't')) LAYOUT(FLAT()) LIFETIME(0)",
            "",
        ),
        ("SELECT dictGet('d.names', 'b', toUInt64(10))", "y"),
        ("DROP DICTIONARY d.names", ""),
        ("TRUNCATE TABLE d.sums", ""),
        ("RENAME TABLE d.sums TO d.sums2", ""),
        ("DROP DATABASE d SYNC", ""),
    ] {
        assert_eq!(served.sql(sql).await, expected, "{sql}");
    }
}

#[tokio::test]
async fn what_even_the_writer_may_not() {
    let served = Served::start(&[]);
    served.sql("CREATE TABLE t (a String) ENGINE = MergeTree ORDER BY a").await;
    for (sql, codes) in [
        ("SYSTEM SHUTDOWN", &[497][..]),
        ("SYSTEM KILL", &[497]),
        ("SELECT * FROM file('/etc/passwd', 'LineAsString')", &[497]),
        ("SELECT file('/etc/passwd')", &[497]),
        ("INSERT INTO t SELECT line FROM file('/etc/passwd', 'LineAsString')", &[497]),
        ("INSERT INTO t FROM INFILE '/etc/passwd' FORMAT LineAsString", &[497, 164]),
        ("INSERT INTO FUNCTION file('/tmp/waybill-writer', 'TSV', 'a UInt8') SELECT 1", &[497]),
        ("INSERT INTO FUNCTION url('http://127.0.0.1:1/', 'TSV', 'a UInt8') VALUES (1)", &[497]),
        ("SELECT 1 INTO OUTFILE '/tmp/waybill-writer'", &[497]),
        ("SELECT * FROM `/etc/passwd`", &[60]),
        ("CREATE TABLE f (a String) ENGINE = File('TSV', '/etc/passwd')", &[497]),
        ("CREATE TABLE f (a String) ENGINE File('TSV', '/etc/passwd')", &[497]),
        ("CREATE TABLE f ENGINE = `URL`('http://127.0.0.1:1/', 'TSV') AS SELECT 1", &[497]),
        ("CREATE TABLE f (a String) ENGINE = Executable('x', 'TSV')", &[497]),
        (
            "CREATE TABLE f (a UInt8) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = local, path = '/tmp/waybill-writer/')",
            &[497],
        ),
        ("CREATE TABLE f AS file('/etc/passwd', 'LineAsString')", &[497]),
        ("CREATE DATABASE f ENGINE = Filesystem('/etc')", &[497]),
        ("CREATE DATABASE f ENGINE = MySQL('127.0.0.1:1', 'a', 'b', 'c')", &[497]),
        (
            "CREATE DICTIONARY f (k UInt64) PRIMARY KEY k SOURCE(FILE(PATH '/etc/passwd' FORMAT 'TSV')) LAYOUT(FLAT()) LIFETIME(1)",
            &[497],
        ),
        (
            "CREATE DICTIONARY f (k UInt64) PRIMARY KEY k SOURCE(EXECUTABLE(COMMAND 'id' FORMAT 'TSV')) LAYOUT(FLAT()) LIFETIME(1)",
            &[497],
        ),
        (
            "CREATE DICTIONARY f (k String) PRIMARY KEY k SOURCE(CLICKHOUSE(QUERY 'SELECT line FROM file(''/etc/passwd'', LineAsString)')) LAYOUT(COMPLEX_KEY_HASHED()) LIFETIME(1)",
            &[497],
        ),
        (
            "CREATE DICTIONARY f (k String) PRIMARY KEY k SOURCE(CLICKHOUSE(HOST '127.0.0.2' TABLE 't')) LAYOUT(COMPLEX_KEY_HASHED()) LIFETIME(1)",
            &[497],
        ),
        ("SELECT 1 FORMAT Template SETTINGS format_template_row = '/etc/passwd'", &[452]),
        ("SELECT 1 FORMAT Template SETTINGS `format_template_row` = '/etc/passwd'", &[452]),
        ("SET format_template_row = '/etc/passwd'", &[452]),
        ("SELECT a FROM t SETTINGS additional_result_filter = 'file(''/etc/passwd'') = a'", &[452]),
        ("ALTER TABLE t FREEZE", &[497]),
        ("ALTER TABLE t FREEZE SETTINGS max_threads = 1", &[497]),
        ("CREATE USER u SETTINGS max_threads = 1", &[497]),
        ("CREATE SETTINGS PROFILE p SETTINGS max_threads = 1", &[497]),
        ("CREATE USER u", &[497]),
        ("CREATE NAMED COLLECTION n AS a = 1", &[497]),
        ("BACKUP TABLE t TO File('/tmp/waybill-writer')", &[497]),
        ("ATTACH TABLE x FROM '/etc' (a UInt8) ENGINE = MergeTree ORDER BY a", &[497]),
        ("SELECT 1; SELECT 2", &[62]),
        ("DROP TABLE t; DROP TABLE t", &[62]),
        ("BEGIN TRANSACTION", &[497]),
    ] {
        let answer = served.post("", sql).await;
        assert!(codes.contains(&answer.code()), "{sql}: {} {}", answer.code(), answer.text);
        assert!(!answer.text.contains("root:"), "{sql}");
    }
    assert!(!std::path::Path::new("/tmp/waybill-writer").exists());
    assert_eq!(served.sql("SELECT count() FROM t").await, "0");
    let get = reqwest::get(format!("{}/?query=DROP%20TABLE%20t", served.url)).await.unwrap();
    assert_eq!(get.headers()["x-clickhouse-exception-code"], "164");
}

/// Texts that the engine cuts elsewhere than a guard might: comments and quotes that one of the
/// two does not know, names that are spelled with escapes, SQL in strings.
#[tokio::test]
async fn no_spelling_gets_the_writer_out() {
    let served = Served::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    let target = folder.path().join("target");
    std::fs::write(&secret, "s3cret\n").unwrap();
    let (secret, target_path) = (secret.to_str().unwrap(), target.to_str().unwrap());
    let dictionary = |keys: &str, source: &str| {
        format!(
            "CREATE DICTIONARY f ({keys}) PRIMARY KEY k SOURCE(CLICKHOUSE({source})) \
             LAYOUT(COMPLEX_KEY_HASHED()) LIFETIME(1)"
        )
    };
    for sql in [
        format!("SELECT * FROM # '\nfile('{secret}', LineAsString) # '"),
        format!("SELECT * FROM #! '\nfile('{secret}', LineAsString) #! '"),
        format!("SELECT * FROM // '\nfile('{secret}', LineAsString) // '"),
        format!("SELECT * FROM \u{201c}file\u{201d}('{secret}', LineAsString)"),
        format!("SELECT * FROM file\u{a0}('{secret}', LineAsString)"),
        format!("SELECT \u{2018}' || \u{2019}, * FROM file('{secret}', LineAsString) # '"),
        format!("SELECT * FROM `fil\\x65`('{secret}', LineAsString)"),
        format!("INSERT INTO # '\nFUNCTION file('{target_path}', TSV, 'a Int8') SELECT 1 # '"),
        format!("CREATE TABLE f (a String) ENGINE = # '\nFile(TSV, '{secret}') # '"),
        "CREATE DATABASE f ENGINE = # '\nFilesystem('/etc') # '".to_owned(),
        "CREATE DATABASE f ENGINE = `Filesyste\\x6d`('/etc')".to_owned(),
        "SELECT * FROM # '\nurl('http://127.0.0.1:1/', TSV, 'a Int8') # '".to_owned(),
        "SELECT * FROM # '\nexecutable('id', TSV, 'a String') # '".to_owned(),
        format!("INSERT INTO FUNCTION null('a String') FROM # '\nINFILE '{secret}' FORMAT TSV # '"),
        dictionary("k String", &format!("`QUERY` 'SELECT line FROM file(''{secret}'')'")),
        dictionary("k String", "`HOST` '127.0.0.2' `PORT` 1 TABLE 't'"),
        dictionary(
            &format!("k UInt8, v String EXPRESSION 'file(''{secret}'')'"),
            "DB 'system' TABLE 'one'",
        ),
    ] {
        let answer = served.post("", sql.clone()).await;
        assert_eq!(answer.code(), 497, "{sql}: {}", answer.text);
    }
    assert!(!target.exists());
    assert_eq!(
        served.sql("SELECT '№ # // “x” ‘y’\u{a0}$$' AS \"№\"").await,
        "№ # // “x” ‘y’\u{a0}$$"
    );
}

#[tokio::test]
async fn backups_go_where_the_operator_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let served = Served::start(&["--backups", path]);
    served.sql("CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a").await;
    served.sql("INSERT INTO t VALUES (1), (2)").await;
    served.sql(&format!("BACKUP TABLE t TO File('{path}/one')")).await;
    served.sql(&format!("RESTORE TABLE t AS u FROM File('{path}/one')")).await;
    assert_eq!(served.sql("SELECT sum(a) FROM u").await, "3");
    let elsewhere = served.post("", "BACKUP TABLE t TO File('/tmp/waybill-elsewhere')").await;
    assert_eq!(elsewhere.code(), 36, "{}", elsewhere.text);
    let remote = served.post("", "BACKUP TABLE t TO S3('http://127.0.0.1:1/', 'a', 'b')").await;
    assert_eq!(remote.code(), 497, "{}", remote.text);
}
