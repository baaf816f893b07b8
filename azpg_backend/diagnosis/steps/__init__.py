"""The steps of the check, in the order in which they run."""

from azpg_backend.diagnosis.step import Step
from azpg_backend.diagnosis.steps import ca, certificate, dns, login, session, settings, tcp, tls

ALL: tuple[Step, ...] = tuple(module.STEP for module in (settings, ca, dns, tcp, tls, certificate, login, session))
