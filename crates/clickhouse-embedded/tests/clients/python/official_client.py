"""Drives the official Python client, unchanged; its argument is the server's URL."""

import sys
from urllib.parse import urlparse

import clickhouse_connect
from clickhouse_connect.driver.exceptions import DatabaseError

url = urlparse(sys.argv[1])
ROWS = 20_000


def connect(**options):
    return clickhouse_connect.get_client(host=url.hostname, port=url.port, **options)


def check(name, actual, expected):
    assert actual == expected, f"{name}: {actual!r} is not {expected!r}"


for compress in (True, False, "lz4", "zstd", "gzip"):
    client = connect(username="writer", compress=compress)
    client.command("DROP TABLE IF EXISTS py")
    client.command(
        "CREATE TABLE py (id UInt64, name String, tags Array(LowCardinality(String)),"
        " at DateTime64(3, 'UTC'), price Nullable(Decimal(18, 4)), attrs Map(String, String))"
        " ENGINE = MergeTree ORDER BY id"
    )
    check("ping", client.ping(), True)
    rows = [
        [n, f"order {n}", ["a", "b"], n * 1000, None if n % 2 else "12.5000", {"k": str(n)}]
        for n in range(ROWS)
    ]
    import datetime
    import decimal

    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    for row in rows:
        row[3] = epoch + datetime.timedelta(seconds=row[3] / 1000)
        row[4] = None if row[4] is None else decimal.Decimal(row[4])
    summary = client.insert("py", rows, column_names=["id", "name", "tags", "at", "price", "attrs"])
    check("written rows", summary.written_rows, ROWS)
    result = client.query("SELECT * FROM py ORDER BY id")
    check("rows", len(result.result_rows), ROWS)
    check("row", result.result_rows[2][:3], (2, "order 2", ["a", "b"]))
    check("null", result.result_rows[1][4], None)
    check("map", result.result_rows[7][5], {"k": "7"})
    bound = client.query(
        "SELECT name FROM py WHERE id = {id:UInt64} AND name = {name:String}",
        parameters={"id": 5, "name": "order 5"},
    )
    check("server-side parameters", bound.result_rows, [("order 5",)])
    odd = "it's \\ a\ttab\nand №"
    echoed = client.query("SELECT {v:String} AS v", parameters={"v": odd})
    check("odd parameter", echoed.result_rows, [(odd,)])
    inline = client.query("SELECT name FROM py WHERE id = %(id)s", parameters={"id": 6})
    check("client-side parameters", inline.result_rows, [("order 6",)])
    with client.query_row_block_stream("SELECT id FROM py ORDER BY id") as stream:
        check("streamed rows", sum(len(block) for block in stream), ROWS)
    check("raw", client.raw_query("SELECT 1 FORMAT CSV"), b"1\n")
    settings = client.query(
        "SELECT getSetting('max_block_size')", settings={"max_block_size": 4321}
    )
    check("settings", settings.result_rows, [(4321,)])
    try:
        client.query("SELECT no_such_column FROM py")
        raise AssertionError("an error was expected")
    except DatabaseError as error:
        assert "UNKNOWN_IDENTIFIER" in str(error), error
    client.close()

session = connect(username="writer", session_id="python-session")
session.command("CREATE TEMPORARY TABLE kept (a UInt8)")
session.insert("kept", [[1], [2]], column_names=["a"])
check("temporary table", session.command("SELECT count() FROM kept"), 2)

reader = connect(username="reader")
check("reader reads", reader.command("SELECT count() FROM py"), ROWS)
try:
    reader.command("DROP TABLE py")
    raise AssertionError("the reader dropped a table")
except DatabaseError as error:
    assert "READONLY" in str(error), error
print("ok")
