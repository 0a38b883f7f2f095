"""The document of the API against the server: whatever is sent by it is answered as it says, or refused in a sentence.

schemathesis makes requests of the document, such as it allows and such as it does not, the same each time. FOUND_API_CASES is how
many at least.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from api_document import Document
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from served_home import listening

pytestmark = pytest.mark.long

CASES = int(os.environ.get("FOUND_API_CASES", "2000"))
DESCRIBED = [status_code_conformance, content_type_conformance, response_schema_conformance]
WORK = ("erasures", "publications", "promotions", "rollbacks", "backfills", "expirations")
WORK_CASES = 4
"""Requests of each mode that change a whole home: each takes as long as hundreds of others."""
PATIENCE = 600
"""Seconds that an answer or a job may take."""


@pytest.fixture(scope="module")
def address(served: tuple[Path, dict[str, str]]) -> Iterator[str]:
    with listening(served[0], rate=1_000_000) as place:
        yield place


def test_every_request_of_the_document_is_answered_as_it_says(address: str, served: tuple[Path, dict[str, str]]) -> None:
    headers = {"authorization": f"Bearer {served[1]['admin']}"}
    api_document = Document(requests.get(f"{address}/api/v1/openapi.json", timeout=PATIENCE).json())
    document = schemathesis.openapi.from_url(f"{address}/api/v1/openapi.json", timeout=PATIENCE)
    operations = [operation.ok() for operation in document.get_all_operations()]
    with_choices = [o for o in operations if (o.body or o.path_parameters or o.query or o.headers) and not o.path.endswith(WORK)]
    examples = -(-CASES * 4 // 3 // len(with_choices)) // 2 + 1  # of each mode; some operations have fewer to choose from
    requests_sent, faults = 0, dict[Any, str]()
    jobs = list[str]()  # of the operation that is asked

    def ask(case: Any) -> None:
        nonlocal requests_sent
        answer = case.call(headers=headers, timeout=PATIENCE)
        requests_sent += 1
        if answer.status_code == 202 and "location" in answer.headers:
            jobs.extend(answer.headers["location"])
        try:
            case.validate_response(answer, checks=DESCRIBED)
        except FailureGroup as failures:
            for fault in failures.exceptions:
                faults[case.method, case.path, answer.status_code, type(fault)] = f"{case.as_curl_command()} {fault}"[:3000]
        waits = case.path == "/readyz" and answer.status_code == 503  # this server was not warmed
        if answer.status_code >= 500 and not waits:
            faults[case.method, case.path, answer.status_code] = f"{case.as_curl_command()} {answer.text[:300]}"

    def problem(job: str) -> dict[str, Any]:
        """What was wrong with a job; nothing where it was done."""
        end = time.monotonic() + PATIENCE
        while (shown := requests.get(address + job, headers=headers).json())["state"] in ("waiting", "running"):
            assert time.monotonic() < end, job
            time.sleep(0.05)
        if shown["state"] == "done" and (fault := api_document.result_fault(*operation.label.split(" "), shown["result"])):
            return {"status": 500, "detail": f"what the job answers is not described: {fault}"}
        return shown["problem"] or {"status": 200}

    for operation in operations:
        jobs = []
        for mode in schemathesis.GenerationMode:
            drawn = settings(
                max_examples=WORK_CASES if operation.path.endswith(WORK) else examples,
                deadline=None,
                database=None,
                derandomize=True,
                suppress_health_check=[*HealthCheck],
                phases=[Phase.generate],
            )(given(operation.as_strategy(generation_mode=mode))(ask))
            try:
                drawn()
            except Unsatisfiable:
                continue  # nothing of this operation can be wrong
        faults |= {(operation.label, fault["status"]): fault["detail"] for job in jobs if (fault := problem(job))["status"] >= 500}
    assert requests_sent >= CASES
    assert not faults
