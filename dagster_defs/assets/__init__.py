"""The assets, a module a group of the graph. Each module's `build` returns its assets for a home."""
