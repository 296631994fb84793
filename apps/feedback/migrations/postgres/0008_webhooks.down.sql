ALTER TABLE webhooks DROP COLUMN told;
ALTER TABLE webhooks DROP COLUMN told_at;
ALTER TABLE webhooks DROP COLUMN secret_changed_at;
