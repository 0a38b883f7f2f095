"""The source as a graph of definitions: who can reach which function, class, constant, data file and setting.

What belongs here: reading source and following names. Which asset asks and what it is good for is `code_version`'s.

The unit is a definition, not a module, so that a change counts for those alone who can reach it. Where a name cannot be followed
further (a module that is handed around as a value, a dotted path in a string, a decorator of ours that registers what it decorates)
the whole module counts; of a package that loads all that it holds, all that is defined there.
"""

import ast
import contextlib
import functools
import hashlib
import json
import re
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from found_platform.settings import Profile, Settings

PACKAGES = ("found_platform", "models", "feature_repo")
"""Packages whose code decides what comes out. What runs when, here in `dagster_defs`, is not followed but for asset bodies."""

ASSETS = "dagster_defs.assets"
SETTINGS = "found_platform.settings"
"""Not followed: what a setting is worth counts, and the fingerprint holds its value."""

WITHOUT_EFFECT = {
    "found_platform.training_runs.preflight": "refuses what does not fit the machine",
    "found_platform.features.describe": "pictures and rates for the page of a run",
    "found_platform.monitoring.curves": "pictures for the page of a run",
    "found_platform.audiences.pictures": "pictures for the page of a run",
    "found_platform.privacy.audit": "who asked what",
    "found_platform.database": "where runs, models and the audit are kept",
    "found_platform.lake_place": "where the lake lies",
    "found_platform.objects": "how a store of the lake is reached",
    "found_platform.tenancy": "what a home's things are called on servers",
}
"""Modules that change nothing of what is written, and why. Not followed."""

WHOLE, EFFECTS = "*", "<effects>"
"""Stand for a whole module, and for the statements that run when it is imported and define nothing."""

PARSING = threading.Lock()
"""Python 3.11.7 raises SystemError where two threads parse at once."""

TRIES = 20

DATA = (".yaml", ".yml", ".json", ".txt")
_DOTTED = re.compile(r"(?:found_platform|models|feature_repo)(?:\.\w+)+")


@dataclass(frozen=True)
class Reach:
    """What an asset can reach: a hash of the code and package data, the definitions, and the settings that are read."""

    code: str
    definitions: frozenset[str]  # "module:name"
    settings: frozenset[str]  # a field or property of Settings; "sizes.NAME" for one of the profile


@dataclass
class _Module:
    """A parsed module: its definitions and imports by name, and the statements that define nothing."""

    name: str
    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imports: dict[str, tuple[str, str | None]] = field(default_factory=dict)  # local name: module and name in it
    effects: list[ast.stmt] = field(default_factory=list)


@dataclass
class _References:
    """What one definition names: dotted chains, imports of its own, strings, and settings."""

    chains: set[tuple[str, ...]] = field(default_factory=set)
    imports: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    strings: set[str] = field(default_factory=set)
    settings: set[str] = field(default_factory=set)


