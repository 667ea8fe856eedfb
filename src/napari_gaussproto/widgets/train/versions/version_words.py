"""Versions in words: their measures, ages and tooltips."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from math import isnan, nan
from typing import Any

from napari_gaussproto.core.project.version import ACCURACY, HELD_OUT, LIVE, LOOKS, Version
from napari_gaussproto.widgets.train.fitting.sentences import counted

# For a version of which nothing is known; how well it tells its own strokes apart says nothing.
NO_MEASURE = "–"
_UNKNOWN = "How good it is elsewhere is not known: no strokes were set aside to judge it by"
_OWN_STROKES = (
    "It is over the strokes of this version: of versions with other strokes it does not say which "
    "is better. New strokes are mostly where a fit is wrong, and lower it"
)
_SEEN = (
    "Its start has learned from strokes already and may know those that judge it, so the figure "
    "is rather too high: versions that began elsewhere are not worse for a lower one"
)


def main_measure(measures: Mapping[str, float]) -> str:
    """What a version is compared by, as "held-out mIoU .71"; or a dash."""
    known = (name for name in (HELD_OUT, ACCURACY) if not isnan(measures.get(name, nan)))
    name = next(known, None)
    return NO_MEASURE if name is None else f"{name} {short(measures[name])}"


def starts_informed(version: Version, known: Mapping[str, Version]) -> bool:
    """Whether a version began with one that had learned from strokes, maybe edited since."""
    start = known.get(version.parent or "")
    while start is not None and start.what == "edit":
        start = known.get(start.parent or "")
    return start is not None and start.strokes > 0


def beside(version: Version, *, informed: bool = False) -> str:
    """What stands beside a version: its measure, and over which strokes that is."""
    measure = main_measure(version.measures)
    if informed and measure != NO_MEASURE:
        return f"{measure} on strokes seen before"
    strokes = f" on its {counted(version.strokes, 'stroke')}"
    return measure + strokes if measure.startswith(ACCURACY) else measure


@dataclass(frozen=True)
class Row:
    """A version in the list, and how many live fits it stands for."""

    version: Version
    live: int = 0


def folded(versions: Sequence[Version], current: str | None) -> list[Row]:
    """Rows for versions, given as they were made: live fits in a row are one, the last of them.

    The current version, one that others came of and one that a person named have rows of their
    own.
    """
    needed = {version.parent for version in versions} | {current}
    rows: list[Row] = []
    for version in versions:
        live = bool(version.settings.get(LIVE))
        last = rows[-1] if rows else None
        if last is not None and last.live and live and _is_like(last.version, version, needed):
            rows[-1] = Row(version, last.live + 1)
        else:
            rows.append(Row(version, int(live)))
    return rows


def _is_like(former: Version, version: Version, needed: set[str | None]) -> bool:
    own_name = re.fullmatch(r"v\d+", former.name) is None
    return former.parent == version.parent and former.id not in needed and not own_name


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
        return f"{counted(days, 'day')} ago"
    return then.date().isoformat()


def version_html(version: Version, known: Mapping[str, Version]) -> str:
    """Everything about a version, for its tooltip; ``known`` are the others by id."""
    lines = [f"<b>{escape(version.name)}</b> · {escape(version.what)}"]
    if version.parent is not None:
        start = known.get(version.parent)
        lines.append(f"From {escape(start.name) if start else 'a version that was deleted'}")
    lines.append(f"{counted(version.strokes, 'stroke')} on {counted(version.images, 'image')}")
    lines.append(f"Took {_took(version.seconds)}, {_local(version.created)}")
    for name, value in version.measures.items():
        looks = version.settings.get(LOOKS) if name == HELD_OUT else None
        best = "" if looks is None else f", best of {counted(looks, 'look')} at these strokes"
        lines.append(f"{escape(name)}: <b>{value:.3f}</b>{escape(best)}")
    measure = main_measure(version.measures)
    if measure == NO_MEASURE:
        lines.append(_UNKNOWN)
    elif measure.startswith(ACCURACY):
        lines.append(_OWN_STROKES)
    if measure != NO_MEASURE and starts_informed(version, known):
        lines.append(_SEEN)
    told = ((key, value) for key, value in _flat(version.settings) if key not in (LIVE, LOOKS))
    settings = ", ".join(f"{key} {value}" for key, value in told)
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
