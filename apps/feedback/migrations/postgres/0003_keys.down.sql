DROP TABLE feedback_keys;
