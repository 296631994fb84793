"""The Feedback App's list and create in Flask on sqlite3, as one would write it."""
import datetime
import os
import sqlite3
import threading

from flask import Flask, jsonify, request

app = Flask(__name__)
app.json.sort_keys = False
local = threading.local()


def db():
    if not hasattr(local, "db"):
        local.db = sqlite3.connect(os.environ["DATABASE_PATH"], timeout=5, isolation_level=None)
        local.db.row_factory = sqlite3.Row
        local.db.execute("PRAGMA journal_mode = WAL")
        local.db.execute(f"PRAGMA synchronous = {os.environ['DATABASE_SYNC']}")
        local.db.execute("CREATE TABLE IF NOT EXISTS feedback(id INTEGER PRIMARY KEY AUTOINCREMENT, "
                         "message TEXT NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL)")
    return local.db


@app.get("/health")
def health():
    return jsonify(status="healthy", feedback_count=db().execute("SELECT count(*) FROM feedback").fetchone()[0])


@app.get("/feedback")
def listing():
    limit = request.args.get("limit", 100, type=int)
    if not 1 <= limit <= 1000:
        return jsonify(error="limit must be a number from 1 to 1000"), 400
    rows = db().execute("SELECT id, message, created_at, updated_at FROM feedback ORDER BY id DESC LIMIT ?", (limit,))
    return jsonify([dict(r) for r in rows])


@app.post("/feedback")
def create():
    message = (request.get_json().get("message") or "").strip()
    if not message:
        return jsonify(error="Message field is required and cannot be empty"), 400
    if len(message) > 500:
        return jsonify(error="Message cannot exceed 500 characters"), 400
    now = datetime.datetime.utcnow().isoformat() + "Z"
    made = db().execute("INSERT INTO feedback(message, created_at, updated_at) VALUES (?, ?, ?)", (message, now, now))
    return jsonify(id=made.lastrowid, message=message, created_at=now, updated_at=now), 201
