-- Votes: one of a voter for a feedback, taken back by removing it. `voter` is a user's id; with AUTH=off,
-- where there are no users, a browser's number, which is negative. The count is kept beside the message by
-- triggers, whoever writes, so that a list counts nothing; changing it draws a new stamp (0007). No foreign
-- key: who votes locks the feedback first, and what is deleted, or truncated, takes its votes with it.
ALTER TABLE feedback ADD COLUMN votes bigint NOT NULL DEFAULT 0;
ALTER TABLE feedback ADD COLUMN status text NOT NULL DEFAULT 'open';
-- Of what was voted for, or decided on: a create has nothing to do with either.
CREATE INDEX feedback_by_votes ON feedback (votes, id) WHERE votes > 0;
CREATE INDEX feedback_by_status ON feedback (status, id) WHERE status <> 'open';

CREATE TABLE feedback_votes (
	voter bigint NOT NULL,
	feedback_id bigint NOT NULL,
	created_at bigint NOT NULL,
	PRIMARY KEY (voter, feedback_id)
);
CREATE INDEX feedback_votes_of ON feedback_votes (feedback_id);
CREATE FUNCTION feedback_votes_up() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE feedback AS f SET votes = f.votes + c.n
		FROM (SELECT feedback_id, count(*) AS n FROM changed GROUP BY feedback_id) AS c
		WHERE f.id = c.feedback_id;
	RETURN NULL;
END $$;
CREATE FUNCTION feedback_votes_down() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE feedback AS f SET votes = f.votes - c.n
		FROM (SELECT feedback_id, count(*) AS n FROM changed GROUP BY feedback_id) AS c
		WHERE f.id = c.feedback_id;
	RETURN NULL;
END $$;
CREATE FUNCTION feedback_votes_none() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE feedback SET votes = 0 WHERE votes > 0;
	RETURN NULL;
END $$;
CREATE TRIGGER feedback_votes_up AFTER INSERT ON feedback_votes
	REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION feedback_votes_up();
CREATE TRIGGER feedback_votes_down AFTER DELETE ON feedback_votes
	REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION feedback_votes_down();
CREATE TRIGGER feedback_votes_none AFTER TRUNCATE ON feedback_votes
	FOR EACH STATEMENT EXECUTE FUNCTION feedback_votes_none();

CREATE FUNCTION feedback_votes_gone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'TRUNCATE' THEN
		DELETE FROM feedback_votes;
	ELSE
		DELETE FROM feedback_votes AS v USING gone WHERE v.feedback_id = gone.id AND gone.votes > 0;
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER feedback_votes_gone AFTER DELETE ON feedback
	REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION feedback_votes_gone();
CREATE TRIGGER feedback_votes_all_gone AFTER TRUNCATE ON feedback
	FOR EACH STATEMENT EXECUTE FUNCTION feedback_votes_gone();
