    words.2[indexOf(words.1, Stage)] AS LabelRu,
    words.3[indexOf(words.1, Stage)] AS LabelEn,
    -- Those that may set the next stage, when none of them is heard and one has fallen silent.
    if(hasAny(NextSetBy, heard.2), [], arrayFilter(s -> has(heard.1, s), NextSetBy))
        AS SilentSources
