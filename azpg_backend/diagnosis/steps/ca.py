"""ca: which roots does libpq trust, are they the official ones, and are Azure's current ones among them?"""

from __future__ import annotations

from typing import Any

from azpg_backend import trust
from azpg_backend.diagnosis import host_names
from azpg_backend.diagnosis.context import Context
from azpg_backend.diagnosis.report import StepResult, from_problems, passed
from azpg_backend.errors.problem import Problem, Severity
from azpg_backend.errors.redact import printable
from azpg_backend.plan import hosts
from azpg_backend.trust import ca_file, manifest
from azpg_backend.trust.ca_file import CaFile, CaFileError
from azpg_backend.trust.download import Download


def run(context: Context) -> StepResult:
    configured = context.plan.params.get("sslrootcert", trust.BUNDLE)
    problems: list[Problem] = []
    notes: list[str] = []
    if configured == "system":
        context.ca_usable = False
        detail: dict[str, Any] = {"source": "system", "file": None, "roots": []}
        notes.append("the driver's OpenSSL looks for the system's roots itself")
    elif configured == trust.BUNDLE:
        bundle = ca_file.read(trust.BUNDLE)
        detail = {"source": "package", "file": trust.BUNDLE, "roots": _rows(bundle)}
        notes.append(f"{len(bundle.roots)} roots in this package")
    else:
        provided = _provide(context, context.ca_file, problems, notes)
        context.ca_usable = provided.unusable is None
        problems += provided.problems(_cloud(context))
        detail = {"source": "file", "file": context.ca_file, "roots": _rows(provided)}
        notes.insert(0, f"{len(provided.roots)} roots in {context.ca_file}")
    if context.roots.export is not None:
        exported = _provide(context, context.roots.export, problems, notes)
        problems += exported.problems(_cloud(context))
    notes.append(_compared(context, problems))
    if any(each.code == "ca.fingerprint_mismatch" for each in problems):
        # Then a missing file was left missing on purpose, and that is not what has to be mended.
        problems = [each for each in problems if each.code != "ca.file_missing"]
    return _result(problems, notes, detail)


def _provide(context: Context, path: str, problems: list[Problem], notes: list[str]) -> CaFile:
    try:
        file, done = context.roots.provide(path)
    except CaFileError as error:
        file = ca_file.read(path)
        code = file.unusable.code if file.unusable else "ca.root_missing"
        problems.append(Problem(code, str(error)))
        return file
    if done:
        notes.append(f"{path} {done}")
    return file


def _compared(context: Context, problems: list[Problem]) -> str:
    """Say how many official copies match their pins, and turn the others into problems."""
    if context.roots.offline:
        return "official copies not looked at (--offline)"
    downloads = context.roots.downloads()
    mismatched = [each for each in downloads if each.problem == "fingerprint_mismatch"]
    lost = [each for each in downloads if each.problem == "download_failed"]
    if mismatched:
        problems.append(
            Problem(
                "ca.fingerprint_mismatch",
                "; ".join(each.reason for each in mismatched),
                "Nothing of it was written or trusted. Something between here and the authority changes downloads "
                "(a proxy that inspects TLS?); the roots in this package are not affected.",
            )
        )
    if lost:
        problems.append(
            Problem(
                "ca.download_failed",
                f"{len(lost)} of {len(downloads)} official copies can't be compared: {_reasons(lost)}",
                "The roots in this package serve, so nothing is lost. Behind a proxy set HTTPS_PROXY (and "
                "REQUESTS_CA_BUNDLE where it inspects TLS), or add --offline.",
                Severity.WARNING,
            )
        )
    matching = len(downloads) - len(mismatched) - len(lost)
    return f"{matching} of {len(downloads)} match the official copies"


def _reasons(lost: list[Download]) -> str:
    return ", ".join(dict.fromkeys(each.reason for each in lost))


def _result(problems: list[Problem], notes: list[str], detail: dict[str, Any]) -> StepResult:
    if not problems:
        return passed("ca", "; ".join(notes), **detail)
    return from_problems(problems, **detail)


def _rows(file: CaFile) -> list[dict[str, str]]:
    rows = []
    for each in file.certificates:
        known = manifest.by_sha256(ca_file.sha256(each))
        name = known.name if known else printable(host_names.common_name(each.subject))
        rows.append({"name": name, "sha256": ca_file.sha256(each), "not_after": each.not_valid_after_utc.isoformat()})
    return rows


def _cloud(context: Context) -> str | None:
    found = (hosts.cloud_of(endpoint.host) for endpoint in context.plan.endpoints)
    return next((cloud.name for cloud in found if cloud), None)
