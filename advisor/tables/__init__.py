"""The answer as tables: one source for terminal, Markdown, HTML, CSV and web, so that all show the same.

units.py     one number, written for people
table.py     a table: typed columns, rows of raw values; as CSV and Markdown
ranking.py   options beside each other: ranked, refused, checked against the objective
fronts.py    what a better figure costs; the answer on other draws of the workload
reasons.py   why: differences to the base, causes, knee, slots, memory, origins, what would turn the advice
"""
