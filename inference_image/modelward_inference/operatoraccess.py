"""Which requests of the operator's a process answers, as the environment says."""

from modelward_auth import verifier
from modelward_auth.verifier import Verifier
from modelward_inference.errors import InvalidConfiguration


def of(process: str) -> Verifier | None:
    """None: whoever asks is answered, which only OPERATOR_UNAUTHENTICATED=true brings. Raises InvalidConfiguration."""
    try:
        return verifier.from_environment(process)
    except verifier.SettingError as error:
        raise InvalidConfiguration(str(error)) from None
