"""The job of the Segment dock: loading told apart from the run, and nothing left for the GUI."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.model.model_file import save_model
from napari_gaussproto.jobs import segment
from napari_gaussproto.jobs.caches import RegionMemo
from napari_gaussproto.jobs.requests import SegmentRequest
from napari_gaussproto.jobs.segment import SegmentResult, segment_job
from tests.core.builders import tiny_model, two_tone

LOADING = 0.3


def request(path: Path, known: dict[Any, Any]) -> SegmentRequest:
    return SegmentRequest(
        pixels=two_tone()[0],
        rgb=True,
        file=None,
        model_file=path,
        device="cpu",
        tile="auto",
        extras=frozenset(),
        prototype=0,
        cell_size=12,
        present=[],
        former_model=None,
        known_key=None,
        known_models=known,
        memo=RegionMemo(),
    )


def test_loading_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(segment, "time", SimpleNamespace(monotonic=lambda: now[0]))
    path = tmp_path / "tiny.safetensors"
    save_model(tiny_model(), path)
    load = segment.load_model_file

    def slowly(*arguments: Any) -> Any:
        now[0] += LOADING
        return load(*arguments)

    monkeypatch.setattr(segment, "load_model_file", slowly)
    first: SegmentResult = run(segment_job(request(path, {})))
    assert (first.loading, first.seconds) == (LOADING, 0)
    again: SegmentResult = run(segment_job(request(path, {first.key: first.model})))
    assert (again.loading, again.seconds) == (0, 0)
