-- What was created under an Idempotency-Key, so that the same request sent again, because its answer
-- was lost, gets the same answer and makes no second row.
CREATE TABLE feedback_keys (
	key TEXT PRIMARY KEY,
	feedback_id INTEGER NOT NULL,
	message TEXT NOT NULL,
	created_at TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX feedback_keys_age ON feedback_keys (created_at);
