    (SELECT (Stages, LabelRu, LabelEn, SilentSeconds) FROM lifecycle_v1) AS words,
    (
        SELECT (
            groupArrayIf(HeardOf, HeardAt < as_of - toIntervalSecond(words.4)),
            groupArrayIf(HeardOf, HeardAt >= as_of - toIntervalSecond(words.4))
        )
        FROM (
            SELECT toString(Source) AS HeardOf, max(sources.LastReceivedAt) AS HeardAt
            FROM sources GROUP BY Source
        )
    ) AS heard
