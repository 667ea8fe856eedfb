"""One page about all images of a folder of results, which a browser shows without a network."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from napari_gaussproto.core.base.atomic import write_bytes_atomically
from napari_gaussproto.core.model.remarks import is_unlike
from napari_gaussproto.io.batch.cover import of_classes
from napari_gaussproto.io.batch.manifest import Entry, Manifest, rows_of
from napari_gaussproto.io.overview import overlay, thumbnail

if TYPE_CHECKING:
    from napari_gaussproto.core.model.segmentation import Segmentation

REPORT = "report.html"
# Where pictures for the page are kept, so that a later call needs not read all photographs again.
_FOLDER = ".thumbnails"
# Longest side of a picture in pixels, and its quality: thousands of them are in one page.
_SIDE, _QUALITY = 160, 80

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; margin: 2rem; }
h1 { font-size: 1.5rem; margin: 0 0 .3rem; }
table { border-collapse: collapse; margin-top: 1rem; }
th, td { text-align: left; padding: .35rem .7rem; vertical-align: top; }
tbody tr { border-top: 1px solid #ddd; }
thead th { position: sticky; top: 0; background: #fff; white-space: nowrap; }
th button { all: unset; cursor: pointer; font-weight: 600; }
th button:focus-visible { outline: 2px solid #0072b2; }
th[aria-sort=descending] button::after { content: " \\2193"; }
th[aria-sort=ascending] button::after { content: " \\2191"; }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
td img { display: block; max-width: none; }
td.image { min-width: 9rem; max-width: 16rem; overflow-wrap: anywhere; }
td.words { min-width: 18rem; max-width: 30rem; font-size: .85em; line-height: 1.3; }
i { display: inline-block; width: .8em; height: .8em; margin-right: .35em; }
.bar { display: flex; width: 8rem; height: .7rem; margin-top: .3rem; }
.unlike { color: #b04a00; font-weight: 600; }
"""

# Numbers are sorted from the largest at the first click, words from A; unknown ones come last.
_SCRIPT = """
for (const button of document.querySelectorAll('th button')) button.onclick = () => {
  const head = button.parentNode, column = head.cellIndex, body = document.querySelector('tbody');
  const words = head.dataset.kind === 'words', was = head.getAttribute('aria-sort');
  const up = was ? was === 'descending' : words;
  for (const other of head.parentNode.cells) other.removeAttribute('aria-sort');
  head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
  const of = row => row.cells[column].dataset.value ?? '';
  const order = (a, b) => of(a) === '' || of(b) === '' ? (of(a) === '') - (of(b) === '')
    : (up ? 1 : -1) * (words ? of(a).localeCompare(of(b)) : of(a) - of(b));
  body.append(...[...body.rows].sort(order));
};
"""


def write_thumbnail(folder: Path, results: str, photo: Any, segmentation: Segmentation) -> None:
    """Keep a small picture of a photograph beside its labels for the page.

    Raises
    ------
    OSError
        When the folder cannot be written to.
    """
    small = thumbnail(photo, _SIDE)
    pair = np.concatenate([small, overlay(small, segmentation)], axis=1)
    stream = io.BytesIO()
    Image.fromarray((255 * pair).astype(np.uint8)).save(stream, "JPEG", quality=_QUALITY)
    write_bytes_atomically(_thumbnail_of(folder, results), stream.getvalue())


def write_report(folder: Path, manifest: Manifest) -> None:
    """Write the page of everything in a folder of results.

    Raises
    ------
    OSError
        When the folder cannot be written to.
    """
    write_bytes_atomically(folder / REPORT, report_html(folder, manifest).encode())


