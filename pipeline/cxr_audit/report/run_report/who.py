"""Who ran the audit, with which code, on which data, by which protocol."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from cxr_audit.records import (
    CaseRecord,
    CodeIdentity,
    CohortRecord,
    EarlierRun,
    ModelFacts,
    Protocol,
    ProtocolRecord,
    RunRecord,
)
from cxr_audit.report.language import N_, _, grouped, plural, said
from cxr_audit.report.run_report.scoping import formats, labels, threshold, views
from cxr_audit.report.words import DASH, Rows, View, number, quoted, short_hash, utc

INSTALLS = {
    "wheel": N_("an installed wheel"),
    "checkout": N_("a checkout of the source"),
    "copy": N_("copied files"),
}
MOST_FILES = 3


def who(run: RunRecord) -> Rows:
    """Operator, organisation, machine, times."""
    stated = run.config.get("run", {})
    not_stated = _("not stated in the config")
    finished = utc(run.finished) if run.finished else _("not yet")
    return [
        (_("Operator"), stated.get("operator") or not_stated),
        (_("Organisation"), stated.get("organisation") or not_stated),
        (_("Machine"), _machine(run, stated.get("host"))),
        (_("Started, finished"), f"{utc(run.started)}, {finished}"),
    ]


def _machine(run: RunRecord, host: str | None) -> str:
    parts = [host] if host else []
    if run.legs:
        facts = run.legs[-1].machine
        parts.append(f"{facts.get('system', DASH)}, {facts.get('processor', DASH)}")
        parts.append(_("{num} cores", num=facts.get("cores") or DASH))
    return "; ".join(parts) or _("not recorded")


def code(run: RunRecord) -> Rows:
    """Which code ran, and whether it was edited."""
    found = run.software.code
    if found is None:
        return [(_("Code"), _("not recorded by the version that made this run"))]
    return [
        (_("Version"), found.version),
        (_("Code SHA-256"), found.sha256),
        (_("Commit"), found.commit or _("not stated")),
        (_("Installed as"), _install(found)),
    ]


def _install(found: CodeIdentity) -> str:
    words = _(INSTALLS[found.install])
    if found.changed is None:
        return _("{install}; not known whether edited", install=words)
    if not found.changed:
        return _("{install}; no file edited", install=words)
    names = ", ".join(found.changed[:MOST_FILES])
    if len(found.changed) > MOST_FILES:
        names += ", …"
    return _("{install}; EDITED: {names}", install=words, names=names)


# ---- data


def data(cases: Sequence[CaseRecord], run: RunRecord, cohort: CohortRecord) -> Rows:
    """The set of radiographs: its name, its hash, where labels come from, prevalence."""
    stated = run.config.get("ingest", {})
    not_stated = _("not stated in the config")
    num_hashed, set_hash = set_sha256(cases)
    fingerprint = _("{hash}, over {num} files", hash=set_hash, num=grouped(num_hashed))
    patients = f"{grouped(cohort.cases.num_patients)} ({said(cohort.cases.patients)})"
    return [
        (_("Name of the set"), stated.get("dataset") or not_stated),
        (_("Hash of the set"), fingerprint if num_hashed else _("no file was read")),
        (_("Period"), stated.get("period") or not_stated),
        (_("Inclusion"), stated.get("inclusion") or not_stated),
        (_("Patients"), patients),
        (_("Labels"), labels(run, cohort)),
        (_("Origin of the labels"), stated.get("label_origin") or not_stated),
        (_("Prevalence"), prevalence(cohort)),
        (_("Views"), views(cases)),
        (_("Formats"), formats(cases)),
    ]


def prevalence(cohort: CohortRecord) -> str:
    """Share of positives with its source."""
    if cohort.cases.prevalence is None:
        return _("undefined: no audited case has a label")
    return f"{number(cohort.cases.prevalence)} ({said(cohort.cases.prevalence_source)})"


def set_sha256(cases: Sequence[CaseRecord]) -> tuple[int, str]:
    """How many files were hashed, and SHA-256 over their sorted hashes, one a line.

    The hashes are keyed where the case ids are, so that only runs with one key compare.
    """
    stated = (case.hashes.file_hmac or case.hashes.file_sha256 for case in cases)
    hashes = sorted(found for found in stated if found)
    content = "".join(f"{found}\n" for found in hashes)
    return len(hashes), hashlib.sha256(content.encode()).hexdigest()


# ---- protocol


def protocol(run: RunRecord, record: ProtocolRecord | None) -> View:
    """When and by which hash the criteria were fixed, and which runs saw these files before."""
    sealed = record.sealed if record else None
    rows: Rows = [(_("Config SHA-256"), run.config_sha256)]
    if sealed is None:
        words = _("none was sealed: the criteria may have been set after data were seen")
        rows.append((_("Protocol"), words))
    else:
        rows += _sealed(run, sealed)
    rows.append((_("Earlier runs"), _earlier_in_words(record)))
    earlier = record.earlier if record else ()
    return {"rows": rows, "earlier": [_earlier(one) for one in earlier]}


def _sealed(run: RunRecord, sealed: Protocol) -> Rows:
    is_before = sealed.created <= run.started
    order = _("before the run started") if is_before else _("AFTER the run started")
    when = _("{time}, {order} (clock of the machine)", time=utc(sealed.created), order=order)
    model = short_hash(sealed.model_sha256) if sealed.model_sha256 else _("no model file fixed")
    return [
        (_("Protocol SHA-256"), sealed.sha256),
        (_("Criteria fixed"), when),
        (_("Model fixed"), model),
        (_("Sealed with version"), f"{sealed.version}, {short_hash(sealed.code_sha256)}"),
    ]


def _earlier_in_words(record: ProtocolRecord | None) -> str:
    if record is None:
        return _("not recorded by the version that made this run")
    if not record.earlier:
        return _("none in the same folder shares a file; other folders were not searched")
    return plural(
        "{num} run in the same folder shares files with this one",
        "{num} runs in the same folder share files with this one",
        len(record.earlier),
    )


def _earlier(one: EarlierRun) -> dict[str, Any]:
    return {
        "name": one.name,
        "started": utc(one.started),
        "model": short_hash(one.model_sha256),
        "shared": grouped(one.num_shared),
        "config": _("the same") if one.has_same_config else _("another"),
    }


# ---- page 1


def claim(run: RunRecord, cohort: CohortRecord, cases: Sequence[CaseRecord]) -> Rows:
    """What the run is to show, for which use and population, and what was audited."""
    model: ModelFacts = run.model
    card = model.card
    no_card = _("not supplied: the model has no model card")
    stated = run.config.get("run", {}).get("claim")
    target = quoted(cohort.target_class) or DASH
    audited = _(
        "{ok} radiographs of {patients} patients; prevalence {prevalence}",
        ok=grouped(cohort.cases.statuses["ok"]),
        patients=grouped(cohort.cases.num_patients),
        prevalence=prevalence(cohort),
    )
    return [
        (_("Claim"), stated or _("none stated; the criteria below are what was tested")),
        (_("Model"), f"{model.name}, {short_hash(model.sha256)}"),
        (_("Output"), _("{target}, threshold {words}", target=target, words=threshold(cases))),
        (_("Intended use"), (quoted(card.intended_use) if card else None) or no_card),
        (
            _("Population of the model"),
            (quoted(card.population.description) if card else None) or no_card,
        ),
        (_("Population of this run"), audited),
    ]
