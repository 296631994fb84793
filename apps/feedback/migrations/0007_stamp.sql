-- A number that is another one after each change of the rows, whoever makes it: what was read while it
-- was the same is still right. Drawn by lot and not counted, so that a database that was restored, or
-- that lost what it had not passed on, does not come by the same number again.
ALTER TABLE feedback_total ADD COLUMN stamp INTEGER NOT NULL DEFAULT 0;
UPDATE feedback_total SET stamp = random();
DROP TRIGGER feedback_total_up;
DROP TRIGGER feedback_total_down;
CREATE TRIGGER feedback_total_up AFTER INSERT ON feedback
BEGIN
	UPDATE feedback_total SET total = total + 1, stamp = random() WHERE one = 1;
END;
CREATE TRIGGER feedback_total_down AFTER DELETE ON feedback
BEGIN
	UPDATE feedback_total SET total = total - 1, stamp = random() WHERE one = 1;
END;
CREATE TRIGGER feedback_changed AFTER UPDATE ON feedback
BEGIN
	UPDATE feedback_total SET stamp = random() WHERE one = 1;
END;
