"""How do I open a project? Its folder, settings, database, volumes and the names they may have."""

import getpass
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from . import locks
from .database import Database
from .errors import ProjectError, SettingsError, SpaceError, UsageError, VolumeError
from .records import VolumeRecord

if TYPE_CHECKING:
    from .settings import LabelClass, Settings
    from .volume import Volume

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
FILES = ("project.toml", "project.db", "project.db-wal", "project.db-shm", locks.LABELS, locks.COMPUTE)
FOLDERS = ("volumes", "labels", "maps", "models", "jobs", "backups", "exports", "cache")
JSON_FIELDS = ("channels", "shape", "chunks", "spacing_nm", "translation_nm", "intensities")


@dataclass(frozen=True, slots=True)
class Project:
    """An open project: close it, or use it in a `with` statement."""

    folder: Path
    settings: "Settings"
    database: Database

    def __enter__(self) -> "Project":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.database.close()

    @property
    def classes(self) -> "tuple[LabelClass, ...]":
        return self.settings.classes

    @property
    def label_values(self) -> tuple[int, ...]:
        return tuple(c.value for c in self.classes)

    def volumes(self) -> list[VolumeRecord]:
        return [_volume(row) for row in self.database.rows("SELECT * FROM volume ORDER BY created, name")]

    def volume_record(self, name: str) -> VolumeRecord:
        """Return what is recorded of a volume; raises UsageError naming the volumes there are."""
        row = self.database.row("SELECT * FROM volume WHERE name = ?", name)
        if row is None:
            there = ", ".join(v.name for v in self.volumes()) or "none yet; 'rondel add IMAGE' adds one"
            raise UsageError(f"there is no volume '{name}'", f"volumes: {there}")
        return _volume(row)

    def only_volume(self, name: str | None) -> VolumeRecord:
        """Return the volume of this name, or the only one when no name is given."""
        volumes = self.volumes()
        if name is None and len(volumes) != 1:
            raise UsageError(f"the project has {len(volumes)} volumes", "name the one that is meant")
        return self.volume_record(name or volumes[0].name)

    def open_volume(self, name: str) -> "Volume":
        from .volume import open_volume

        return open_volume(self.volume_record(name), self.folder)

    def labels_path(self, volume: str) -> Path:
        return self.folder / "labels" / f"{volume}.ome.zarr"

    def truth_path(self, volume: str) -> Path:
        return self.folder / "volumes" / "truth" / f"{volume}.ome.zarr"


@dataclass(frozen=True, slots=True)
class Before:
    """What was in a folder before a project was made there, so that one that came to nothing can be taken back."""

    folder: Path
    there: frozenset[Path]
    missing: tuple[Path, ...]
    """The folder and those above it that did not exist, innermost first."""

    @classmethod
    def of(cls, folder: Path) -> "Before":
        missing = tuple(place for place in (folder, *folder.parents) if not place.exists())
        return cls(folder, frozenset(folder.iterdir()) if folder.is_dir() else frozenset(), missing)

    def restore(self) -> None:
        """Remove the project; what was there before stays."""
        for name in (*FILES, *FOLDERS):
            path = self.folder / name
            if path not in self.there:
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        for place in self.missing:
            if not any(place.iterdir()):
                place.rmdir()


def create(folder: Path, classes: list[str], name: str = "", seed: int = 0) -> Project:
    """Make a project folder with these class names, the first being everything else.

    Raises ProjectError when the folder holds a project already, UsageError when the classes will not do.
    """
    from . import settings_file

    if (folder / "project.toml").exists() or (folder / "project.db").exists():
        raise ProjectError(
            f"{folder} already holds a project", f"go on with it: rondel -p {folder} round; or choose another folder"
        )
    if len(classes) < 2:
        raise UsageError(
            f"--classes names {len(classes)} class", "name at least two, the first for everything else: background,cell"
        )
    name = name or folder.resolve().name
    settings = settings_file.draft(name, classes, seed)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for sub in FOLDERS:
            (folder / sub).mkdir(exist_ok=True)
        settings_file.write(folder / "project.toml", settings)
        return Project(folder, settings, Database(folder / "project.db", create=True))
    except (FileExistsError, NotADirectoryError):
        raise UsageError(f"{folder} cannot be a folder: a file is in the way", "name another folder") from None
    except OSError as error:
        raise SpaceError(
            f"{folder} could not be made: {error.strerror}", "choose a folder that can be written"
        ) from error


def open_project(folder: Path, *, durable: bool = True) -> Project:
    """Open a project; raises ProjectError or SettingsError saying what is wrong with it."""
    from . import settings_file

    if not (folder / "project.toml").is_file():
        raise no_project(folder)
    database = Database(folder / "project.db", durable=durable)
    try:
        settings = settings_file.load(folder / "project.toml")
        _check_classes(settings, database)
        return Project(folder, settings, database)
    except BaseException:
        database.close()
        raise


