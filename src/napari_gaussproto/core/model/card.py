"""What a model says about itself: the card inside its file, and the card as a text."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from napari_gaussproto import __version__
from napari_gaussproto.core.base.config import LARGEST_PHOTO, ModelConfig

_PACKAGES = ("napari-gaussproto", "torch", "timm", "numpy", "scikit-learn", "safetensors")
# Ends the name of a model that was fitted to strokes and has no file that names it.
_FITTED = ", fitted"


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that shape a model's numbers."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return versions


def now() -> str:
    """The current time, ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _minute(time: str) -> str:
    """A time of `now` to the minute, as people write it; others stay as they are."""
    with suppress(ValueError):
        return f"{datetime.fromisoformat(time).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return time


class LogEntry(BaseModel):
    """What the log of a card says about one fit or edit; it may say more.

    Attributes
    ----------
    what : str
        For example “merge”.
    prototypes : list of str
        Names of those that were edited.
    to : str or list of str
        What came of them: a name, a class, or the classes of a new table.
    """

    what: str = "edit"
    prototypes: list[str] = Field(default_factory=list)
    to: str | list[str] = ""

    @property
    def title(self) -> str:
        """The entry in a few words, for example “merge weed 1, weed 2”."""
        target = f" to {self.to}" if isinstance(self.to, str) and self.to else ""
        return f"{self.what} {', '.join(self.prototypes)}{target}"


class Reach(BaseModel):
    """How far the answers of a model look, as covering their surroundings shows it.

    Attributes
    ----------
    half, most : float
        Radii in pixels of the photograph within which half and nine tenths of what an answer
        depends on lies: medians over places.
    places : int
        How many were looked at.
    """

    half: float
    most: float
    places: int


class ModelCard(BaseModel):
    """Provenance, terms and measures of a model.

    Attributes
    ----------
    name, description, command : str
        What it is called, what it is for, and how it was made.
    licence, attribution, citation, data : str
        Terms of the training data, whom to name, what to cite, and which data and split.
    not_for : list of str
        What the model must not be used for.
    created : str
        ISO 8601.
    history : list of dict
        The log: one entry per fit or edit, with what was done, settings, seed, steps, time.
    measures : dict
        By split, for example ``{"test": {"iou": {"soil": 0.9}, "miou": 0.9, "ece": 0.02}}``.
    reach : Reach, optional
        How far its answers look.
    package_versions : dict
        Of the packages that made it.
    """

    name: str = "unnamed"
    description: str = ""
    command: str = ""
    licence: str = ""
    attribution: str = ""
    citation: str = ""
    data: str = ""
    not_for: list[str] = Field(default_factory=list)
    created: str = Field(default_factory=now)
    history: list[dict[str, Any]] = Field(default_factory=list)
    measures: dict[str, Any] = Field(default_factory=dict)
    reach: Reach | None = None
    package_versions: dict[str, str] = Field(default_factory=package_versions)

    @property
    def strokes(self) -> int | None:
        """How many strokes the last fit to strokes that the log counts had; else None."""
        counts = [entry["strokes"] for entry in self.history if "strokes" in entry]
        return int(counts[-1]) if counts else None

    @property
    def edition(self) -> str:
        """Its name, and which state of it this is: that of the last fit or edit, by its time."""
        times = [str(entry["when"]) for entry in self.history if "when" in entry]
        return f"model {self.name}, as of {_minute(times[-1] if times else self.created)}"

    @property
    def fitted_name(self) -> str:
        """What a model is called that a fit to strokes made of this one."""
        return f"{self.name.removesuffix(_FITTED)}{_FITTED}"

    def log(self, what: str, **details: object) -> None:
        """Append what was done to the log, with details of types that JSON knows."""
        self.history.append({"what": what, "when": now(), **details})

    def log_training(self, what: str, **details: object) -> None:
        """Log a training; what was measured before it is of another model, and goes."""
        self.measures, self.reach = {}, None
        self.log(what, **details)

    @property
    def full_scales(self) -> list[float]:
        """Full scales of integers of more than 8 bits in what it has learned from last, if any."""
        known = [entry["full_scales"] for entry in self.history if "full_scales" in entry]
        return [float(scale) for scale in known[-1]] if known else []

    @property
    def last_entry(self) -> LogEntry:
        """What was done to the model last; empty before anything was."""
        return LogEntry.model_validate(self.history[-1] if self.history else {"what": ""})


