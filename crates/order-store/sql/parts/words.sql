    (SELECT (Stages, LabelRu, LabelEn) FROM lifecycle_v1) AS words,
    (
        SELECT (
            groupArrayIf(toString(Source), IsSilent), groupArrayIf(toString(Source), NOT IsSilent)
        )
        FROM sources_v1
    ) AS heard
