"""The simulator: a population worth predicting, as a source like any other, and the oracle that knows the possible.

`generate` writes files a day under `HOME/simulated` and what really happens under `HOME/truth`; from there the file source takes
over.
"""

from found_platform.sources.simulator.world import VERSION, scenarios, world
from found_platform.sources.simulator.write import discover, generate, oracle

__all__ = ["VERSION", "discover", "generate", "oracle", "scenarios", "world"]
