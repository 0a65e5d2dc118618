"""The ops: arguments read and checked, compiled kernels called, derivatives.

`functional` holds the two public functions. A call runs through `question` (what is asked, read
once), then `registration` (the compiled ops, differentiated by `derivatives`) or, for a callable
metric, `blocks`. `metrics` lists what can be asked for, `libraries` loads what was compiled.
"""
