"""Training of torch models with one weight per row.

`trainer` holds `WeightedTrainer`, `options` its settings; `rows`, `tasks` and `row_weights` make
what a step needs, `loop` takes the steps, `callbacks` happen around them, `resume` and
`checkpoints` let a killed run go on.
"""
