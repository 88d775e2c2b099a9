// Drives the official JavaScript client, unchanged; its argument is the server's URL.

import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { createClient, ClickHouseError } from "@clickhouse/client";

const url = process.argv[2];
const ROWS = 20_000;

for (const compressed of [false, true]) {
  const client = createClient({
    url,
    username: "writer",
    compression: { request: compressed, response: compressed },
  });
  assert.equal((await client.ping()).success, true);
  assert.equal((await client.ping({ select: true })).success, true);
  await client.command({ query: "DROP TABLE IF EXISTS js" });
  await client.command({
    query: "CREATE TABLE js (id UInt64, name String) ENGINE = MergeTree ORDER BY id",
    clickhouse_settings: { wait_end_of_query: 1 },
  });
  const inserted = await client.insert({
    table: "js",
    values: Array.from({ length: ROWS }, (_, id) => ({ id, name: `order ${id}` })),
    format: "JSONEachRow",
  });
  assert.ok(inserted.query_id);
  assert.equal(inserted.summary?.written_rows, String(ROWS));
  const streamed = Readable.from((function* () {
    for (let id = ROWS; id < 2 * ROWS; id++) yield [id, `order ${id}`];
  })());
  await client.insert({ table: "js", values: streamed, format: "JSONCompactEachRow" });
  const counted = await client.query({ query: "SELECT count() AS n FROM js", format: "JSON" });
  assert.equal(Number((await counted.json()).data[0].n), 2 * ROWS);
  const odd = "it's \\ a\ttab\nand №";
  const bound = await client.query({
    query: "SELECT {id:UInt64} AS id, {v:String} AS v, {list:Array(String)} AS list",
    query_params: { id: 5, v: odd, list: ["a", "b'c"] },
    format: "JSONEachRow",
  });
  assert.deepEqual(await bound.json(), [{ id: "5", v: odd, list: ["a", "b'c"] }].map((row) => ({
    ...row, id: typeof row.id === "string" ? 5 : row.id,
  })));
  const result = await client.query({
    query: "SELECT * FROM js ORDER BY id",
    format: "JSONEachRow",
  });
  let seen = 0;
  for await (const rows of result.stream()) seen += rows.length;
  assert.equal(seen, 2 * ROWS);
  await assert.rejects(client.query({ query: "SELECT no_such_column FROM js" }), (error) => {
    assert.ok(error instanceof ClickHouseError);
    assert.equal(error.code, "47");
    return true;
  });
  const late = await client.query({
    query: "SELECT number, throwIf(number = 3000000) FROM numbers(5000000)",
    format: "JSONEachRow",
    clickhouse_settings: { max_block_size: "10000" },
  });
  await assert.rejects(async () => {
    for await (const rows of late.stream()) void rows;
  });
  const raw = await client.exec({ query: "SELECT 1 FORMAT TSV" });
  let text = "";
  for await (const part of raw.stream) text += part;
  assert.equal(text, "1\n");
  await client.close();
}

const reader = createClient({ url, username: "reader" });
await assert.rejects(reader.command({ query: "DROP TABLE js" }), { code: "164" });
await reader.close();
console.log("ok");
