"""Rules that hold of the whole repository."""

import re
import subprocess
from pathlib import Path

import yaml

from found_platform.serving import together
from found_platform.serving.options import Options
from found_platform.settings import TELEMETRY_OFF, Settings

ROOT = Path(__file__).resolve().parents[1]
SOURCES = [p for room in ("found_platform", "dagster_defs", "feature_repo", "models") for p in (ROOT / room).rglob("*.py")]


def test_nothing_loads_or_writes_a_pickle() -> None:
    unsafe = re.compile(r"\b(pickle|joblib|dill|cloudpickle)\b|torch\.(load|save)\(|weights_only=False|allow_pickle=True")
    allowed = r"ALLOW_PICKLE_DESERIALIZATION|from joblib import Parallel, delayed"  # of joblib its processes, not its files
    for path in SOURCES:
        code = re.sub(r'"""[\s\S]*?"""|#.*', "", path.read_text())
        code = re.sub(allowed, "", code)
        assert not unsafe.search(code), path
    assert TELEMETRY_OFF["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"


def test_nothing_listens_on_every_interface() -> None:
    everywhere = ".".join("0000")
    assert not any(everywhere in p.read_text() for p in [*SOURCES, ROOT / "Makefile", ROOT / "workspace.yaml"])
    assert Options(ROOT).host == together.LOOPBACK == "127.0.0.1"
    assert all(
        together.LOOPBACK in other.command for other in together.neighbours(ROOT, "files", ROOT, together.Ports(3000, 5000, 8000))
    )


def test_dagster_is_quiet_and_pooled() -> None:
    config = yaml.safe_load((ROOT / "dagster.yaml").read_text())
    assert config["telemetry"] == config["nux"] == {"enabled": False}
    assert config["concurrency"]["pools"]["default_limit"] == 1


def test_no_raw_id_leaves_the_vault(settings: Settings) -> None:
    """The simulator's ids are like user-0-000123: no file of the lake, the features or the index holds one, but the vault."""
    pattern = re.compile(rb"user-0-\d{6}")
    kept = [settings.home / d for d in ("lake", "staging", "feast", "mlflow", "index", "monitoring", "dagster")]
    holders = {
        p.relative_to(settings.home).parts[:2]
        for folder in kept
        for p in folder.rglob("*")
        if p.is_file() and pattern.search(_plain(p))
    }
    assert holders == set()
    assert pattern.search((settings.home / "vault.db").read_bytes())
    assert (settings.home / "vault.db").stat().st_mode & 0o777 == 0o600


def _plain(path: Path) -> bytes:
    if path.suffix != ".parquet":
        return path.read_bytes()
    import pyarrow.parquet as pq

    return str(pq.read_table(path).to_pydict()).encode() + path.read_bytes()


def test_no_user_key_enters_a_delta_log(settings: Settings) -> None:
    from found_platform import lake

    key = lake.read(settings.lake, "user_tabular", columns=["user_key"])["user_key"][0].as_py()
    logs = list(settings.lake.rglob("_delta_log/*.json"))
    assert len(logs) > 20
    assert not any(key in p.read_text() for p in logs)
    assert not any('\\"user_key\\"' in line for p in logs for line in p.read_text().splitlines() if '"stats"' in line)


def test_no_message_shows_the_name_of_a_python_class() -> None:
    shown = re.compile(r"\{type\(\w+\)\.__name__\}")
    for path in SOURCES:
        assert not shown.search(path.read_text()), path


def test_every_module_says_what_it_is_for() -> None:
    for path in SOURCES:
        assert path.read_text().startswith('"""'), path


def test_the_repository_has_no_path_of_a_machine() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    slash = "/"
    machine = re.compile(rf"(?<!\w){slash}(work|farm|root|home){slash}[a-z.]")  # at the root, not within a folder
    for name in listed:
        path = ROOT / name
        if path.suffix in {".py", ".md", ".yaml", ".toml", ".txt", ""} and path.is_file():
            assert not machine.search(path.read_text()), name
