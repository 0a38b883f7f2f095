"""When and in what order things run: assets, partitions, checks. An asset body calls `found_platform` and records what it did."""
