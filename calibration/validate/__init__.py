"""Prediction beside measurement.

Which file answers which question:
    matrix.py     what is tried: scenarios, each with options to rank
    rounds.py     all scenarios in rounds, every replay kept
    run.py        one scenario: predict, replay several times, compare. Read `run_case` first
    compare.py    figures of a prediction and of a replay by the same definitions; distances
    verdict.py    which cells hold, the noise floor, whether the first choice was right
    report.py     terminal, HTML, Markdown; charts.py
"""
