-- Work to be done after a change, written in the transaction of the change. Times are Unix
-- milliseconds. `lease` numbers the claims of a job: only the newest may end it.
CREATE TABLE jobs (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	queue TEXT NOT NULL,
	kind TEXT NOT NULL,
	args TEXT NOT NULL,
	state TEXT NOT NULL DEFAULT 'available'
		CHECK (state IN ('available', 'running', 'retryable', 'dead', 'done')),
	priority INTEGER NOT NULL DEFAULT 1 CHECK (priority BETWEEN 0 AND 2),
	attempt INTEGER NOT NULL DEFAULT 0,
	attempts_max INTEGER,
	unique_key TEXT,
	run_at INTEGER NOT NULL,
	created_at INTEGER NOT NULL,
	lease INTEGER NOT NULL DEFAULT 0,
	lease_until INTEGER,
	sent_at INTEGER,
	worker TEXT,
	started_at INTEGER,
	finished_at INTEGER,
	error TEXT,
	result TEXT
);
CREATE INDEX jobs_waiting ON jobs (queue, priority, run_at, state)
	WHERE state IN ('available', 'retryable');
CREATE INDEX jobs_running ON jobs (lease_until) WHERE state = 'running';
CREATE INDEX jobs_ended ON jobs (finished_at) WHERE state IN ('done', 'dead');
CREATE INDEX jobs_dead ON jobs (queue, id) WHERE state = 'dead';
CREATE UNIQUE INDEX jobs_unique ON jobs (kind, unique_key)
	WHERE unique_key IS NOT NULL AND state IN ('available', 'running', 'retryable');

-- Who is told of new feedback. `secret` signs (whsec_…), `old_secret` too while it is changed.
CREATE TABLE webhooks (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	url TEXT NOT NULL,
	secret TEXT NOT NULL,
	old_secret TEXT,
	enabled INTEGER NOT NULL DEFAULT 1,
	created_at INTEGER NOT NULL,
	disabled_at INTEGER,
	disabled_why TEXT
);