@dataclass(frozen=True)
class Provenance:
    """Which model made a result, and how and when, as the metadata of its layers tells it.

    Attributes
    ----------
    model : str
        Its name.
    model_file : str or None
        Where it is from.
    model_created, time : str
        ISO 8601 in UTC.
    device : str
        As torch names it.
    how : mapping of str to object
        The kind of fit, or the tile and the size of cells, in pixels.
    edits : sequence of str or None
        What a person did to it, None where nothing is known of any.
    """

    model: str
    model_file: str | None
    model_created: str
    device: str
    how: Mapping[str, Any]
    time: str
    edits: Sequence[str] | None = None

    @classmethod
    def of(cls, card: ModelCard, device: object, file: Path | None, **how: Any) -> Provenance:
        """Of what the model of a card, which is in a file or in none, has just made."""
        name = file.name if file else None
        return cls(card.name, name, card.created, str(device), how, now())

    def with_edits(self, names: Sequence[str]) -> Provenance:
        """The same after these edits of the model."""
        return replace(self, edits=list(names))

    @property
    def metadata(self) -> dict[str, Any]:
        """All of it, as layers hold it."""
        return {
            "model": self.model,
            "model_file": self.model_file,
            "model_created": self.model_created,
            "version": __version__,
            "device": self.device,
            **self.how,
            "time": self.time,
            **({} if self.edits is None else {"edits": list(self.edits)}),
        }


class PrototypeEntry(BaseModel):
    """What a file says about a `Prototype`; a newer version may say more.

    Attributes
    ----------
    usage, purity : float or None
        None where not measured.
    """

    name: str
    class_index: int = Field(ge=0)
    usage: float | None
    purity: float | None


class SplitMeasures(BaseModel):
    """Measures on one split; see `napari_gaussproto.core.measure.evaluation.measure`."""

    images: int
    iou: dict[str, float | None]
    miou: float | None
    accuracy: float | None = None
    ece: float | None
    unlike: float | None = None


@dataclass(frozen=True)
class ModelSummary:
    """What a file says about its model, without the network."""

    config: ModelConfig
    card: ModelCard
    prototypes: list[PrototypeEntry]


# -- the card as a text -------------------------------------------------------------------------


