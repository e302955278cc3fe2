"""Parsing: sealed originals become typed records, or rejections with a reason."""

from consumers.parsing.consumer import Parsing

__all__ = ["Parsing"]
