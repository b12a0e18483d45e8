"""A results file of schema 1, as version 0.1 wrote it: tests/golden/store-1.db.

Run from the repository's root: python3 tools/golden/store_1.py   (Python's own sqlite3; nothing else)
Made with Python 3.11.7, SQLite 3.40.1.
"""
import os
import sqlite3

PATH = "tests/golden/store-1.db"
if os.path.exists(PATH):
    os.remove(PATH)
db = sqlite3.connect(PATH)
db.executescript("""
PRAGMA page_size = 1024;
PRAGMA application_id = 1129082724;
PRAGMA user_version = 1;
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE run(run INTEGER PRIMARY KEY, started TEXT NOT NULL, ended TEXT, record TEXT NOT NULL);
CREATE TABLE class(class INTEGER PRIMARY KEY, name TEXT NOT NULL, positive INTEGER NOT NULL);
CREATE TABLE flow(step INTEGER PRIMARY KEY, name TEXT NOT NULL, n INTEGER NOT NULL);
CREATE TABLE arm(arm INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, record TEXT NOT NULL);
CREATE TABLE row(row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, label INTEGER NOT NULL,
  patient INTEGER NOT NULL, split TEXT NOT NULL);
CREATE TABLE row_group(row INTEGER, grp INTEGER, name TEXT NOT NULL, value TEXT NOT NULL,
  PRIMARY KEY(row, grp)) WITHOUT ROWID;
CREATE TABLE asked(arm INTEGER, row INTEGER, key TEXT NOT NULL, n_token INTEGER NOT NULL,
  n_cut INTEGER NOT NULL, forced INTEGER NOT NULL, refused INTEGER NOT NULL,
  PRIMARY KEY(arm, row)) WITHOUT ROWID;
CREATE TABLE score(key TEXT PRIMARY KEY, score REAL, label_mass REAL NOT NULL,
  class_logprob TEXT NOT NULL, answer_logprob TEXT NOT NULL, time_ms REAL NOT NULL) WITHOUT ROWID;
""")
db.execute("INSERT INTO meta VALUES('study', 'old')")
db.execute("INSERT INTO class VALUES(0, 'serious', 1)")
db.execute("INSERT INTO class VALUES(1, 'not-serious', 0)")
db.execute("INSERT INTO flow VALUES(0, 'read', 2)")
db.execute("INSERT INTO arm VALUES(0, 'zero-shot', '{}')")
for row in range(2):
    key = f"{row + 1:064x}"
    db.execute("INSERT INTO row VALUES(?, ?, ?, -1, '')", (row, f"r{row}", row))
    db.execute("INSERT INTO asked VALUES(0, ?, ?, 10, 0, 0, 0)", (row, key))
    db.execute("INSERT INTO score VALUES(?, ?, 0.75, '[-0.5,-1.25]', '[-0.5,-1.25]', 2.5)",
               (key, 0.75 - row))
db.commit()
db.execute("VACUUM")
db.close()
