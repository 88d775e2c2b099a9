//! Sessions: what they keep, whose they are, when they end.

use crate::process::Served;

#[tokio::test]
async fn a_session_keeps_tables_settings_and_database() {
    let served = Served::start(&[]);
    let in_session = async |query: &str, sql: &str| {
        let answer = served.post(&format!("?session_id=s{query}"), sql.to_owned()).await;
        (answer.code(), answer.text.trim_end().to_owned())
    };
    let ok = |text: &str| (0, text.to_owned());
    served.sql("CREATE DATABASE d").await;
    assert_eq!(in_session("", "CREATE TEMPORARY TABLE kept (a UInt8)").await, ok(""));
    assert_eq!(in_session("", "INSERT INTO kept VALUES (1), (2)").await, ok(""));
    assert_eq!(in_session("", "SELECT sum(a) FROM kept").await, ok("3"));
    assert_eq!(served.post("", "SELECT * FROM kept").await.code(), 60);
    assert_eq!(served.post("?session_id=other", "SELECT * FROM kept").await.code(), 60);
    assert_eq!(in_session("", "SET max_block_size = 77").await, ok(""));
    let block_size = "SELECT getSetting('max_block_size')";
    assert_eq!(in_session("", block_size).await, ok("77"));
    assert_eq!(in_session("&max_block_size=88", block_size).await, ok("88"));
    assert_eq!(in_session("", block_size).await, ok("77"));
    assert_eq!(in_session("&max_block_size=88", "SET max_block_size = 99").await, ok(""));
    assert_eq!(in_session("", block_size).await, ok("99"));
    assert_eq!(in_session("", "USE d").await, ok(""));
    assert_eq!(in_session("", "SELECT currentDatabase()").await, ok("d"));
    let http = reqwest::Client::new();
    let get = http.get(format!("{}/?session_id=s&query=SELECT%20sum(a)%20FROM%20kept", served.url));
    assert_eq!(served.send(get).await.text, "3\n");
    assert_eq!(in_session("", "INSERT INTO kept VALUES (3)").await, ok(""));
    assert_eq!(in_session("", "SELECT count() FROM kept").await, ok("3"));
}

#[tokio::test]
async fn a_busy_session_is_locked_and_an_old_one_is_gone() {
    let served = Served::start(&["--sessions-max", "2", "--session-timeout-max", "10m"]);
    let missing = served.post("?session_id=x&session_check=1", "SELECT 1").await;
    assert_eq!(missing.code(), 372);
    assert_eq!(served.post("?session_id=x&session_timeout=601", "SELECT 1").await.code(), 374);
    assert_eq!(served.post("?session_id=x&session_timeout=soon", "SELECT 1").await.code(), 374);
    let long = served.post("?session_id=x&query_id=long", "SELECT sleepEachRow(1) FROM numbers(3)");
    let other = async {
        served.runs("long", "1").await;
        served.post("?session_id=x", "SELECT 1").await
    };
    let (long, other) = tokio::join!(long, other);
    assert_eq!((long.code(), other.code()), (0, 373), "{}", other.text);
    assert_eq!(served.post("?session_id=y&session_timeout=1", "SELECT 1").await.code(), 0);
    let third = served.post("?session_id=z", "SELECT 1").await;
    assert_eq!((third.status, third.code()), (503, 202));
    for _ in 0..400 {
        if served.post("?session_id=z", "SELECT 1").await.code() == 0 {
            assert_eq!(served.post("?session_id=y&session_check=1", "SELECT 1").await.code(), 372);
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the session of one second never ended");
}

#[tokio::test]
async fn sessions_belong_to_their_user() {
    let served = Served::start(&[]);
    let create = "CREATE TEMPORARY TABLE kept (a UInt8)";
    assert_eq!(served.post("?user=writer&session_id=s", create).await.code(), 0);
    assert_eq!(served.post("?user=writer&session_id=s", "SELECT * FROM kept").await.code(), 0);
    assert_eq!(served.post("?user=reader&session_id=s", "SELECT * FROM kept").await.code(), 60);
}
