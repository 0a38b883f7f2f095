"""One settings object: every path, horizon and limit of a home.

What a home was made with is kept in `HOME/settings.yaml`, so that a later command needs no more than `--home`. Environment
variables with the prefix `FOUND_` fill what neither the caller nor that file says.
"""

import difflib
import logging
import os
from functools import cache, cached_property
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from found_platform import (
    credentials,
    database,
    home_format,
    lake_place,
    threads,  # noqa: F401 (says how threads of OpenMP wait, before any library with them is loaded)
)
from found_platform.errors import BadInput

TELEMETRY_OFF = {
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "FEAST_USAGE": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
"""Set before any of these libraries is imported. Pickle is never loaded."""

os.environ.update(TELEMETRY_OFF)

RETAINED = ("events", "training", "embeddings", "scores", "members", "audit")
"""What may be kept for some days alone. What each stands for is `found_platform.housekeeping.expiry`'s."""

UNSHOWN = (
    "secret",
    "database_url",
    "redis_url",
    "engine_token",
    "milvus_token",
    "alert_webhook",  # of many makes its path opens it
    "alert_secret",
    "alert_smtp_password",
    "oidc_client_secret",
)
"""Settings that are never written down, and whose value no message shows."""

OF_A_MACHINE = ("duckdb_memory", "wait_minutes", "console_url", "mlflow_url", "evidently_url", "lake_uri")
"""Settings that a home does not keep either: they are of where it is worked with, or the home has a file of its own for them."""

INSTEAD = {
    "engine": "set FOUND_ENGINE_TOKEN",
    "milvus_uri": "set FOUND_MILVUS_TOKEN=USER:PASSWORD",
    "rewriter_endpoint": "set FOUND_LLM_KEY",
    "alert_smtp": "set FOUND_ALERT_SMTP_USER and FOUND_ALERT_SMTP_PASSWORD",
    "oidc_issuer": "set FOUND_OIDC_CLIENT_SECRET",
    "console_url": "people sign in there",
    "mlflow_url": "a browser asks for them",
    "evidently_url": "a browser asks for them",
}
"""Addresses that the home keeps or a page shows: what gives the secret that must not stand in them."""

OTHER_VARIABLES = frozenset({"FOUND_SECRETS"})
"""Variables of a deployment that are nearly the name of a setting."""

NEARLY = 0.9
"""How alike two names are for one to be the other, misspelt."""

log = logging.getLogger(__name__)

RANDOM_BERT = "random-bert"
"""The text encoder of the profile `tiny`, as `models.text_encoder` names it; that one brings torch."""


class Stage(BaseModel):
    """A stage of training: `options` as `found_platform.training.loop.Options`, `losses` as the weights in `tasks`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    options: dict[str, Any]
    losses: dict[str, Any] = {}


class Profile(BaseModel):
    """Sizes for a machine, as data: `found_platform/profiles/NAME.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    horizon_days: int
    text_encoder: str
    encode_batch: int
    gpu: bool = False  # made for one: without it training takes days
    model: dict[str, Any]  # sizes, as `models.found.FoundConfig` has them
    behavior: Stage
    tabular: Stage
    align: Stage
    benchmark_scenarios: int | None = None  # of the benchmark that ends `found demo`, those with the most positives; None: all
    rivals: dict[str, Any] = {}  # how much those are trained that a benchmark compares with: `models.baselines.training.Budget`

    @classmethod
    @cache
    def load(cls, name: str) -> Self:
        """Reads a bundled profile by name, once a process."""
        return cls(**yaml.safe_load((resources.files("found_platform") / "profiles" / f"{name}.yaml").read_text()))


class Settings(BaseSettings):
    """Everything a step needs to know that is not its data. Frozen; days are UTC days."""

    model_config = SettingsConfigDict(env_prefix="FOUND_", frozen=True, extra="forbid")

    home: Path = Path(".found")
    profile: Literal["tiny", "cpu", "paper"] = "cpu"

    # days that a model looks ahead; where nobody sets it, `found demo` chooses it from the rhythm of the log (sources.survey)
    horizon_days: int = Field(default_factory=lambda data: Profile.load(data.get("profile", "cpu")).horizon_days, ge=1)
    lookback_days: int = Field(180, ge=1)  # how far back a snapshot looks, and the TTL of the sequence views
    training_days: int = Field(180, ge=1)  # how far before a cutoff the training set's own cutoffs reach
    grid_days: int = Field(14, ge=1)  # spacing of past cutoffs
    sequence_length: int = Field(128, ge=1)  # last N events of a user
    search_length: int = Field(64, ge=1)  # last N searches of a user
    quarantine_threshold: float = Field(0.05, ge=0, le=1)  # share of bad rows above which an ingest is refused
    retire_days: int = Field(30, ge=0)  # after an erasure, until what has learned from the erased persons must be trained again
    consent_column: str | None = None  # a profile attribute: who does not have true in it is never targeted
    # PURPOSE=ATTRIBUTE, PURPOSE=ATTRIBUTE: the profile attribute that must be true beside that one, for an audience of that purpose
    consent_purposes: str = Field(
        "", pattern=r"^(\s*[\w-]+\s*=\s*\w+\s*(,|$))*$", examples=["mail=agrees_to_mail, ads=agrees_to_ads"]
    )
    encoder: str | None = None  # a directory or a hub name in place of the profile's text encoder
    # of the text encoder's weights; a new home on a CPU that multiplies bfloat16 has that, and keeps it wherever it goes
    encoder_precision: Literal["float32", "bfloat16"] = "float32"
    duckdb_memory: str = Field("4GB", pattern=r"^\d+(\.\d+)? ?([KMGT]i?B|%)$", examples=["4GB", "50%"])
    wait_minutes: float = Field(
        60, ge=0
    )  # of a command, for who writes the same or has its place in a pool; longer than laptops train
    # what computes features: DuckDB here, or Spark Connect's address
    engine: str = Field("duckdb", pattern=r"^(duckdb|sc://\S+)$", examples=["duckdb", "sc://HOST:15002"])
    engine_token: str | None = None  # that this address asks for; never written down
    # a Milvus server; else Milvus Lite in the home
    milvus_uri: str | None = Field(None, pattern=r"^(https?|tcp)://\S+$", examples=["http://HOST:19530"])
    milvus_token: str | None = None  # user:password or an API key of that server; never written down
    # folder or s3://BUCKET/FOLDER that this server reads: files of users are put there for it to import, in place of inserts
    milvus_import_uri: str | None = Field(
        None, pattern=rf"^(file://)?/\S+$|{lake_place.ADDRESS}", examples=["/FOLDER", "s3://bucket/folder"]
    )
    milvus_index: Literal["FLAT", "IVF_FLAT", "HNSW", "AUTOINDEX"] = "FLAT"  # FLAT compares with every user
    rewriter: str | None = None  # a language model that reads demands: a directory, a hub name, or its name at the endpoint
    rewriter_endpoint: str | None = None  # address that speaks OpenAI's chat completions
    rewriter_host: str | None = None  # host of an endpoint on another machine: demands and item names are sent there
    # postgresql://…: Dagster's, MLflow's and the audit's records there, in place of SQLite files in the home; never written down
    database_url: str | None = Field(
        None, pattern=r"^postgresql(\+\w+)?://\S+$", examples=["postgresql://USER:PASSWORD@HOST/DATABASE"]
    )
    # redis://…: the newest features of every user there, in place of an SQLite file in the home; never written down
    redis_url: str | None = Field(None, pattern=r"^(rediss?|unix)://\S+$", examples=["redis://HOST:6379"])
    # s3://BUCKET/FOLDER: the tables of the lake there, in place of files in the home; credentials by the usual AWS_…
    lake_uri: str | None = Field(None, pattern=lake_place.ADDRESS, examples=["s3://bucket/folder"])
    # of assets: team:NAME or an address
    owner: str = Field("team:feature-platform", pattern=r"^(team:[\w.-]+|[^@\s]+@[^@\s]+)$", examples=["team:NAME", "NAME@HOST"])
    # pages as a browser reaches them, which Dagster's pages link to; of a machine or a deployment, so no home keeps them
    console_url: str | None = Field(None, pattern=r"^https?://\S+$", examples=["https://HOST"])
    mlflow_url: str | None = Field(None, pattern=r"^https?://\S+$", examples=["https://HOST"])
    evidently_url: str | None = Field(None, pattern=r"^https?://\S+$", examples=["https://HOST"])
    automation: bool = False  # sensors and schedules run until a person stops them, in place of being stopped
    # cron, UTC: when a model of the newest day is trained
    retrain_at: str = Field("0 3 * * 1", pattern=r"^\S+( \S+){4}$", examples=["0 3 * * 1"])
    retrain_cooldown_days: int = Field(7, ge=1)  # between two trainings that a drift asks for
    keep_runs_days: int = Field(90, ge=1)  # runs, their logs and drift pages, before `found gc` takes them
    keep_versions_days: int = Field(7, ge=1)  # what was replaced: files of tables, publications, checkpoints; and ticks
    keep_models_days: int = Field(90, ge=1)  # training files and text vectors of models out of service
    # NAME=DAYS, NAME=DAYS, with a name of RETAINED: older rows go every day (`found expire`); what is not named stays with the home
    retention: str = ""
    disk_free_gb: float = Field(2.0, ge=0)  # less free space than that under the home is said by `found doctor`, and alerted
    alert_webhook: str | None = None  # address that alerts are posted to, signed; never written down
    alert_secret: str | None = None  # hex; what they are signed with; never written down
    alert_mail_to: str | None = None  # whom alerts are mailed to
    alert_mail_from: str | None = None  # as whom; default: the one they are mailed to
    alert_smtp: str | None = None  # host:port of the mail server; default 127.0.0.1:25; elsewhere STARTTLS is asked for
    alert_smtp_user: str | None = None
    alert_smtp_password: str | None = None  # never written down
    oidc_issuer: str | None = None  # address of an identity provider that people may sign in to the console with
    oidc_client_id: str | None = None  # under which it knows the console
    oidc_client_secret: str | None = None  # none for a public client; never written down
    oidc_label: str | None = None  # what the button calls the provider; default: its host
    # what is asked of it
    oidc_scopes: str = Field("openid profile email", pattern=r"^(.* )?openid( .*)?$", examples=["openid profile email"])
    oidc_roles: str = ""  # VALUE=ROLE, VALUE=ROLE: who has which role here, by that claim; the first that fits; `*` is everybody
    oidc_roles_claim: str = Field("groups", min_length=1)  # claim of the ID token with those values; a dot leads into an object
    oidc_name_claim: str = Field("sub", min_length=1)  # claim of the ID token that names people here; it must tell them apart
    secret: str | None = None  # hex; makes user keys of several homes agree. Else made once and kept in HOME/secret

    @classmethod
    def settings_customise_sources(cls, settings_cls: Any, init_settings: Any, env_settings: Any, **_: Any) -> tuple[Any, ...]:
        """Nothing else is asked: to look every field up in files that are not there takes a millisecond of each look-up."""
        return init_settings, env_settings

    @field_validator(*INSTEAD)
    @classmethod
    def _without_credentials(cls, address: str | None, about: ValidationInfo) -> str | None:
        """A file or a page shows this address to people."""
        if address is not None and (secret := credentials.kind(address)) is not None:
            raise ValueError(f"it holds {secret}: leave that out, and {INSTEAD[str(about.field_name)]}")
        return address

    @classmethod
    def load(cls, home: Path, *, moving: bool = False, **changes: Any) -> Self:
        """The settings of a home: what it was made with, then the environment, then these changes (None changes nothing).

        Args:
            moving: for who moves the records or the lake of the home, and finds them elsewhere than the setting says.

        Raises BadInput that names a setting which cannot be used, or says why the home cannot be opened.
        """
        _tell_of_misspelt(tuple(name for name in os.environ if name.startswith("FOUND_")))
        path = home / home_format.SETTINGS
        before = home_format.open_home(home) if path.exists() else {"encoder_precision": precision_of_this_machine()}
        kept = {k: v for k, v in before.items() if f"FOUND_{k.upper()}" not in os.environ}
        try:
            loaded = cls(home=home.resolve(), **{**kept, **{k: v for k, v in changes.items() if v is not None}})
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            hidden = name in UNSHOWN or credentials.kind(str(first["input"])) is not None
            value = "not what it must be" if hidden else repr(first["input"])
            why = {
                "extra_forbidden": "there is no such setting; leave it out",
                "string_pattern_mismatch": f"it must be like {' or '.join(cls._examples(name))}",
            }.get(first["type"], first["msg"].removeprefix("Value error, "))
            message = f"The setting {name} (FOUND_{name.upper()}, or {path}) is {value}: {why}."
            raise BadInput(message) from None
        if not moving:
            database.check(loaded.home, loaded.database_url)
            lake_place.check(loaded.home, loaded.lake_uri, loaded.engine)
        return loaded

    def for_workers(self) -> Self:
        """The same without its secrets, for a process of an engine; that one computes by itself what it is sent."""
        return self.model_copy(update={**dict.fromkeys(UNSHOWN), "engine": "duckdb"})

    @property
    def postgres(self) -> database.Database | None:
        """Where the records of the home lie, if not in files of it."""
        return database.of_home(self.home, self.database_url)

    @classmethod
    def _examples(cls, name: str) -> list[str]:
        """Values of a setting that has a form."""
        return list(cls.model_fields[name].examples or ()) if name in cls.model_fields else []

    def keep(self) -> None:
        """Writes what this home was made with, so that the next command and the UI see the same."""
        kept = self.model_dump(mode="json", exclude={"home", *OF_A_MACHINE, *UNSHOWN})
        home_format.keep(self.home, kept)

    @property
    def consents(self) -> dict[str, str]:
        """The profile attribute of each purpose that users may be asked to consent to."""
        pairs = (pair.split("=") for pair in self.consent_purposes.split(",") if pair.strip())
        return {purpose.strip(): attribute.strip() for purpose, attribute in pairs}

    @field_validator("retention")
    @classmethod
    def _known_retention(cls, text: str) -> str:
        _days_by_name(text)
        return text

    @property
    def retention_days(self) -> dict[str, int]:
        """For how many days rows are kept, by what they are; nothing of what stays as long as the home."""
        return _days_by_name(self.retention)

    @cached_property
    def sizes(self) -> Profile:
        return Profile.load(self.profile)

    @property
    def text_encoder(self) -> str:
        """The name of the text encoder, with the precision of its weights where it is not that of the published ones."""
        name = self.encoder or self.sizes.text_encoder
        return f"{name}:bfloat16" if self.encoder_precision == "bfloat16" and name != RANDOM_BERT else name

    @property
    def random_text_encoder(self) -> bool:
        """Whether the text encoder has weights that were never trained."""
        return self.text_encoder == RANDOM_BERT

    @property
    def history_days(self) -> int:
        """Days before a cutoff that may reach its model: the oldest training cutoff and what it looks back on."""
        return self.lookback_days + max(self.training_days, self.horizon_days + 1)

    @property
    def wait_seconds(self) -> float:
        return 60 * self.wait_minutes

    @property
    def lake(self) -> lake_place.Place:
        """The folder of the Delta tables, or their place on object storage."""
        return lake_place.of_home(self.home, self.lake_uri)

    @property
    def staging(self) -> Path:
        return self.home / "staging"

    @property
    def pulled(self) -> Path:
        """What databases and stores gave, with the ids of the source."""
        return self.home / "pulled"

    @property
    def truth(self) -> Path:
        return self.home / "truth"

    @property
    def dagster_home(self) -> Path:
        return self.home / "dagster"


@cache
def _tell_of_misspelt(variables: tuple[str, ...]) -> None:
    """Warns of variables of the environment that are nearly a setting's name, once a process: nobody reads them.

    Others with this prefix are somebody else's: a deployment has its own.
    """
    names = [f"FOUND_{field.upper()}" for field in Settings.model_fields]
    for variable in variables:
        if variable in names or variable in OTHER_VARIABLES:
            continue
        if near := difflib.get_close_matches(variable, names, 1, NEARLY):
            log.warning("%s is no setting, and nobody reads it: is %s meant?", variable, near[0])


def _days_by_name(text: str) -> dict[str, int]:
    """The setting `retention`. Raises ValueError for what cannot be meant."""
    days: dict[str, int] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, _, number = (each.strip() for each in part.partition("="))
        if name not in RETAINED or name in days or not (number.isascii() and number.isdigit() and 0 < int(number) <= LONGEST_DAYS):
            raise ValueError(
                f"{part!r} is no NAME=DAYS with a name of {', '.join(RETAINED)}, each once, and 1 to {LONGEST_DAYS:,} days"
            )
        days[name] = int(number)
    return days


LONGEST_DAYS = 36_500
"""A hundred years: whoever means for ever leaves a name out."""


COMPUTES_BFLOAT16 = {"amx_bf16", "avx512_bf16"}
"""Features of a CPU, by Linux's names, with which it encodes texts in half the time."""


@cache
def precision_of_this_machine() -> str:
    """The precision in which this machine's CPU encodes texts fastest."""
    cpu = Path("/proc/cpuinfo")
    return precision_of(cpu.read_text()) if cpu.exists() else "float32"


def precision_of(cpu: str) -> str:
    """The precision that suits a CPU, by what Linux says of it: bfloat16 where it has instructions for that."""
    return "bfloat16" if COMPUTES_BFLOAT16 & set(cpu.split()) else "float32"
