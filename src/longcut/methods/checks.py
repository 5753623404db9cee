"""Options that several methods have, refused in one line where they make no sense."""

from __future__ import annotations

import math


def check_temperature(temperature: float) -> None:
    """Refuse what similarities cannot be divided by.

    Raises:
        ValueError: it is not a positive number.
    """
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature must be positive, not {temperature}")


def check_counts(**counts: int) -> None:
    """Refuse counts below 1.

    Raises:
        ValueError: names the first one.
    """
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} must be at least 1, not {count}")


def check_shares(**shares: float) -> None:
    """Refuse what is no share.

    Raises:
        ValueError: names the first one that is not from 0 to 1.
    """
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise ValueError(f"{name} must be from 0 to 1, not {share}")
