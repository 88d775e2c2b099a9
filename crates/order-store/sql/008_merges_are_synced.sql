-- A merge reaches the disk before its sources are removed. ClickHouse syncs what is inserted when told
-- to (fsync_after_insert), and merges only when told once more: without this a loss of power takes
-- merged rows of any age, whose sources are gone already (old_parts_lifetime is 0 in the embedded
-- engine, 8 minutes in a server). Every table of MergeTree gets it; a test looks.
ALTER TABLE otel_traces MODIFY SETTING min_rows_to_fsync_after_merge = 1;
ALTER TABLE otel_logs MODIFY SETTING min_rows_to_fsync_after_merge = 1;
ALTER TABLE sources MODIFY SETTING min_rows_to_fsync_after_merge = 1;
ALTER TABLE order_events MODIFY SETTING min_rows_to_fsync_after_merge = 1;
ALTER TABLE order_heartbeats MODIFY SETTING min_rows_to_fsync_after_merge = 1;
ALTER TABLE order_traces MODIFY SETTING min_rows_to_fsync_after_merge = 1;
ALTER TABLE trace_orders MODIFY SETTING min_rows_to_fsync_after_merge = 1;
ALTER TABLE trace_links MODIFY SETTING min_rows_to_fsync_after_merge = 1;
ALTER TABLE trace_links_by_target MODIFY SETTING min_rows_to_fsync_after_merge = 1;
ALTER TABLE order_aliases MODIFY SETTING min_rows_to_fsync_after_merge = 1;
ALTER TABLE aliases_of_orders MODIFY SETTING min_rows_to_fsync_after_merge = 1;
ALTER TABLE lifecycles MODIFY SETTING min_rows_to_fsync_after_merge = 1;
ALTER TABLE orders MODIFY SETTING min_rows_to_fsync_after_merge = 1;
ALTER TABLE orders_open MODIFY SETTING min_rows_to_fsync_after_merge = 1;
ALTER TABLE orders_settled MODIFY SETTING min_rows_to_fsync_after_merge = 1;
ALTER TABLE orders_by_bucket MODIFY SETTING min_rows_to_fsync_after_merge = 1;
ALTER TABLE settled_counts MODIFY SETTING min_rows_to_fsync_after_merge = 1;
ALTER TABLE stitchers MODIFY SETTING min_rows_to_fsync_after_merge = 1;
ALTER TABLE alert_history MODIFY SETTING min_rows_to_fsync_after_merge = 1;
ALTER TABLE otel_metrics_gauge MODIFY SETTING min_rows_to_fsync_after_merge = 1;
ALTER TABLE otel_metrics_sum MODIFY SETTING min_rows_to_fsync_after_merge = 1;
ALTER TABLE otel_metrics_histogram MODIFY SETTING min_rows_to_fsync_after_merge = 1;
ALTER TABLE otel_metrics_exponential_histogram MODIFY SETTING min_rows_to_fsync_after_merge = 1;
ALTER TABLE otel_metrics_summary MODIFY SETTING min_rows_to_fsync_after_merge = 1;
ALTER TABLE conservation_checks MODIFY SETTING min_rows_to_fsync_after_merge = 1;
