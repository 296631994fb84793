DROP TRIGGER feedback_changed ON feedback;
DROP FUNCTION feedback_changed();
CREATE OR REPLACE FUNCTION feedback_total_up() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE feedback_total SET total = total + (SELECT count(*) FROM changed)
		WHERE slot = pg_backend_pid() % 16 AND EXISTS (SELECT FROM changed);
	RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION feedback_total_down() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE feedback_total SET total = total - (SELECT count(*) FROM changed)
		WHERE slot = pg_backend_pid() % 16 AND EXISTS (SELECT FROM changed);
	RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION feedback_total_none() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE feedback_total SET total = 0;
	RETURN NULL;
END $$;
ALTER TABLE feedback_total DROP COLUMN stamp;
