from . import methods as methods
from . import metrics as metrics
from . import perturb as perturb
from . import pictures as pictures
from .corpus.case import Case as Case
from .corpus.channels import Channel as Channel
from .corpus.corpus import Corpus as Corpus
from .corpus.entry import Split as Split
from .errors import DivergedError as DivergedError
from .errors import InputError as InputError
from .evaluation.evaluate import evaluate as evaluate
from .inference.predictor import Predictor as Predictor
from .metrics.masks import score as score
from .networks import losses as losses
from .runs.run import Run as Run
from .sources.making import make_corpus as make_corpus
from .sources.making import make_phantoms as make_phantoms
from .sources.opening import open_corpus as open_corpus
from .training.train import train as train
from .types import IGNORE as IGNORE

__version__: str
