"""Rows of several sources, one after the other, as far as training on them needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from semideep_ext.training.rows import Rows


class JoinedRows:
    """Rows by one number, whichever source they are of."""

    def __init__(self, parts: Sequence[Rows]) -> None:
        self.parts = parts
        self._ends = torch.as_tensor(np.cumsum([len(part) for part in parts], dtype=np.int64))

    def __len__(self) -> int:
        """Count the rows."""
        return sum(map(len, self.parts))

    def batches(self, indices: Iterable[Tensor]) -> Iterator[Tensor]:
        """Rows of each index tensor, on the device."""
        if len(self.parts) == 1:
            yield from self.parts[0].batches(indices)
            return
        for index in indices:
            source = torch.bucketize(index, self._ends, right=True)
            found = []
            for k, part in enumerate(self.parts):
                own = index[source == k] - (int(self._ends[k]) - len(part))
                found += list(part.batches([own])) if len(own) else []
            # They come by source; each goes back to where its number stood.
            place = source.argsort(stable=True).argsort()
            yield torch.cat(found)[place.to(found[0].device)]

    def blocks(self) -> Iterator[np.ndarray]:
        """All rows in order, as arrays (n, D) in their own precision."""
        return (block for part in self.parts for block in part.blocks())
