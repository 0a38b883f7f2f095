"""What `deploy/` starts: nothing as root, only the proxy is reached, no secret has a default, and every command runs."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import call_found

from found_platform.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = DEPLOY / "compose.yaml"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
PLATFORM = [name for name, service in SERVICES.items() if service["image"].startswith("found-platform:")]


def test_the_compose_file_is_one_by_the_specification() -> None:
    library = pytest.importorskip("compose_spec", reason="compose-spec is not installed: pip install 'found-platform[dev]'")
    text = re.sub(r"\$\{(\w+):\?[^}]*\}", lambda m: "1000" if "ID" in m[1] else f"/{m[1].lower()}", COMPOSE.read_text())
    assert set(library.PyCompose.from_yaml(yaml.safe_dump(yaml.safe_load(text))).service_names()) == set(SERVICES)
    with pytest.raises(ValueError, match="helthcheck"):
        library.PyCompose.from_yaml("services: {a: {image: x, helthcheck: {}}}")


def test_what_the_issue_of_a_deployment_names_is_there() -> None:
    assert {"proxy", "console", "webserver", "daemon", "code", "postgres"} <= set(SERVICES)
    assert {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service} == {
        "milvus": ["milvus"],
        "redis": ["redis"],
        "objects": ["objects"],
    }


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_runs_as_little_as_it_can(name: str) -> None:
    service = SERVICES[name]
    assert service["user"].startswith("${FOUND_UID:?"), "it has no default, so nothing runs as root by mistake"
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert "no-new-privileges:true" in service["security_opt"]
    assert "privileged" not in service
    assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert "latest" not in service["image"]
    assert any(digit in service["image"].rpartition(":")[2] for digit in "0123456789"), "pinned"
    assert "docker.sock" not in str(service)
    assert ("ports" in service) == (name == "proxy")


def test_no_secret_has_a_default_or_stands_in_a_file_of_the_repository() -> None:
    document = yaml.safe_load(COMPOSE.read_text())
    assert all(set(secret) == {"file"} for secret in document["secrets"].values())
    words = COMPOSE.read_text()
    assert ":-" not in words, "a variable with a default"
    for service in SERVICES.values():
        for variable, value in service.get("environment", {}).items():
            assert "PASSWORD" not in variable or variable.endswith("_FILE"), (variable, value)
    manifests = (DEPLOY / "kubernetes").glob("*.yaml")
    assert not any("kind: Secret" in path.read_text() for path in manifests)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of `deploy/` for which `setup.sh` was run."""
    folder = Path(shutil.copytree(DEPLOY, tmp_path / "deploy", ignore=shutil.ignore_patterns("secrets", ".env", "data")))
    setup(folder, "found.example.org", str(tmp_path / "data"))
    return folder


