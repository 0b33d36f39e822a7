"""The field's claims on the live engine of this machine, the simulator beside it.

bench.py         one set-up with one trace, simulated and measured
latency.py       C1 to C4: unmerged beside base
many.py          C5, C6, C8: adapters deployed, merged, other tenants
drafts.py        C7: speculation on a fine-tune
money.py         C9: cost of many variants
result.py        what an experiment returns; page.py writes it down; whole.py runs all
"""
