"""The command line: ``napari-gaussproto demo | predict | measure | export | train | info``."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from napari_gaussproto.core.base.errors import GaussProtoError, memory_in_words

app = typer.Typer(
    help="Explainable segmentation of field photographs with Gaussian prototypes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Model = Annotated[str, typer.Option(help="Name of a shipped model, or a model file.")]
Images = Annotated[
    list[str], typer.Argument(help="Folders, patterns such as 'plots/**/*.jpg', files.")
]
Tile = Annotated[str, typer.Option(help="auto, none (whole image), or a side in pixels.")]
Channels = Annotated[str, typer.Option(help="auto, first, last, or none: a stack of grey planes.")]
Drawn = Annotated[
    Path | None, typer.Option(help="Project, NAME.gaussproto: what was drawn there overrules.")
]
Side = Annotated[
    str | None, typer.Option(help="Side of a pixel, such as 0.5mm; else what files say.")
]
Least = Annotated[int, typer.Option(help="Smallest object, in pixels.")]
DEFAULT_MODEL = "plants"


@app.callback()
def options(
    verbose: Annotated[bool, typer.Option(help="Say what happens in detail.")] = False,
) -> None:
    """Set up logging for every command."""
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING, format="%(levelname)s %(message)s"
    )


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("demo-output"),
    device: Device = "auto",
    gui: Annotated[bool, typer.Option(help="Open the results in napari afterwards.")] = False,
) -> None:
    """Segment the bundled photographs with the shipped model."""
    from napari_gaussproto.commands.demo import run_demo

    run_demo(out, device, gui)


@app.command()
def predict(
    images: Images,
    model: Model = DEFAULT_MODEL,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("predictions"),
    device: Device = "auto",
    tile: Tile = "auto",
    labels: Annotated[str, typer.Option(help="Format of labels: tiff, png or zarr.")] = "tiff",
    maps: Annotated[bool, typer.Option(help="Write likelihood maps.")] = False,
    overview: Annotated[bool, typer.Option(help="Write an overview picture of each.")] = False,
    measure: Annotated[bool, typer.Option(help="Write tables of objects and areas.")] = False,
    pixel_size: Side = None,
    least_area: Least = 16,
    channels: Channels = "auto",
    corrections: Drawn = None,
    again: Annotated[
        bool, typer.Option("--again", help="Segment what is up to date, too.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(help="So many processes on this machine, instead of one.")
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(help="Address or scheduler file of a dask cluster that does the work."),
    ] = None,
) -> None:
    """Segment images; those that cannot be read are listed and left out.

    A second call segments only what is missing or has changed.
    """
    from napari_gaussproto.commands.predict import run_predict

    failed = run_predict(
        *(images, model, out, device, tile, labels, channels),
        maps=maps,
        overview=overview,
        again=again,
        measure=measure,
        pixel_size=pixel_size,
        least_area=least_area,
        corrections=corrections,
        scheduler=scheduler,
        workers=workers,
    )
    raise typer.Exit(1 if failed else 0)


@app.command()
def measure(
    images: Images,
    model: Model = DEFAULT_MODEL,
    out: Annotated[Path, typer.Option(help="Folder for the tables.")] = Path("measurements"),
    device: Device = "auto",
    tile: Tile = "auto",
    pixel_size: Side = None,
    least_area: Least = 16,
    regions: Annotated[
        Path | None,
        typer.Option(help="Regions: GeoJSON in pixels, or a folder with one for each image."),
    ] = None,
    instances: Annotated[
        Path | None,
        typer.Option(help="Folder with images of numbers: the objects, instead of pieces."),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="Folder that predict wrote; corrections in its labels count."),
    ] = None,
    corrections: Drawn = None,
    channels: Channels = "auto",
    format: Annotated[str, typer.Option(help="Format of tables: csv or parquet.")] = "csv",
) -> None:
    """Measure cover and objects of images; those that cannot be read are listed."""
    from napari_gaussproto.commands.measure import run_measure

    failed = run_measure(
        images,
        model,
        out,
        device,
        tile,
        channels,
        pixel_size=pixel_size,
        least_area=least_area,
        regions=regions,
        instances=instances,
        labels=labels,
        corrections=corrections,
        format=format,
    )
    raise typer.Exit(1 if failed else 0)


@app.command()
def export(
    what: Annotated[str, typer.Argument(help="Folder that predict wrote; or a model.")],
    format: Annotated[str, typer.Option(help="coco, geojson, png; of a model onnx, bioimageio.")],
    out: Annotated[Path | None, typer.Option(help="Another folder; of a model, the file.")] = None,
    least_area: Annotated[int, typer.Option(help="Smallest piece of polygons, in pixels.")] = 16,
) -> None:
    """Write labels, with corrections in their files, or a model for other programs."""
    from napari_gaussproto.commands.export import run_export

    failed = run_export(what, format, out, least_area)
    raise typer.Exit(1 if failed else 0)


@app.command()
def train(
    config: Annotated[Path, typer.Option(help="Training configuration (TOML).")],
    data: Annotated[Path, typer.Option(help="Folder that the configuration's paths start at.")],
    out: Annotated[Path, typer.Option(help="Model file to write.")],
    device: Device = "auto",
    seed: Annotated[int, typer.Option(help="The same seed gives the same model.")] = 0,
    minutes: Annotated[
        float | None, typer.Option(help="Budget of end-to-end training, instead of steps.")
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Keep the state here; if the file exists, training resumes."),
    ] = None,
    ignore: Annotated[
        list[int] | None,
        typer.Option(help="Value of masks that is not labelled; may be given several times."),
    ] = None,
    test: Annotated[bool, typer.Option(help="Measure the test split as well, once.")] = False,
) -> None:
    """Train a model; Ctrl-C stops early and keeps the best weights so far."""
    from napari_gaussproto.commands.train import run_train

    run_train(config, data, out, device, seed, minutes, checkpoint, ignore or (), test=test)


@app.command()
def info(
    model: Annotated[str, typer.Argument(help="Name or file of a model.")],
    markdown: Annotated[bool, typer.Option(help="Print the card as Markdown, for a page.")] = False,
) -> None:
    """Show what a model says about itself."""
    from napari_gaussproto.commands.info import run_info

    run_info(model, markdown=markdown)


def main() -> None:
    """Run the command line; a user error is one line and exit code 1."""
    try:
        with memory_in_words():
            app()
    except GaussProtoError as error:
        _fail(str(error))
    except OSError as error:  # a full disk, a folder without permission
        _fail(f"A file could not be read or written ({error}): check the place and try again.")


def _fail(sentence: str) -> NoReturn:
    typer.secho(f"Error: {sentence}", fg=typer.colors.RED, err=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
