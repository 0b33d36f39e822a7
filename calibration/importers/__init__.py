"""Other people's measurements, read into the profile contract.

    tables         the operator tables of the package aiconfigurator-core, as plain arrays
    gemms          matrix products between the measured shapes
    dense          dense and head terms of a model, from GEMMs and bytes moved
    attention      prompt and decode attention
    all_reduce     tensor parallelism
    lora_gemms     an estimate of unmerged LoRA from small-rank GEMMs
    carried        terms that no operator table holds, from public end-to-end runs
    aiconfigurator puts them together into a profile
    server_runs    the public multi-LoRA server runs, fitted into a profile of that server
"""
