"""When does the end of a certificate deserve a warning?"""

from __future__ import annotations

import datetime

from cryptography import x509

_LONGEST = datetime.timedelta(days=30)
# Leaf certificates live 200 days, from 2027 on 100, from 2029 on 47 (CA/B Forum, SC-081v3), and are renewed with a
# third of it left or less: a fixed number of days would warn of every one of them.
_PART = 5


def ends_soon(certificate: x509.Certificate, now: datetime.datetime) -> bool:
    """Whether less than 30 days and less than a fifth of its lifetime are left, or it has ended."""
    return is_soon(certificate.not_valid_before_utc, certificate.not_valid_after_utc, now)


def is_soon(begins: datetime.datetime, ends: datetime.datetime, now: datetime.datetime) -> bool:
    """Whether the same holds for a life between two moments."""
    return ends - now < min(_LONGEST, (ends - begins) / _PART)
