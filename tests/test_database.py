"""Rows are durable, versioned, counted and backed up."""

import sqlite3

import pytest
from rondel.store import database as databases
from rondel.store.database import Database
from rondel.store.errors import ProjectError, SpaceError
from rondel.store.schema import COUNTED, MIGRATIONS


@pytest.fixture
def database(tmp_path):
    made = Database(tmp_path / "project.db", create=True)
    yield made
    made.close()


def put(database: Database, key: str, value: str = "1") -> None:
    with database.transaction() as connection:
        connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))


def test_a_newer_schema_is_refused_and_left_as_it_is(database):
    database.connection.execute(f"PRAGMA user_version={len(MIGRATIONS) + 1}")
    with pytest.raises(ProjectError, match=rf"newer rondel \(schema {len(MIGRATIONS) + 1}.*upgrade"):
        Database(database.path)
    assert database.version == len(MIGRATIONS) + 1


def test_an_older_schema_is_brought_forward_keeping_rows_and_a_copy(database, monkeypatch):
    put(database, "kept")
    monkeypatch.setattr(databases, "MIGRATIONS", (*MIGRATIONS, "CREATE TABLE later (a INTEGER);"))
    with_later = Database(database.path)
    assert with_later.version == len(MIGRATIONS) + 1 and with_later.meta("kept") == "1"
    assert with_later.rows("SELECT * FROM later") == []
    copy = database.path.with_name(f"project.db.schema{len(MIGRATIONS)}")
    with sqlite3.connect(copy) as old:
        assert old.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)
    with_later.close()


def test_a_migration_that_fails_changes_nothing(database, monkeypatch):
    monkeypatch.setattr(databases, "MIGRATIONS", (*MIGRATIONS, "CREATE TABLE later (a INTEGER); no SQL;"))
    with pytest.raises(ProjectError, match="cannot be read"):
        Database(database.path)
    assert database.version == len(MIGRATIONS)
    assert not database.rows("SELECT 1 FROM sqlite_master WHERE name = 'later'")


def test_every_table_counts_its_changes_but_progress(database):
    tables = {row["name"] for row in database.rows("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables - set(COUNTED) - {"sqlite_sequence"} == {"meta", "change", "progress"}


def test_a_counter_moves_with_each_insert_update_and_delete_of_its_own_table(database):
    before = database.changes()
    steps = (
        "INSERT INTO round (number, state, strategy, seed, created) VALUES (1, 'ranking', '', 0, 0)",
        "UPDATE round SET seed = 1",
        "DELETE FROM round",
    )
    for step in steps:
        with database.transaction() as connection:
            connection.execute(step)
    after = database.changes()
    assert {name: after[name] - before[name] for name in after if after[name] != before[name]} == {"round": 3}


def test_a_transaction_is_whole_or_nothing(database):
    with pytest.raises(KeyError), database.transaction() as connection:
        connection.execute("INSERT INTO meta VALUES ('half', '1')")
        raise KeyError
    assert database.meta("half", "none") == "none" and not database.connection.in_transaction


def test_a_full_disk_is_our_error_and_the_rows_stay_whole(database):
    put(database, "kept")
    pages = database.connection.execute("PRAGMA page_count").fetchone()[0]
    database.connection.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(SpaceError, match="full"):
        put(database, "large", "x" * 1_000_000)
    assert (database.meta("kept"), database.meta("large")) == ("1", "")
    assert database.connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def test_the_newest_backups_are_kept_and_open(database, tmp_path):
    copies = []
    for n in range(4):
        put(database, "n", str(n))
        copies.append(database.back_up(tmp_path / "backups", keep=2))
    assert sorted((tmp_path / "backups").iterdir()) == copies[-2:]
    for n, copy in enumerate(copies[-2:], 2):
        opened = Database(copy)
        assert opened.meta("n") == str(n)
        opened.close()


@pytest.mark.parametrize(
    ("mounts", "mode"),
    [
        ("server:/home {place} nfs4 rw 0 0", "truncate"),
        ("//server/share {place} cifs rw 0 0", "truncate"),
        ("/dev/sda1 {place} ext4 rw 0 0", "wal"),
        ("server:/home {place} nfs4 rw 0 0\n/dev/sda1 {place}/cells ext4 rw 0 0", "wal"),
        ("server:/home {place}/cel nfs4 rw 0 0", "wal"),
    ],
)
def test_wal_is_used_but_on_network_file_systems(tmp_path, monkeypatch, mounts, mode):
    table = tmp_path / "mounts"
    table.write_text(f"/dev/root / ext4 rw 0 0\n{mounts.format(place=tmp_path.resolve())}\n")
    monkeypatch.setattr(databases, "MOUNTS", table)
    (tmp_path / "cells").mkdir()
    made = Database(tmp_path / "cells" / "project.db", create=True)
    assert made.connection.execute("PRAGMA journal_mode").fetchone()[0] == mode
    assert made.connection.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
    made.close()


def test_what_is_no_database_says_so(tmp_path):
    with pytest.raises(ProjectError, match=r"no project\.db"):
        Database(tmp_path / "project.db")
    (tmp_path / "project.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(ProjectError, match="cannot be read.*backups"):
        Database(tmp_path / "project.db")
