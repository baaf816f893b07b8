"""ca: which roots does libpq trust?"""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from azpg_backend import trust
from azpg_backend.diagnosis import host_names
from azpg_backend.diagnosis.context import Context
from azpg_backend.diagnosis.report import StepResult, from_problems, passed
from azpg_backend.diagnosis.step import Step
from azpg_backend.errors.problem import Problem, Severity
from azpg_backend.errors.redact import printable
from azpg_backend.plan import hosts
from azpg_backend.trust import ca_file, manifest
from azpg_backend.trust.ca_file import CaFile
from azpg_backend.trust.download import Download
from azpg_backend.trust.writing import CaFileError


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
        provided = _provide(context, context.ca_file, problems, notes, may_write=os.path.isabs(context.ca_file))
        context.ca_usable = provided.unusable is None
        problems += provided.problems(_cloud(context))
        detail = {"source": "file", "file": provided.path, "roots": _rows(provided)}
        notes.insert(0, f"{len(provided.roots)} roots in {provided.path}")
    wrote = len(notes) > 1
    if context.roots.export is not None:
        before = len(notes)
        found: list[Problem] = []
        exported = _provide(context, context.roots.export, found, notes)
        problems += map(_of_export, [*found, *exported.problems(_cloud(context))])
        wrote = wrote or len(notes) > before
    notes.append(_compared(context, problems, wrote=wrote))
    problems += _unknown_clouds(context)
    if any(each.code == "ca.fingerprint_mismatch" for each in problems):
        # Then a missing file was left missing on purpose, and that is not what has to be mended.
        problems = [each for each in problems if each.code != "ca.file_missing"]
    return from_problems(problems, **detail) if problems else passed("ca", "; ".join(notes), **detail)


def _of_export(problem: Problem) -> Problem:
    """Let the hint be about --ca-file, if it is about the setting: what was to be written has nothing to do with it."""
    if "sslrootcert" not in problem.hint:
        return problem
    hint = (
        "Give --ca-file the path of a new file, or of a PEM file of roots, in a folder that this account may write to."
    )
    return dataclasses.replace(problem, hint=hint)


def _provide(
    context: Context, path: str, problems: list[Problem], notes: list[str], *, may_write: bool = True
) -> CaFile:
    try:
        file, done = context.roots.provide(path, may_write=may_write)
    except CaFileError as error:
        file = ca_file.read(path)
        if file.unusable is not None:
            # Why it could not be written says more than that it is not there.
            return dataclasses.replace(file, unusable=Problem(file.unusable.code, error.message, error.hint))
        problems.append(Problem("ca.root_missing", error.message, error.hint))
        return file
    if not may_write and file.unusable is not None and file.unusable.code == "ca.file_missing":
        hint = (
            f"Write the full path in sslrootcert, such as {os.path.abspath(path)!r}: a relative one means another file "
            "in every folder that the application is started from, so nothing is written to it."
        )
        file = dataclasses.replace(file, unusable=dataclasses.replace(file.unusable, hint=hint))
    if done:
        notes.append(f"{path} {done}")
    return file


def _compared(context: Context, problems: list[Problem], *, wrote: bool) -> str:
    """Say how many official copies match their pins, and turn the others into problems.

    wrote: whether a file was written, which should have been compared first.
    """
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
                "(a proxy that inspects TLS?). The roots in this package are not affected.",
            )
        )
    matching = len(downloads) - len(mismatched) - len(lost)
    said = f"{matching} of {len(downloads)} match the official copies"
    if lost and wrote:
        problems.append(
            Problem(
                "ca.download_failed",
                f"{len(lost)} of {len(downloads)} official copies can't be compared: {_reasons(lost)}",
                "The file was written from the roots in this package, so the connection works. Behind a proxy set "
                "HTTPS_PROXY (and REQUESTS_CA_BUNDLE if it inspects TLS), or add --offline.",
                Severity.WARNING,
            )
        )
    elif lost:
        # Many servers have no way to the internet, and need none.
        said += f", {len(lost)} were not looked at ({_reasons(lost)}); nothing depends on it"
    return said


def _unknown_clouds(context: Context) -> list[Problem]:
    """Say so if nobody has published which roots a cloud uses, instead of passing in silence."""
    unknown = {each.host: hosts.unproven_cloud(each.host) for each in context.plan.endpoints}
    return [
        Problem(
            "ca.root_missing",
            f"this package does not know which roots the cloud {cloud} of {host} uses: Microsoft has not published "
            "them",
            "If the certificate step passes, all is well. If not, take the root from the cloud's documentation and "
            "point sslrootcert at it.",
            Severity.WARNING,
        )
        for host, cloud in unknown.items()
        if cloud
    ]


def _reasons(lost: list[Download]) -> str:
    return ", ".join(dict.fromkeys(each.reason for each in lost))


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


STEP = Step("ca", run, late="ca.file_invalid", late_hint="A disk or network folder does not answer.")