def card_markdown(summary: ModelSummary) -> str:
    """Everything that a file says about its model, as Markdown that ends with a newline."""
    card = summary.card
    sections = [
        f"# {card.name}",
        card.description,
        _section("Classes", _classes(summary)),
        _section("Not for", _list(card.not_for)),
        _section("How good it is", _measures(card.measures)),
        _section("How far it looks", _reach(card.reach)),
        _section("Training data", _data(summary)),
        _section("How it was made", _making(summary)),
        _section("Prototypes", _prototypes(summary)),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _section(title: str, body: str) -> str:
    return f"## {title}\n\n{body}" if body else ""


def _list(entries: Iterable[str]) -> str:
    return "\n".join(f"- {entry}" for entry in entries)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    # Neither a bar nor a line break in a text may end its cell.
    marks = str.maketrans({"|": "\\|", "\n": " "})
    return "\n".join("| " + " | ".join(c.translate(marks) for c in line) + " |" for line in lines)


def _classes(summary: ModelSummary) -> str:
    rows = [
        [str(c + 1), entry.name, f"`{entry.color}`"]
        for c, entry in enumerate(summary.config.classes)
    ]
    return _table(["label", "class", "colour"], rows)


def _measures(measures: dict[str, Any]) -> str:
    splits = {split: SplitMeasures.model_validate(values) for split, values in measures.items()}
    if not splits:
        return ""
    names = list(next(iter(splits.values())).iou)
    header = ["split", "images", "mean IoU", *(f"IoU {name}" for name in names)]
    header += ["accuracy", "calibration error"]
    tells = any(found.unlike is not None for found in splits.values())
    rows = []
    for split, found in splits.items():
        ious = [found.iou.get(name) for name in names]
        figures = [found.miou, *ious, found.accuracy, found.ece]
        row = [split, str(found.images), *(_figure(figure, ".4f") for figure in figures)]
        rows.append([*row, _figure(found.unlike, ".0%")] if tells else row)
    text = (
        f"{_table([*header, 'called unlike'] if tells else header, rows)}\n\nOver all labelled "
        "pixels of a split. The calibration error is the expected one (ECE, 15 bins) of the "
        "predicted class."
    )
    if tells:
        text += (
            " Called unlike are so many of the images, by what they look like: of images like the "
            "training ones, false alarms."
        )
    return text


def _reach(reach: Reach | None) -> str:
    if reach is None:
        return ""
    return (
        f"Half of what an answer depends on lies within {reach.half:.0f} px of it, nine tenths "
        f"within {reach.most:.0f} px (medians over {reach.places} places, found by covering what "
        "surrounds them). So likelihoods and prototypes at a place tell of its surroundings, too."
    )


def _figure(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _data(summary: ModelSummary) -> str:
    card = summary.card
    facts = [card.data]
    if card.licence:
        facts.append(f"Licence of the data: {card.licence}. {card.attribution}".strip())
        if any(entry.purity is not None for entry in summary.prototypes):
            facts.append(
                "The file contains small patches of the training images, which stay under that "
                "licence."
            )
    if card.citation:
        facts.append(f"Cite: {card.citation}")
    return "\n\n".join(fact for fact in facts if fact)


def _making(summary: ModelSummary) -> str:
    card, config = summary.card, summary.config
    facts = [
        f"{config.partition} partition, backbone {config.backbone}, {config.channels} channels, "
        f"images shrunk {config.downsample}-fold, cells of {config.cell_size} px, "
        f"D = {config.latent_dim}, {config.covariance} covariance",
    ]
    if config.photo_pixels is not None:
        facts.append(
            "larger photographs are made about as small as one of "
            f"{config.photo_pixels / 1e6:.3g} megapixels before that, in whole factors, and their "
            f"cells are as much larger; mosaics above {LARGEST_PHOTO / 1e6:g} megapixels are not"
        )
    facts += [_event(event) for event in card.history]
    if card.command:
        facts.append(f"`{card.command}`")
    facts.append(f"made {card.created}")
    if card.package_versions:
        versions = ", ".join(f"{name} {v}" for name, v in card.package_versions.items())
        facts.append(f"with {versions}")
    return _list(facts)


def _event(event: dict[str, Any]) -> str:
    """An entry of the card's log: what was done, and its plain settings."""
    what = str(event.get("what", "edit"))
    settings = ", ".join(
        f"{key.replace('_', ' ')} " + (f"{value:.4g}" if isinstance(value, float) else str(value))
        for key, value in event.items()
        if key not in ("what", "when") and isinstance(value, str | int | float)
    )
    return f"{what}: {settings}" if settings else what


def _prototypes(summary: ModelSummary) -> str:
    names = [entry.name for entry in summary.config.classes]
    rows = [
        [p.name, names[p.class_index], _figure(p.usage, ".0%"), _figure(p.purity, ".0%")]
        for p in summary.prototypes
    ]
    if not rows:
        return ""
    return _table(["name", "class", "share of its class", "purity of its patches"], rows)
