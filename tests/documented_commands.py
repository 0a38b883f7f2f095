"""The commands of README, CONTRIBUTING and docs: each line of a code block that a person would type, and what is shown under it."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMAND = re.compile(r"(\$ )?((?:[A-Z_]+=\S+ )*)((?:\.venv/bin/)?(?:found|make|python|dagster|feast|mlflow|pip|docker) .+)")


@dataclass(frozen=True)
class Command:
    """A command of a page. `output` is what the page shows under a line that begins with `$`."""

    page: str
    line: str
    variables: tuple[str, ...] = ()
    output: tuple[str, ...] = ()

    @property
    def program(self) -> str:
        return self.line.split()[0].removeprefix(".venv/bin/")

    @property
    def arguments(self) -> list[str]:
        """Without the program, comments and redirections; of alternatives in brackets the first one is given."""
        line = re.sub(r"\[([^\]|]*)(?:\|[^\]]*)?\]", r"\1", self.line)
        words = shlex.split(line, comments=True)[1:]
        ends = [i for i, word in enumerate(words) if word in (">", "|")]
        return words[: min(ends, default=len(words))]

    @property
    def target(self) -> str | None:
        """The file into which the line leads the output."""
        words = shlex.split(self.line, comments=True)
        return words[words.index(">") + 1] if ">" in words else None


def commands() -> list[Command]:
    """All of them, page by page, in their order."""
    lines_of_pages = []
    for page in PAGES:
        for block in re.findall(r"^```\w*\n(.*?)^```", page.read_text(), re.S | re.M):
            lines = block.replace("\\\n", " ").splitlines()
            for number, line in enumerate(lines):
                if (match := COMMAND.fullmatch(line.strip())) is None:
                    continue
                output: list[str] = []
                if match[1]:
                    rest = lines[number + 1 :]
                    output = rest[: next((i for i, other in enumerate(rest) if other.startswith("$ ")), len(rest))]
                name = str(page.relative_to(ROOT))
                lines_of_pages.append(Command(name, match[3].strip(), tuple(match[2].split()), tuple(output)))
    return lines_of_pages
