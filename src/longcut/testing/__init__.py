"""What a method must keep to, as one function to call in a test."""

from longcut.testing.check_method import CHECKS, ContractError, check_method

__all__ = ["CHECKS", "ContractError", "check_method"]
