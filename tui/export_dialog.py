"""What leaves the project, and where to? Labels or a model's output of a volume, as a new file."""

from functools import partial
from pathlib import Path

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Select, Static

from . import actions, words
from .dialogs import FRAME
from .messages import Act
from .snapshot import Snapshot

WHAT = ("labels", "classes", "probabilities", "uncertainty")


class ExportDialog(ModalScreen[Act | None]):
    """Ask what is written and where; the answer is the action that starts it."""

    BINDINGS = [("escape", "leave", "leave it")]
    DEFAULT_CSS = f"""
    ExportDialog {{ {FRAME}
        Select {{ margin-top: 1; }}
    }}
    """

    def __init__(self, snapshot: Snapshot, model: int | None) -> None:
        super().__init__()
        self.snapshot, self.model = snapshot, model

    def compose(self) -> ComposeResult:
        names = [record.name for record in self.snapshot.volumes]
        whats = [w for w in WHAT if self.model is not None or w == "labels"]
        with Vertical():
            yield Static("Write a new file: OME-Zarr, or OME-TIFF when its name ends in .tif")
            volumes = [(words.plain(name, 40), name) for name in names]
            yield Select(volumes, value=names[0], allow_blank=False, compact=True, id="volume")
            said = {w: w if w == "labels" else f"{w} of model {self.model}" for w in whats}
            yield Select(
                [(said[w], w) for w in whats],
                value=whats[min(1, len(whats) - 1)],
                allow_blank=False,
                compact=True,
                id="what",
            )
            yield Input(compact=True)
            keys = Content.assemble(("enter", "bold $accent"), " write it    ", ("escape", "bold $accent"), " leave it")
            yield Static(keys, classes="hint")

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    def action_leave(self) -> None:
        self.dismiss(None)

    @on(Select.Changed)
    def _propose(self) -> None:
        """Propose a file in exports/ that is named after what is written."""
        volume, what = self._chosen
        of = "" if what == "labels" else f"-model-{self.model}"
        self.query_one(Input).value = str(Path(self.snapshot.folder) / "exports" / f"{volume}{of}-{what}.ome.zarr")

    @on(Input.Submitted)
    def _write(self) -> None:
        target = self.query_one(Input).value.strip()
        if not target:
            return
        volume, what = self._chosen
        model = None if what == "labels" else self.model
        export = partial(actions.export, volume=volume, target=Path(target).expanduser(), what=what, model=model)
        self.dismiss(Act(export))

    @property
    def _chosen(self) -> tuple[str, str]:
        return str(self.query_one("#volume", Select).value), str(self.query_one("#what", Select).value)
