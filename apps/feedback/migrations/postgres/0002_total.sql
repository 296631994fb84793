-- How many there are: counting is slow, and one row for all would make every writer wait for the
-- commit of the one before. So there are sixteen, each connection uses the one of its process id,
-- and the total is their sum. Kept by triggers, whoever writes; once a statement, however many rows.
CREATE TABLE feedback_total (
	slot integer PRIMARY KEY,
	total bigint NOT NULL
) WITH (fillfactor = 10);
INSERT INTO feedback_total (slot, total)
	SELECT slot, CASE slot WHEN 0 THEN (SELECT count(*) FROM feedback) ELSE 0 END
	FROM generate_series(0, 15) AS slot;

CREATE FUNCTION feedback_total_up() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE feedback_total SET total = total + (SELECT count(*) FROM changed)
		WHERE slot = pg_backend_pid() % 16 AND EXISTS (SELECT FROM changed);
	RETURN NULL;
END $$;
CREATE FUNCTION feedback_total_down() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE feedback_total SET total = total - (SELECT count(*) FROM changed)
		WHERE slot = pg_backend_pid() % 16 AND EXISTS (SELECT FROM changed);
	RETURN NULL;
END $$;
CREATE FUNCTION feedback_total_none() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE feedback_total SET total = 0;
	RETURN NULL;
END $$;
CREATE TRIGGER feedback_total_up AFTER INSERT ON feedback
	REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION feedback_total_up();
CREATE TRIGGER feedback_total_down AFTER DELETE ON feedback
	REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION feedback_total_down();
CREATE TRIGGER feedback_total_none AFTER TRUNCATE ON feedback
	FOR EACH STATEMENT EXECUTE FUNCTION feedback_total_none();
