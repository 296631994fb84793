DROP TRIGGER feedback_votes_all_gone ON feedback;
DROP TRIGGER feedback_votes_gone ON feedback;
DROP TABLE feedback_votes;
DROP FUNCTION feedback_votes_gone();
DROP FUNCTION feedback_votes_none();
DROP FUNCTION feedback_votes_down();
DROP FUNCTION feedback_votes_up();
ALTER TABLE feedback DROP COLUMN status;
ALTER TABLE feedback DROP COLUMN votes;
