"""How are rows kept? One SQLite file: connection, schema, migrations, transactions, change counters, backups."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import ProjectError, SpaceError
from .schema import MIGRATIONS, triggers

NETWORK_FILESYSTEMS = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "gpfs", "beegfs", "ceph", "fuse.sshfs", "afs")
BUSY_SECONDS = 10.0
MOUNTS = Path("/proc/mounts")


class Database:
    """An open project.db.

    Every commit is on disk when it returns (synchronous=FULL); `durable=False` is for the progress of jobs alone,
    which may be lost in a power cut. No transaction may span computing.
    """

    def __init__(self, path: Path, *, create: bool = False, durable: bool = True) -> None:
        if not create and not path.is_file():
            raise ProjectError(f"{path.parent.name} has no project.db", "'rondel init FOLDER' makes a project")
        try:
            self.connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
            self.connection.row_factory = sqlite3.Row
            self._migrate(path, create)
            self.connection.execute(f"PRAGMA journal_mode={'TRUNCATE' if on_network(path) else 'WAL'}")
            self.connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            self.connection.execute("PRAGMA foreign_keys=ON")
        except sqlite3.DatabaseError as error:
            raise ProjectError(f"{path.name} cannot be read: {error}", "restore the newest file of backups/") from error
        self.path = path

    def _migrate(self, path: Path, create: bool) -> None:
        version = self.version
        if version == 0 and not create:
            raise ProjectError(f"{path.name} is empty or was never finished", "restore the newest file of backups/")
        if version > len(MIGRATIONS):
            raise ProjectError(
                f"{path.parent.name} was made by a newer rondel (schema {version}, this one knows {len(MIGRATIONS)})",
                "upgrade rondel to open it",
            )
        for number, script in enumerate(MIGRATIONS[version:], version + 1):
            if version:
                self._copy_to(path.with_name(f"{path.name}.schema{number - 1}"))
            self.connection.executescript(
                f"BEGIN IMMEDIATE; {script} {triggers()} PRAGMA user_version={number}; COMMIT;"
            )

    @property
    def version(self) -> int:
        return self.connection.execute("PRAGMA user_version").fetchone()[0]

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit what is written inside, or nothing of it; a full disk becomes SpaceError."""
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
            except BaseException:
                self.connection.rollback()
                raise
            self.connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            if self.connection.in_transaction:
                self.connection.rollback()
            if "full" in str(error) or "readonly" in str(error) or "disk I/O" in str(error):
                raise SpaceError(
                    f"{self.path.name} could not be written: {error}", "free space, then try again"
                ) from error
            raise

    def rows(self, sql: str, *values: object) -> list[sqlite3.Row]:
        return self.connection.execute(sql, values).fetchall()

    def row(self, sql: str, *values: object) -> sqlite3.Row | None:
        return self.connection.execute(sql, values).fetchone()

    def changes(self) -> dict[str, int]:
        """Return the change counter of every counted table, so that a reader re-reads only what moved."""
        return {name: counter for name, counter in self.rows("SELECT name, counter FROM change")}

    def meta(self, key: str, default: str = "") -> str:
        row = self.row("SELECT value FROM meta WHERE key = ?", key)
        return row["value"] if row else default

    def back_up(self, folder: Path, keep: int) -> Path:
        """Copy the database by SQLite's own backup into `folder`, and keep the newest `keep` copies."""
        folder.mkdir(exist_ok=True)
        target = folder / f"project-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{time.time_ns() % 10**9:09d}.db"
        self._copy_to(target)
        for old in sorted(folder.glob("project-*.db"))[:-keep]:
            old.unlink()
        return target

    def _copy_to(self, target: Path) -> None:
        beside = target.with_name(f".{target.name}.partial")
        with sqlite3.connect(beside) as copy:
            self.connection.backup(copy)
        copy.close()
        os.replace(beside, target)  # noqa: PTH105

    def close(self) -> None:
        self.connection.close()


def on_network(path: Path) -> bool:
    """Tell whether a file lies on a network file system, where SQLite's WAL is not safe (sqlite.org/wal.html)."""
    try:
        mounts = [line.split()[1:3] for line in MOUNTS.read_text().splitlines()]
    except OSError:
        return False
    place = str(path.resolve())
    inside = [(len(point), kind) for point, kind in mounts if place.startswith(point.rstrip("/") + "/")]
    return max(inside, default=(0, ""))[1] in NETWORK_FILESYSTEMS
