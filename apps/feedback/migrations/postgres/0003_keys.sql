-- What was created under an Idempotency-Key, so that the same request sent again, because its answer
-- was lost, gets the same answer and makes no second row.
CREATE TABLE feedback_keys (
	key text PRIMARY KEY,
	feedback_id bigint NOT NULL,
	message text NOT NULL,
	created_at timestamptz NOT NULL
);
CREATE INDEX feedback_keys_age ON feedback_keys (created_at);
