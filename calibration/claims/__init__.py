"""The field's claims on the live engine of this machine, the simulator beside it.

Which file answers which question:
    whole.py      all experiments, one after the other, each saved as it is done; ground.py prepares
    bench.py      one trace on several engines: simulated, and replayed in turns; engines.py
    latency.py    C1, C4: unmerged beside its base          prompts.py   C3: prompt processing
    loads.py      C2, C5: loads, adapters deployed          merged.py    C6: merged beside base
    drafts.py     C7: speculation on a fine-tune            tenants.py   C8: other tenants
    money.py      C9: cost of many variants
    result.py     what an experiment returns                verdict.py   the rules of the verdicts
    page.py       docs/claims.md from the results; charts.py
"""
