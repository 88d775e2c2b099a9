    OrderId, Channel, Stage,
    assumeNotNull(CalculationRequestedAt) AS RequestedAt,
    CalculationStartedAt AS StartedAt,
    CalculationAnsweredAt AS AnsweredAt,
    CalculationFailedAt AS FailedAt,
    CalculationPart AS Part, CalculationAttempt AS Attempt, CalculationWorker AS Worker,
    CalculationError AS Error, RetryingSince, LastSignOfLifeAt, SignOfLifeWorker,
    assumeNotNull(RequestedAt + toIntervalSecond(limits.1)) AS LateAt,
    assumeNotNull(RequestedAt + toIntervalSecond(limits.2)) AS StuckAt,
    -- An order that the customer has given up waits for no price.
    IsOpen AND ifNull(AbandonedAt > as_of, 1) AND AnsweredAt IS NULL AS IsAwaited,
    IsAwaited AND StuckAt <= as_of AS OverOneHour,
    AnsweredAt > StuckAt AS AnsweredTooLate,
    -- Answered in time, but heard of only after the hour, or so shortly before it that it may not
    -- have been derived by then: on-call may have been paged meanwhile.
    CalculationAnswerHeardAt AS AnswerHeardAt,
    ifNull(
        AnsweredAt <= StuckAt AND StuckAt <= as_of
            AND AnswerHeardAt > StuckAt - toIntervalMinute(15),
        0
    ) AS AnswerHeardTooLate,
    LastEventAt, as_of AS AsOf
