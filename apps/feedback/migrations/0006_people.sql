-- People: who they are, how they show it, whose a feedback is, and what was done by whom.
-- Times are milliseconds since 1970; secrets are here as hashes only, but those of one-time passwords.
ALTER TABLE feedback ADD COLUMN owner INTEGER;
CREATE INDEX feedback_owner ON feedback (owner, id) WHERE owner IS NOT NULL;

CREATE TABLE secrets (
	name TEXT PRIMARY KEY,
	value TEXT NOT NULL
);
CREATE TABLE users (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	email TEXT NOT NULL UNIQUE,
	role TEXT NOT NULL,
	password TEXT,
	disabled INTEGER NOT NULL DEFAULT 0,
	totp_secret TEXT,
	totp_on INTEGER NOT NULL DEFAULT 0,
	totp_step INTEGER NOT NULL DEFAULT 0,
	issuer TEXT,
	subject TEXT,
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL,
	UNIQUE (issuer, subject)
);
CREATE TABLE sessions (
	hash TEXT PRIMARY KEY,
	user_id INTEGER NOT NULL REFERENCES users (id),
	created_at INTEGER NOT NULL,
	seen_at INTEGER NOT NULL,
	address TEXT NOT NULL
);
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_seen ON sessions (seen_at);
CREATE TABLE api_keys (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	user_id INTEGER NOT NULL REFERENCES users (id),
	name TEXT NOT NULL,
	hint TEXT NOT NULL,
	hash TEXT NOT NULL UNIQUE,
	scopes TEXT NOT NULL,
	created_at INTEGER NOT NULL,
	expires_at INTEGER,
	used_at INTEGER
);
CREATE INDEX api_keys_user ON api_keys (user_id);
CREATE TABLE recovery_codes (
	user_id INTEGER NOT NULL REFERENCES users (id),
	hash TEXT NOT NULL,
	PRIMARY KEY (user_id, hash)
);
CREATE TABLE login_attempts (
	key TEXT PRIMARY KEY,
	failures INTEGER NOT NULL,
	last_at INTEGER NOT NULL
);
CREATE INDEX login_attempts_last ON login_attempts (last_at);

-- Rows are added. None is changed, and none goes before it is 30 days old.
CREATE TABLE audit (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	at INTEGER NOT NULL,
	action TEXT NOT NULL,
	user_id INTEGER,
	name TEXT NOT NULL,
	via TEXT NOT NULL,
	object TEXT NOT NULL,
	detail TEXT NOT NULL,
	address TEXT NOT NULL,
	request_id TEXT NOT NULL
);
CREATE INDEX audit_at ON audit (at);
CREATE TRIGGER audit_kept BEFORE UPDATE ON audit BEGIN
	SELECT raise(ABORT, 'the audit log is only added to');
END;
CREATE TRIGGER audit_stays BEFORE DELETE ON audit
	WHEN OLD.at > (CAST(strftime('%s', 'now') AS INTEGER) - 30 * 86400) * 1000 BEGIN
	SELECT raise(ABORT, 'the audit log is only added to');
END;
