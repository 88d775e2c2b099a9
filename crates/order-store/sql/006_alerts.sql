-- What Alertmanager told the webhook, repeats folded by (fingerprint, start, status). The columns
-- beside the key are the same in every repeat, but for Annotations, of which any one will do.
CREATE TABLE IF NOT EXISTS alert_history (
    OrderId String,
    Fingerprint String,
    StartsAt DateTime64(3, 'UTC'),
    Status LowCardinality(String),
    AlertName LowCardinality(String),
    Severity LowCardinality(String),
    EndsAt DateTime64(3, 'UTC'),
    Labels Map(LowCardinality(String), String),
    Annotations Map(LowCardinality(String), String),
    FirstReceivedAt SimpleAggregateFunction(min, DateTime64(3, 'UTC'))
) ENGINE = AggregatingMergeTree
ORDER BY (OrderId, Fingerprint, StartsAt, Status)
SETTINGS non_replicated_deduplication_window = 10000, allow_dimensions_outside_sorting_key = 1,
         fsync_after_insert = 1, fsync_part_directory = 1;

-- One row per page: when on-call was called, and when it ended.
CREATE VIEW IF NOT EXISTS alerts_v1 AS
SELECT
    OrderId, Fingerprint, StartsAt, any(AlertName) AS AlertName, any(Severity) AS Severity,
    any(Labels) AS Labels, argMin(Annotations, FirstReceivedAt) AS Annotations,
    if(countIf(Status = 'firing') = 0, NULL, minIf(FirstReceivedAt, Status = 'firing')) AS PagedAt,
    if(countIf(Status = 'resolved') = 0, NULL, maxIf(EndsAt, Status = 'resolved')) AS ResolvedAt
FROM alert_history
GROUP BY OrderId, Fingerprint, StartsAt;
