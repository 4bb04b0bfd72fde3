"""Promotion and its reverse: who decides which model serves, why, and what has to hold before."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from cxr.evaluation.neither import NotComparable, compared, held_out_films
from cxr.gate import metric_checks, points_check, scope_check, source_checks
from cxr.model.bundle import CARD_FILE, Bundle, BundleRejected, bundle_path, load_bundle
from cxr.model.engine import Engine
from cxr.model.keras_check import checked_keras
from cxr.registry import (
    Action,
    Check,
    Entry,
    GateReport,
    Model,
    changing,
    check_same,
    earlier,
    record,
    serving,
    serving_bundle,
)
from cxr.settings import settings
from cxr.worklist.audit import Event, NotRecorded, audited

FILES = "Files and serving graph"
EVALUATED = "Evaluated on held-out patients"
CHAMPION = "A champion to compare with"
NEITHER_SAW = "Films that neither model saw"


class PromotionRefused(RuntimeError):
    """The serving model stays; the message is one sentence that says why.

    Attributes:
        report: of the gate, where it is what refused.
    """

    def __init__(self, reason: str, report: GateReport | None = None):
        super().__init__(reason)
        self.report = report


def gate_report(name: str) -> GateReport:
    """What the gate says of a candidate against the model that serves now.

    It computes from scores that are kept: those of `compare_films` where there are any, else those that both bundles
    carry. It runs no model but on the candidate's few probe films.

    Raises:
        BundleRejected: the candidate's files are not those of its card, or its graph does not give here what Keras
            gave.
        PromotionRefused: it serves already.
    """
    candidate = _sound(name)
    ours = _identity(candidate)
    checks = [Check(name=FILES, passed=True, said="All hashes match, and the graph gives here what Keras gave.")]
    try:
        held_out = held_out_films(candidate)
        said = f"{len(held_out.labels):,} films of {len(set(held_out.patients.tolist())):,} patients."
        checks.append(Check(name=EVALUATED, passed=True, said=said))
    except (NotComparable, BundleRejected) as error:
        checks.append(Check(name=EVALUATED, passed=False, said=str(error)))
    try:
        champion = serving_bundle()
    except BundleRejected as error:
        checks.append(Check(name=CHAMPION, passed=False, said=str(error)))
        return GateReport(candidate=ours, champion=serving(), basis="", films=0, patients=0, checks=tuple(checks))
    theirs = _identity(champion)
    if theirs == ours:
        raise PromotionRefused(f"The model {name} serves already.")
    checks.append(points_check(candidate.card, champion.card))
    if (scope := scope_check(candidate.card, champion.card)) is not None:
        checks.append(scope)
    try:
        films = compared(candidate, champion)
        measured = metric_checks(films, candidate.card, champion.card)
    except (NotComparable, BundleRejected) as error:
        checks.append(Check(name=NEITHER_SAW, passed=False, said=str(error)))
        return GateReport(candidate=ours, champion=theirs, basis="", films=0, patients=0, checks=tuple(checks))
    patients = len(set(films.patients.tolist()))
    said = f"{len(films.labels):,} films of {patients:,} patients: {films.basis}."
    checks.append(Check(name=NEITHER_SAW, passed=True, said=said))
    return GateReport(
        candidate=ours,
        champion=theirs,
        basis=films.basis,
        films=len(films.labels),
        patients=patients,
        checks=(*checks, *measured),
        by_source=source_checks(films, candidate.card, champion.card),
    )


def promote(name: str, who: str, why: str, override: bool = False, seen: GateReport | None = None) -> Entry:
    """Make a candidate the model that serves; running sessions use it from their next film on.

    Args:
        name: of the bundle.
        who, why: the person and the reason, neither empty.
        override: promote although the gate is not passed. It is recorded as such, with what the gate said. A bundle
            whose files or graph do not verify can't be promoted at all.
        seen: what the gate said when the person decided; None where nobody looked.

    Raises:
        PromotionRefused: the gate is not passed, nobody or no reason is named, it serves already, the operator has set
            CXR_MODEL, since `seen` candidate or champion became another or a further check failed, or it can't be
            written to the audit trail.
        BundleRejected: the bundle can't be used; `RegistryDamaged`: nobody can tell what serves.
        OSError: the record can't be written.
    """
    with _deciding(who, why):
        report = gate_report(name)
        if seen is not None:
            _check_seen(seen, report)
        if report.failed and not override:
            said = "; ".join(f"{check.name}: {check.said.rstrip('.')}" for check in report.failed)
            raise PromotionRefused(f"The model {name} does not pass the gate. {said}.", report)
        action: Action = "override" if report.failed else "promote"
        return _changed(action, who, why, report.champion, report.candidate, report)


def _check_seen(seen: GateReport, report: GateReport) -> None:
    """Raise `PromotionRefused` if the gate says something else now than when the person decided."""
    further = {check.name for check in report.failed} - {check.name for check in seen.failed}
    if (seen.candidate, seen.champion) != (report.candidate, report.champion) or further:
        raise PromotionRefused(
            "Since you looked, the models or what the gate says of them have changed; look again and decide anew.",
            report,
        )


def going_back() -> Model:
    """The model that `roll_back` would go back to: the last one that served before, and is still there.

    Models that were removed or replaced since are passed over: they can't come back.

    Raises:
        PromotionRefused: there is none.
        BundleRejected: it is there, but can't be used; `RegistryDamaged`: nobody can tell what served.
    """
    for model in earlier():
        if (settings().models_dir / model.name / CARD_FILE).is_file():
            bundle = load_bundle(bundle_path(model.name))
            if model.sha256 in (None, bundle.model_sha256):
                return model
    raise PromotionRefused("There is no earlier model to go back to.")


def roll_back(who: str, why: str, to: Model | None = None) -> Entry:
    """Let the model serve again that served before; done twice, the one before that.

    A promotion puts a model on top of those before it, and this takes the top off. There is no gate: what goes back has
    passed it, or has been let through, before. But it has to verify.

    Args:
        who, why: the person and the reason, neither empty.
        to: the model that the person meant to go back to; None: whichever it is.

    Raises:
        PromotionRefused: there is no earlier model, nobody or no reason is named, the operator has set CXR_MODEL, it
            is not `to` any more (somebody else, or a second click, went back already), or it can't be written to the
            audit trail.
        BundleRejected: the earlier model can't be used; `RegistryDamaged`: nobody can tell what serves.
        OSError: the record can't be written.
    """
    with _deciding(who, why) as before:
        target = going_back()
        if to is not None and to != target:
            raise PromotionRefused(
                f"Somebody has changed which model serves meanwhile; it would not go back to {to.name} but to "
                f"{target.name}."
            )
        bundle = _sound(target.name)
        check_same(target, bundle)
        return _changed("roll back", who, why, before, target, None)


@contextmanager
def _deciding(who: str, why: str) -> Iterator[Model]:
    """The model that serves, while nobody else decides."""
    if not who.strip() or not why.strip():
        raise PromotionRefused("Say who decides and why: both are kept with the decision.")
    if (chosen := settings().model) is not None:
        raise PromotionRefused(
            f"The operator has set CXR_MODEL to {chosen}, which serves whatever is promoted; unset it first."
        )
    with changing():
        yield serving()


def _changed(action: Action, who: str, why: str, before: Model, after: Model, report: GateReport | None) -> Entry:
    entry = Entry(
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        who=who.strip(),
        action=action,
        why=why.strip(),
        from_model=before,
        to_model=after,
        gate=report,
    )
    event = Event.ROLLED_BACK if action == "roll back" else Event.PROMOTED
    gate = {} if report is None else {"override": action == "override", "failed_checks": len(report.failed)}
    try:
        with audited(
            who=entry.who, event=event, what=f"model {after.name}", model=after.sha256, before=before.sha256,
            before_name=before.name, **gate,
        ):  # fmt: skip
            record(entry)
    except NotRecorded as error:
        raise PromotionRefused(str(error)) from error
    return entry


def _sound(name: str) -> Bundle:
    """A bundle that could serve on this machine."""
    bundle = load_bundle(bundle_path(name))
    # Serving does without Keras, but the second opinion and who starts training from it do not.
    checked_keras(bundle)
    return Engine(bundle).bundle


def _identity(bundle: Bundle) -> Model:
    return Model(name=bundle.name, sha256=bundle.model_sha256)
