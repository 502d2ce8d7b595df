"""Amounts as Kubernetes writes them: 500m, 2, 64Mi.

Not kubernetes.utils.quantity: values and decisions import no client.
"""

from decimal import Decimal, InvalidOperation
from typing import Final

_FACTORS: Final = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"),
    "k": Decimal(10**3), "M": Decimal(10**6), "G": Decimal(10**9), "T": Decimal(10**12), "P": Decimal(10**15),
    "Ki": Decimal(2**10), "Mi": Decimal(2**20), "Gi": Decimal(2**30), "Ti": Decimal(2**40), "Pi": Decimal(2**50),
}  # fmt: skip
"""https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/"""


def amount(quantity: str | int) -> Decimal:
    """The number that a quantity stands for. Raises ValueError where it is none."""
    text = str(quantity)
    suffix = text.lstrip("+-.0123456789") if not text[-1:].isdigit() else ""
    factor = _FACTORS.get(suffix, Decimal(1) if not suffix else None)
    try:
        if factor is None:
            raise InvalidOperation
        return Decimal(text.removesuffix(suffix) if suffix else text) * factor
    except InvalidOperation:
        raise ValueError(f"{quantity!r} is no quantity; write one such as 500m, 2 or 64Mi") from None
