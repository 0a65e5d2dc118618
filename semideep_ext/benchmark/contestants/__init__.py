"""Everyone who competes in a cell of the benchmark.

A contestant offers ways to compute the same weights, and the fastest of them counts: one formula
or another, compiled or not, large blocks of rows or small. Encoding rows (one-hot, packed bits) is
part of the call that is timed. Libraries that only give distances share one epilogue, in torch.
"""

from __future__ import annotations

from semideep_ext.benchmark.contestants import _libraries, _torch, _weights
from semideep_ext.benchmark.contestants._calls import Call, Contestant, UnsupportedError

__all__ = ["CONTESTANTS", "CUDA_CONTESTANTS", "OURS", "Call", "Contestant", "UnsupportedError"]

OURS = "semideep_ext"

CONTESTANTS: dict[str, Contestant] = {
    OURS: Contestant("semideep_ext", _weights.ours),
    "torch.compile": Contestant("torch", _torch.torch_compile, trial_pairs=2**24),
    "torch in blocks": Contestant("torch", _torch.torch_in_blocks, trial_pairs=2**24),
    "scikit-learn": Contestant("scikit-learn", _libraries.scikit_learn),
    "SciPy": Contestant("scipy", _libraries.scipy),
    "pykeops": Contestant("pykeops", _weights.pykeops),
    "numkong": Contestant("numkong", _libraries.numkong),
    "simsimd": Contestant("simsimd", _libraries.simsimd),
    "semideep": Contestant("semideep", _weights.semideep),
}

# Those who compute on a card.
CUDA_CONTESTANTS: dict[str, Contestant] = {
    **{name: CONTESTANTS[name] for name in (OURS, "torch.compile", "torch in blocks", "pykeops")},
    "cuvs": Contestant("cuvs", _weights.cuvs),
}
