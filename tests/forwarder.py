"""A port that leads to another one, as a tunnel does: slowly, and with connections that can be cut."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

BLOCK = 1 << 16


@dataclass
class Forwarder:
    """Bytes take `delay` seconds each way; however many are on their way, they do not wait for each other."""

    target: int
    delay: float = 0.0
    port: int = 0
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _lines: set[asyncio.StreamWriter] = field(default_factory=set)
    _refusing: bool = False
    _serving: asyncio.Task | None = None

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """End all connections at once; what was on its way is lost."""
        self._loop.call_soon_threadsafe(self._cut)

    def refuse(self, refusing: bool) -> None:
        """Let new connections fail, or no longer."""
        self._refusing = refusing

    def close(self) -> None:
        """(its thread) End it."""
        self._cut()
        if self._serving:
            self._serving.cancel()

    def _cut(self) -> None:
        for line in list(self._lines):
            line.transport.abort()

    async def _serve(self, ready: threading.Event) -> None:
        self._serving = asyncio.current_task()
        listening = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = listening.sockets[0].getsockname()[1]
        ready.set()
        await asyncio.Event().wait()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            writer.transport.abort()
            return
        with suppress(OSError, asyncio.CancelledError):
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
            self._lines |= {writer, back}
            await asyncio.gather(self._carry(reader, back), self._carry(there, writer))
            self._lines -= {writer, back}

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what comes, each block after its delay, and the end as well."""
        loop, waiting = asyncio.get_running_loop(), asyncio.Queue[tuple[float, bytes]]()

        async def passing() -> None:
            while True:
                due, block = await waiting.get()
                await asyncio.sleep(max(0.0, due - loop.time()))
                if not block:
                    break
                writer.write(block)
                await writer.drain()
            writer.close()

        task = loop.create_task(passing())
        with suppress(OSError):
            while block := await reader.read(BLOCK):
                waiting.put_nowait((loop.time() + self.delay, block))
        waiting.put_nowait((loop.time() + self.delay, b""))
        with suppress(OSError):
            await task


@contextmanager
def forwarded(target: int, delay: float = 0.0) -> Iterator[Forwarder]:
    """Forward a port of this machine from another one for a while."""
    forwarder, ready = Forwarder(target, delay), threading.Event()
    loop = forwarder._loop

    def run() -> None:
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(forwarder._serve(ready))
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    ready.wait()
    try:
        yield forwarder
    finally:
        loop.call_soon_threadsafe(forwarder.close)
        thread.join(10)
