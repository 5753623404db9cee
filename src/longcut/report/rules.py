"""Selection rules: which of a run's checkpoints a value is of."""

from __future__ import annotations

from collections.abc import Iterable

ORACLE = "best_test"
_ORDER = ("last", "best_val", "best_val_group", ORACLE)


def rule_title(rule: str) -> str:
    """As people read it: a rule that reads the test split is an oracle."""
    return f"{rule} (oracle)" if rule == ORACLE else rule


def rule_mark(rule: str) -> str:
    """The same where it stands in parentheses, which hold no others."""
    return rule_title(rule).replace(" (", ", ").replace(")", "")


def in_order(rules: Iterable[str]) -> list[str]:
    """Each of some rules once: those that read the least first, oracles last."""
    return sorted(dict.fromkeys(rules), key=_place)


def main_rule(rules: Iterable[str]) -> str:
    """The rule to judge by, of one for each row: what most rows have, an oracle only where there is no other."""
    found = list(rules)
    honest = [rule for rule in found if not is_oracle(rule)] or found
    return max(in_order(honest), key=honest.count)


def is_oracle(rule: str) -> bool:
    """Whether the test split was read to choose the checkpoint."""
    return rule == ORACLE or "oracle" in rule


def _place(rule: str) -> tuple[bool, int, str]:
    return is_oracle(rule), _ORDER.index(rule) if rule in _ORDER else len(_ORDER), rule
