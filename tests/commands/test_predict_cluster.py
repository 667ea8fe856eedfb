"""``predict`` with ``--workers`` and ``--scheduler``: the results of one process."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from napari_gaussproto.io.ome import read_labels
from napari_gaussproto.jobs.batch.cluster import cluster_of
from tests.commands.conftest import Cli


def test_processes_and_a_scheduler_give_what_one_process_gives(
    cli: Cli, photos: list[Path], model_file: Path, tmp_path: Path
) -> None:
    with cluster_of(None, 1) as client:
        file = tmp_path / "scheduler.json"
        client.write_scheduler_file(str(file))
        address = client.scheduler.address
        ways = [(), ("--workers", 1), ("--scheduler", address), ("--scheduler", file)]
        outs = [tmp_path / f"out-{number}" for number in range(len(ways))]
        for way, out in zip(ways, outs, strict=True):
            result = cli("predict", *photos, "--model", model_file, "--out", out, *way)
            assert result.code == 0 and f"2 of 2 images segmented, into {out}/" in result.out
            assert "3/2" not in result.out  # in the bar, an image that does not exist
    tables = {(out / "cover.csv").read_bytes() for out in outs}
    labels = {read_labels(out / "left" / "plot.labels.ome.tif")[0].tobytes() for out in outs}
    assert len(tables) == len(labels) == 1
    # There is nothing to do, so the scheduler that has ended is not asked.
    again = cli("predict", *photos, "--model", model_file, "--out", outs[2], *ways[2])
    assert again.code == 0 and "2 of them before" in again.out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--workers", 0), "0 processes do nothing: give --workers from 1"),
        (("--workers", 2, "--scheduler", "tcp://a:1"), "give --scheduler or --workers"),
    ],
)
def test_what_makes_no_sense_is_a_sentence(
    cli: Cli, photos: list[Path], model_file: Path, tmp_path: Path, options: tuple, words: str
) -> None:
    result = cli("predict", *photos, "--model", model_file, "--out", tmp_path / "out", *options)
    assert words in result.one_sentence()


def test_a_missing_package_is_a_sentence(
    cli: Cli, photos: list[Path], model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    result = cli("predict", *photos, "--model", model_file, "--workers", 2)
    assert "pip install napari-gaussproto[cluster]" in result.one_sentence()
