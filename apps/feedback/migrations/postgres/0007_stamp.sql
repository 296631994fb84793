-- Numbers of which one is another after each change of the rows, whoever makes it: what was read while
-- their sum was the same is still right. Drawn by lot and not counted, so that a standby that was
-- promoted without the last changes, or a database that was restored, does not come by the same sum
-- again. One for each slot of the total, so that writers do not wait for each other.
ALTER TABLE feedback_total ADD COLUMN stamp bigint NOT NULL DEFAULT 0;
UPDATE feedback_total SET stamp = (random() * 4503599627370496)::bigint;

CREATE OR REPLACE FUNCTION feedback_total_up() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE feedback_total SET total = total + (SELECT count(*) FROM changed),
		stamp = (random() * 4503599627370496)::bigint
		WHERE slot = pg_backend_pid() % 16 AND EXISTS (SELECT FROM changed);
	RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION feedback_total_down() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE feedback_total SET total = total - (SELECT count(*) FROM changed),
		stamp = (random() * 4503599627370496)::bigint
		WHERE slot = pg_backend_pid() % 16 AND EXISTS (SELECT FROM changed);
	RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION feedback_total_none() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE feedback_total SET total = 0, stamp = (random() * 4503599627370496)::bigint;
	RETURN NULL;
END $$;
CREATE FUNCTION feedback_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE feedback_total SET stamp = (random() * 4503599627370496)::bigint
		WHERE slot = pg_backend_pid() % 16 AND EXISTS (SELECT FROM changed);
	RETURN NULL;
END $$;
CREATE TRIGGER feedback_changed AFTER UPDATE ON feedback
	REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION feedback_changed();
