"""Peak memory of learning from strokes on a photograph of 24 megapixels.

    python -m benchmarks.speed.train_memory

Quick fit and some steps of fine-tuning, semi-supervised terms included, on a procedural field
of 6000 x 4000 pixels with strokes of 10 x 150 pixels. Each stage runs in the same process, one
after the other, as in the dock.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

from benchmarks.measuring import MB, PeakMemory, save
from benchmarks.speed.quick import strokes
from napari_gaussproto.core.base.config import TERM_WEIGHTS
from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.model.model_file import load_model
from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.training.fine_tune import TuneSettings, fine_tune_steps, fine_tuning
from napari_gaussproto.core.training.pyramid import EncodedImage, encode_pyramid
from napari_gaussproto.core.training.quick_fit import quick_fit_steps
from napari_gaussproto.core.training.semi import SemiSettings
from napari_gaussproto.io.field import synthetic_field

HEIGHT, WIDTH = 4000, 6000
MODEL = "peanut-grid"
STEPS = 3


def measured(stage: str, work: Callable[[], Any], rows: list[dict[str, Any]]) -> Any:
    """Do something and note what it took."""
    start = time.perf_counter()
    with PeakMemory() as memory:
        result = work()
    seconds = time.perf_counter() - start
    rows.append({"stage": stage, "peak": memory.peak, "seconds": seconds})
    print(f"{stage}: {memory.peak / MB:.0f} MB, {seconds:.0f} s", flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args()
    image, truth = synthetic_field(HEIGHT, WIDTH)
    labels = strokes(truth)
    rows: list[dict[str, Any]] = []
    model = load_model(MODEL, "cpu")
    encoded: EncodedImage = measured("encode", lambda: encode_pyramid(image, model), rows)
    fitted = measured("quick fit", lambda: run(quick_fit_steps([encoded], [labels], model)), rows)
    tuned: PrototypeSegmenter = measured(
        f"fine-tune, {options.steps} steps",
        lambda: (
            run(
                fine_tune_steps(
                    fitted.model,
                    [image],
                    [labels],
                    TuneSettings(
                        fine_tuning(steps=options.steps), semi=SemiSettings(**TERM_WEIGHTS)
                    ),
                    validation=([image], [labels]),
                )
            ).model
        ),
        rows,
    )
    measured("segment", lambda: segment(image, tuned), rows)
    table = "\n".join(
        f"| {row['stage']} | {row['peak'] / MB:.0f} MB | {row['seconds']:.0f} s |" for row in rows
    )
    text = (
        f"A procedural field of {WIDTH} x {HEIGHT} pixels, model {MODEL}; the pyramid that a quick "
        f"fit keeps takes {encoded.n_bytes / MB:.0f} MB.\n\n"
        f"| stage | peak resident memory | time |\n| --- | --- | --- |\n{table}"
    )
    save("train-memory", "python -m benchmarks.speed.train_memory", {"rows": rows}, text)


if __name__ == "__main__":
    main()
