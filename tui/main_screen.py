"""What does a person see while rounds go on? The panels, in three layouts, and the keys that act on what is selected.

wide, from 160×44        medium, from 110×34      narrow: one tab at a time
┌boxes┬preview┬rounds┐   ┌boxes──┬preview┐        ┌─────────────────┐
│     │       ├curve─┤   │       ├rounds─┤        │ boxes, box      │
├box──┤       │      │   ├box────┼curve──┤        │ or preview, or  │
├jobs─┴┬page──┴┬log──┤   ├jobs───┼page───┤        │ rounds, curve … │
└──────┴───────┴─────┘   └───────┴───────┘        └─────────────────┘
"""

from functools import partial

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container, Horizontal, Vertical
from textual.content import Content
from textual.events import Resize
from textual.geometry import Size
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from ..store.records import LabelBox, Purpose, State
from . import actions
from .add_box_dialog import AddBoxDialog
from .box_panel import BoxPanel
from .boxes_panel import BoxesPanel
from .curve_panel import CurvePanel
from .dialogs import AskLine, Confirm
from .due_line import DueLine
from .headline import Headline
from .jobs_panel import JobsPanel
from .key_line import KeyLine
from .link_panel import LinkPanel
from .log_panel import Line, LogPanel
from .messages import Act, BoxChosen, CopyText, PreviewWanted, Said, ShowScreen
from .next_step import next_step
from .preview_panel import PreviewPanel
from .rounds_panel import RoundsPanel
from .snapshot import Snapshot
from .tab_line import TabLine
from .theme import QUIET

PANELS = ("boxes", "box", "preview", "rounds", "curve", "jobs", "link", "log")
"""In the order of their number keys."""
LAYOUTS = ("tiny", "narrow", "medium", "wide")
SMALLEST = Size(70, 20)


def layout_for(size: Size) -> str:
    """Choose the layout of a terminal."""
    if size.width < SMALLEST.width or size.height < SMALLEST.height:
        return "tiny"
    if size.width < 110 or size.height < 34:
        return "narrow"
    return "medium" if size.width < 160 or size.height < 44 else "wide"


