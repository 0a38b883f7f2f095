"""The document of the API as something to hold answers against: status, media type and every field."""

import re
from typing import Any

import jsonschema_rs


class Document:
    """An OpenAPI document. Its schemas are strict, so a field that is not described is a fault as one that is missing."""

    def __init__(self, content: dict[str, Any]):
        self.content = content
        self._operations = [
            (re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))), method.upper(), path, operation)
            for path, methods in content["paths"].items()
            for method, operation in methods.items()
        ]
        self._by_name = {f"{method} {path}": operation for _, method, path, operation in self._operations}

    def operation(self, method: str, path: str) -> tuple[str, dict[str, Any]] | None:
        """The operation that an address of a request is of, with its path in the document; None for what no operation has."""
        plain = path.partition("?")[0]
        fits = (f"{m} {p}" for regex, m, p, _ in self._operations if m == method and regex.fullmatch(plain))
        name = next(fits, None)
        return None if name is None else (name, self._by_name[name])

    def fault(self, method: str, path: str, status: int, content_type: str, body: Any) -> str | None:
        """What of an answer the document does not say; None where it says it all. `body` is read JSON, None of another type."""
        named = self.operation(method, path)
        if named is None:
            return None
        name, operation = named
        response = operation["responses"].get(str(status))
        if response is None:
            return f"{name}: the status {status} is not described"
        media_type = content_type.partition(";")[0]
        media = response.get("content", {}).get(media_type)
        if media is None:
            return f"{name}, {status}: {media_type} is not described"
        return self.mismatch(media["schema"], body) if media_type.endswith("json") else None

    def result_fault(self, method: str, path: str, result: Any) -> str | None:
        """The same of the result of a job that a request became."""
        operation = self.operation(method, path)
        assert operation is not None
        responses = operation[1]["responses"]
        return self.mismatch(responses[min(responses)]["content"]["application/json"]["schema"], result)

    def mismatch(self, schema: dict[str, Any], value: Any) -> str | None:
        whole = {**schema, "components": self.content["components"]}
        error = next(iter(jsonschema_rs.Draft202012Validator(whole).iter_errors(value)), None)
        return error and f"{'.'.join(map(str, error.instance_path))}: {error.message[:500]}"
