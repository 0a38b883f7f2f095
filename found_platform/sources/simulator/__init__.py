"""The simulator: a population worth predicting, as a source like any other, and the oracle that knows the possible.

`generate` writes files a day under `HOME/simulated` and what really happens under `HOME/truth`; from there the file source takes
over. World 1 has thirteen scenarios of who buys what (`oracle`); world 2 has returns too, and scenarios of acts and of affinity
(`judgement`).
"""

from found_platform.sources.simulator.judgement import judgement
from found_platform.sources.simulator.world import VERSION, scenarios, world
from found_platform.sources.simulator.write import discover, draw_ahead, generate, oracle

__all__ = ["VERSION", "discover", "draw_ahead", "generate", "judgement", "oracle", "scenarios", "world"]
