from . import counting as counting
from . import errors as errors
from .ablation.ablate import ablate as ablate
from .config import Config as Config
from .counting.reductions import Reduction as Reduction
from .counting.reductions import chain as chain
from .model.block import Block as Block
from .run.count import count as count
from .run.models import open_model as open_model
from .run.resources import Resources as Resources
from .run.study import study as study
from .run.texts import load_text as load_text
from .studies.results import open_study as open_study

__version__: str
