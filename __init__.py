"""rondel: active-learning annotation rounds for volumes too large to look through."""

__version__ = "0.1.0"
