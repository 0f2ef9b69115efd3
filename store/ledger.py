"""What happened in which round? Rows of rounds, scores and done tiles."""

import time
from dataclasses import astuple, fields

from .box import Box
from .database import Database
from .errors import UsageError
from .records import Round, RoundState, Score


def rounds(database: Database) -> list[Round]:
    return [_round(row) for row in database.rows("SELECT * FROM round ORDER BY number")]


def last_round(database: Database) -> Round | None:
    row = database.row("SELECT * FROM round ORDER BY number DESC LIMIT 1")
    return _round(row) if row else None


def open_round(database: Database, model: int | None, strategy: str, seed: int) -> Round:
    """Begin the next round, in the state ranking."""
    last = last_round(database)
    number = last.number + 1 if last else 1
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO round (number, state, model, strategy, seed, created) VALUES (?,?,?,?,?,?)",
            (number, RoundState.RANKING, model, strategy, seed, time.time()),
        )
    return Round(number, RoundState.RANKING, model, None, strategy, seed)


def set_round(database: Database, number: int, state: RoundState, trained: int | None = None) -> None:
    """Move a round on; `trained` names the model that was trained in it."""
    closed = time.time() if state == RoundState.CLOSED else None
    with database.transaction() as connection:
        connection.execute(
            "UPDATE round SET state = ?, trained = COALESCE(?, trained), closed_at = ? WHERE number = ?",
            (state, trained, closed, number),
        )


def set_scores(database: Database, model: int, scores: list[Score]) -> None:
    """Replace the scores of a model."""
    names = [field.name for field in fields(Score)]
    with database.transaction() as connection:
        connection.execute("DELETE FROM score WHERE model = ?", (model,))
        connection.executemany(
            f"INSERT INTO score ({', '.join(names)}, created) VALUES ({', '.join('?' * (len(names) + 1))})",
            [(*astuple(score), time.time()) for score in scores],
        )


def scores(database: Database, model: int) -> list[Score]:
    names = [field.name for field in fields(Score)]
    rows = database.rows(f"SELECT {', '.join(names)} FROM score WHERE model = ? ORDER BY label", model)
    return [Score(*row) for row in rows]


def mean_dice(scores: list[Score]) -> float | None:
    """Average Dice over the classes other than class 1 that have one; None is n/a."""
    known = [score.dice for score in scores if score.label != 1 and score.dice is not None]
    return sum(known) / len(known) if known else None


def record_tile(database: Database, volume: str, model: int, box: Box, probabilities: bool) -> None:
    """Record that a tile of a map is on disk."""
    with database.transaction() as connection:
        connection.execute(
            "INSERT OR REPLACE INTO tile VALUES (?,?,?,?,?,?,?,?,?)",
            (volume, model, *box.start, *box.stop, int(probabilities)),
        )


def done_tiles(database: Database, volume: str, model: int, probabilities: bool = False) -> set[Box]:
    """List the write boxes of a map's tiles that are on disk; with their probabilities, if asked for."""
    rows = database.rows(
        "SELECT * FROM tile WHERE volume = ? AND model = ? AND probabilities >= ?", volume, model, int(probabilities)
    )
    return {Box((r["z0"], r["y0"], r["x0"]), (r["z1"], r["y1"], r["x1"])) for r in rows}


def forget_tiles(database: Database, volume: str, model: int) -> None:
    """Forget a map's tiles, so that it is predicted anew."""
    with database.transaction() as connection:
        connection.execute("DELETE FROM tile WHERE volume = ? AND model = ?", (volume, model))


def backlog(database: Database) -> dict[str, int]:
    """Count the label boxes in each state."""
    return {row["state"]: row["n"] for row in database.rows("SELECT state, COUNT(*) AS n FROM box GROUP BY state")}


def get_round(database: Database, number: int) -> Round:
    row = database.row("SELECT * FROM round WHERE number = ?", number)
    if row is None:
        raise UsageError(f"there is no round {number}", "'rondel rounds' lists the rounds")
    return _round(row)


def _round(row) -> Round:
    return Round(
        row["number"],
        RoundState(row["state"]),
        row["model"],
        row["trained"],
        row["strategy"],
        row["seed"],
        row["created"],
        row["closed_at"],
    )
