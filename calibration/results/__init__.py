"""Result files of load generators, read into measured results.

measured    the contract: a run as a load generator sums it up; files of them
requests    one row a request, as `calibrate replay` writes them
plausible   latencies, tokens and duration must fit together, or a unit is wrong
bench       `vllm bench serve` and SGLang's bench_serving
guidellm    guidellm's report
aiperf      aiperf's records, a line a request
aiperf_sums aiperf's summary
read        which of these a file is
load        the same requests anew, in the simulator: arrivals, a closed loop, adapters
predict     what a profile says of a measured run
compare     predicted beside measured
"""
