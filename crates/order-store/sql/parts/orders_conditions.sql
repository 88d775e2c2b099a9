    greatest(dateDiff('second', StageSince, as_of), 0) AS AgeSeconds,
    -- Of an order that has ended for good nothing is waited for: it may be abandoned, and is
    -- nothing else.
    NOT IsOpen OR (Terminal AND StuckAt IS NULL) OR ifNull(AbandonedAt <= as_of, 0) AS IsSettled,
    NOT IsSettled AND ifNull(StuckAt <= as_of, 0) AS IsStuck,
    NOT IsSettled AND ifNull(OverdueAt <= as_of, 0) AS IsOverdue,
    NOT IsSettled AND NOT IsStuck AND (IsOverdue OR ifNull(LateAt <= as_of, 0)) AS IsLate,
    NOT IsSettled AND ifNull(HandoverLostAt <= as_of, 0) AS IsLostInHandover,
    NOT IsSettled AND RetryingSince IS NOT NULL AS IsRetrying,
    IsSettled AND NOT Terminal AS IsAbandoned,
    NOT IsSettled AND ifNull(NotConfirmedAt <= as_of, 0) AS IsNotConfirmed,
    multiIf(IsStuck, 'stuck', IsLate, 'late', IsLostInHandover, 'lost_in_handover',
        IsNotConfirmed, 'not_confirmed', IsAbandoned, 'abandoned', NOT StageKnown, 'unknown',
        IsRetrying, 'retrying', 'fine') AS Condition
