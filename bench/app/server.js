// The Feedback App's list and create in Express on better-sqlite3, as one would write it.
"use strict";
const Database = require("better-sqlite3");
const express = require("express");

const db = new Database(process.env.DATABASE_PATH);
db.pragma("journal_mode = WAL");
db.pragma(`synchronous = ${process.env.DATABASE_SYNC}`);
db.pragma("busy_timeout = 5000");
db.exec(`CREATE TABLE IF NOT EXISTS feedback(id INTEGER PRIMARY KEY AUTOINCREMENT, message TEXT NOT NULL,
  created_at TEXT NOT NULL, updated_at TEXT NOT NULL)`);
const list = db.prepare("SELECT id, message, created_at, updated_at FROM feedback ORDER BY id DESC LIMIT ?");
const count = db.prepare("SELECT count(*) AS n FROM feedback");
const insert = db.prepare("INSERT INTO feedback(message, created_at, updated_at) VALUES (?, ?, ?)");

const app = express();
app.disable("x-powered-by");
app.disable("etag");
app.use(express.json({ limit: "64kb" }));
app.get("/health", (req, res) => res.json({ status: "healthy", feedback_count: count.get().n }));
app.get("/feedback", (req, res) => {
  const limit = req.query.limit === undefined ? 100 : Number(req.query.limit);
  if (!(limit >= 1 && limit <= 1000)) return res.status(400).json({ error: "limit must be a number from 1 to 1000" });
  res.json(list.all(limit));
});
app.post("/feedback", (req, res) => {
  const message = typeof req.body?.message === "string" ? req.body.message.trim() : "";
  if (!message) return res.status(400).json({ error: "Message field is required and cannot be empty" });
  if ([...message].length > 500) return res.status(400).json({ error: "Message cannot exceed 500 characters" });
  const now = new Date().toISOString();
  const { lastInsertRowid } = insert.run(message, now, now);
  res.status(201).json({ id: Number(lastInsertRowid), message, created_at: now, updated_at: now });
});
app.listen(Number(process.env.PORT), "127.0.0.1");
