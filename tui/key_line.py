"""Which keys can be pressed now? One line that leaves out the least needed where it is narrow; a click is the key."""

from textual.binding import Binding
from textual.content import Content
from textual.events import Click

from .one_line import OneLine
from .theme import QUIET

ALWAYS = ("question_mark", "q")
"""Keys that are shown however narrow the line is."""
GAP = 2


class KeyLine(OneLine):
    """The keys of the focused panel, then those of the screen, then those of the app."""

    DEFAULT_CSS = """
    KeyLine { background: $background; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._shown: list[tuple[str, int]] = []
        """Key and width of each entry, from the left."""

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, lambda screen: self.show())

    def on_resize(self) -> None:
        self.show()

    def show(self) -> None:
        """Draw the keys that are active now."""
        shown = [b for b in self.screen.active_bindings.values() if b.binding.show and b.enabled]
        active = list({(b.node, b.binding.action): b.binding for b in shown}.values())  # one key for each thing to do
        active.append(Binding("ctrl+p", "", "all", key_display="^p"))
        chosen = fit(active, self.size.width - 2)
        parts = [Content.assemble((_key(b), "bold $accent"), (f" {b.description}", QUIET)) for b in chosen]
        self._shown = [(b.key, len(_key(b)) + 1 + len(b.description)) for b in chosen]
        self.write(Content(" " * GAP).join(parts))

    async def on_click(self, event: Click) -> None:
        place = event.x - 1
        for key, width in self._shown:
            if 0 <= place < width:
                self.app.simulate_key(key)
                return
            place -= width + GAP


def fit(bindings: list[Binding], width: int) -> list[Binding]:
    """Return the bindings that fit, in their order; those that are always shown count first."""
    left = width + GAP
    kept: set[str] = set()
    for binding in sorted(bindings, key=lambda b: b.key not in ALWAYS):
        needed = len(_key(binding)) + 1 + len(binding.description) + GAP
        if needed <= left:
            left -= needed
            kept.add(binding.key)
    return [binding for binding in bindings if binding.key in kept]


def _key(binding: Binding) -> str:
    return binding.key_display or binding.key
