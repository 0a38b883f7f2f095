"""Training as a process of its own: `python -m found_platform.training pretrain|align --config run.json`.

Needs torch, transformers, peft, numpy and safetensors alone, so the same command runs on a laptop, on a bare GPU machine and under
`torchrun`. Data come as files (see `data`), progress leaves as `progress.jsonl`.
"""
