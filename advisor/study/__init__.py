"""Studies: the same question at every point of a grid. Read `sweep.sweep` first.

grid.py        what a study file may say
points.py      the points of its grid, and the question asked at each
answers.py     one point's answer, as one row
columns.py     the columns of the result and how they come from an option
workers.py     where the points are computed: the cores of this machine, or a Ray cluster
store.py       Parquet: rows kept while the sweep runs, found again after a kill
sweep.py       the loop: what is known, what is missing, keep, finish
reference.py   writes docs/reference/study.md
"""
