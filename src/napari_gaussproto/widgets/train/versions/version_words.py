"""Versions in words: their measures, ages and tooltips."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any

from napari_gaussproto.core.project.version import MEASURES, Version
from napari_gaussproto.widgets.train.fitting.sentences import counted


def main_measure(measures: Mapping[str, float]) -> str:
    """The measure that says most, as "held-out mIoU .71"."""
    measured = [name for name, value in measures.items() if value == value]
    name = next((name for name in (*MEASURES, *measured) if name in measured), None)
    return "no measure" if name is None else f"{name.replace('_', ' ')} {short(measures[name])}"


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


def version_html(version: Version, names: Mapping[str, str]) -> str:
    """Everything about a version, for its tooltip; ``names`` of the others by id."""
    lines = [f"<b>{escape(version.name)}</b> · {escape(version.what)}"]
    if version.parent is not None:
        lines.append(f"From {escape(names.get(version.parent, 'a version that was deleted'))}")
    lines.append(f"{counted(version.strokes, 'stroke')} on {counted(version.images, 'image')}")
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
