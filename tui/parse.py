"""How are lists on the command line read? Spacings, channels, value maps."""

import math

from ..store.errors import UsageError


def names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def spacing(text: str | None) -> list[float] | None:
    """Read z,y,x, or y,x for an image of one section, as positive numbers."""
    if text is None:
        return None
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) not in (2, 3) or any(not math.isfinite(v) or v <= 0 for v in values):
        raise UsageError(
            f"--spacing {text} will not do", "give the voxel size as z,y,x, each above 0: --spacing 50,4,4"
        )
    return values


def channels(texts: list[str]) -> list[str | int] | None:
    """Read channel names or indices; a comma separates several."""
    listed = [part for text in texts for part in names(text)]
    return [int(part) if part.isdigit() else part for part in listed] or None


def mapping(text: str | None) -> dict[int, int]:
    """Read 0=1,1=2: values of a file to label values."""
    if not text:
        return {}
    try:
        pairs = [part.split("=") for part in names(text)]
        return {int(old): int(new) for old, new in pairs}
    except ValueError:
        raise UsageError(
            f"--map {text} will not do", "write it as --map 0=1,1=2: value of the file = label value"
        ) from None
