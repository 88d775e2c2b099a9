//! The HTTP interface by itself: where the text stands, what the headers say.

use crate::process::Served;

#[tokio::test]
async fn queries_in_url_body_and_form() {
    let served = Served::start(&[]);
    let http = reqwest::Client::new();
    let get = |path: &str| http.get(format!("{}{path}", served.url));
    assert_eq!(served.send(get("/ping")).await.text, "Ok.\n");
    assert_eq!(served.send(get("/")).await.text, "Ok.\n");
    assert_eq!(served.send(get("/nowhere")).await.status, 404);
    assert_eq!(served.send(get("/waybill/livez")).await.status, 200);
    assert!(
        served.send(get("/waybill/metrics")).await.text.contains("clickhouse_embedded_queries")
    );
    assert_eq!(served.send(get("/?query=SELECT%201")).await.text, "1\n");
    assert_eq!(served.post("?query=SELECT%201,", "2").await.text, "1\t2\n");
    assert_eq!(served.post("", "SELECT 1 FORMAT CSV -- x").await.text, "1\n");
    assert_eq!(
        served.post("?default_format=JSONEachRow", "SELECT 1 AS a").await.text,
        "{\"a\":1}\n"
    );
    let form = reqwest::multipart::Form::new()
        .text("query", "SELECT {a:String}, {b:Array(UInt8)}")
        .text("param_a", "x\\ty")
        .text("param_b", "[1,2]");
    let posted = http.post(format!("{}/", served.url)).multipart(form);
    assert_eq!(served.send(posted).await.text, "x\\ty\t[1,2]\n");
    let options = http.request(reqwest::Method::OPTIONS, format!("{}/", served.url));
    assert_eq!(served.send(options).await.status, 204);
    let delete = http.delete(format!("{}/?query=SELECT%201", served.url));
    assert_eq!(served.send(delete).await.status, 405);
    let head = http.head(format!("{}/?query=SELECT%201", served.url));
    assert_eq!(served.send(head).await.status, 200);
}

#[tokio::test]
async fn headers_tell_of_the_query() {
    let served = Served::start(&[]);
    let answer = served
        .post("?query_id=mine&database=system", "SELECT count() > 0 FROM one FORMAT CSV")
        .await;
    assert_eq!(answer.text, "1\n");
    assert_eq!(answer.header("x-clickhouse-query-id"), "mine");
    assert_eq!(answer.header("x-clickhouse-format"), "CSV");
    assert!(!answer.header("x-clickhouse-timezone").is_empty());
    assert_eq!(answer.header("x-clickhouse-server-display-name"), "clickhouse-embedded");
    assert!(answer.header("x-clickhouse-summary").contains("\"read_rows\":\"1\""));
    let made_up = served.post("", "SELECT 1").await;
    assert_eq!(made_up.header("x-clickhouse-query-id").len(), 36);
    let named = reqwest::Client::new()
        .post(format!("{}/", served.url))
        .header("X-ClickHouse-Format", "JSONCompactEachRow")
        .header("X-ClickHouse-Database", "system")
        .body("SELECT dummy FROM one");
    assert_eq!(served.send(named).await.text, "[0]\n");
}

#[tokio::test]
async fn errors_have_code_status_and_text() {
    let served = Served::start(&[]);
    for (query, sql, status, code, part) in [
        ("", "SELEC 1", 400, 62, "Syntax error"),
        ("", "", 400, 62, "Empty query"),
        ("", "SELECT nope", 404, 47, "UNKNOWN_IDENTIFIER"),
        ("", "SELECT * FROM nope", 404, 60, "UNKNOWN_TABLE"),
        ("?database=nope", "SELECT 1", 404, 81, "UNKNOWN_DATABASE"),
        ("?nope=1", "SELECT 1", 404, 115, "UNKNOWN_SETTING"),
        ("?max_threads=many", "SELECT 1", 400, 27, "CANNOT_PARSE"),
        ("?default_format=No'pe", "SELECT 1", 404, 73, "UNKNOWN_FORMAT"),
        ("?default_format=Nope", "SELECT 1", 404, 73, "UNKNOWN_FORMAT"),
        ("?user=nobody", "SELECT 1", 403, 516, "AUTHENTICATION_FAILED"),
        ("?role=boss", "SELECT 1", 404, 511, "UNKNOWN_ROLE"),
        ("?max_execution_time=0.5", "SELECT sleepEachRow(1) FROM numbers(3)", 408, 159, "TIMEOUT"),
        ("", "SELECT {a:UInt8}", 500, 456, "UNKNOWN_QUERY_PARAMETER"),
        ("", "SELECT throwIf(1)", 500, 395, "THROW_IF"),
    ] {
        let answer = served.post(query, sql).await;
        let seen = (answer.code(), answer.text.contains(part));
        assert_eq!(seen, (code, true), "{query} {sql}: {}", answer.text);
        assert_eq!(answer.status, status, "{query} {sql}");
        assert!(answer.text.contains(&format!("Code: {code}. DB::Exception: ")), "{}", answer.text);
    }
}

#[tokio::test]
async fn parameters_are_bound_not_pasted() {
    let served = Served::start(&[]);
    served.sql("CREATE TABLE t (a UInt8, s String) ENGINE = MergeTree ORDER BY a").await;
    let query = "?param_a=7&param_s=it's%20%5C'%20)%3B%20DROP%20TABLE%20t";
    let inserted = served.post(query, "INSERT INTO t VALUES ({a:UInt8}, {s:String})").await;
    assert_eq!(inserted.status, 200, "{}", inserted.text);
    assert_eq!(served.sql("SELECT s FROM t FORMAT TSVRaw").await, "it's ' ); DROP TABLE t");
    let found = served.post("?param_t=t", "SELECT a FROM {t:Identifier}").await;
    assert_eq!(found.text, "7\n");
}
