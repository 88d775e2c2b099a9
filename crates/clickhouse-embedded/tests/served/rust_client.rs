//! The official Rust client, unchanged.

use clickhouse::{Client, Compression, Row};
use serde::{Deserialize, Serialize};

use crate::process::Served;

const ROWS: u64 = 100_000;

#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize)]
struct Order {
    id: u64,
    name: String,
    tags: Vec<String>,
    weight: Option<f64>,
}

fn order(id: u64) -> Order {
    let weight = id.is_multiple_of(3).then_some(0.5);
    Order { id, name: format!("order {id} №"), tags: vec!["a".into(), id.to_string()], weight }
}

async fn drive(client: &Client) {
    client.query("DROP TABLE IF EXISTS orders").execute().await.unwrap();
    let create = "CREATE TABLE orders (id UInt64, name String, tags Array(String), \
                  weight Nullable(Float64)) ENGINE = MergeTree ORDER BY id";
    client.query(create).execute().await.unwrap();
    let mut insert = client.insert::<Order>("orders").await.unwrap();
    for id in 0..ROWS {
        insert.write(&order(id)).await.unwrap();
    }
    insert.end().await.unwrap();
    let counted: u64 = client.query("SELECT count() FROM orders").fetch_one().await.unwrap();
    assert_eq!(counted, ROWS);
    let bound: Order = client
        .query("SELECT ?fields FROM orders WHERE id = ? AND name = ?")
        .bind(42)
        .bind("order 42 №")
        .fetch_one()
        .await
        .unwrap();
    assert_eq!(bound, order(42));
    let parameters: Vec<Order> = client
        .query("SELECT ?fields FROM orders WHERE id IN {ids:Array(UInt64)} AND name != {n:String} ORDER BY id")
        .param("ids", vec![1_u64, 2])
        .param("n", "it's \\ a\ttab")
        .fetch_all()
        .await
        .unwrap();
    assert_eq!(parameters, [order(1), order(2)]);
    let mut cursor =
        client.query("SELECT ?fields FROM orders ORDER BY id").fetch::<Order>().unwrap();
    let mut next = 0;
    while let Some(row) = cursor.next().await.unwrap() {
        assert_eq!(row, order(next));
        next += 1;
    }
    assert_eq!(next, ROWS);
    let error = client.query("SELECT nope").execute().await.unwrap_err().to_string();
    assert!(error.contains("UNKNOWN_IDENTIFIER"), "{error}");
    let failing = "SELECT number, throwIf(number = 3000000) FROM numbers(5000000) \
                   SETTINGS max_block_size = 1000";
    let mut cursor = client.query(failing).fetch::<(u64, u8)>().unwrap();
    let error = loop {
        match cursor.next().await {
            Ok(row) => assert!(row.is_some(), "the error in the middle was not told"),
            Err(error) => break error.to_string(),
        }
    };
    assert!(error.contains("FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"), "{error}");
}

#[tokio::test]
async fn rows_parameters_cursors_and_errors() {
    let served = Served::start(&[]);
    for compression in [Compression::None, Compression::Lz4] {
        let client = Client::default().with_url(&served.url).with_compression(compression);
        drive(&client).await;
    }
}

#[tokio::test]
async fn a_raw_insert_and_a_user() {
    let served = Served::start(&["--writer-password", "s3cret"]);
    let client = Client::default().with_url(&served.url);
    let writer = client.clone().with_user("writer").with_password("s3cret");
    writer
        .query("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
        .execute()
        .await
        .unwrap();
    let mut insert = writer.insert_formatted_with("INSERT INTO t FORMAT JSONEachRow");
    insert.send(bytes::Bytes::from_static(b"{\"a\":1}\n{\"a\":2}\n")).await.unwrap();
    insert.end().await.unwrap();
    let sum: u64 = writer.query("SELECT sum(a) FROM t").fetch_one().await.unwrap();
    assert_eq!(sum, 3);
    // A writer's password is no use when `default` gets around it.
    let nobody = client.query("SELECT 1").execute().await.unwrap_err().to_string();
    assert!(nobody.contains("AUTHENTICATION_FAILED"), "{nobody}");
    let wrong = client.clone().with_user("writer").with_password("wrong");
    let error = wrong.query("SELECT 1").execute().await.unwrap_err().to_string();
    assert!(error.contains("AUTHENTICATION_FAILED") && !error.contains("s3cret"), "{error}");
}
