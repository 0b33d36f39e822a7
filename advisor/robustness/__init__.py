"""How sure an answer is.

inputs     what an answer rests on, and how far each may be off
scaled     a variant with some of its terms longer or shorter
workload   other traffic of the same kind: the trace resampled in blocks
rivals     the few options between which the choice is made
decide     the choice in one world: which rival is the cheapest that holds
tipping    the value of each input at which the choice turns
certainty  all of it: read this first
"""
