"""Verbs about the page in the browser: serve, stop, view; and the half of label that opens a box in it."""

from typing import Annotated

import typer

from ..store import models, serving
from ..store.project import Project, person
from ..viewer import launch, link
from . import browser, door

Open = Annotated[bool, typer.Option("--open", help="Open a browser here; never over ssh.")]


def serve(
    context: typer.Context,
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="This port and no other; remembered by default.")
    ] = None,
    bind: Annotated[
        str | None, typer.Option("--bind", help="Address to listen at; [serve] bind by default, 127.0.0.1.")
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Serve from a process of its own; 'stop' ends it.")] = False,
    open_: Open = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Serve the page on which boxes are labelled, and print its link; Ctrl-C ends it.

    Whoever has the link can label. Where you sit at another machine, run the tunnel line there first.

    Example: rondel -p cells serve --detach
    """
    with door.opened(context) as project:

        def ready(found: serving.Serving) -> None:
            if json:
                place, tunnel = link.link(found), link.tunnel(found, project.settings)
                door.emit("servers", [{"port": found.port, "pid": found.pid, "link": place, "tunnel": tunnel}])
            else:
                browser.offer(project, found, browser=open_)

        if detach or serving.running(project.folder):
            ready(browser.start(project, port, bind))
        else:
            _serve_here(project, port, bind, ready)


def _serve_here(project: Project, port: int | None, bind: str | None, ready) -> None:
    """Be the server until a signal ends it."""
    from ..viewer import server

    def began(found: serving.Serving) -> None:
        browser.warn(found)
        ready(found)

    ended = server.serve(project.folder, port=port, bind=bind, ready=began)
    raise typer.Exit(128 + ended)


def stop(context: typer.Context) -> None:
    """Stop the server; what was painted is saved, and open pages go on when it is started again.

    Example: rondel -p cells stop
    """
    with door.opened(context) as project:
        found = launch.stop(project.folder)
        door.say(f"the server on port {found.port} has ended" if found else "no server runs")


def view(
    context: typer.Context,
    volume: Annotated[str | None, typer.Argument(help="Name of the volume; may be left out when there is one.")] = None,
    model: Annotated[
        int | None, typer.Option("--model", help="Model whose output is shown; the champion by default.")
    ] = None,
    open_: Open = False,
) -> None:
    """Show a whole volume in the browser: image, a model's output, labels, and all boxes, of which a click labels one.

    Example: rondel -p cells view scan --model 2
    """
    with door.opened(context) as project:
        name = project.only_volume(volume).name
        number = models.one(project.database, model).number if model is not None else None
        found = browser.start(project)
        if launch.show(found, person(), volume=name, model=number):
            door.say(f"'{name}' is shown in the page that you have open")
        browser.offer(project, found, browser=open_, volume=name, model=number)


def label_in_page(project: Project, id: int | None, open_: bool) -> None:
    """Bring a person to a box, or to the next one that waits; nothing is started when there is none."""
    wanted = browser.box_to_show(project, id) if id is not None else browser.waiting_boxes(project)[0]
    found = browser.start(project)
    box = wanted if id is not None else browser.next_box(project, found)
    if launch.show(found, person(), box=box.id):
        door.say(f"box {box.id} is shown in the page that you have open")
    else:
        door.say(f"box {box.id} of '{box.volume}', {box.purpose}, {box.state}: {box.reason}")
    browser.offer(project, found, browser=open_, box=box.id)
