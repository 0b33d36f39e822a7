"""Other people's measurements, read into the profile contract.

tables         the operator tables of the package aiconfigurator-core, as plain arrays
gemms          matrix products between the measured shapes
dense          dense and head terms of a model, from products and bytes moved
attention      prompt and decode attention
all_reduce     tensor parallelism
lora_gemms     an estimate of unmerged LoRA from small-rank products
model_terms    all device terms of one model at one degree
carried        terms that no operator table holds, scaled to a model and device
engines        what differs between the engines that have tables
aiconfigurator puts these together into a profile

shares         what share of their ceilings the measured GPUs reach
datasheet      a profile of another GPU that follows
vidur          Vidur's products of a model in such a profile

server_files   the calibration files of a public multi-LoRA server
server_step    its step time without adapters
server_lora    what slots and adapters add
server_memory  its loads, KV memory, start-up
server_profile puts these together into a profile of that server
published      published closed loops, point by point
public_fits    host time, from them
carry          writes what `carried` reads

serving_sim_files  LLMServingSim's tables of whole models inside vLLM
serving_sim_terms  the device terms that follow: prompts, decodes, decodes beside prompts
serving_sim        puts these together into a profile
"""
