    (SELECT (Stages, LabelRu, LabelEn, SilentSeconds) FROM lifecycle_v1) AS words,
    (
        SELECT (
            groupArrayIf(HeardOf, HeardAt < now64(3, 'UTC') - toIntervalSecond(words.4)),
            groupArrayIf(HeardOf, HeardAt >= now64(3, 'UTC') - toIntervalSecond(words.4))
        )
        FROM (
            SELECT toString(Source) AS HeardOf, max(sources.LastReceivedAt) AS HeardAt
            FROM sources GROUP BY Source
        )
    ) AS heard
