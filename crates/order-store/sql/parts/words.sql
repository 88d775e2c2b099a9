    (SELECT (Stages, LabelRu, LabelEn, SilentSeconds) FROM lifecycle_v1) AS words,
    assumeNotNull((SELECT HeardUntil FROM listening_v1)) AS heard_until,
    (
        SELECT (
            groupArrayIf(HeardOf, HeardAt < heard_until - toIntervalSecond(words.4)),
            groupArrayIf(HeardOf, HeardAt >= heard_until - toIntervalSecond(words.4))
        )
        FROM (
            SELECT toString(Source) AS HeardOf, max(sources.LastReceivedAt) AS HeardAt
            FROM sources GROUP BY Source
        )
    ) AS heard
