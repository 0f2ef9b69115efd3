"""How does a verb bring a person's browser to the page? It starts the server if need be, and prints link and tunnel."""

from typing import Any

from ..store import atomic, label_boxes, serving
from ..store.errors import RondelError, UsageError
from ..store.project import Project, person
from ..store.records import LabelBox, State
from ..store.serving import Serving
from ..viewer import launch, link
from . import door

PAGE = "open.html"
"""File of cache/ that sends a browser to the link: a command line that held the secret could be seen by others."""


def ensure(project: Project) -> Serving:
    """Return the project's server, started in a process of its own when none runs."""
    return launch.ensure(project.folder).serving


def bring(project: Project, found: Serving, what: str, **wanted: Any) -> str:
    """Show something in the page that the person has open, else in a browser here; returns a line about it."""
    if launch.show(found, person(), **wanted):
        return f"{what} is shown in the page that you have open"
    if not link.has_screen():
        return f"{what} opens with the link: copy it to the browser where you sit"
    if not _open(project, link.link(found, **wanted)):
        return f"{what} opens with the link: no browser was found here"
    return f"{what} opens in the browser"


def start(project: Project, port: int | None = None, bind: str | None = None) -> Serving:
    """Return the project's server, started in a process of its own when none runs, and warn of what needs it."""
    began = launch.ensure(project.folder, port=port, bind=bind)
    found = began.serving
    differs = [
        f"{name} {now}"
        for name, asked, now in (("port", port, found.port), ("address", bind, found.bind))
        if asked not in (None, now)
    ]
    if not began.new and differs:
        raise UsageError(f"the server runs already, on {differs[0]}", "'rondel stop' it first")
    door.note(*(f"rondel: {line}" for line in began.said))
    warn(found)
    return found


def warn(found: Serving) -> None:
    """Say it when others can reach the page over the network."""
    if not _is_loopback(found.bind):
        door.note(
            f"rondel: the page is served on {found.bind}: whoever reaches port {found.port} and reads its traffic "
            "can act as you; a tunnel is safer"
        )


def offer(project: Project, found: Serving, *, browser: bool = False, **wanted: Any) -> None:
    """Print the link and the tunnel line; `browser` opens one here, where there is a screen."""
    place = link.link(found, **wanted)
    door.say(place, f"from another machine, first: {link.tunnel(found, project.settings)}")
    if not (browser or project.settings.serve.open):
        return
    if link.over_ssh():
        door.note("no browser is started over ssh: open the link where you sit")
    elif not link.has_screen():
        door.note("no browser is started: this machine has no screen; open the link where you sit")
    elif not _open(project, place):
        door.note("no browser was found: open the link yourself")


def _open(project: Project, place: str) -> bool:
    """Open a browser here; False when there is none but such as would take over the terminal."""
    import webbrowser

    try:
        if type(webbrowser.get()) is webbrowser.GenericBrowser:
            return False
    except webbrowser.Error:
        return False

    page = project.folder.resolve() / "cache" / PAGE
    page.parent.mkdir(exist_ok=True)
    atomic.write_bytes(page, f'<!doctype html><meta http-equiv="refresh" content="0;url={place}">'.encode(), mode=0o600)
    return webbrowser.open(page.as_uri())


def offer_later(project: Project) -> None:
    """Start the server and print the link after other work; that it cannot start is said, and no failure."""
    try:
        offer(project, start(project))
    except RondelError as error:
        door.note(f"rondel: the page could not be started: {error}")


def next_box(project: Project, found: Serving) -> LabelBox:
    """Return the next box that waits and that nobody else has open; raises UsageError when none waits."""
    others = {one.get("box") for one in launch.connected(found) if one.get("person") != person()}
    waiting = waiting_boxes(project)
    return next((box for box in waiting if box.id not in others), waiting[0])


def waiting_boxes(project: Project) -> list[LabelBox]:
    """List the boxes that wait for a person; raises UsageError when none does."""
    from ..loop import rounds

    waiting = rounds.waiting_boxes(project)
    if not waiting:
        due = rounds.due(project)
        raise UsageError("no box waits to be labelled", f"due now: {due.words}: {due.verb}")
    return waiting


def box_to_show(project: Project, id: int) -> LabelBox:
    """Return a box that can be shown; raises UsageError when there is none, or when it was dropped."""
    box = label_boxes.get(project.database, id)
    if box.state == State.DROPPED:
        raise UsageError(f"box {id} was dropped when a later round was ranked", "'rondel boxes' lists the others")
    return box


def facts(project: Project) -> dict[str, Any] | None:
    """Gather what `status` shows of the server; None when none runs. `people` is None when it does not answer."""
    found = serving.running(project.folder)
    if found is None:
        return None
    try:
        people = launch.connected(found) if serving.here(found) else None
    except RondelError:
        people = None
    return {"pid": found.pid, "host": found.host, "bind": found.bind, "port": found.port, "people": people}


def status_line(server: dict[str, Any]) -> str:
    people = server["people"]
    if people is None:
        who = "it does not answer"
    else:
        seen = [f"{p.get('person') or 'somebody'} ({_sight(p)})" for p in people]
        who = f"connected: {', '.join(seen)}" if seen else "nobody connected"
    return f"server: port {server['port']} on {server['host']} (pid {server['pid']}), {who}"


def _sight(one: dict[str, Any]) -> str:
    return f"box {one['box']}" if one.get("box") is not None else str(one.get("volume") or "no volume")


def _is_loopback(address: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