def no_project(folder: Path) -> ProjectError:
    return ProjectError(
        f"{folder} is no rondel project", "give one with -p, or make one: rondel init FOLDER --classes …"
    )


def _check_classes(settings: "Settings", database: Database) -> None:
    """Refuse settings that have lost classes: label values are never reused, and models know them by number."""
    known = database.row("SELECT MAX(json_array_length(classes)) AS n FROM model")
    needed = max(2, (known["n"] if known else None) or 0)
    if len(settings.classes) < needed:
        raise SettingsError(
            f"project.toml declares {len(settings.classes)} classes, but needs {needed} or more",
            "classes are added at the end and never removed; put their [[class]] tables back",
        )


def check_volume_name(name: str) -> str:
    if not NAME.fullmatch(name) or len(name) > 100:
        raise UsageError(
            f"volume name {name!r} will not do", "use letters, digits, '.', '_' and '-', a letter or digit first"
        )
    return name


def check_new_volume(project: Project, name: str) -> None:
    """Raise UsageError when a volume has this name; file systems may not tell upper from lower case."""
    row = project.database.row("SELECT name FROM volume WHERE name = ? COLLATE NOCASE", name)
    if row:
        raise UsageError(f"there is a volume '{row['name']}' already", "give this one another --name")


@contextmanager
def new_volume(project: Project, name: str) -> Iterator[Path]:
    """Give the path at which a volume may be imported, and sweep up what is left there when the import fails."""
    check_volume_name(name)
    check_new_volume(project, name)
    target = project.folder / "volumes" / f"{name}.ome.zarr"
    shutil.rmtree(target, ignore_errors=True)  # left by a killed import: no row names it
    try:
        yield target
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise


def add_volume(project: Project, record: VolumeRecord) -> VolumeRecord:
    """Record a volume and make its empty label array."""
    from . import labels

    check_volume_name(record.name)
    check_new_volume(project, record.name)
    shutil.rmtree(project.labels_path(record.name), ignore_errors=True)  # no row, so no edit can be in it
    labels.create(project, record)
    record = replace(record, created=time.time())
    values = {k: json.dumps(v) if k in JSON_FIELDS else v for k, v in asdict(record).items()}
    values["imported"] = int(record.imported)
    with project.database.transaction() as rows:
        if rows.execute("SELECT 1 FROM volume WHERE name = ?", (record.name,)).fetchone():
            raise UsageError(f"there is a volume '{record.name}' already", "give this one another --name")
        rows.execute(
            f"INSERT INTO volume ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})", [*values.values()]
        )
    return record


def forget_volume(project: Project, name: str) -> None:
    """Take a volume back, with what was imported for it; one that has boxes or edits stays."""
    record = project.volume_record(name)
    used = "SELECT 1 FROM box WHERE volume = ?1 UNION SELECT 1 FROM edit WHERE volume = ?1"
    with project.database.transaction() as rows:
        if rows.execute(used, (name,)).fetchone():
            return
        rows.execute("DELETE FROM volume WHERE name = ?", (name,))
    shutil.rmtree(project.labels_path(name), ignore_errors=True)
    if record.imported:
        shutil.rmtree(project.folder / record.url, ignore_errors=True)


def relink(project: Project, record: VolumeRecord) -> None:
    """Point a volume to where its image lies now; raises VolumeError when it is not the same image."""
    old = project.volume_record(record.name)
    for field in ("shape", "dtype", "channels"):
        if getattr(old, field) != getattr(record, field):
            raise VolumeError(
                f"{record.url} has {field} {getattr(record, field)}, but '{old.name}' has {getattr(old, field)}",
                "relink only to a copy of the same image",
            )
    with project.database.transaction() as rows:
        rows.execute("UPDATE volume SET url = ?, level = ? WHERE name = ?", (record.url, record.level, record.name))


def set_truth(project: Project, volume: str, path: str) -> None:
    """Remember dense labels that only an oracle may read."""
    with project.database.transaction() as rows:
        rows.execute("UPDATE volume SET truth = ? WHERE name = ?", (path, volume))


def person() -> str:
    """Return the name shown on edits: RONDEL_PERSON, else the login name."""
    try:
        return os.environ.get("RONDEL_PERSON") or getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def _volume(row) -> VolumeRecord:
    values = dict(row)
    for field in JSON_FIELDS:
        values[field] = _tuples(json.loads(values[field]))
    values["imported"] = bool(values["imported"])
    return VolumeRecord(**values)


def _tuples(value):
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value
