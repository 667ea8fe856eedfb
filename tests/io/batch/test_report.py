"""The page is whole in itself, and what needs a look comes first."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.io.batch.manifest import Entry, Manifest
from napari_gaussproto.io.batch.report import REPORT, write_report, write_thumbnail
from tests.core.builders import tiny_model, two_tone

NAMES = ("calm.jpg", "unsure.jpg", "novel.jpg", "unknown & <b>.jpg")


class Page(HTMLParser):
    """Tags that are open where they should not be, texts of cells, and all addresses."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for key, value in attrs if key in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


@pytest.fixture
def page(tmp_path: Path) -> Page:
    photo, model = two_tone()[0], tiny_model()
    write_thumbnail(tmp_path, "novel", photo, segment(photo, model))
    values = [(0.2, 0.1), (0.2, 0.6), (0.99, 0.3), (None, 0.9)]
    images = {
        name: Entry(
            results=name.split(".")[0],
            cover={"soil": 0.75, "<plant>": 0.25},
            novelty=novelty,
            uncertainty=uncertainty,
            remarks=["Grey & dark."] if novelty is None else [],
        )
        for name, (novelty, uncertainty) in zip(NAMES, values, strict=True)
    }
    images["of another model.jpg"] = Entry(results="other", cover={"ground": 1.0})
    classes = [
        SegmentationClass(name="soil", color="#999999"),
        SegmentationClass(name="<plant>", color="#009e73"),
    ]
    left_out = {"torn <1>.jpg": "It may be damaged."}
    manifest = Manifest(
        model={"name": "tiny & [a]"}, classes=classes, images=images, left_out=left_out
    )
    write_report(tmp_path, manifest)
    text = (tmp_path / REPORT).read_text("utf-8")
    assert "torn &lt;1&gt;.jpg: It may be damaged." in text
    assert "4 images, segmented by “tiny &amp; [a]”, 1 of them unlike" in text
    return Page(text)


def test_the_most_novel_come_first_then_the_most_uncertain(page: Page) -> None:
    head, *rows = page.rows
    assert head == [
        "Photograph and labels", "Image", "soil", "<plant>", "Data", "Novelty", "Uncertainty",
        "Remarks",
    ]  # fmt: skip
    assert [row[1] for row in rows] == ["novel.jpg", "unsure.jpg", "calm.jpg", NAMES[3]]
    assert rows[0][2:] == ["75.0%", "25.0%", "100.0%", "0.99", "0.30", ""]
    assert rows[3][5:] == ["–", "0.90", "Grey & dark."]


def test_the_page_is_sound_and_loads_nothing(page: Page) -> None:
    assert page.open == []
    assert page.addresses and all(a.startswith("data:image/jpeg") for a in page.addresses)
