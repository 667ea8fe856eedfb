"""GaussianPrototypeLayer against mixtures of torch.distributions: time and memory.

    python -m benchmarks.speed.layer

Forward and backward of the cross-entropy of the class posterior, with gradients for the
latents and for every parameter. The other contender computes the same from one
MixtureSameFamily of independent Normals for each class; that both agree is checked first.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from functools import partial

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from benchmarks.measuring import (
    MB,
    PeakMemory,
    interleaved,
    median_ratio,
    peak_of_tensors,
    save,
)
from napari_gaussproto.core.mixture.layer import GaussianPrototypeLayer

CELLS, DIM, PROTOTYPES, CLASSES = 65_536, 32, 30, 3


class DistributionsHead(nn.Module):
    """The same class posterior, written with torch.distributions."""

    def __init__(self, layer: GaussianPrototypeLayer) -> None:
        super().__init__()
        self.mean = nn.Parameter(layer.mean.detach().clone())
        self.scale = nn.Parameter(layer.scale.detach().clone())
        self.weight = nn.Parameter(layer.raw_weight.detach().clone())
        self.prior = nn.Parameter(layer.raw_prior.detach().clone())
        self.temperature = nn.Parameter(layer.temperature.detach().clone())
        self.members = [(layer.class_index == c).nonzero().flatten() for c in range(CLASSES)]

    def forward(self, z: Tensor) -> Tensor:
        mixtures = [
            MixtureSameFamily(
                Categorical(logits=self.weight[own], validate_args=False),
                Independent(
                    Normal(self.mean[own], self.scale[own], validate_args=False),
                    1,
                    validate_args=False,
                ),
                validate_args=False,
            )
            for own in self.members
        ]
        likelihood = torch.stack([mixture.log_prob(z) for mixture in mixtures], dim=1)
        return ((likelihood + self.prior.log_softmax(0)) / self.temperature).log_softmax(1)


def contenders() -> dict[str, nn.Module]:
    generator = torch.Generator().manual_seed(0)
    layer = GaussianPrototypeLayer(DIM, [m % CLASSES for m in range(PROTOTYPES)], CLASSES)
    layer.set_parameters(
        torch.randn(PROTOTYPES, DIM, generator=generator),
        0.5 + torch.rand(PROTOTYPES, DIM, generator=generator),
        0.5 + torch.rand(PROTOTYPES, generator=generator),
    )
    with torch.no_grad():
        layer.log_temperature.fill_(1.0)
    return {"layer": layer, "distributions": DistributionsHead(layer)}


def cells(count: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    z = torch.randn(count, DIM, generator=generator).requires_grad_(True)
    return z, torch.randint(CLASSES, (count,), generator=generator)


def forward_backward(head: nn.Module, z: Tensor, target: Tensor) -> Tensor:
    head.zero_grad(set_to_none=True)
    z.grad = None
    loss = nn.functional.nll_loss(head(z), target)
    loss.backward()
    return loss.detach()


def check_agreement(heads: dict[str, nn.Module]) -> dict[str, float]:
    """Largest differences of posterior, latent gradient and mean gradient."""
    found = {}
    for name, head in heads.items():
        z, target = cells(CELLS)
        forward_backward(head, z, target)
        found[name] = (head(z).detach(), z.grad, head.mean.grad)
    names = ("log-posterior", "gradient of z", "gradient of the means")
    differences = {}
    for name, ours, theirs in zip(names, *found.values(), strict=True):
        differences[name] = float((ours - theirs).abs().max() / theirs.abs().max())
    worst = max(differences.values())
    if not worst < 1e-4:
        raise SystemExit(f"the contenders do not compute the same: {differences}")
    return differences


def extra_memory(name: str, processes: int = 3) -> dict[str, float]:
    """Peak memory of one forward and backward, in processes of their own, in bytes.

    ``resident`` is what the process took from the system, with the gaps that the C library
    leaves between blocks (the median of a few processes, as those gaps vary); ``tensors`` is
    what torch had allocated, without them.
    """
    command = [sys.executable, "-m", "benchmarks.speed.layer", "--memory-of", name]
    found = []
    for _ in range(processes):
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found.append(json.loads(done.stdout.splitlines()[-1]))
    return {kind: statistics.median(entry[kind] for entry in found) for kind in found[0]}


def print_extra_memory(name: str) -> None:
    head = contenders()[name]
    forward_backward(head, *cells(64))  # threads and kernels are there from now on
    z, target = cells(CELLS)
    with PeakMemory() as memory:
        forward_backward(head, z, target)
    z.grad = None
    print(
        json.dumps(
            {
                "resident": memory.extra,
                "tensors": peak_of_tensors(lambda: forward_backward(head, z, target)),
            }
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=15)
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        print_extra_memory(options.memory_of)
        return
    heads = contenders()
    differences = check_agreement(heads)
    z, target = cells(CELLS)
    seconds = interleaved(
        {name: partial(forward_backward, head, z, target) for name, head in heads.items()},
        options.repetitions,
    )
    memory = {name: extra_memory(name) for name in heads}
    ours, theirs = memory["layer"], memory["distributions"]
    share = {kind: ours[kind] / theirs[kind] for kind in ours}
    speed = median_ratio(seconds["distributions"], seconds["layer"])
    rows = "\n".join(
        f"| {name} | {1000 * statistics.median(seconds[name]):.0f} ms "
        f"| {memory[name]['resident'] / MB:.0f} MB | {memory[name]['tensors'] / MB:.0f} MB |"
        for name in heads
    )
    text = (
        f"Forward and backward at N = {CELLS}, D = {DIM}, M = {PROTOTYPES}, float32:\n\n"
        "| | median time | peak extra memory, resident | of tensors alone |\n"
        f"| --- | --- | --- | --- |\n{rows}\n\n"
        f"The layer is {speed:.1f} times faster (median ratio of {options.repetitions} "
        f"interleaved repetitions; at least 10 wanted) and takes {share['resident']:.3f} of the "
        f"resident memory, {share['tensors']:.3f} of the tensors' (at most 0.1 wanted)."
    )
    result = {
        "seconds": seconds,
        "extra_bytes": memory,
        "times_faster": speed,
        "share_of_memory": share,
        "relative_differences": differences,
    }
    save("layer", "python -m benchmarks.speed.layer", result, text)


if __name__ == "__main__":
    main()
