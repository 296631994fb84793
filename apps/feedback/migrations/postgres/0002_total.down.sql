DROP TRIGGER feedback_total_none ON feedback;
DROP TRIGGER feedback_total_down ON feedback;
DROP TRIGGER feedback_total_up ON feedback;
DROP FUNCTION feedback_total_none();
DROP FUNCTION feedback_total_down();
DROP FUNCTION feedback_total_up();
DROP TABLE feedback_total;
