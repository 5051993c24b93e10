from textpipe.api import compare as compare
from textpipe.api import explain as explain
from textpipe.api import load as load
from textpipe.api import load_model as load_model
from textpipe.api import plan as plan
from textpipe.api import predict as predict
from textpipe.api import run as run
from textpipe.api import score as score
from textpipe.api import tune as tune
from textpipe.errors import TextpipeError as TextpipeError
from textpipe.estimator import Classifier as Classifier
from textpipe.version import __version__ as __version__

__all__ = [
    "Classifier", "TextpipeError", "__version__", "compare", "explain", "load", "load_model", "plan", "predict", "run", "score", "tune",
]  # fmt: skip
