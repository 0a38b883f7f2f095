"""The systems that FOUND is compared with, each a small implementation of its paper: a file each, trained by `training.fit`.

What belongs here: encoders and losses, in pure PyTorch. What does not: where events come from and how a benchmark asks.
"""
