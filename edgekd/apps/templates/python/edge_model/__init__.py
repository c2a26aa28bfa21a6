"""The model as one function: `load().classify("photo.jpg")`. Needs numpy and the model's runtime.

`load` checks the model against answers that were recorded with it and raises ModelError where they differ.
"""

from .answers import Answer, Numbers
from .classifier import Classifier, load
from .engine import Candidate
from .errors import ModelError
from .labels import Label
from .result import Result

__all__ = ["Answer", "Candidate", "Classifier", "Label", "ModelError", "Numbers", "Result", "load"]
