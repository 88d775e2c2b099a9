    (
        SELECT (
            any(Stages), any(LabelRu), any(LabelEn),
            groupArrayIf(Source, Heard != '' AND HeardAt < Since),
            groupArrayIf(Source, Heard != '' AND HeardAt >= Since)
        )
        FROM (
            SELECT Stages, LabelRu, LabelEn, as_of - toIntervalSecond(SilentSeconds) AS Since
            FROM lifecycle_v1
        )
        LEFT JOIN (
            SELECT Source, Source AS Heard, max(LastReceivedAt) AS HeardAt, 1 AS One
            FROM sources GROUP BY Source
        ) AS heard ON heard.One = 1
    ) AS words