def report_html(folder: Path, manifest: Manifest) -> str:
    """The page: first what is most unlike the training photographs, then the most uncertain."""
    images = rows_of(of_classes(manifest.images, manifest.classes))
    names = sorted(images, key=lambda name: _doubt(images[name]), reverse=True)
    model = escape(manifest.model.get("name", ""))
    count = f"{len(images)} image" + "s" * (len(images) != 1)
    unlike = sum(is_unlike(entry.novelty) for entry in images.values())
    told = f", {unlike} of them unlike the training photographs" if unlike else ""
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            # Nothing is loaded from anywhere, whatever a file is called.
            '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
            "img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">",
            '<meta name="viewport" content="width=device-width">',
            f"<title>{escape(folder.name)} · {model}</title><style>{_STYLE}</style></head><body>",
            f"<h1>{escape(folder.name)}</h1>",
            f"<p>{count}, segmented by “{model}”{told}. The most novel come first, then the most "
            "uncertain; click a heading to sort by it.</p>",
            _failures(manifest.left_out),
            f"<table><thead><tr>{''.join(_heads(manifest))}</tr></thead><tbody>",
            *(_row(folder, name, images[name], manifest) for name in names),
            f"</tbody></table><p>{_foot(manifest)}</p>",
            f"<script>{_SCRIPT}</script></body></html>",
        ]
    )


def _doubt(entry: Entry) -> tuple[float, float]:
    return tuple(-1.0 if value is None else value for value in (entry.novelty, entry.uncertainty))  # type: ignore[return-value]


def _heads(manifest: Manifest) -> Iterator[str]:
    yield "<th>Photograph and labels</th>"
    yield _head("Image", "words")
    for entry in manifest.classes:
        yield _head(f'<i style="background:{entry.color}"></i>{escape(entry.name)}')
    yield from map(_head, ("Data", "Novelty", "Uncertainty"))
    yield _head("Remarks", "words")


def _head(html: str, kind: str = "number") -> str:
    return f'<th data-kind="{kind}"><button>{html}</button></th>'


def _row(folder: Path, name: str, entry: Entry, manifest: Manifest) -> str:
    shares = [entry.share_of(c.name) for c in manifest.classes]
    parts = zip(shares, manifest.classes, strict=True)
    bar = "".join(f'<span style="background:{c.color};flex:{s or 0:.4f}"></span>' for s, c in parts)
    unlike = "unlike" if is_unlike(entry.novelty) else ""
    remarks = escape(" ".join([*["With corrections."] * entry.corrected, *entry.remarks]))
    cells = [
        f"<td>{_picture(folder, name, entry)}</td>",
        f'<td class="image" data-value="{escape(name)}">{escape(name)}'
        f'<div class="bar">{bar}</div></td>',
        *(_number(share, ".1%") for share in [*shares, entry.data_share]),
        _number(entry.novelty, ".2f", unlike),
        _number(entry.uncertainty, ".2f"),
        f'<td class="words" data-value="{remarks}">{remarks}</td>',
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _number(value: float | None, form: str, kind: str = "") -> str:
    if value is None:
        return '<td class="n">–</td>'
    return f'<td class="n {kind}" data-value="{value:.6f}">{value:{form}}</td>'


def _picture(folder: Path, name: str, entry: Entry) -> str:
    try:
        data = _thumbnail_of(folder, entry.results).read_bytes()
    except OSError:  # of an image too large for one, or removed by a person
        return "–"
    text = base64.b64encode(data).decode("ascii")
    return f'<img alt="{escape(name)}" src="data:image/jpeg;base64,{text}">'


def _failures(left_out: Mapping[str, str]) -> str:
    if not left_out:
        return ""
    lines = (
        f"<li>{escape(name)}: {escape(reason)}</li>" for name, reason in sorted(left_out.items())
    )
    return f"<h2>Left out</h2><ul>{''.join(lines)}</ul>"


def _foot(manifest: Manifest) -> str:
    versions = ", ".join(f"{name} {v}" for name, v in manifest.package_versions.items())
    return f"Made {escape(manifest.updated)} with {escape(versions)}."


def _thumbnail_of(folder: Path, results: str) -> Path:
    return folder / _FOLDER / f"{results}.jpg"
