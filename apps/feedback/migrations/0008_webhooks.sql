-- When the secret was changed last (the old one signs too for a day), and how the last delivery went.
ALTER TABLE webhooks ADD COLUMN secret_changed_at INTEGER;
ALTER TABLE webhooks ADD COLUMN told_at INTEGER;
ALTER TABLE webhooks ADD COLUMN told TEXT;
