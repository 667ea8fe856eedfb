"""What a history shows of its versions: branch lines and words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Any, Protocol

# Of several measures, the one that says most about other pixels than the painted ones.
_ORDER = ("held", "valid", "label")


class VersionLike(Protocol):
    """What the history shows of a version; see `core.versions.Version`."""

    @property
    def id(self) -> str:
        """Never changes."""

    @property
    def parent(self) -> str | None:
        """The version that this one was made from."""

    @property
    def name(self) -> str:
        """Chosen by the person."""

    @property
    def what(self) -> str:
        """How it was made, such as "quick fit"."""

    @property
    def created(self) -> str:
        """ISO 8601 time."""

    @property
    def seconds(self) -> float:
        """How long it took."""

    @property
    def strokes(self) -> int:
        """Learnt from."""

    @property
    def images(self) -> int:
        """With strokes."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Of the fit."""

    @property
    def measures(self) -> Mapping[str, float]:
        """By name, such as "held-out IoU"."""


# -- the branch line ------------------------------------------------------------------------


@dataclass(frozen=True)
class Lanes:
    """Lines beside a row of the list.

    Attributes
    ----------
    lane : int
        Column of the version's dot.
    through : tuple of int
        Columns of branches that pass by.
    joining : tuple of int
        Columns of branches that start at this version and go up from it.
    up, down : bool
        Whether a line leaves the dot upwards in its column, and downwards.
    """

    lane: int
    through: tuple[int, ...]
    joining: tuple[int, ...]
    up: bool
    down: bool

    @property
    def width(self) -> int:
        """Columns in use."""
        return max((self.lane, *self.through, *self.joining)) + 1


def lanes(versions: Sequence[VersionLike]) -> list[Lanes]:
    """Columns of the branch lines of versions, given newest first.

    Columns are taken from the left. A version stands in the leftmost column that waits for
    it; the other columns that do end there.
    """
    known = {version.id for version in versions}
    waiting: list[str | None] = []
    rows = []
    for version in versions:
        mine = [k for k, awaited in enumerate(waiting) if awaited == version.id]
        if mine:
            lane = mine[0]
        elif None in waiting:
            lane = waiting.index(None)
        else:
            lane = len(waiting)
            waiting.append(None)
        for k in mine:
            waiting[k] = None
        through = tuple(k for k, awaited in enumerate(waiting) if awaited is not None)
        parent = version.parent if version.parent in known else None
        waiting[lane] = parent
        rows.append(Lanes(lane, through, tuple(mine[1:]), bool(mine), parent is not None))
    return rows


# -- words ----------------------------------------------------------------------------------


def main_measure(measures: Mapping[str, float]) -> str:
    """The measure that says most, as "held-out IoU .71"."""
    for part in _ORDER:
        for name, value in measures.items():
            if part in name.lower() and value == value:
                return f"{name.replace('_', ' ')} {short(value)}"
    for name, value in measures.items():
        if value == value:
            return f"{name.replace('_', ' ')} {short(value)}"
    return "no measure"


def short(value: float) -> str:
    """A figure with two places, without the zero before them: .71."""
    text = f"{value:.2f}"
    return text[1:] if text.startswith("0.") else text


def ago(created: str, now: datetime | None = None) -> str:
    """How long ago an ISO 8601 time was; a time without a zone is taken as UTC."""
    try:
        then = datetime.fromisoformat(created)
    except ValueError:
        return created
    then = then.replace(tzinfo=then.tzinfo or UTC)
    seconds = ((now or datetime.now(UTC)) - then).total_seconds()
    if seconds < 45:
        return "just now"
    if seconds < 3600 * 0.99:
        return f"{max(1, round(seconds / 60))} min ago"
    if seconds < 86400 * 0.98:
        return f"{round(seconds / 3600)} h ago"
    days = round(seconds / 86400)
    if days <= 30:
        return f"{days} day{'s' if days > 1 else ''} ago"
    return then.date().isoformat()


def plural(count: int, word: str) -> str:
    """A count and its word."""
    return f"{count} {word}" + ("" if count == 1 else "s")


def version_html(version: VersionLike, names: Mapping[str, str]) -> str:
    """Everything about a version, for its tooltip; ``names`` of the others by id."""
    lines = [f"<b>{escape(version.name)}</b> · {escape(version.what)}"]
    if version.parent is not None:
        lines.append(f"From {escape(names.get(version.parent, 'a version that was deleted'))}")
    lines.append(f"{plural(version.strokes, 'stroke')} on {plural(version.images, 'image')}")
    lines.append(f"Took {_took(version.seconds)}, {_local(version.created)}")
    lines += [f"{escape(name)}: <b>{value:.3f}</b>" for name, value in version.measures.items()]
    settings = ", ".join(f"{key} {value}" for key, value in _flat(version.settings))
    if settings:
        lines.append(f"<span style='font-size: small'>{escape(settings)}</span>")
    return "<br>".join(lines)


def _local(created: str) -> str:
    """An ISO 8601 time as a date and a time of day here."""
    try:
        return f"{datetime.fromisoformat(created).astimezone():%Y-%m-%d %H:%M}"
    except ValueError:
        return escape(created)


def _took(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min"


def _flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Settings within settings, by dotted names."""
    found: list[tuple[str, Any]] = []
    for key, value in settings.items():
        if isinstance(value, Mapping):
            found += _flat(value, f"{prefix}{key}.")
        else:
            found.append((f"{prefix}{key}", value))
    return found
