"""The steps of the check, in the order in which they run."""

from azpg_backend.diagnosis.step import Step
from azpg_backend.diagnosis.steps import azure, ca, certificate, dns, login, session, settings, tcp, tls

azure_step = azure.STEP
ALL: tuple[Step, ...] = tuple(module.STEP for module in (settings, ca, dns, tcp, tls, certificate, login, session))


def chosen(azure: bool) -> tuple[Step, ...]:
    """Return the steps to run.

    azure: whether Azure itself is asked.
    """
    return (*ALL, azure_step) if azure else ALL
