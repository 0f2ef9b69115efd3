"""Verbs that set a project up: quick, init, add, info, config, demo."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ..store import project as projects
from ..store.errors import Cancelled, RondelError, UsageError
from . import browser, door, parse

Classes = Annotated[
    str, typer.Option("--classes", help="Class names, the first for everything else: background,membrane.")
]
Spacing = Annotated[
    str | None, typer.Option("--spacing", help="Voxel size z,y,x in --unit, where the file has none: 50,4,4.")
]
Unit = Annotated[str | None, typer.Option("--unit", help="Unit of the spacing: nm, um, mm.")]
Axes = Annotated[str | None, typer.Option("--axes", help="Axes of a file that does not say them, for example tczyx.")]
Level = Annotated[int, typer.Option("--level", min=0, help="Working level of the pyramid, 0 being the finest.")]
Time = Annotated[int | None, typer.Option("--time", min=0, help="Time point to read, where there is a t axis.")]
Channels = Annotated[
    list[str], typer.Option("--channel", help="Channel by name or index; repeat it, or separate by commas.")
]
Serve = Annotated[
    bool, typer.Option("--serve/--no-serve", help="Start the server of the page at the end, and print its link.")
]


def quick(
    context: typer.Context,
    image: Annotated[str, typer.Argument(help="TIFF, OME-Zarr, npy or a folder of TIFF or PNG.")],
    classes: Classes,
    spacing: Spacing = None,
    unit: Unit = None,
    axes: Axes = None,
    level: Level = 0,
    time: Time = None,
    channel: Channels = [],  # noqa: B006
    serve: Serve = True,
) -> None:
    """Make a project of one image, propose its first boxes and open the page: init, add, round and serve in one go.

    The project is a folder beside you, named after the image, unless -p names another. 'rondel -p FOLDER stop' ends the
    server.

    Example: rondel quick scan.ome.tif --classes background,membrane --spacing 10,10,10 --unit nm
    """
    from ..loop import jobs
    from ..loop.transfer import volume_name

    name = projects.check_volume_name(volume_name(image))
    folder = context.obj.folder if context.obj.named else Path(name)
    if folder.is_dir() and any(folder.iterdir()) and not context.obj.named:
        again = f"go on with it: rondel -p {folder} round; or " if (folder / "project.toml").exists() else ""
        raise UsageError(
            f"there is a folder {folder} already", f"{again}name the project's folder: rondel -p FOLDER quick …"
        )
    before = projects.Before.of(folder)
    with projects.create(folder, parse.names(classes)) as project:
        try:
            door.run(project, "import", _request(name, image, spacing, unit, axes, level, time, channel))
        except BaseException as error:
            if all(job.ended for job in jobs.jobs(project)):  # one that goes on writes there
                before.restore()
                if not isinstance(error, RondelError) or isinstance(error, Cancelled):
                    door.note(f"project {folder} was taken back")
            raise
        door.run(project, "round", {})
        door.say(f"project {folder}", *door.status_lines(project))
        if serve:
            browser.offer_later(project)


def init(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Folder of the new project.")],
    classes: Classes,
    name: Annotated[str, typer.Option("--name", help="Name shown on screens; the folder's by default.")] = "",
    seed: Annotated[int, typer.Option("--seed", help="Seed of every random choice.")] = 0,
) -> None:
    """Make an empty project folder with a commented project.toml.

    Example: rondel init cells --classes background,membrane
    """
    with projects.create(folder, parse.names(classes), name, seed) as project:
        listed = ", ".join(f"{c.value} {c.name}" for c in project.classes)
        door.say(f"project {folder}: classes {listed}", f"next: rondel -p {folder} add IMAGE")


def add(
    context: typer.Context,
    image: Annotated[
        str, typer.Argument(help="Image file, folder, http or s3 URL; or a volume's name, to add --labels to it.")
    ],
    name: Annotated[str | None, typer.Option("--name", help="Name of the volume; the file's by default.")] = None,
    spacing: Spacing = None,
    unit: Unit = None,
    axes: Axes = None,
    level: Level = 0,
    time: Time = None,
    channel: Channels = [],  # noqa: B006
    labels: Annotated[
        str | None, typer.Option("--labels", help="Labels of the whole volume that exist already.")
    ] = None,
    purpose: Annotated[
        str, typer.Option("--as", help="What the labels are for: train, test, or truth (oracles only).")
    ] = "train",
    mapping: Annotated[str | None, typer.Option("--map", help="Values of the file to label values: 0=1,1=2.")] = None,
    relink: Annotated[
        bool, typer.Option("--relink", help="The volume is there already; this is where its image is now.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Add a volume. OME-Zarr is read where it is and never written to; other files are imported as OME-Zarr.

    Example: rondel -p cells add scan.ome.tif --spacing 10,10,10 --unit nm

    Example: rondel -p cells add /data/scan.ome.zarr --level 1 --channel DAPI --labels dense.tif --as test
    """
    from ..loop.transfer import PURPOSES, volume_name

    if purpose not in PURPOSES:
        raise UsageError(f"--as {purpose} is not known", f"use one of {', '.join(PURPOSES)}")
    if not labels and (mapping or purpose != "train"):
        raise UsageError("--as and --map speak of labels, but there are none", "give the label file with --labels")
    with door.opened(context) as project:
        known = [v.name for v in project.volumes()]
        only_labels = bool(labels) and image in known and not Path(image).exists()
        chosen = volume_name(image) if name is None else name
        name = image if only_labels else projects.check_volume_name(chosen)
        request = _request(name, "" if only_labels else image, spacing, unit, axes, level, time, channel)
        request |= {
            "labels": _absolute(labels),
            "purpose": purpose,
            "mapping": parse.mapping(mapping),
            "relink": relink,
        }
        if name in known and not only_labels and not relink:
            raise UsageError(f"there is a volume '{name}' already", "give this one another --name")
        result = door.run(project, "import", request)
        record = project.volume_record(name)
        if json:
            door.emit("volumes", [record])
        else:
            size = "x".join(str(n) for n in record.shape)
            door.say(f"volume {name}: {size} voxels of {door.spacing_text(record)}, {record.dtype}")
            if "boxes" in result:
                door.say(f"{result['boxes']} {purpose} boxes imported from {labels}")


