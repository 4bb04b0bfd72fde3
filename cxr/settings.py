"""Every setting of the product, in one frozen object: `CXR_*` variables, then `cxr.toml`, then the defaults here."""

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from cxr.findings import FINDINGS

ROOT = Path(__file__).resolve().parent.parent
"""The folder that holds `app.py`, `models/` and the rest."""


def _finding(name: str) -> str:
    if name not in FINDINGS:
        raise ValueError(f"'{name}' is none of the findings {', '.join(FINDINGS)}")
    return name


class Settings(BaseSettings):
    """What an operator may change. `CXR_<NAME>` in the environment wins over `name = …` in the project's `cxr.toml`."""

    model_config = SettingsConfigDict(env_prefix="CXR_", toml_file=ROOT / "cxr.toml", frozen=True, extra="forbid")

    models_dir: Path = Field(ROOT / "models", description="Folder of the model bundles, one folder each.")
    model: str | None = Field(
        None,
        description="Name of the bundle that serves, whatever was promoted; without it the one promoted last, at first "
        "`default`.",
    )
    data: Path | None = Field(
        None,
        description="Folder in the layout of the Kaggle release that the page Dataset shows; else NIH's table alone.",
    )
    evaluations_dir: Path = Field(
        ROOT / "evaluations",
        description="Where `evaluate --save` keeps evaluations on other test sets, and `gate --data` what it compared.",
    )
    runs_dir: Path = Field(
        ROOT / "runs", description="Where training jobs keep configuration, curves, log and checkpoints, a folder each."
    )
    job_grace_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        60.0, description="How long a cancelled job may take to save a checkpoint before it is ended."
    )
    ray_address: Annotated[str, Field(pattern=r"^https?://[^/\s]+$")] | None = Field(
        None, description="Address of a Ray cluster's dashboard, such as `http://head:8265`, to which jobs may be sent."
    )
    ray_gpus: Annotated[int, Field(ge=0)] = Field(
        1, description="GPUs of one node that a job takes which leaves the choice to the cluster."
    )
    ray_cpus: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        1.0, description="Processors that a job takes of the cluster."
    )
    ray_resources: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(
        {}, description='What else a node has to have for a job, in the cluster\'s own words, such as `{"films": 1}`.'
    )
    ray_python: str | None = Field(
        None, description="Python on the cluster's nodes that has what requirements.txt names; else the app's own path."
    )
    cache_dir: Path = Field(
        ROOT / "cache", description="Where training keeps its decoded films, and the dataset page where films lie."
    )
    threads: Annotated[int, Field(ge=0)] = Field(
        0, description="CPU threads of one pass of the serving graph; 0 leaves the choice to the runtime."
    )
    max_megapixels: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        64.0, description="Films with more pixels than this are refused from their header."
    )
    session_megabytes: Annotated[int, Field(gt=0)] = Field(
        1024, description="Most that the films of one browser session may take, as files and as pictures."
    )
    worklist_dir: Path = Field(
        ROOT / "worklist", description="Where the worklist keeps its films, and its database where that is SQLite."
    )
    database_url: str | None = Field(
        None,
        # It may hold a password.
        repr=False,
        description="The worklist's PostgreSQL database, such as `postgresql://cxr@db/cxr`; without it SQLite.",
    )
    inbox: Path | None = Field(None, description="Folder whose files are taken into the worklist as they arrive.")
    keep_days: Annotated[int, Field(gt=0)] | None = Field(
        None, description="Days after which a study and its films are deleted from the worklist; without it never."
    )
    ageing_hours: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        4.0,
        description="Hours of waiting that move a study up the worklist as far as an abnormal probability of 1 would.",
    )
    critical_findings: tuple[Annotated[str, AfterValidator(_finding)], ...] = Field(
        ("Pneumothorax", "Effusion"), description="Findings that put a study ahead of the others where flagged."
    )
    critical_point: str = Field("rule-in", description="Operating point at which a critical finding counts as flagged.")
    worklist_point: str = Field(
        "balanced", description="Operating point of the verdicts and of the flagged findings in the worklist."
    )
    blind_first: bool = Field(
        False, description="Whether readers of the worklist see a film before its verdict, unless they say otherwise."
    )
    scoring_workers: Annotated[int, Field(ge=1)] = Field(
        1, description="How many films of the worklist the app scores at a time."
    )
    reading_workers: Annotated[int, Field(ge=0)] = Field(
        0, description="How many films the app reads at a time, for whomever; 0: one for each processor."
    )
    reading_places: Annotated[int, Field(ge=1)] = Field(
        50, description="How many browser sessions may have films read or waiting at a time; one more is told to wait."
    )
    login_hours: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        12.0, description="Hours after which a person who logged in has to do it again."
    )
    role_claim: str | None = Field(
        None,
        description="Claim of the login that names roles or groups; within another one with dots, such as "
        "`realm_access.roles`.",
    )
    viewer_values: tuple[str, ...] = Field(("viewer",), description="What the claim says of a viewer.")
    reader_values: tuple[str, ...] = Field(("reader",), description="What the claim says of a reader.")
    administrator_values: tuple[str, ...] = Field(
        ("administrator",), description="What the claim says of an administrator."
    )
    viewers: tuple[str, ...] = Field((), description="E-mail addresses of viewers, where the login vouches for them.")
    readers: tuple[str, ...] = Field((), description="E-mail addresses of readers, likewise.")
    administrators: tuple[str, ...] = Field((), description="E-mail addresses of administrators, likewise.")
    decoders: Annotated[int, Field(ge=1)] = Field(
        2, description="How many films the app decodes at a time, each in a process of its own."
    )
    decode_megabytes: Annotated[int, Field(ge=256)] = Field(
        1280, description="Most memory that decoding one film may take; one that would take more is refused."
    )
    decode_seconds: Annotated[float, Field(ge=1, allow_inf_nan=False)] = Field(
        20.0,
        description="Most processor time that decoding one film may take, and on the clock four times that; a small "
        "file gets less.",
    )
    log_format: Literal["text", "json"] = Field("text", description="How the app writes its log, a line an event.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Events of less weight are not written to the log."
    )
    metrics: bool = Field(
        False, description="Whether the app counts for Prometheus and answers at /metrics, to this machine only."
    )
    metrics_token: SecretStr | None = Field(
        None, description="What a request of /metrics has to carry as a bearer token; then other machines may ask, too."
    )
    least_free_megabytes: Annotated[int, Field(ge=0)] = Field(
        1024, description="Free space of the worklist's disk below which the app says that it is not well."
    )
    scope_pictures: Path | None = Field(
        None,
        description="Folder of pictures that are no frontal chest film, in folders named for what they show "
        "(`lateral`, `hand`, `ct_head`): what the scope checks of new models learn besides what every machine has.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process, read once. Raises pydantic's `ValidationError`, which names each bad value."""
    return Settings()
