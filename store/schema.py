"""Which tables does project.db have, and how does an older one become the present one?"""

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE change (name TEXT PRIMARY KEY, counter INTEGER NOT NULL) WITHOUT ROWID;

    CREATE TABLE volume (
        name TEXT PRIMARY KEY, url TEXT NOT NULL, imported INTEGER NOT NULL, level INTEGER NOT NULL, time INTEGER,
        channels TEXT NOT NULL, axes TEXT NOT NULL, shape TEXT NOT NULL, chunks TEXT NOT NULL, dtype TEXT NOT NULL,
        spacing_nm TEXT NOT NULL, translation_nm TEXT NOT NULL, unit TEXT NOT NULL, intensities TEXT NOT NULL,
        truth TEXT, created REAL NOT NULL
    ) STRICT;

    CREATE TABLE round (
        number INTEGER PRIMARY KEY, state TEXT NOT NULL, model INTEGER, trained INTEGER, strategy TEXT NOT NULL,
        seed INTEGER NOT NULL, created REAL NOT NULL, closed_at REAL
    ) STRICT;

    CREATE TABLE box (
        id INTEGER PRIMARY KEY AUTOINCREMENT, volume TEXT NOT NULL REFERENCES volume(name),
        z0 INTEGER NOT NULL, y0 INTEGER NOT NULL, x0 INTEGER NOT NULL,
        z1 INTEGER NOT NULL, y1 INTEGER NOT NULL, x1 INTEGER NOT NULL,
        round INTEGER NOT NULL, purpose TEXT NOT NULL, state TEXT NOT NULL, priority REAL NOT NULL,
        reason TEXT NOT NULL, strategy TEXT NOT NULL, reserve INTEGER NOT NULL, seconds REAL NOT NULL DEFAULT 0,
        why TEXT NOT NULL DEFAULT '', person TEXT NOT NULL DEFAULT '', created REAL NOT NULL, done_at REAL
    ) STRICT;
    CREATE INDEX box_by_state ON box (state, round);

    CREATE TABLE edit (
        number INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, volume TEXT NOT NULL REFERENCES volume(name),
        box INTEGER REFERENCES box(id), person TEXT NOT NULL, client TEXT NOT NULL, client_number INTEGER NOT NULL,
        z0 INTEGER NOT NULL, y0 INTEGER NOT NULL, x0 INTEGER NOT NULL,
        z1 INTEGER NOT NULL, y1 INTEGER NOT NULL, x1 INTEGER NOT NULL,
        mask BLOB NOT NULL, before BLOB NOT NULL, after BLOB NOT NULL, voxels INTEGER NOT NULL,
        target INTEGER REFERENCES edit(number), live INTEGER NOT NULL, created REAL NOT NULL,
        UNIQUE (client, client_number)
    ) STRICT;
    CREATE INDEX edit_by_volume ON edit (volume, live, number);
    CREATE INDEX edit_by_box ON edit (box, number);

    CREATE TABLE model (
        number INTEGER PRIMARY KEY, parent INTEGER, round INTEGER NOT NULL, classes TEXT NOT NULL,
        steps INTEGER NOT NULL, seconds REAL NOT NULL, edit INTEGER NOT NULL, boxes TEXT NOT NULL, loss REAL NOT NULL,
        sha256 TEXT NOT NULL, bytes INTEGER NOT NULL, verdict TEXT NOT NULL DEFAULT '', note TEXT NOT NULL DEFAULT '',
        created REAL NOT NULL
    ) STRICT;
    CREATE TABLE champion (
        number INTEGER PRIMARY KEY AUTOINCREMENT, model INTEGER NOT NULL REFERENCES model(number),
        why TEXT NOT NULL, person TEXT NOT NULL, created REAL NOT NULL
    ) STRICT;
    CREATE TABLE curve (
        model INTEGER NOT NULL, step INTEGER NOT NULL, loss REAL NOT NULL, rate REAL NOT NULL, held_out REAL,
        PRIMARY KEY (model, step)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE box_count (
        model INTEGER NOT NULL REFERENCES model(number), box INTEGER NOT NULL REFERENCES box(id),
        label INTEGER NOT NULL, true_positive INTEGER NOT NULL, false_positive INTEGER NOT NULL,
        false_negative INTEGER NOT NULL, known INTEGER NOT NULL, edit INTEGER NOT NULL,
        PRIMARY KEY (model, box, label)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE score (
        model INTEGER NOT NULL REFERENCES model(number), label INTEGER NOT NULL, boxes INTEGER NOT NULL,
        dice REAL, low REAL, high REAL, iou REAL, precision REAL, recall REAL, created REAL NOT NULL,
        PRIMARY KEY (model, label)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE tile (
        volume TEXT NOT NULL, model INTEGER NOT NULL, z0 INTEGER NOT NULL, y0 INTEGER NOT NULL, x0 INTEGER NOT NULL,
        z1 INTEGER NOT NULL, y1 INTEGER NOT NULL, x1 INTEGER NOT NULL, probabilities INTEGER NOT NULL,
        PRIMARY KEY (volume, model, z0, y0, x0, z1, y1, x1)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE job (
        id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, arguments TEXT NOT NULL, state TEXT NOT NULL,
        pid INTEGER, host TEXT NOT NULL, created REAL NOT NULL, started REAL, ended REAL,
        error TEXT NOT NULL DEFAULT '', hint TEXT NOT NULL DEFAULT '', exit_code INTEGER,
        result TEXT NOT NULL DEFAULT '{}'
    ) STRICT;
    CREATE TABLE progress (
        job INTEGER PRIMARY KEY, stage TEXT NOT NULL, done REAL NOT NULL, total REAL NOT NULL, unit TEXT NOT NULL,
        text TEXT NOT NULL, updated REAL NOT NULL
    ) STRICT;
    """,
)
"""One script a schema version: the first makes version 1, each later one goes on from there."""

COUNTED = (
    "volume",
    "round",
    "box",
    "edit",
    "model",
    "champion",
    "curve",
    "box_count",
    "score",
    "tile",
    "job",
)
"""Tables whose changes are counted; progress is left out, since it changes four times a second."""


def triggers() -> str:
    """Write the triggers that keep one change counter for each table."""
    statements = []
    for table in COUNTED:
        statements.append(f"INSERT OR IGNORE INTO change VALUES ('{table}', 0);")
        for event in ("INSERT", "UPDATE", "DELETE"):
            statements.append(
                f"CREATE TRIGGER IF NOT EXISTS {table}_{event.lower()}_counts AFTER {event} ON {table} BEGIN "
                f"UPDATE change SET counter = counter + 1 WHERE name = '{table}'; END;"
            )
    return "\n".join(statements)
