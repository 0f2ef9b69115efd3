"""How does the server write down what went wrong, and never a secret? Libraries log addresses, and those hold some."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

Secrets = Callable[[], Iterable[str]]


@contextmanager
def clean(secrets: Secrets) -> Iterator[None]:
    """Send all that is logged meanwhile to stderr, with what is secret at that moment blacked out."""
    root = logging.getLogger()
    ours: list[logging.Handler] = [logging.StreamHandler()]
    ours[0].setFormatter(Clean(secrets))
    before, root.handlers = root.handlers, ours  # a library may have put in one of its own
    try:
        yield
    finally:
        root.handlers = before


class Clean(logging.Formatter):
    def __init__(self, secrets: Secrets) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self.secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        for secret in self.secrets():
            text = text.replace(secret, "…")
        return text
