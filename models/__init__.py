"""FOUND itself, in pure PyTorch: encoders, losses, baselines. No file formats of the platform, no orchestration."""