def info(
    context: typer.Context,
    volume: Annotated[str | None, typer.Argument(help="Name of the volume; may be left out when there is one.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what is known of a volume: axes, shape, chunks, levels, spacing, unit, intensities, and what is missing.

    Example: rondel -p cells info scan
    """
    from ..store.volume import report

    with door.opened(context) as project:
        record = project.only_volume(volume)
        facts = {"name": record.name, **report(record, project.folder), "truth": record.truth}
        if json:
            door.emit("volumes", [facts])
        else:
            door.say(*(f"{key.replace('_', ' '):<14} {door.fact(value)}" for key, value in facts.items()))


def config(
    context: typer.Context,
    key: Annotated[str | None, typer.Argument(help="A setting, as table.name.")] = None,
    value: Annotated[str | None, typer.Argument(help="Its new value.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show every setting with its sentence, or change one and keep the comments of project.toml.

    Example: rondel -p cells config boxes.shape 16,64,64
    """
    from ..store import settings_file

    file = context.obj.folder / "project.toml"
    if (context.obj.named or value is not None) and not file.is_file():
        raise projects.no_project(context.obj.folder)
    if key and value is not None:
        settings = settings_file.change(file, key, value)
    else:
        settings = settings_file.load(file) if file.is_file() else settings_file.parse({})
    every = [*settings_file.describe_classes(settings), *settings_file.describe(settings)]
    listed = [s for s in every if key is None or s[0] == key or s[0].startswith(f"{key}.")]
    if not listed:
        raise settings_file.unknown(key or "")
    if json:
        names = ("key", "value", "default", "sentence")
        door.emit("settings", [dict(zip(names, setting)) for setting in listed])
        return
    for name, current, default, sentence in listed:
        mark = "" if default is None or current == default else f"   (default {door.fact(default)})"
        door.say(f"{name} = {door.fact(current)}{mark}", f"    {sentence}")


def demo(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Folder of the demo; it must not exist yet.")] = Path("rondel-demo"),
    auto: Annotated[bool, typer.Option("--auto", help="Let an oracle answer three rounds from the truth.")] = False,
    rounds_: Annotated[int, typer.Option("--rounds", min=1, max=20, help="Rounds that the oracle answers.")] = 3,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the volume and of the project.")] = 0,
    serve: Serve = True,
) -> None:
    """Generate a volume that looks like tissue, make a project of it, propose the first boxes and open the screens.

    Where there is no terminal, the page's link is printed instead. With --auto an oracle answers from the truth for
    three rounds, and the learning curve is printed and saved.

    Example: rondel demo --auto
    """
    from . import demo as demo_module

    raise typer.Exit(demo_module.run(folder, auto=auto, rounds=rounds_, seed=seed, serve=serve))


def _request(name, image, spacing, unit, axes, level, time, channel) -> dict[str, Any]:
    return {
        "name": name,
        "image": _absolute(image) if image else "",
        "spacing": parse.spacing(spacing),
        "unit": unit,
        "axes": axes,
        "level": level,
        "time": time,
        "channels": parse.channels(channel),
        "labels": None,
        "purpose": "train",
        "mapping": {},
        "relink": False,
    }


def _absolute(path: str | None) -> str | None:
    if path is None or "://" in path:
        return path
    if not Path(path).exists():
        raise UsageError(f"there is no file or folder {path}", "check the path")
    return str(Path(path).resolve())
