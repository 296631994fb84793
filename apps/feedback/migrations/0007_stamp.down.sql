DROP TRIGGER feedback_changed;
DROP TRIGGER feedback_total_up;
DROP TRIGGER feedback_total_down;
ALTER TABLE feedback_total DROP COLUMN stamp;
CREATE TRIGGER feedback_total_up AFTER INSERT ON feedback
BEGIN
	UPDATE feedback_total SET total = total + 1 WHERE one = 1;
END;
CREATE TRIGGER feedback_total_down AFTER DELETE ON feedback
BEGIN
	UPDATE feedback_total SET total = total - 1 WHERE one = 1;
END;
