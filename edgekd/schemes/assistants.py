"""Progressive distillation: the teacher teaches an assistant of a size between, and that one the student.

The sizes are chosen from the student's own family: evenly between teacher and student in the logarithm of their
parameters. Source: Mirzadeh et al., "Improved knowledge distillation via teacher assistant", AAAI 2020,
https://arxiv.org/abs/1902.03393, sections 3 and 4. It helps where the teacher is far larger than the student; each
assistant costs a whole training of its own size and one labelling.
"""

from pydantic import Field

from edgekd.spec import Value

VERSION = 1
TASK = "any"
COURSE = {"assistants": 1}


class Settings(Value):
    """`assistants` stand between teacher and student, each taught by the next larger one."""

    assistants: int = Field(default=1, ge=1, le=4)
