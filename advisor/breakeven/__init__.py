"""Where one way to serve begins to pay more than another: curves with a crossing and its interval.

answer      the contract
few         the scenario with another number of adapters
capacity    the largest load that one replica carries, by simulation
replicas    how many replicas a load takes, by arithmetic, and the load from which merging pays
adapters    merging against multi-LoRA over adapters and load; adapters on one replica
drafting    speculative decoding over batch size and acceptance
crossing    where a curve crosses a level
study       all of it: read this first
"""