class MainScreen(Screen[None]):
    """All panels; they show the snapshot they are handed, and post what the person wants."""

    AUTO_FOCUS = "BoxesPanel DataTable"
    """Not the first that could be focused: that is the filter, which is hidden."""

    DEFAULT_CSS = """
    MainScreen {
        layers: base; background: $background;
        .panel { border: round $border-blurred; border-title-color: $foreground; border-subtitle-color: $text-muted; }
        .panel:focus, .panel:focus-within { border: round $border; border-title-color: $accent; }
        #tiny { display: none; width: 1fr; height: 1fr; content-align: center middle; text-align: center; }
        #all { height: 1fr; }
        #columns { height: 1fr; }
        #work { width: 1fr; }
        #boxes { height: 1fr; }
        #box { height: 10; }
        #bottom { height: 7; }
        #bottom > .panel { width: 1fr; height: 1fr; }
        #right { width: 1fr; }
        #progress { height: auto; }
        TabLine { display: none; }

        &.-wide {
            #right { layout: horizontal; width: 114; }
            #work { width: 1fr; }
            #preview { width: 1fr; height: 1fr; }
            #progress { width: 58; height: 1fr; }
            #rounds { height: 1fr; max-height: 16; }
            #curve { height: 1fr; }
            #bottom { height: 8; }
        }
        &.-medium {
            #right { layout: vertical; min-width: 64; }
            #preview { height: 1fr; min-height: 11; }
            #progress { height: 19; }
            #rounds { height: 7; }
            #curve { height: 1fr; }
            #log { display: none; }
            #link { min-width: 64; }
        }
        &.-narrow {
            TabLine { display: block; }
            #work, #right, #bottom, #preview, #progress { display: none; width: 1fr; height: 1fr; }
            #box { height: 10; max-height: 40%; }
            #rounds { height: 8; }
            #curve { height: 1fr; }
            #bottom { layout: vertical; }
            #bottom > .panel { height: 1fr; }
            #columns { height: 1fr; }
            &.tab-boxes #work { display: block; }
            &.tab-preview { #right, #preview { display: block; } }
            &.tab-rounds { #right, #progress { display: block; } }
            &.tab-jobs { #columns { display: none; } #bottom { display: block; } }
        }
        &.-tiny { #tiny { display: block; } #all, Headline, DueLine, KeyLine, TabLine { display: none; } }
    }
    """

    BINDINGS = [
        Binding("space", "due", "what is due", show=False),
        Binding("o", "open", "open"),
        Binding("c", "copy_link", "link"),
        Binding("d", "done", "done"),
        Binding("s", "skip", "skip"),
        Binding("e", "reopen", "re-open"),
        Binding("m", "more", "more"),
        Binding("a", "add", "add"),
        Binding("T", "protect", "test"),
        Binding("p", "jump('preview')", "preview", show=False),
        Binding("g", "go_to", "go to box", show=False),
        Binding("C", "copy_tunnel", "copy ssh line", show=False),
        *(Binding(str(n), f"jump('{name}')", name, show=False) for n, name in enumerate(PANELS, 1)),
    ]

    def __init__(self, snapshot: Snapshot, log: list[Line]) -> None:
        super().__init__()
        self.snapshot = snapshot
        self.box: LabelBox | None = None
        """The selected one."""
        self._log = log
        self._tab = "boxes"

    def compose(self) -> ComposeResult:
        yield Headline()
        yield TabLine()
        with Vertical(id="all"):
            with Horizontal(id="columns"):
                with Vertical(id="work"):
                    yield BoxesPanel(id="boxes", classes="panel")
                    yield BoxPanel(id="box", classes="panel")
                with Container(id="right"):
                    yield PreviewPanel(id="preview", classes="panel")
                    with Vertical(id="progress"):
                        yield RoundsPanel(id="rounds", classes="panel")
                        yield CurvePanel(id="curve", classes="panel")
            with Horizontal(id="bottom"):
                yield JobsPanel(id="jobs", classes="panel")
                yield LinkPanel(id="link", classes="panel")
                yield LogPanel(id="log", classes="panel")
        yield Static(id="tiny", markup=False)
        yield DueLine()
        yield KeyLine()

    def on_mount(self) -> None:
        self._lay_out(self.app.size)
        self.query_one(LogPanel).say(self._log)
        self.show(self.snapshot)
        _focus_inside(self.query_one(BoxesPanel))

    def on_resize(self, event: Resize) -> None:
        self._lay_out(event.size)

    def _lay_out(self, size: Size) -> None:
        chosen = layout_for(size)
        for name in LAYOUTS:
            self.set_class(name == chosen, f"-{name}")
        self._show_tab()
        asked = f"{SMALLEST.width} × {SMALLEST.height}"
        found = f"{size.width} × {size.height}"
        self.query_one("#tiny", Static).update(f"rondel needs {asked} cells;\nthis terminal has {found}.\n\nq leaves")

    def _show_tab(self) -> None:
        """Show one tab where the layout has tabs; elsewhere a class less spares all widgets a change of style."""
        for tab in TabLine.TABS:
            self.set_class(tab == self._tab and self.has_class("-narrow"), f"tab-{tab}")

    def show(self, snapshot: Snapshot) -> None:
        """Hand a new state to all panels."""
        self.snapshot = snapshot
        if self.box is not None:
            self.box = snapshot.box(self.box.id) or self.box
        self.query_one(Headline).show(snapshot)
        self.query_one(DueLine).show(next_step(snapshot))
        for name in PANELS:
            panel = self.query_one(f"#{name}")
            if isinstance(panel, LogPanel):
                continue
            panel.show(snapshot)  # type: ignore[attr-defined]
        self._number_panels()
        if self.focused is None:  # a list that was empty cannot keep the focus
            _focus_inside(self.query_one(BoxesPanel))
        self.refresh_bindings()

    def say(self, lines: list[Line]) -> None:
        self.query_one(LogPanel).say(lines)
        self.query_one(DueLine).say(lines[-1][1])

    def starting_server(self, begun: bool) -> None:
        panel = self.query_one(LinkPanel)
        panel.starting(begun)
        panel.show(self.snapshot)
        self._number_panels()

    def _number_panels(self) -> None:
        """Put each panel's number key before its title."""
        for n, name in enumerate(PANELS, 1):
            panel = self.query_one(f"#{name}")
            title = Content.from_markup(panel.border_title or "")
            if not title.plain.startswith(f"{n} "):
                panel.border_title = Content.assemble((f"{n} ", QUIET), title)  # type: ignore[assignment]

    @on(BoxChosen)
    def _chosen(self, event: BoxChosen) -> None:
        event.stop()
        self.box = event.box
        self.query_one(BoxPanel).choose(self.snapshot, event.box)
        self.query_one(PreviewPanel).choose(self.snapshot, event.box)
        self._number_panels()
        self.refresh_bindings()

    @on(PreviewWanted)
    def _pass_on(self, event: PreviewWanted) -> None:
        """Hand a wish to the app: Textual bubbles no message past the one in whose handler it was made."""
        event.stop()
        self.app.post_message(PreviewWanted(event.request))

    @on(RoundsPanel.Chosen)
    def _round_chosen(self, event: RoundsPanel.Chosen) -> None:
        self.query_one(BoxesPanel).show_round(event.number)
        self._number_panels()
        self.action_jump("boxes")

    @on(TabLine.Chosen)
    def _tab_chosen(self, event: TabLine.Chosen) -> None:
        self.action_jump(event.panel)

    @on(BoxesPanel.Opened)
    def _opened(self) -> None:
        self.action_open()

    @on(DueLine.Pressed)
    def action_due(self) -> None:
        """Do what is due."""
        step = next_step(self.snapshot)
        if step.action is None:
            self.post_message(Said(step.words))
        elif step.question:
            self._ask(step.question, "train", Act(step.action))
        else:
            self.post_message(Act(step.action))
            if step.opens:
                self._lead_to_page()

    def _ask(self, question: str, yes: str, act: Act) -> None:
        """Do something only if the person is sure."""

        def answered(sure: bool | None) -> None:
            if sure:
                self.post_message(act)

        self.app.push_screen(Confirm(question, yes), answered)

    def _lead_to_page(self) -> None:
        """Show the link where it is hidden behind another tab while nobody has the page open."""
        server = self.snapshot.server
        if self.has_class("-narrow") and not (server and server.people):
            self.action_jump("link")

    @on(LinkPanel.Clicked)
    def action_copy_link(self) -> None:
        if self.snapshot.server:
            self.post_message(CopyText(self.snapshot.server.link, "the link"))
        else:
            self.post_message(Said("there is no link yet: no page is served", "'o' starts it", mistake=True))

    def action_copy_tunnel(self) -> None:
        if self.snapshot.server:
            self.post_message(CopyText(self.snapshot.server.tunnel, "the ssh line"))

    def action_open(self) -> None:
        self.post_message(Act(partial(actions.open_box, id=self.box.id if self.box else None)))
        self._lead_to_page()

    def action_done(self) -> None:
        if self.box is None:
            return
        act = Act(partial(actions.done, id=self.box.id))
        if self.box.id in self.snapshot.saves:
            self.post_message(act)
        else:
            question = f"Nothing is painted in box {self.box.id}, so that it teaches and scores nothing. Is it done?"
            self._ask(question, "it is done", act)

    def action_skip(self) -> None:
        box = self.box
        if box is None:
            return

        def answered(why: str | None) -> None:
            if why:
                self.post_message(Act(partial(actions.skip, id=box.id, why=why)))

        self.app.push_screen(AskLine(f"Why is box {box.id} skipped?", "kept with the box: blurred, empty …"), answered)

    def action_reopen(self) -> None:
        if self.box:
            self.post_message(Act(partial(actions.reopen, id=self.box.id)))

    def action_more(self) -> None:
        self.post_message(Act(actions.propose))

    def action_add(self) -> None:
        if not self.snapshot.volumes:
            self.post_message(Said("there is no volume to add a box in", self.snapshot.due.verb, mistake=True))
            return

        def answered(act: Act | None) -> None:
            if act:
                self.post_message(act)

        self.app.push_screen(AddBoxDialog(self.snapshot, self.box), answered)

    def action_protect(self) -> None:
        """Make the selected box a test box, which cannot be taken back."""
        box = self.box
        if box is None:
            return

        question = f"Protect box {box.id} as a test box? It is never trained on from then on."
        self._ask(question, "protect it", Act(partial(actions.protect, id=box.id)))

    def action_go_to(self) -> None:
        def answered(line: str | None) -> None:
            if line is None:
                return
            if not (line.isdecimal() and self.query_one(BoxesPanel).choose(int(line[:12]))):
                self.post_message(Said(f"there is no box {line}", "boxes are numbered from 1", mistake=True))
                return
            self._number_panels()
            self.action_jump("boxes")

        self.app.push_screen(AskLine("Go to which box?", "its number"), answered)

    def action_jump(self, name: str) -> None:
        """Bring a panel to the front and focus it."""
        if name == "log" and self.has_class("-medium"):  # there it has no room beside the others
            self.post_message(ShowScreen("log"))
            return
        self._tab = TabLine.tab_of(name)
        self._show_tab()
        self.query_one(TabLine).show(self._tab)
        panel = self.query_one(f"#{name}")
        self.call_after_refresh(_focus_inside, panel)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leave out the keys that have nothing to act on."""
        state = self.box.state if self.box else None
        legal = {
            "open": True,
            "done": state in (State.PROPOSED, State.OPEN, State.SKIPPED),
            "skip": state in (State.PROPOSED, State.OPEN),
            "reopen": state in (State.DONE, State.SKIPPED),
            "protect": self.box is not None and self.box.purpose == Purpose.TRAIN,
            "copy_link": self.snapshot.server is not None,
            "more": not self.snapshot.computing,
        }
        return legal.get(action, True)


def _focus_inside(panel: Widget) -> None:
    """Focus a panel, or what in it can be focused."""
    inside = (w for w in panel.walk_children(Widget) if w.focusable and w.display)
    target = panel if panel.can_focus else next(inside, None)
    if target is not None:
        target.focus()
