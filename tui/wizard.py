"""How does a folder become a project? Four pages: the image, how it is read, the classes, and what will be made."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.reactive import reactive
from textual.screen import ModalScreen
from textual.widgets import (
    Button,
    ContentSwitcher,
    Footer,
    Input,
    Label,
    OptionList,
    RadioButton,
    RadioSet,
    Select,
    SelectionList,
    Static,
)
from textual.widgets.option_list import Option

from ..store.errors import RondelError
from ..store.project import check_volume_name
from ..store.records import ENDED, Job, JobState, Progress
from ..store.units import UNITS_NM
from . import first_run, words
from .class_rows import ClassRows
from .first_run import Found, Plan, Started
from .messages import Ask
from .toggles import Choice

PAGES = ("image", "volume", "classes", "project")
TITLES = ("Which image?", "How is it read?", "Which classes?", "What is made")
FOLLOW_SECONDS = 0.25
PROJECT = "\0"
"""Begins the id of an offered project, as no file's name can."""
UNITS = ("nanometer", "micrometer", "millimeter", "angstrom", *UNITS_NM)


class Wizard(ModalScreen[Path | None]):
    """Asks for all that a project needs, makes it, and closes with its folder, or with None when it is given up.

    It is modal, since the keys of the other screens do nothing while there is no project.
    """

    DEFAULT_CSS = """
    Wizard {
        align: center top;
        background: $background;
        & #frame { width: 100%; max-width: 92; height: 1fr; padding: 0 2; }
        & #title { margin: 1 0 0 0; text-style: bold; color: $text-primary; }
        & ContentSwitcher { height: 1fr; }
        & .page { height: 1fr; scrollbar-size-vertical: 1; }
        & .sentence { color: $text-muted; margin: 1 0 0 0; }
        & .field { margin: 1 0 0 0; height: auto; }
        & Input, & Select > SelectCurrent { border: tall $border-blurred; }
        & Input:focus { border: tall $border; }
        & OptionList { height: auto; max-height: 8; margin: 1 0 0 0; }
        & SelectionList { height: auto; max-height: 7; }
        & .warning { color: $text-warning; padding: 0 1; }
        & #said { color: $text-error; height: auto; min-height: 1; }
        & #buttons { height: 3; }
        & #buttons Button { margin: 0 2 0 0; min-width: 20; }
        & #spacing-row { height: auto; }
        & #spacing { width: 2fr; }
        & #unit { width: 1fr; }
        & RadioSet { width: 100%; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "back"),
        Binding("ctrl+n", "next", "next"),
        Binding("ctrl+q", "give_up", "quit", priority=True),
    ]
    page: reactive[int] = reactive(0)
    busy: reactive[bool] = reactive(False)

    def __init__(self, here: Path) -> None:
        super().__init__()
        self.here = here
        self._found: Found | None = None
        self._started: Started | None = None

    def compose(self) -> ComposeResult:
        with Vertical(id="frame"):
            yield Label(id="title")
            with ContentSwitcher(initial=PAGES[0]):
                yield from self._image_page()
                yield from self._volume_page()
                with VerticalScroll(id="classes", classes="page", can_focus=False):
                    yield Static(
                        "The first class is everything else. Their order is kept for good: more can be added later, "
                        "at the end.",
                        classes="sentence",
                    )
                    yield ClassRows()
                yield from self._project_page()
            yield Static(id="said", markup=False)
            with Horizontal(id="buttons"):
                yield Button("Back", id="back")
                yield Button("Next", id="next", variant="primary")
        yield Footer()

    def _image_page(self) -> ComposeResult:
        with VerticalScroll(id="image", classes="page", can_focus=False):
            yield Static(
                "No project is here yet. Name the image to label: TIFF, OME-Zarr (a folder or a URL), npy, or a folder "
                "of TIFF or PNG sections. It is never written to.",
                classes="sentence",
            )
            yield Input(placeholder="path or URL of the image", id="path", classes="field")
            yield OptionList(id="offered", markup=False)
            yield Static("Axes, only if the file does not say them, for example tczyx:", classes="sentence")
            yield Input(placeholder="as the file says", id="axes")

    def _volume_page(self) -> ComposeResult:
        with VerticalScroll(id="volume", classes="page", can_focus=False):
            yield Static(id="facts", classes="sentence", markup=False)
            yield Static("Name of the volume:", classes="sentence")
            yield Input(id="name")
            with Vertical(id="level-field", classes="field"):
                yield Static("Working level: boxes, labels and models have its voxels.", classes="sentence")
                yield Select([("", -1)], id="level", allow_blank=False)
            with Vertical(id="channels-field", classes="field"):
                yield Static("Channels that the network sees:", classes="sentence")
                yield SelectionList[int](id="channels")
            with Vertical(id="time-field", classes="field"):
                yield Static(id="time-sentence", classes="sentence", markup=False)
                yield Input("0", id="time", type="integer")
            yield Static(id="spacing-sentence", classes="sentence", markup=False)
            with Horizontal(id="spacing-row"):
                yield Input(placeholder="for example 50,4,4", id="spacing")
                yield Select([(unit, unit) for unit in dict.fromkeys(UNITS)], id="unit", prompt="unit")

    def _project_page(self) -> ComposeResult:
        with VerticalScroll(id="project", classes="page", can_focus=False):
            yield Static(id="advice", classes="sentence", markup=False)
            with RadioSet(id="dims"):
                yield Choice("as recommended", value=True, id="dims-auto")
                yield Choice("2-D", id="dims-2")
                yield Choice("3-D", id="dims-3")
            yield Static("Folder of the project:", classes="sentence")
            yield Input(id="folder")
            yield Static(id="others", classes="warning", markup=False)
            yield Static(id="summary", classes="sentence", markup=False)

    def on_mount(self) -> None:
        self.post_message(Ask(partial(first_run.offer, self.here), self._show_offered))
        self.query_one("#path", Input).focus()

    def watch_page(self, page: int) -> None:
        self.query_one("#title", Label).update(f"New project · {page + 1} of {len(PAGES)} · {TITLES[page]}")
        self.query_one(ContentSwitcher).current = PAGES[page]
        self.query_one("#back", Button).disabled = page == 0
        self.query_one("#next", Button).label = "Make the project" if page == len(PAGES) - 1 else "Next"
        self._say("")
        self.call_after_refresh(self._focus_first)  # what was focused on the page before takes it away as it is hidden

    def _focus_first(self) -> None:
        """Focus what is to be filled in first: of the classes the second, since the first has its name."""
        fields = self.query(f"#{PAGES[self.page]} Input, #{PAGES[self.page]} RadioSet")
        names = self.query(f"#{PAGES[self.page]} .name")
        target = names[1] if len(names) > 1 else fields.first() if fields else None
        if target is not None:
            target.focus()

    def watch_busy(self, busy: bool) -> None:
        self.query_one("#next", Button).disabled = busy
        self.query_one("#back", Button).disabled = busy or self.page == 0

    @on(Input.Changed)
    def _forget_mistake(self) -> None:
        if not self.busy:
            self._say("")

    @on(Button.Pressed, "#back")
    def action_back(self) -> None:
        if self.busy:
            return
        if self.page == 0:
            self.action_give_up()
        else:
            self.page -= 1

    def action_give_up(self) -> None:
        self.dismiss(None)

    @on(Button.Pressed, "#next")
    @on(Input.Submitted)
    def action_next(self) -> None:
        """Check the page, and go on to the next one."""
        if self.busy:
            return
        leave: tuple[Callable[[], None], ...] = (self._look, self._read, self._class_page_done, self._create)
        try:
            leave[self.page]()
        except RondelError as error:
            self._failed(error.message, error.hint)

    @on(OptionList.OptionSelected, "#offered")
    def _choose_offered(self, event: OptionList.OptionSelected) -> None:
        chosen = str(event.option.id)
        if chosen.startswith(PROJECT):
            self.dismiss(self.here / chosen.removeprefix(PROJECT))
            return
        self.query_one("#path", Input).value = str(self.here / chosen)
        self.action_next()

    def _show_offered(self, found: first_run.Offered) -> None:
        if not self.is_attached:
            return
        offered = self.query_one("#offered", OptionList)
        made = [(f"open the project {words.plain(name)}", f"{PROJECT}{name}") for name in found.projects]
        listed = [*made, *((words.plain(name), name) for name in found.images)]
        offered.add_options(Option(Text(text), id=id) for text, id in listed)
        offered.display = bool(listed)
        offered.highlighted = 0 if listed else None  # enter takes it

    def _look(self) -> None:
        image, axes = self.query_one("#path", Input).value, self.query_one("#axes", Input).value
        self._wait("looking at the image …")
        self.post_message(Ask(partial(first_run.look, image, axes), self._show_found, self._failed))

    def _show_found(self, found: Found) -> None:
        """Fill the second page with what the image says."""
        if not self.is_attached:
            return
        self.busy, self._found = False, found
        kept = "It is read where it is." if found.referenced else "It is copied into the project as OME-Zarr."
        shape = " × ".join(str(n) for n in found.levels[0].shape)
        self.query_one("#facts", Static).update(
            words.plain(f"{found.image}: {shape} voxels (z, y, x), {found.dtype}, axes {found.axes}. {kept}")
        )
        self.query_one("#name", Input).value = found.name
        self.query_one("#level", Select).set_options((_level_text(found, k), k) for k in range(len(found.levels)))
        self.query_one("#level-field").display = len(found.levels) > 1
        channels = self.query_one("#channels", SelectionList)
        channels.clear_options()
        channels.add_options((Text(words.plain(name, 40)), k, k == 0) for k, name in enumerate(found.channels))
        self.query_one("#channels-field").display = len(found.channels) > 1
        self.query_one("#time-field").display = found.times > 1
        self.query_one("#time-sentence", Static).update(f"Time point, 0 to {found.times - 1}:")
        self._show_spacing()
        self.page = 1

    @on(Select.Changed, "#level")
    def _show_spacing(self) -> None:
        if self._found is None:
            return
        spacing, unit = self._level.spacing, self._found.unit
        known = "The voxel size as the image says it, z,y,x, and its unit:"
        unknown = "The image does not say its voxel size: write it as z,y,x, and choose the unit:"
        self.query_one("#spacing-sentence", Static).update(known if spacing and unit else unknown)
        self.query_one("#spacing", Input).value = ",".join(f"{v:g}" for v in spacing) if spacing else ""
        self.query_one("#unit", Select).value = unit if unit in UNITS else Select.NULL

    @property
    def _level(self) -> first_run.Level:
        assert self._found is not None
        value = self.query_one("#level", Select).value
        return self._found.levels[value if isinstance(value, int) and 0 <= value < len(self._found.levels) else 0]

    def _read(self) -> None:
        plan = self._plan()
        assert plan.spacing and self._found
        level = self._found.levels[plan.level]
        advice = first_run.recommend(level.shape, plan.spacing)
        self.query_one("#dims-auto", RadioButton).label = f"as recommended: {advice.dims}-D"
        self.query_one("#advice", Static).update(f"Networks in 2-D predict sections one by one. {advice.words}.")
        self.query_one("#folder", Input).value = str(first_run.default_folder(self.here, plan.volume))
        self.page = 2

    def _class_page_done(self) -> None:
        classes = first_run.check_classes(self.query_one(ClassRows).chosen)
        names = ", ".join(f"{k} {words.plain(name)}" for k, (name, _) in enumerate(classes, 1))
        self.query_one("#summary", Static).update(
            f"Label values: {names}; 0 is unlabelled. A commented project.toml is written, the image is added, and the "
            "first boxes are proposed; all settings can be changed later."
        )
        self.page = 3

    @on(Input.Changed, "#folder")
    def _look_for_others(self, event: Input.Changed) -> None:
        self.post_message(Ask(partial(first_run.others_in, Path(event.value or self.here)), self._show_others))

    def _show_others(self, count: int) -> None:
        if self.is_attached:
            lie = words.counted(count, "other thing lies", "other things lie")
            self.query_one("#others", Static).update(f"{lie} there, beside what the project makes." if count else "")

    def _plan(self) -> Plan:
        """Gather what was chosen; raises UsageError naming what is missing."""
        assert self._found is not None
        unit, level = self.query_one("#unit", Select).value, self.query_one("#level", Select).value
        dims: dict[str, Literal["auto", 2, 3]] = {"dims-2": 2, "dims-3": 3}
        pressed = self.query_one("#dims", RadioSet).pressed_button
        time = self.query_one("#time", Input).value
        unit = unit if isinstance(unit, str) else None
        return Plan(
            folder=Path(self.query_one("#folder", Input).value or self.here),
            image=self._found.image,
            volume=check_volume_name(self.query_one("#name", Input).value.strip()),
            classes=self.query_one(ClassRows).chosen,
            level=max(0, level) if isinstance(level, int) else 0,
            time=int(time or 0) if self._found.times > 1 else None,
            channels=tuple(self.query_one("#channels", SelectionList).selected)
            if len(self._found.channels) > 1
            else (),
            spacing=first_run.check_spacing(self.query_one("#spacing", Input).value, unit),
            unit=unit,
            axes=self.query_one("#axes", Input).value.strip() or None,
            dims=dims.get(pressed.id or "", "auto") if pressed else "auto",
        )

    def _create(self) -> None:
        plan = self._plan()
        plan = replace(plan, classes=first_run.check_classes(plan.classes))
        self._wait("making the project …")
        self.post_message(Ask(partial(first_run.create, plan), self._follow, self._failed))

    def _follow(self, started: Started) -> None:
        self._started = started
        self.post_message(Ask(partial(first_run.follow, started), self._show_progress, self._failed))

    def _show_progress(self, found: tuple[Job, Progress | None]) -> None:
        job, progress = found
        started = self._started
        if started is None or not self.is_attached:
            return
        if job.state == JobState.DONE:
            self.dismiss(started.folder)
        elif job.state in ENDED:
            self.post_message(Ask(started.before.restore, lambda _: self._failed(job.error, job.hint)))
        else:
            share = f" {100 * progress.done / max(progress.total, 1e-9):.0f} %" if progress else ""
            self._wait(f"adding the image …{share}")
            self.set_timer(FOLLOW_SECONDS, partial(self._follow, started))

    def _wait(self, text: str) -> None:
        self.busy = True
        self._say(text, mistake=False)

    def _failed(self, message: str, hint: str) -> None:
        if not self.is_attached:
            return
        self.busy = False
        self._say(f"{message}; {hint}" if hint else message)

    def _say(self, text: str, *, mistake: bool = True) -> None:
        said = self.query_one("#said", Static)
        said.update(Text(words.plain(text), "" if mistake else "dim"))


def _level_text(found: Found, k: int) -> str:
    level = found.levels[k]
    shape = " × ".join(str(n) for n in level.shape)
    size = " × ".join(f"{v:g}" for v in level.spacing) if level.spacing else "unknown"
    finest = ", the finest" if k == 0 else ""
    return f"{k}: {shape} voxels of {size} {found.unit or ''}{finest}".strip()
