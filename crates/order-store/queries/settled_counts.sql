-- The settled orders of the buckets, counted again from their states.
INSERT INTO settled_counts
SELECT
    Bucket, counts.1 AS Stages, counts.2 AS Orders, merged AS Merged,
    fromUnixTimestamp64Nano({version:Int64}, 'UTC') AS DerivedAt
FROM (
    SELECT
        Bucket,
        sumMapIf([toString(Stage)], [toUInt64(1)], IsOpen = 0 AND IsMerged = 0) AS counts,
        countIf(IsMerged = 1) AS merged
    FROM orders_by_bucket FINAL WHERE Bucket IN {buckets:Array(UInt16)} GROUP BY Bucket
) AS counted
