"""The forecast: how long will libpq go on trusting a server, given all that has been announced?

OpenSSL judges each moment at which anything changes, with the alias's own CA file. On Azure the server's certificate
is renewed under its issuer, so only what stands above it counts there.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from OpenSSL import crypto

from azpg_backend.diagnosis.host_names import common_name
from azpg_backend.errors.problem import Problem, Severity
from azpg_backend.trust import ca_file
from azpg_backend.trust.announcements import Announcements, Change

# Days ahead within which a break is a warning; one further away is only told.
_NEAR = 365
# Certificates from which on a CA file is taken for a copy of a public list (certifi, ca-certificates).
_PUBLIC_LIST = 50
_EXPIRED = 10
_LAST = datetime.datetime.max.replace(microsecond=0, tzinfo=datetime.timezone.utc)
_MOMENT = datetime.timedelta(seconds=1)

Certificates = Sequence[x509.Certificate]


@dataclass(frozen=True)
class Forecast:
    """What is to come for one alias.

    breaks: whether a day is known on which libpq will refuse the server.
    day: that day, or the one until which everything that has been announced does no harm; None if there is none.
    because: a clause.
    age: of the list, in words.
    renewable: whether renewing the server's certificate in time is all that it takes.
    now: whether the day is today, because what was announced for an earlier one has yet to reach this server.
    """

    breaks: bool
    day: datetime.date | None
    because: str
    age: str
    renewable: bool = False
    now: bool = False

    @property
    def when(self) -> str:
        if self.breaks:
            return "may break on any day" if self.now else f"breaks on {self.day}"
        return f"works until {self.day}" if self.day else "works so far"

    def __str__(self) -> str:
        if self.breaks:
            return f"{self.when}, because {self.because} ({self.age})"
        until = f"until {self.day}" if self.day else "so far"
        because = f"; {self.because}" if self.because else ""
        return f"keeps working through every change announced {until}{because} ({self.age})"

    def row(self) -> dict[str, str | None]:
        """Return it as plain JSON values."""
        return {
            "verdict": "breaks" if self.breaks else "keeps",
            "date": self.day.isoformat() if self.day else None,
            "when": self.when,
            "because": self.because,
            "list": self.age,
            "text": str(self),
        }

    def problem(self, today: datetime.date) -> Problem | None:
        """Return a warning if the break is near, and renewing the server's certificate does not mend it."""
        if not self.breaks or self.renewable or self.day is None or (self.day - today).days > _NEAR:
            return None
        hint = (
            "Before that day let sslrootcert hold the roots to come, and only roots. For Azure, remove it to use those "
            "in this package, or run manage.py azpg_check --update-ca."
        )
        return Problem("certificate.will_break", f"{self.when}, because {self.because}", hint, Severity.WARNING)


def of(
    chain: Certificates, trusted: Certificates, cloud: str | None, known: Announcements, now: datetime.datetime
) -> Forecast:
    """Return the forecast for a server that libpq trusts now.

    chain: what the server sends, its own certificate first.
    trusted: the certificates of the CA file.
    cloud: the Azure cloud of the server, or None.
    """
    return _Future(chain, trusted, cloud, known, now).forecast()


@dataclass(frozen=True)
class _Refusal:
    """Why OpenSSL refuses a chain at some moment.

    certificate: the one that has ended, or None if it is something else.
    open: whether the server will have changed its chain by then, to one that nobody has announced.
    """

    text: str
    certificate: x509.Certificate | None = None
    open: bool = False