class Tree:
    """The source tree, parsed as far as it is reached."""

    def __init__(self, root: Path) -> None:
        files = [p for package in (*PACKAGES, "dagster_defs") for p in (root / package).rglob("*") if p.is_file()]
        self._paths = {_module_name(p.relative_to(root)): p for p in files if p.suffix == ".py"}
        self._data = {p.name: p for p in sorted(files) if p.suffix in DATA}
        self._folders: dict[str, list[str]] = {}  # data files by the name of the folder that holds them
        for name, path in self._data.items():
            self._folders.setdefault(path.parent.name, []).append(name)
        self._modules: dict[str, _Module] = {}
        self._hashes: dict[int, str] = {}
        self._references: dict[int, _References] = {}
        self._settings = {*Settings.model_fields, *(n for n, v in vars(Settings).items() if _is_property(v))}

    def bodies(self) -> dict[str, tuple[str, list[ast.FunctionDef]]]:
        """By asset: the module and, from the outermost in, the functions that lead to its body.

        A body is the function that `asset(graph, NAME)` decorates, or the factory that is called with NAME first.
        """
        bodies: dict[str, tuple[str, list[ast.FunctionDef]]] = {}
        for name in sorted(self._paths):
            if not name.startswith(f"{ASSETS}."):
                continue
            for build in (d for d in self._module(name).definitions.get("build", []) if isinstance(d, ast.FunctionDef)):
                inner = {f.name: f for f in build.body if isinstance(f, ast.FunctionDef)}
                for function in inner.values():
                    for decorator in function.decorator_list:
                        if asset := _first_string(decorator, "asset"):
                            bodies[asset] = (name, [build, function])
                for call in ast.walk(build):
                    factory = call.func.id if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) else ""
                    if factory in inner and (asset := _first_string(call, factory)):
                        bodies.setdefault(asset, (name, [build, inner[factory]]))
        return bodies

    def reach(self, body: tuple[str, list[ast.FunctionDef]]) -> Reach:
        module, (build, function) = body
        helpers = {f.name: f for f in build.body if isinstance(f, ast.FunctionDef)}
        hashes: dict[str, str] = {}
        settings: set[str] = set()
        pending: list[tuple[str, str]] = []
        local, names = [function], {function.name}
        while local:
            helper = local.pop()
            hashes[f"{module}:build.{helper.name}"] = self._hash(helper)
            references = self._refer(helper)
            settings |= references.settings
            for chain in references.chains:
                if chain[0] in helpers and chain[0] not in names:
                    names.add(chain[0])
                    local.append(helpers[chain[0]])
            pending.extend(self._targets(self._module(module), references))
        seen: set[tuple[str, str]] = set()
        while pending:
            symbol = pending.pop()
            if symbol in seen:
                continue
            seen.add(symbol)
            where, name = symbol
            if where == "data":
                content = self._data[name].read_text().replace("\r\n", "\n")
                hashes[f"data:{name}"] = hashlib.sha256(content.encode()).hexdigest()
                pending.extend(self._named(_DOTTED.findall(content)))
                continue
            if where == SETTINGS or where in WITHOUT_EFFECT or where.split(".")[0] not in PACKAGES:
                continue
            source = self._module(where)
            pending.append((where, EFFECTS))
            if name == WHOLE:
                pending.extend((where, other) for other in (*source.definitions, *source.imports))
                continue
            if name == EFFECTS:
                nodes = source.effects
                pending.extend((m, EFFECTS) for m, _ in source.imports.values() if m in self._paths)
                pending.extend((parent, EFFECTS) for parent in _parents(where) if parent in self._paths)
            elif name in source.definitions:
                nodes = source.definitions[name]
            else:
                pending.extend(self._follow(source.imports.get(name), ()))
                continue
            for node in nodes:
                hashes[f"{where}:{name}"] = hashes.get(f"{where}:{name}", "") + self._hash(node)
                references = self._refer(node)
                settings |= references.settings
                pending.extend(self._targets(source, references))
        code = hashlib.sha256(json.dumps(sorted(hashes.items())).encode()).hexdigest()[:16]
        return Reach(code, frozenset(hashes), frozenset(settings))

    def _module(self, name: str) -> _Module:
        if name not in self._modules:
            module = _Module(name)
            self._collect(module, _parsed(self._paths[name].read_bytes()).body)
            self._modules[name] = module
        return self._modules[name]

    def _collect(self, module: _Module, statements: Iterable[ast.stmt]) -> None:
        for statement in statements:
            if isinstance(statement, ast.Import | ast.ImportFrom):
                module.imports.update(self._imported(statement))
            elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                module.definitions.setdefault(statement.name, []).append(statement)
                if any(self._is_ours(module, d) for d in statement.decorator_list):
                    module.effects.append(statement)
            elif targets := list(_assigned(statement)):
                for target in targets:
                    module.definitions.setdefault(target, []).append(statement)
            elif isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.dump(statement.test):
                continue
            elif not _is_string(statement):
                module.effects.append(statement)
                self._collect(module, (s for s in ast.walk(statement) if isinstance(s, ast.Import | ast.ImportFrom)))

    def _is_ours(self, module: _Module, decorator: ast.expr) -> bool:
        chain = _chain(decorator.func if isinstance(decorator, ast.Call) else decorator)
        if not chain:
            return False
        return chain[0] in module.definitions or module.imports.get(chain[0], ("",))[0].split(".")[0] in PACKAGES

    def _imported(self, statement: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, tuple[str, str | None]]]:
        for alias in statement.names:
            if isinstance(statement, ast.Import):
                local = alias.asname or alias.name.split(".")[0]
                yield local, (alias.name if alias.asname else local, None)
            else:
                module = statement.module or ""
                inner = f"{module}.{alias.name}"
                yield alias.asname or alias.name, (inner, None) if inner in self._paths else (module, alias.name)

    def _refer(self, node: ast.AST) -> _References:
        """What a definition names, found once."""
        if id(node) not in self._references:
            references = self._references[id(node)] = _References()
            inner: set[int] = set()  # attributes within a longer chain
            for part in _walked(node):
                if isinstance(part, ast.Import | ast.ImportFrom):
                    references.imports.update(self._imported(part))
                elif isinstance(part, ast.Constant) and isinstance(part.value, str):
                    references.strings.add(part.value)
                elif isinstance(part, ast.Attribute | ast.Name) and id(part) not in inner:
                    chain, base = [], part
                    while isinstance(base, ast.Attribute):
                        chain.append(base.attr)
                        base = base.value
                        inner.add(id(base))
                    chain = [*([base.id] if isinstance(base, ast.Name) else ["?"]), *reversed(chain)]
                    references.chains.add(tuple(chain))
                    if setting := self._setting(chain):
                        references.settings.add(setting)
        return self._references[id(node)]

    def _setting(self, chain: list[str]) -> str | None:
        for i, name in enumerate(chain[:-1]):
            if name in ("settings", "_settings") and chain[i + 1] in self._settings:
                read = chain[i + 1 : i + 3]
                return ".".join(read) if read[0] == "sizes" and read[-1] in Profile.model_fields else read[0]
        return None

    def _targets(self, module: _Module, references: _References) -> Iterator[tuple[str, str]]:
        for chain in references.chains:
            first, rest = chain[0], chain[1:]
            if first in references.imports:
                yield from self._follow(references.imports[first], rest)
            elif first in module.definitions:
                yield module.name, first
            elif first in module.imports:
                yield from self._follow(module.imports[first], rest)
        if ("__path__",) in references.chains:  # a registry that loads whatever modules its package holds
            held = (name for name in self._paths if name.rpartition(".")[0] == module.name)
            yield from ((name, definition) for name in held for definition in self._module(name).definitions)
        folders = {text for text in references.strings if text in self._folders}
        if ("__name__",) in references.chains and ("resources", "files") in references.chains:  # lists the files beside it
            folders.add(self._paths[module.name].parent.name)
        for text in [*references.strings, *(name for folder in folders for name in self._folders.get(folder, ()))]:
            if text in self._data:
                yield "data", text
        yield from self._named(references.strings)

    def _follow(self, target: tuple[str, str | None] | None, rest: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        """The definition that an imported name and the attributes behind it lead to."""
        if target is None:
            return
        module, name = target
        if module not in self._paths:
            return
        if name is not None:
            yield module, name
            return
        while rest and f"{module}.{rest[0]}" in self._paths:
            module, rest = f"{module}.{rest[0]}", rest[1:]
        yield module, rest[0] if rest else WHOLE

    def _named(self, texts: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Modules and what is in them, named in strings: a program that is started, a class that a library loads."""
        for text in texts:
            if not _DOTTED.fullmatch(text):
                continue
            if text in self._paths:
                yield text, WHOLE
                if f"{text}.__main__" in self._paths:
                    yield f"{text}.__main__", WHOLE
            elif (parent := text.rpartition(".")[0]) in self._paths:
                yield parent, text.rpartition(".")[2]

    def _hash(self, node: ast.AST) -> str:
        if id(node) not in self._hashes:
            self._hashes[id(node)] = hashlib.sha256(json.dumps(_plain(node)).encode()).hexdigest()
        return self._hashes[id(node)]


def _parsed(content: bytes) -> ast.Module:
    """A parsed module; parsed again where a library of another thread parsed at the same time."""
    for _ in range(TRIES - 1):
        with PARSING, contextlib.suppress(SystemError):
            return ast.parse(content)
    return ast.parse(content)


_WITHOUT_MEANING = frozenset({"ctx", "kind", "type_comment"})
"""Fields of a syntax tree that say nothing of what the code does."""


def _walked(node: ast.AST) -> list[ast.AST]:
    """What `ast.walk` yields, but for contexts of names, in the same order and half the time: it passes 300,000 nodes."""
    nodes = [node]
    for part in nodes:
        for name, value in part.__dict__.items():
            if name == "ctx":
                continue
            if isinstance(value, ast.AST):
                nodes.append(value)
            elif isinstance(value, list):
                nodes.extend([item for item in value if isinstance(item, ast.AST)])
    return nodes


def _plain(value: object) -> object:
    """A syntax tree as JSON, without comments, docstrings, layout and what differs between versions of Python."""
    if isinstance(value, ast.AST):
        plain: list[object] = [type(value).__name__]
        has = value.__dict__
        for name in value._fields:
            inner = has.get(name)
            if inner is None or inner == [] or name in _WITHOUT_MEANING:
                continue
            plain.append([name, inner if type(inner) is str else _plain(inner)])
        return plain
    if isinstance(value, list):
        return [_plain(v) for v in value if not _is_string(v)]
    return value if isinstance(value, str | int | bool | None) else repr(value)


def _module_name(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def _parents(module: str) -> Iterator[str]:
    while "." in module:
        module = module.rpartition(".")[0]
        yield module


def _chain(node: ast.expr) -> list[str]:
    """`a.b.c` as a list; empty where it does not begin with a name."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return [node.id, *reversed(names)] if isinstance(node, ast.Name) else []


def _assigned(statement: ast.stmt) -> Iterator[str]:
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        yield from (n.id for t in targets if isinstance(t, ast.Name | ast.Tuple) for n in ast.walk(t) if isinstance(n, ast.Name))


def _first_string(call: ast.AST, function: str) -> str | None:
    """The first string among the positional arguments of a call of a function of this name."""
    if not isinstance(call, ast.Call) or _chain(call.func) != [function]:
        return None
    return next((a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)), None)


def _is_string(node: object) -> bool:
    """Whether a statement is a string alone: a docstring, of a module, function, class or constant."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_property(value: object) -> bool:
    return isinstance(value, property | functools.cached_property)
