"""PyTorch's compiler is loaded by whoever compiles, and by nobody else."""

import subprocess
import sys

TRAINED = """
import sys, torch
from models import compiler
compiler.leave_out()
weight = torch.nn.Parameter(torch.ones(2))
optimizer = torch.optim.AdamW([weight])
torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
weight.grad = torch.ones(2)
optimizer.step()
optimizer.zero_grad()
optimizer.load_state_dict(optimizer.state_dict())
print("sympy" in sys.modules, isinstance(sys.modules["torch._dynamo"], compiler._Absent))
"""

COMPILED = """
doubled = torch.compile(lambda x: 2 * x, backend="eager")
print(doubled(torch.ones(1)).item(), isinstance(sys.modules["torch._dynamo"], compiler._Absent))
"""


def printed(code: str) -> list[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()


def test_an_optimiser_loads_no_compiler_and_who_compiles_gets_it() -> None:
    assert printed(TRAINED + COMPILED) == ["False True", "2.0 False"]
