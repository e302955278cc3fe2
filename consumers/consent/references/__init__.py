"""Reference numbers (照会番号): which of our numbers does the service know for which insurance, and is it right?"""

from consumers.consent.references.sweep import References

__all__ = ["References"]
