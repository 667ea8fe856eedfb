"""Open damaged model files, one after the other, in a process with little memory and no network.

python -m tests.reliability.fuzz --cases 20000 --seed 0

Each case is told by its seed and number, so that it can be had again: ``--only 1234``.
"""

from __future__ import annotations

import argparse
import copy
import json
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_gaussproto.core.base.errors import GaussProtoError
from napari_gaussproto.core.base.quantiles import QUANTILES
from napari_gaussproto.core.model.card import card_markdown
from napari_gaussproto.core.model.familiarity import Familiarity
from napari_gaussproto.core.model.model_file import load_model_file, save_model
from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.model.summary import read_summary
from tests.core.builders import tiny_model, two_tone
from tests.reliability.mutations import Good, damaged

# What a case may take beyond what the process has when the first begins.
MEMORY = 1 << 30
SECONDS = 20.0
_IMAGE = two_tone(40, 48)[0]
_FORBIDDEN = (
    *("socket.connect", "socket.getaddrinfo", "socket.bind", "subprocess.Popen", "os.system"),
    *("os.exec", "os.posix_spawn", "os.fork", "os.remove", "os.rename", "pickle.find_class"),
    *("code.__new__", "ctypes.dlopen"),
)


class Guard:
    """Notes what reading a file must never do: connect, start, write, unpickle, or run code."""

    def __init__(self) -> None:
        self.on = False
        self.seen: list[str] = []
        sys.addaudithook(self._look)

    def _look(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        writes = event == "open" and set(str(arguments[1])) & set("wax+")
        if writes or event in _FORBIDDEN:
            self.seen.append(f"{event} {arguments!r:.200}")
            raise AssertionError(self.seen[-1])


def good_files(folder: Path) -> list[Good]:
    """Small models of all kinds, with everything that a file can hold."""
    goods = []
    kinds: tuple[dict[str, Any], ...] = (
        {},
        {"partition": "superpixel", "covariance": "full", "local_features": True},
        {"neck": "none", "strides": [4, 8], "covariance": "spherical", "local_features": True},
    )
    for kind in kinds:
        model = tiny_model(**kind)
        quantiles = np.linspace(-9, 0, QUANTILES, dtype=np.float32)
        model.density_quantiles = quantiles
        model.class_quantiles = np.stack([quantiles, np.full(QUANTILES, np.nan, np.float32)])
        width = model.extractor.backbone.widths[model.extractor.context_level]
        model.familiarity = Familiarity(
            torch.zeros(2, width), torch.eye(width).repeat(2, 1, 1), quantiles.copy()
        )
        for prototype in model.prototypes:
            prototype.distance_quantiles = quantiles - quantiles[0]
            prototype.patches = np.full((2, 8, 8, 3), 7, np.uint8)
            prototype.patch_labels = np.full(2, prototype.class_index)
            prototype.usage = prototype.purity = 0.5
        measures = {"images": 3, "iou": {"soil": 0.5, "plant": None}, "miou": 0.5, "ece": 0.1}
        model.card.measures = {"val": measures}
        model.card.log("quick fit", strokes=3, seconds=1.5)
        goods.append(Good.of(save_model(model, folder / "good").read_bytes()))
    return goods


def examine(path: Path) -> None:
    """Do with a file what the docks do with it.

    Raises
    ------
    AssertionError
        When what comes of it is nonsense.
    """
    summary = read_summary(path)
    card_markdown(summary).encode()
    assert summary.card.strokes is None or summary.card.strokes >= 0
    assert isinstance(summary.card.last_entry.title, str)
    use(load_model_file(path))


def use(model: PrototypeSegmenter) -> None:
    """Segment an image; every number that is shown has to be one."""
    channels = model.config.channels
    image = _IMAGE if channels == 3 else np.repeat(_IMAGE[..., :1], min(channels, 500), 2)
    found = segment(image, model)
    assert found.labels.min() >= 0 and found.labels.max() <= len(model.classes)
    shown = [found.novelty(), found.uncertainty(), found.log_density()]
    for m in range(min(3, len(model.prototypes))):
        shown += [found.log_likelihood(m), found.likelihood(m)]
    for number in shown:
        assert np.isfinite(number).all(), "a map of numbers that are none"
    novelty = found.photo_novelty()
    assert novelty is None or np.isnan(novelty) or 0 <= novelty <= 1
    assert "\n" not in repr(model)
    copy.deepcopy(model.card)


def judge(path: Path) -> str:
    """Whether a file is good, or refused as it should be.

    Raises
    ------
    Exception
        What should not have happened.
    """
    try:
        examine(path)
    except GaussProtoError as error:
        text = str(error)
        assert text.endswith(".") and "\n" not in text and len(text) < 2000, f"no sentence: {text}"
        reason: BaseException | None = error
        while reason is not None:
            out = isinstance(reason, MemoryError) or "allocate memory" in str(reason)
            assert not out, f"out of memory: {reason}"
            reason = reason.__cause__ or reason.__context__
        return "refused"
    return "good"


def run(cases: int, seed: int, only: int | None = None) -> dict[str, Any]:
    """Open all cases; what was seen, by name."""
    warnings.simplefilter("ignore")
    folder = Path(tempfile.mkdtemp())
    goods, guard = good_files(folder), Guard()
    path, counts, faults = folder / "case.safetensors", Counter[str](), []
    for good in goods:  # also loads what is loaded late
        path.write_bytes(good.content)
        examine(path)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY,) * 2)
    before, longest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0.0
    for number in range(cases) if only is None else [only]:
        way, content = damaged(goods, seed, number)
        path.unlink(missing_ok=True)  # a former model may still look into it
        path.write_bytes(content)
        began, guard.on = time.monotonic(), True
        try:
            verdict = judge(path)
        except Exception as error:
            verdict = "fault"
            where = traceback.format_exc() if only is not None else repr(error)[:300]
            faults.append({"case": number, "way": way, "what": where})
        guard.on = False
        taken = time.monotonic() - began
        longest = max(longest, taken)
        if taken > SECONDS:
            faults.append({"case": number, "way": way, "what": f"{taken:.0f} s"})
        counts[f"{way}: {verdict}"] += 1
        counts[verdict] += 1
        if number % 1000 == 999:
            print(number + 1, dict(counts.most_common(3)), file=sys.stderr, flush=True)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "cases": dict(sorted(counts.items())),
        "faults": faults,
        "forbidden": guard.seen,
        "megabytes more": round((after - before) / 1024),
        "longest, in seconds": round(longest, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="the number of one case")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(json.dumps(run(options.cases, options.seed, options.only), indent=1))


if __name__ == "__main__":
    main()
