-- Votes: one of a voter for a feedback, taken back by removing it. `voter` is a user's id; with AUTH=off,
-- where there are no users, a browser's number, which is negative. The count is kept beside the message by
-- triggers, whoever writes, so that a list counts nothing; changing it draws a new stamp (0007).
ALTER TABLE feedback ADD COLUMN votes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE feedback ADD COLUMN status TEXT NOT NULL DEFAULT 'open';
-- Of what was voted for, or decided on: a create has nothing to do with either.
CREATE INDEX feedback_by_votes ON feedback (votes, id) WHERE votes > 0;
CREATE INDEX feedback_by_status ON feedback (status, id) WHERE status <> 'open';

CREATE TABLE feedback_votes (
	voter INTEGER NOT NULL,
	feedback_id INTEGER NOT NULL,
	created_at INTEGER NOT NULL,
	PRIMARY KEY (voter, feedback_id)
);
CREATE INDEX feedback_votes_of ON feedback_votes (feedback_id);
CREATE TRIGGER feedback_votes_up AFTER INSERT ON feedback_votes
BEGIN
	UPDATE feedback SET votes = votes + 1 WHERE id = NEW.feedback_id;
END;
CREATE TRIGGER feedback_votes_down AFTER DELETE ON feedback_votes
BEGIN
	UPDATE feedback SET votes = votes - 1 WHERE id = OLD.feedback_id;
END;
CREATE TRIGGER feedback_votes_gone AFTER DELETE ON feedback WHEN OLD.votes > 0
BEGIN
	DELETE FROM feedback_votes WHERE feedback_id = OLD.id;
END;
