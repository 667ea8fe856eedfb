# What can be imported from the package itself, and where it stands: this file is read by type
# checkers, and by the package when a name is first used (lazy_loader).
from .core.base.config import Augmentation as Augmentation
from .core.base.config import LossWeights as LossWeights
from .core.base.config import ModelConfig as ModelConfig
from .core.base.config import NewModel as NewModel
from .core.base.config import SegmentationClass as SegmentationClass
from .core.base.config import TrainingConfig as TrainingConfig
from .core.base.errors import GaussProtoError as GaussProtoError
from .core.editing import edits as edits
from .core.editing.undo import EditHistory as EditHistory
from .core.explain.dependence import dependence as dependence
from .core.explain.explain import explain as explain
from .core.explain.explain import explain_mask as explain_mask
from .core.explain.gallery import gallery as gallery
from .core.explain.places import most_novel_places as most_novel_places
from .core.explain.places import most_uncertain_places as most_uncertain_places
from .core.measure.compare import compare as compare
from .core.mixture.layer import GaussianPrototypeLayer as GaussianPrototypeLayer
from .core.model.encoding import Encoding as Encoding
from .core.model.model_file import load_model as load_model
from .core.model.model_file import save_model as save_model
from .core.model.predict import segment as segment
from .core.model.predict import segment_to_zarr as segment_to_zarr
from .core.model.segmentation import Segmentation as Segmentation
from .core.model.segmenter import PrototypeSegmenter as PrototypeSegmenter
from .core.model.summary import list_models as list_models
from .core.project.project import Project as Project
from .core.training.describe import learn_look as learn_look
from .core.training.full_fit import fit as fit
from .core.training.quick_fit import QuickSettings as QuickSettings
from .core.training.quick_fit import quick_fit as quick_fit
from .core.training.semi import SemiSettings as SemiSettings
from .core.training.trial_fit import fine_tune as fine_tune
from .io.explanation import save_explanation as save_explanation
from .io.images import read_image as read_image
from .io.images import read_mask as read_mask

__version__: str