class _Future:
    """The moments to come for one server, in order, each with the chain that it will send."""

    def __init__(
        self,
        chain: Certificates,
        trusted: Certificates,
        cloud: str | None,
        known: Announcements,
        now: datetime.datetime,
    ) -> None:
        self.chain = chain
        self.trusted = trusted
        self.cloud = cloud
        self.known = known
        self.now = now
        self.names = {common_name(name) for each in chain for name in (each.subject, each.issuer)}
        self.switches = [each for each in known.changes if each.kind == "switch" and self._concerns(each)]
        public = len(trusted) >= _PUBLIC_LIST
        self.drops = [each for each in known.changes if each.kind == "store" and public and self._holds(each.root)]

    def forecast(self) -> Forecast:
        for moment in self._moments():
            if refusal := self._refusal(moment):
                return self._judged(refusal, moment)
        ahead = [each.date for each in self.known.changes if each.date > self.now.date() and self._is_about_us(each)]
        return Forecast(False, max(ahead, default=None), "", self._age())

    def _judged(self, refusal: _Refusal, moment: datetime.datetime) -> Forecast:
        day = moment.date()
        ended = refusal.certificate
        if refusal.open or (ended is not None and self.cloud and ended not in self.trusted):
            return Forecast(False, day, f"{refusal.text}, and nobody has announced what follows", self._age())
        renewable = ended is not None and ended == self.chain[0] and ended not in self.trusted
        because = refusal.text + (" (unless it is renewed by then)" if renewable else "")
        return Forecast(True, day, because, self._age(), renewable, now=moment <= self.now)

    def _age(self) -> str:
        return self.known.age(self.now.date())

    def _holds(self, root: str) -> bool:
        return any(ca_file.sha256(each) == root for each in self.trusted)

    def _concerns(self, change: Change) -> bool:
        """Whether a switch has yet to reach this server."""
        if not self.cloud or (change.clouds and self.cloud not in change.clouds):
            return False
        if change.replaces and not self.names & set(change.replaces):
            return False
        if change.chain:
            return not any(each in self.chain for each in change.chain)
        return not any(common_name(each.subject) in change.names for each in self.chain)

    def _is_about_us(self, change: Change) -> bool:
        if change.kind == "lifetime":
            return bool(self.cloud)
        return change in self.switches or change in self.drops

    def _moments(self) -> Iterator[datetime.datetime]:
        """Yield every moment at which something changes, from now on."""
        coming = [certificate for change in self.switches for certificate in change.chain]
        ends = [_after(each) for each in (*self.chain, *self.trusted, *coming)]
        ends += [_midnight(each.until) for each in self.switches if each.until]
        starts = [_midnight(each.date) for each in (*self.switches, *self.drops)]
        yield from sorted({max(self.now, each) for each in (*ends, *starts) if each > self.now or each in starts})

    def _refusal(self, moment: datetime.datetime) -> _Refusal | None:
        dropped = [each for each in self.drops if _midnight(each.date) <= moment]
        gone = {each.root for each in dropped}
        trusted = [each for each in self.trusted if ca_file.sha256(each) not in gone]
        arrived = [each for each in self.switches if _midnight(each.date) <= moment]
        refusal = _of_switch(arrived[-1], trusted, moment) if arrived else self._of_chain(trusted, moment)
        if refusal is not None and refusal.certificate is None and dropped:
            return _Refusal(f"the CA file looks like a copy of Mozilla's list, and {_announced(dropped[-1])}")
        return refusal

    def _of_chain(self, trusted: Certificates, moment: datetime.datetime) -> _Refusal | None:
        if not self.cloud:
            return _verified(self.chain[0], self.chain[1:], trusted, moment)
        leaf = self.chain[0]
        issuers = [each for each in (*self.chain[1:], *trusted) if each.subject == leaf.issuer]
        if not issuers:
            return _Refusal("the server does not send its issuer's certificate")
        issuer = next((each for each in issuers if _has_signed(each, leaf)), issuers[0])
        return _verified_above(issuer, self.chain[1:], trusted, moment)


def _after(certificate: x509.Certificate) -> datetime.datetime:
    """Return the first moment at which a certificate has ended; one without an end has the last second there is."""
    return min(certificate.not_valid_after_utc, _LAST - _MOMENT) + _MOMENT


def _same(one: x509.Certificate, other: x509.Certificate) -> bool:
    """Whether two certificates are for the same authority: name and key."""
    try:
        return one.subject == other.subject and one.public_key() == other.public_key()
    except (ValueError, UnsupportedAlgorithm):
        # A kind of key that the library doesn't know: nothing else in the file has it then.
        return one == other


