"""How busy are the graphics cards? Asked of NVIDIA's library, when the optional nvidia-ml-py is there."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gpu:
    name: str
    used: int
    total: int
    """Bytes of its memory."""
    use: int | None
    """Percent of the time that it computed, where the card says it."""


def read_gpus() -> tuple[Gpu, ...]:
    """Return what the cards say; none without cards, without their driver or without the library."""
    try:
        import pynvml  # pyright: ignore[reportMissingImports]
    except ImportError:
        return ()
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(k) for k in range(pynvml.nvmlDeviceGetCount())]
        return tuple(_read(pynvml, handle) for handle in handles)
    except pynvml.NVMLError:
        return ()
    finally:
        pynvml.nvmlShutdown()


def _read(library, handle) -> Gpu:
    name, memory = library.nvmlDeviceGetName(handle), library.nvmlDeviceGetMemoryInfo(handle)
    try:
        use = int(library.nvmlDeviceGetUtilizationRates(handle).gpu)
    except library.NVMLError:  # cards that are cut into parts do not say it
        use = None
    return Gpu(name if isinstance(name, str) else name.decode(), int(memory.used), int(memory.total), use)
