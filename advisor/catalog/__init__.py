"""What is known beforehand, as data with source and date: models, devices, prices, engines, acceptance.

shapes.py         model("Llama-3.1-8B"), models()                sizes of dense models; why others are refused
hardware.py       device("H100"), devices()                      memory, peaks, links
capabilities.py   engine("vllm"), engines()                      what an engine can do, and its defaults
prices.py         price_of(device, wish), device_prices(), ...   dated; the median row, or your own
acceptance.py     default_acceptance(method, task), shifted()    published figures, and assumed shifts
compatibility.py  check(engine, adapters, model, ...)            what does not combine, with the reason
resolve.py        resolve_model(name_or_path, folder)            a name, a config.json, or its folder
tables.py         the files in data/, and a user's own that replace rows of them
"""
