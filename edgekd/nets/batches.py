"""What a training step sees: the order of samples and their views, and their prepared inputs as tensors."""

import math
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgekd.results import Signature
from edgekd.samples.views import Feed

Rows = NDArray[np.int64]

# Prepared inputs are kept in memory up to this many bytes; two trainings may run side by side.
ROOM = 1024**3
_CHUNK = 1024


def laid_out(batch: Mapping[str, Tensor], layout: torch.memory_format = torch.channels_last) -> dict[str, Tensor]:
    """Inputs by name, images in a memory layout: channels last is the faster one for convolutions on CPUs."""
    return {name: x.contiguous(memory_format=layout) if x.ndim == 4 else x for name, x in batch.items()}


class Order:
    """An endless stream of shuffled passes over `rows`, each sample in a random one of `views` views, cut into batches.

    A batch is a pure function of its number and the seed: a training that was killed goes on with the same batches.
    Every batch is full, so that batch normalization never meets a rest of two samples.
    """

    def __init__(self, rows: Rows, batch: int, views: int, seed: int) -> None:
        self._rows, self.batch, self._views, self._seed = rows, batch, views, seed
        self._pass = lru_cache(maxsize=4)(self._shuffled)

    def __call__(self, number: int) -> tuple[Rows, Rows]:
        """Sample numbers and their views, both (batch,), of batch `number` (from 0)."""
        start, stop, length = number * self.batch, (number + 1) * self.batch, len(self._rows)
        passes = [self._pass(k) for k in range(start // length, (stop - 1) // length + 1)]
        offset = start - start // length * length
        rows, views = (np.concatenate(part)[offset : offset + self.batch] for part in zip(*passes, strict=True))
        return rows, views

    def _shuffled(self, number: int) -> tuple[Rows, Rows]:
        random = np.random.default_rng([self._seed, number])
        return random.permutation(self._rows), random.integers(self._views, size=len(self._rows))


class Prepared:
    """Inputs of one network by (sample, view) as tensors: made once where all fit in memory, else batch by batch.

    `rows` are the sample numbers that will be asked for, `room` the bytes that may be kept.
    """

    def __init__(self, feed: Feed, signature: Signature, rows: Rows, views: int, room: int = ROOM) -> None:
        self._feed, self._length = feed, len(rows)
        size = sum(np.dtype(spec.dtype).itemsize * math.prod(spec.shape[1:]) for spec in signature.inputs)
        self._kept = self._all(rows, views) if size * len(rows) * views <= room else None
        self._position = np.zeros(feed.count, np.int64)
        self._position[rows] = np.arange(len(rows))

    def __call__(self, rows: Rows, views: Rows) -> dict[str, Tensor]:
        """Inputs by name, sample first: sample rows[i] in view views[i]."""
        if self._kept is not None:
            at = torch.from_numpy(views * self._length + self._position[rows])
            return {name: values.index_select(0, at) for name, values in self._kept.items()}
        batch: dict[str, Tensor] = {}
        for view in np.unique(views):
            here = np.flatnonzero(views == view)
            for name, values in self._feed.batch(rows[here], int(view)).items():
                if name not in batch:
                    batch[name] = torch.from_numpy(np.empty((len(rows), *values.shape[1:]), values.dtype))
                batch[name][torch.from_numpy(here)] = torch.from_numpy(values)
        return batch

    def _all(self, rows: Rows, views: int) -> dict[str, Tensor]:
        """Every view of every sample, (views * len(rows), ...), view 0 of all samples first."""
        kept: dict[str, Tensor] = {}
        for view in range(views):
            for start in range(0, len(rows), _CHUNK):
                for name, values in self._feed.batch(rows[start : start + _CHUNK], view).items():
                    if name not in kept:
                        kept[name] = torch.from_numpy(np.empty((views * len(rows), *values.shape[1:]), values.dtype))
                    at = view * len(rows) + start
                    kept[name][at : at + len(values)] = torch.from_numpy(values)
        return kept
