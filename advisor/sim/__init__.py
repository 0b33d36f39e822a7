"""The discrete-event model of replicas that batch, load adapters, decode and preempt.

fleet.py       how do I run it? `simulate_fleet`; check.py what is refused; router.py, ranks.py who gets what
setup.py       what is it told; result.py what it returns and what the causes mean; metrics.py percentiles
scheduler.py   who runs in the next step, who is passed over, who is preempted: no clocks, no tensors
adapters.py    which adapters are in slots and in host memory; loads.py how loads run beside the batch
kv.py          KV blocks: how many are free, which prefixes they hold; prefixes.py which prompts begin alike
plain.py       step by step, on simpy: the specification
skipping.py    the default engine: one event for all steps in which nothing can change; walk.py the rare steps
drafting.py    speculative decoding in it; verify.py and draws.py what verify steps yield
bookkeeping.py its state; waiting.py who is next; ledger.py and blocked.py where each second went; rundata.py
               and outcome.py what replicas share and fill in; alarm.py an event in time
"""
