"""How do values of patients stay out of logs? Models whose `repr` shows their name and nothing else."""

from pydantic import BaseModel, ConfigDict


class Hidden(BaseModel):
    """A frozen model that may hold patient data; `repr` and `str` show no value."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    __str__ = __repr__
