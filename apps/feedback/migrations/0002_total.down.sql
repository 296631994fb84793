DROP TRIGGER feedback_total_down;
DROP TRIGGER feedback_total_up;
DROP TABLE feedback_total;