def _has_signed(authority: x509.Certificate, leaf: x509.Certificate) -> bool:
    """Whether an authority signed a certificate; False as well for a kind of key that the library doesn't know."""
    try:
        leaf.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


def _midnight(day: datetime.date) -> datetime.datetime:
    return datetime.datetime.combine(day, datetime.time(), datetime.timezone.utc)


def _announced(change: Change) -> str:
    return f"from {change.date} on {change.what} ({change.title!r} of {change.announced})"


def _of_switch(change: Change, trusted: Certificates, moment: datetime.datetime) -> _Refusal | None:
    """Judge the chain that comes: by OpenSSL if it is published, otherwise by the roots that it leads to."""
    if change.chain:
        refusal = _verified_above(change.chain[0], change.chain, trusted, moment)
        if refusal is None or refusal.certificate is not None:
            return refusal
        return _Refusal(f"{_announced(change)}, and the CA file does not hold the root of that chain")
    if change.until and moment >= _midnight(change.until):
        return _Refusal(f"the intermediates of {change.date} end then", open=True)
    if trap := next((each for each in trusted if _is_trap(each, change, trusted)), None):
        name = common_name(trap.subject)
        return _Refusal(f"{_announced(change)}, and the CA file holds {name!r}, no root, which ends the search")
    anchors = [each for each in trusted if ca_file.sha256(each) in change.anchors]
    if not anchors:
        return _Refusal(f"{_announced(change)}, and the CA file does not hold the root of that chain")
    if all(each.not_valid_after_utc < moment for each in anchors):
        return _ended(anchors[-1], trusted)
    return None


def _is_trap(certificate: x509.Certificate, change: Change, trusted: Iterable[x509.Certificate]) -> bool:
    """Whether OpenSSL takes this certificate from the file, then looks for its issuer there in vain."""
    is_root = certificate.subject == certificate.issuer
    known = any(each.subject == certificate.issuer for each in trusted)
    return not is_root and common_name(certificate.subject) in change.names and not known


def _verified_above(
    issuer: x509.Certificate, sent: Certificates, trusted: Certificates, moment: datetime.datetime
) -> _Refusal | None:
    """Judge what stands above a server's certificate, for one that is renewed under this issuer.

    OpenSSL looks for an issuer in the file first; a certificate found there that is no root ends the use of what the
    server sent. Of several copies it prefers one that has not ended.
    """
    held = [each for each in trusted if _same(each, issuer)]
    if held:
        return _verified(_lasting(held, moment), (), trusted, moment)
    same = [each for each in sent if _same(each, issuer)]
    return _verified(_lasting(same or [issuer], moment), sent, trusted, moment)


def _lasting(copies: Certificates, moment: datetime.datetime) -> x509.Certificate:
    return next((each for each in copies if each.not_valid_after_utc >= moment), copies[0])


def _verified(
    target: x509.Certificate, sent: Certificates, trusted: Certificates, moment: datetime.datetime
) -> _Refusal | None:
    store = crypto.X509Store()
    for each in trusted:
        store.add_cert(crypto.X509.from_cryptography(each))
    # pyOpenSSL takes the time as UTC, without saying so.
    store.set_time(moment.replace(tzinfo=None))
    others = [crypto.X509.from_cryptography(each) for each in sent]
    try:
        crypto.X509StoreContext(store, crypto.X509.from_cryptography(target), others).verify_certificate()
    except crypto.X509StoreContextError as error:
        number, _, text = error.errors
        if number == _EXPIRED:
            return _ended(error.certificate.to_cryptography(), trusted)
        return _Refusal(f"OpenSSL says {text!r} of {common_name(error.certificate.to_cryptography().subject)!r}")
    return None


def _ended(certificate: x509.Certificate, trusted: Iterable[x509.Certificate]) -> _Refusal:
    held = any(each == certificate for each in trusted)
    where = "in the CA file" if held else "that the server sends"
    return _Refusal(f"{common_name(certificate.subject)!r} {where} ends then", certificate)
