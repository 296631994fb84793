DROP TRIGGER feedback_votes_gone;
DROP TRIGGER feedback_votes_down;
DROP TRIGGER feedback_votes_up;
DROP TABLE feedback_votes;
DROP INDEX feedback_by_status;
DROP INDEX feedback_by_votes;
ALTER TABLE feedback DROP COLUMN status;
ALTER TABLE feedback DROP COLUMN votes;