def setup(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    variables = {k: v for k, v in os.environ.items() if not k.startswith("FOUND_")}
    variables |= {"FOUND_UID": str(os.getuid() or 10001), "FOUND_GID": str(os.getgid() or 10001)}
    return subprocess.run([str(folder / "setup.sh"), *arguments], env=variables, capture_output=True, text=True, check=False)


def test_secrets_are_made_once_and_are_other_ones_each_time(copy: Path, tmp_path: Path) -> None:
    secrets = copy / "kubernetes" / "secrets"
    first = {path.name: path.read_text() for path in secrets.iterdir()}
    assert {path.stat().st_mode & 0o077 for path in (*secrets.iterdir(), copy / ".env")} == {0}
    assert len(first["postgres_password"]) == 64
    assert first["FOUND_DATABASE_URL"] == f"postgresql://found:{first['postgres_password']}@postgres:5432/found"
    assert first["FOUND_REDIS_URL"] == f"redis://:{first['redis_password']}@redis:6379/0"
    assert {secret["file"].rpartition("/")[2] for secret in yaml.safe_load(COMPOSE.read_text())["secrets"].values()} == set(first)
    assert setup(copy, "found.example.org", str(tmp_path / "data")).returncode == 0
    assert {path.name: path.read_text() for path in secrets.iterdir()} == first
    shutil.rmtree(secrets)
    setup(copy, "found.example.org", str(tmp_path / "data"))
    assert (secrets / "postgres_password").read_text() != first["postgres_password"]
    refused = setup(copy, "not a name")
    assert (refused.returncode, "and not not a name" in refused.stderr) == (2, True)


def test_a_command_gets_its_secrets_as_variables_and_its_exit_status_is_that_of_the_command(tmp_path: Path) -> None:
    (tmp_path / "FOUND_DATABASE_URL").write_text("postgresql://a:b@c/d")
    (tmp_path / "postgres_password").write_text("b")
    (tmp_path / "AWS_REGION").write_text("eu-central-1")
    run = subprocess.run(
        [str(DEPLOY / "entrypoint.sh"), "sh", "-c", 'echo "$FOUND_DATABASE_URL $AWS_REGION ${postgres_password-none}"; exit 3'],
        env={**os.environ, "FOUND_SECRETS": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout) == (3, "postgresql://a:b@c/d eu-central-1 none\n")


@pytest.fixture
def manifests(copy: Path) -> list[dict[str, Any]]:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl, which has kustomize, is not installed")
    command = ["kubectl", "kustomize", str(copy / "kubernetes")]
    return list(yaml.safe_load_all(subprocess.run(command, capture_output=True, text=True, check=True).stdout))


def test_kustomize_makes_pods_that_run_as_little_as_they_can(manifests: list[dict[str, Any]]) -> None:
    pods = [m["spec"]["template"]["spec"] for m in manifests if m["kind"] in ("Deployment", "StatefulSet")]
    assert len(pods) == 3
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        assert not any("hostPath" in volume for volume in pod["volumes"])
        for container in [*pod["containers"], *pod.get("initContainers", ())]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True
            assert (context["allowPrivilegeEscalation"], context["capabilities"]["drop"]) == (False, ["ALL"])
            assert ":" in container["image"]
            assert "latest" not in container["image"]
        assert all("livenessProbe" in container for container in pod["containers"])


def test_kubernetes_opens_the_proxy_alone_and_starts_what_compose_starts(manifests: list[dict[str, Any]]) -> None:
    services = {m["metadata"]["name"]: m["spec"].get("type", "ClusterIP") for m in manifests if m["kind"] == "Service"}
    assert {name for name, kind in services.items() if kind != "ClusterIP"} == {"proxy"}
    policies = {m["metadata"]["name"]: m["spec"] for m in manifests if m["kind"] == "NetworkPolicy"}
    assert policies["nobody"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    (platform,) = [m for m in manifests if m["kind"] == "StatefulSet" and m["metadata"]["name"] == "platform"]
    commands = {c["name"]: c["args"] for c in platform["spec"]["template"]["spec"]["containers"]}
    assert commands["code"] == SERVICES["code"]["command"]
    for name in ("webserver", "daemon"):
        assert [word for word in commands[name] if "workspace" not in word] == [
            word for word in SERVICES[name]["command"] if "workspace" not in word
        ]


def test_the_image_takes_what_it_copies_and_runs_as_nobody_in_particular() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    taken = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for line in lines:
        if line.startswith("COPY ") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists(), source
                assert source in taken, source
    assert [line for line in lines if line.startswith("USER ")] == ["USER 10001:10001"]
    assert all(line.split()[1].count(".") >= 2 for line in lines if line.startswith("FROM ")), "pinned"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def status_of(request: urllib.request.Request) -> int:
    try:
        return urllib.request.urlopen(request, timeout=30).status
    except urllib.error.HTTPError as refused:
        return refused.code


class Started:
    """The commands of the compose file on this machine: other ports, this Python, a home of the tests."""

    def __init__(self, settings: Settings, folder: Path):
        self.folder, self.ports = folder, {"code": free_port(), "webserver": free_port(), "console": free_port()}
        self.environment = {
            **os.environ,
            "FOUND_HOME": str(settings.home),
            "DAGSTER_HOME": str(settings.dagster_home),
            "PYTHONPATH": str(ROOT),
            "FOUND_SECRETS": str(folder),
        }
        workspace = (DEPLOY / "workspace.yaml").read_text().replace("host: code", "host: 127.0.0.1")
        (folder / "workspace.yaml").write_text(workspace.replace("4000", str(self.ports["code"])))
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def words(self, command: list[str]) -> list[str]:
        """A command of a service, for this machine."""
        ports = {"4000": "code", "3000": "webserver"}
        words = [str(self.ports[ports[word]]) if word in ports else word for word in command]
        words = [word.replace("/deploy/workspace.yaml", str(self.folder / "workspace.yaml")) for word in words]
        words = [word.replace("/deploy/entrypoint.sh", str(DEPLOY / "entrypoint.sh")) for word in words]
        words = [word.replace("${FOUND_SITE:?run deploy/setup.sh first}", "found.example.org") for word in words]
        words = [
            "127.0.0.1"
            if word == "0.0.0.0"
            else word.replace("127.0.0.1:3000", f"127.0.0.1:{self.ports['webserver']}").replace(
                "127.0.0.1:8321", f"127.0.0.1:{self.ports['console']}"
            )
            for word in words
        ]
        programs = {
            "found": [sys.executable, "-m", "found_platform.cli"],
            "dagster": [sys.executable, "-m", "dagster"],
            "dagster-webserver": [sys.executable, "-m", "dagster_webserver"],
            "dagster-daemon": [sys.executable, "-m", "dagster._daemon"],
            "python": [sys.executable],
        }
        return [part for word in words for part in programs.get(word, [word])]

    def start(self, name: str) -> None:
        words = self.words(SERVICES[name]["command"])
        if name == "console":
            words += ["--port", str(self.ports["console"])]
        log = (self.folder / f"{name}.log").open("wb")
        entry = str(DEPLOY / "entrypoint.sh")
        self.processes[name] = subprocess.Popen(
            [entry, *words], env=self.environment, stdout=log, stderr=log, start_new_session=True
        )
        log.close()

    def wait_until_healthy(self, name: str, seconds: float) -> None:
        test, end = self.words(SERVICES[name]["healthcheck"]["test"][1:]), time.monotonic() + seconds
        while subprocess.run(test, env=self.environment, capture_output=True, check=False).returncode:
            ended = self.processes[name].poll() is not None
            assert not ended, (self.folder / f"{name}.log").read_text()[-2000:]
            assert time.monotonic() < end, (self.folder / f"{name}.log").read_text()[-2000:]
            time.sleep(0.5)

    def stop(self) -> None:
        for process in reversed(self.processes.values()):
            os.killpg(process.pid, signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@pytest.fixture
def started(apart: Settings, tmp_path: Path) -> Iterator[Started]:
    running = Started(apart, tmp_path)
    yield running
    running.stop()


@pytest.mark.slow
@pytest.mark.long
def test_every_process_of_the_platform_starts_and_becomes_healthy_by_its_own_check(started: Started) -> None:
    created = call_found("token", "create", "ann", "--role", "operator", "--home", started.environment["FOUND_HOME"])
    assert created.status == 0, created.err
    assert set(PLATFORM) == {"console", "webserver", "daemon", "code"}
    for name in ("code", "console", "webserver", "daemon"):
        started.start(name)
    for name in ("code", "console", "webserver", "daemon"):
        started.wait_until_healthy(name, 150)
    query = json.dumps({"query": "{ workspaceOrError { ... on Workspace { locationEntries { name loadStatus } } } }"}).encode()
    address = f"http://127.0.0.1:{started.ports['webserver']}/dagster/graphql"
    request = urllib.request.Request(address, query, {"content-type": "application/json"})
    (location,) = json.load(urllib.request.urlopen(request, timeout=30))["data"]["workspaceOrError"]["locationEntries"]
    assert location == {"name": "found", "loadStatus": "LOADED"}
    for token, status in ((created.out.splitlines()[0], 204), ("fnd_nobody", 401)):
        door = urllib.request.Request(
            f"http://127.0.0.1:{started.ports['console']}/operates", headers={"Authorization": f"Bearer {token}"}
        )
        assert status_of(door) == status
