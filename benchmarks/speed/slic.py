"""What superpixels cost and what they allow: SLIC on the photograph and on a reduced one.

    OMP_NUM_THREADS=1 python -m benchmarks.speed.slic --data PEANUT

Share of SLIC in `segment` on a 1296 x 966 photograph, against the backbone; then time,
boundary recall and oracle mean IoU on validation photographs, before and after reducing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from skimage import segmentation

from benchmarks.measuring import interleaved, median_ratio, save
from benchmarks.quality.accuracy import oracle_miou
from benchmarks.quality.localisation import boundary_recall
from benchmarks.speed.predict import folded_whole
from napari_gaussproto import PrototypeSegmenter, load_model, segment
from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.cells import clusters, slic
from napari_gaussproto.core.cells.slic import SlicSettings, region_map_steps
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.imaging.tiles import round_up
from napari_gaussproto.io.dataset import load_split, read_train_file
from napari_gaussproto.io.field import synthetic_field

CONFIG = Path("configs/peanut-superpixel.toml")
PHOTOS = 16


def shares(model: PrototypeSegmenter, repetitions: int) -> dict[str, float]:
    """Median time of SLIC, as a share of `segment` and of the backbone's forward pass."""
    photo = synthetic_field(966, 1296)[0]
    height, width = (round_up(n, model.alignment) for n in photo.shape[:2])
    padded = ImageSource.from_array(photo, 3).read_padded(0, 0, height, width)
    small = torch.nn.functional.avg_pool2d(padded[None], model.config.downsample).to(
        memory_format=torch.channels_last
    )
    settings = SlicSettings(
        round(model.config.region_size / model.config.downsample),
        model.config.compactness,
        model.config.downsample,
    )

    @torch.no_grad()
    def forward(network: torch.nn.Module) -> Any:
        return network(small)

    seconds = interleaved(
        {
            "slic": lambda: run(region_map_steps(ImageSource.from_array(photo, 3), settings)),
            "backbone": partial(forward, model.extractor.backbone),
            "folded backbone": partial(forward, folded_whole(model.extractor.backbone)),
            "backbone in bands": partial(forward, model.extractor.folded.get()),
            "segment": lambda: segment(photo, model).labels,
        },
        repetitions,
        clock=time.process_time,
    )
    return {
        "slic / segment": median_ratio(seconds["slic"], seconds["segment"]),
        "slic / backbone": median_ratio(seconds["slic"], seconds["backbone"]),
        "slic / folded backbone": median_ratio(seconds["slic"], seconds["folded backbone"]),
        "slic / backbone in bands": median_ratio(seconds["slic"], seconds["backbone in bands"]),
        "segment / folded backbone": median_ratio(seconds["segment"], seconds["folded backbone"]),
    }


class Way(NamedTuple):
    """How regions are cut: rounds of our clusters, or None for five of scikit-image's."""

    rounds: int | None = clusters.ROUNDS
    shrink: int = 2
    step: float = clusters.STEP


@contextmanager
def cut_by(way: Way) -> Iterator[None]:
    former = clusters.ROUNDS, clusters.STEP, slic.cluster
    if way.rounds is None:
        slic.cluster = by_scikit_image
    else:
        clusters.ROUNDS, clusters.STEP = way.rounds, way.step
    try:
        yield
    finally:
        clusters.ROUNDS, clusters.STEP, slic.cluster = former


def by_scikit_image(features: Any, size: int, weight: float) -> Any:
    """What `cluster` was before: the same clusters, found pixel by pixel."""
    height, width = features.shape[:2]
    padded = np.pad(features, ((0, -height % size), (0, -width % size), (0, 0)), mode="symmetric")
    nearest = segmentation.slic(
        padded,
        n_segments=padded.shape[0] * padded.shape[1] // size**2,
        # It stretches the values that it gets to [0, 1].
        compactness=weight / float(padded.max() - padded.min()),
        max_num_iter=5,
        convert2lab=False,
        enforce_connectivity=False,
        start_label=0,
        channel_axis=2,
    )
    return nearest[:height, :width].astype(np.int32)


def variant(model: PrototypeSegmenter, pairs: list[tuple[Any, Any]], way: Way) -> dict[str, float]:
    """What regions that are made in a way allow."""
    config = model.config.model_copy(update={"downsample": way.shrink})
    other = PrototypeSegmenter(config)
    with cut_by(way):
        recall = [boundary_recall(regions_of(other, image), labels) for image, labels in pairs]
        return {
            "boundary recall": float(np.nanmean(recall)),
            "oracle mean IoU": oracle_miou(other, pairs),
        }


def regions_of(model: PrototypeSegmenter, image: Any) -> Any:
    partition = model.partition(ImageSource.from_array(image, 3))
    return partition.to_pixels(torch.arange(partition.n_cells)[:, None])[0].numpy()


def relative_times(
    ways: dict[str, Way], image: Any, model: PrototypeSegmenter, repetitions: int
) -> dict[str, float]:
    """Median time of each way over that of the last one."""

    def work(way: Way) -> Any:
        size = round(model.config.region_size / way.shrink)
        how = SlicSettings(size, model.config.compactness, way.shrink)
        with cut_by(way):
            return run(region_map_steps(ImageSource.from_array(image, 3), how))

    contenders = {name: lambda w=w: work(w) for name, w in ways.items()}
    seconds = interleaved(contenders, repetitions, 1, time.process_time)
    reference = seconds[list(ways)[-1]]
    return {name: median_ratio(values, reference) for name, values in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="peanut-superpixel")
    parser.add_argument("--repetitions", type=int, default=9)
    options = parser.parse_args()
    model = load_model(options.model, "cpu")
    images, labels = load_split(read_train_file(CONFIG).data, options.data, "val")
    pairs = list(zip(images, labels, strict=True))[:PHOTOS]
    variants = {
        "halved, scikit-image": Way(None),
        "photograph, 2 rounds": Way(shrink=1),
        "halved, 5 rounds": Way(5),
        "halved, 3 rounds": Way(3),
        "halved, 3 rounds to the means (used before)": Way(3, step=1.0),
        "halved, 2 rounds to the means": Way(2, step=1.0),
        "halved, 1 round": Way(1),
        "halved, 2 rounds (used)": Way(),
    }
    times = relative_times(variants, images[0], model, options.repetitions)
    rows = {
        name: {"relative time": times[name], **variant(model, pairs, way)}
        for name, way in variants.items()
    }
    share = shares(model, options.repetitions)
    head = ["SLIC on", *next(iter(rows.values()))]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for name, row in rows.items():
        lines.append(f"| {name} | " + " | ".join(f"{v:.3f}" for v in row.values()) + " |")
    text = "\n".join(lines) + (
        f"\n\nOn a 1296 x 966 photograph SLIC takes {share['slic / segment']:.0%} of the time of "
        f"`segment`, {share['slic / backbone']:.2f} times that of the bare backbone and "
        f"{share['slic / folded backbone']:.2f} times that of the folded one ("
        f"{share['slic / backbone in bands']:.2f} in bands, as `segment` runs it); `segment` takes "
        f"{share['segment / folded backbone']:.2f} times the folded one. Time is that of the "
        "processor. Boundary "
        f"recall and oracle on {len(pairs)} validation photographs, regions of "
        f"{model.config.region_size} pixels."
    )
    command = "OMP_NUM_THREADS=1 python -m benchmarks.speed.slic --data PEANUT"
    save("slic", command, {"variants": rows, "shares": share}, text)


if __name__ == "__main__":
    main()
