"""What a step of the training aims at."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recipes.start.episodes import Episode
from recipes.start.head import Heads, standardised

# A cell is asked where so much of it has labels, and teaches a head where so much is painted.
_ASKED, _PAINTED = 0.5, 0.2
# Corrections of a head's errors, each of cells around one of them, and the same of the dense.
_CORRECTIONS, _REACH = (2, 10), (1, 4)
# Weights of the prototypes beside the ridge regression, and of plants against soil.
_PROTOTYPES, _PLANTS = 0.5, 0.5


class Objective(nn.Module):
    """Loss of episodes, or with ``supervised`` of plants against soil alone.

    Parameters
    ----------
    dim, stride : int
        D of the latents, and pixels per cell.
    supervised : bool
    """

    def __init__(self, dim: int, stride: int, supervised: bool = False) -> None:
        super().__init__()
        self.stride = stride
        self.supervised = supervised
        self.heads = Heads()
        self.plant = nn.Conv2d(dim, 1, 1)

    def forward(self, latents: Tensor, episodes: list[Episode]) -> tuple[Tensor, float]:
        """Loss, a scalar, and mean IoU on what is asked.

        Parameters
        ----------
        latents : (2 * E, D, h, w) Tensor
            Of the pictures of all episodes.
        episodes : list of Episode
        """
        pairs = latents.unflatten(0, (len(episodes), 2))
        losses, scores = [], []
        for latent, episode in zip(pairs, episodes, strict=True):
            loss, score = self._asked(latent, episode)
            losses.append(loss)
            scores.append(score)
        plants = self._plants(latents, torch.cat([episode.plants for episode in episodes]))
        asked = torch.stack(losses).mean()
        total = plants if self.supervised else asked + _PLANTS * plants
        return total, sum(scores) / len(scores)

    def _asked(self, latents: Tensor, episode: Episode) -> tuple[Tensor, float]:
        """Loss and mean IoU of one episode."""
        count = episode.n_classes
        z = standardised(latents).permute(0, 2, 3, 1).flatten(0, 2)
        truth = shares(episode.labels, count, self.stride).permute(0, 2, 3, 1).flatten(0, 2)
        strokes = shares(episode.strokes[None], count, self.stride)[0].flatten(1).T
        first = truth[: len(strokes)]
        if episode.support == "dense":
            strokes = first
        elif episode.support == "corrected":
            strokes = self.corrected(z, strokes, first, latents.shape[-1], episode.seed)
        painted = F.pad(strokes, (0, 0, 0, len(z) - len(strokes)))
        support = _taught(painted)
        asked = (truth.sum(1) > _ASKED) & (painted.sum(1) == 0)
        if not bool(asked.any()):
            return latents.sum() * 0, 0.0
        truth = truth[asked] / truth[asked].sum(1, keepdim=True)
        ridge, prototypes = self.heads(z[support], painted[support], z[asked], episode.support)
        loss = both(ridge, truth) + _PROTOTYPES * both(prototypes, truth)
        return loss / (1 + _PROTOTYPES), hard_iou(ridge, truth)

    @torch.no_grad()
    def corrected(self, z: Tensor, strokes: Tensor, truth: Tensor, width: int, seed: int) -> Tensor:
        """Strokes (N, K) of the first picture and more, where a head of the former errs."""
        n = len(strokes)
        support = _taught(strokes)
        ridge, _ = self.heads(z[:n][support], strokes[support], z[:n], "strokes")
        known = truth.sum(1) > _ASKED
        wrong = (known & (ridge.argmax(1) != truth.argmax(1))).nonzero().flatten()
        corrected = strokes.clone()
        rng = np.random.default_rng(seed)
        count = min(len(wrong), int(rng.integers(*_CORRECTIONS)))
        rows, columns = (torch.arange(n) // width, torch.arange(n) % width)
        for place in rng.permutation(wrong.numpy())[:count].tolist():
            reach = int(rng.integers(*_REACH))
            far = (rows - rows[place]).square() + (columns - columns[place]).square()
            same = truth.argmax(1) == truth[place].argmax()
            near = (far < reach**2) & same & known
            corrected[near] = torch.maximum(corrected[near], truth[near])
        return corrected

    def _plants(self, latents: Tensor, plants: Tensor) -> Tensor:
        """Binary loss of plants against soil, by one linear head for all pictures."""
        truth = shares(plants, 2, self.stride).permute(0, 2, 3, 1).flatten(0, 2)
        asked = truth.sum(1) > _ASKED
        if not bool(asked.any()):
            return latents.sum() * 0
        value = self.plant(latents).flatten()[asked]
        return both(torch.stack([-value, value], 1) / 2, truth[asked])


def _taught(painted: Tensor) -> Tensor:
    """Cells (N,) that teach a head: those well painted, all where a class had none else."""
    well = painted.sum(1) > _PAINTED
    return well | (painted > 0).any(1) & ~(painted[well].sum(0) > 0).all()


def shares(labels: Tensor, count: int, stride: int) -> Tensor:
    """Share of every class (B, K, h, w) in each cell of labels (B, H, W), 0 for none."""
    one_hot = F.one_hot(labels.long(), count + 1)[..., 1:].permute(0, 3, 1, 2).float()
    return F.avg_pool2d(one_hot, stride)


def both(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross entropy and soft IoU (Rahman and Wang 2016) of cells (Q, K)."""
    log_posterior = logits.log_softmax(1)
    entropy = -(truth * log_posterior).sum(1).mean()
    posterior = log_posterior.exp()
    common = (posterior * truth).sum(0)
    union = (posterior + truth).sum(0) - common
    present = truth.sum(0) > 1
    return entropy + 1 - (common / union.clamp_min(1))[present].mean()


@torch.no_grad()
def hard_iou(logits: Tensor, truth: Tensor) -> float:
    """Mean IoU of cells (Q, K) over the classes that are there."""
    count = truth.shape[1]
    found, true = (F.one_hot(part.argmax(1), count).bool() for part in (logits, truth))
    present = true.any(0)
    iou = (found & true).sum(0) / (found | true).sum(0).clamp_min(1)
    return float(iou[present].mean())
