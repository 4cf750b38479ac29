"""Networks of Hugging Face `transformers`: what all families have in common.

A family has one class of `transformers`, some kinds of pooling (how many vectors become one), and a place in
the configuration of models that have other networks, too, such as one for text.
"""

from pathlib import Path
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from models.parts.hf import files
from models.parts.network import Network
from pipeline.errors import UserError

# class: the vector of the class token; mean: of all others; attention: the model's own attention pooling;
# projection: the vector that the model compares with that of a text.
Pooling = Literal["class", "mean", "attention", "projection"]


class Tower(Network):
    """A network of transformers, `net`, and its pooling: it maps inputs to (batch, n_features).

    name: `hf/...`. config: of the network. pooling: one of `poolings`; None: the first of them.
    folder: with the weights; None: random weights.
    Raises UserError if the weights cannot be loaded, or for a pooling that the family lacks.
    """

    model: ClassVar[str]  # the class of transformers
    section: ClassVar[str] = ""  # where the configuration of a whole model has that of this network
    poolings: ClassVar[tuple[str, ...]]
    prefix_tokens: ClassVar[int] = 1  # vectors before those of places: the class token and others
    # Settings of the configuration with other values than published: random numbers in training, which would
    # not be the same in a resumed training. Augmentation is this project's (section augment).
    settings: ClassVar[dict[str, Any]] = {}
    options: ClassVar[dict[str, Any]] = {}  # arguments of the class
    unused: ClassVar[tuple[str, ...]] = ()  # parameters that no output depends on
    # Sizes of images that it accepts: any; interpolated, if an argument says so; or only its own.
    sizes: ClassVar[str] = "own"
    reads_frames: ClassVar[bool] = False  # whether it sees several frames
    preprocessor: ClassVar[str] = "image"  # a key of files.READERS

    def __init__(self, name: str, config: Any, pooling: str | None, folder: Path | None) -> None:
        super().__init__(name)
        self.config = config
        self.pooling = pooling or self.poolings[0]
        if self.pooling not in self.poolings:
            kinds = ", ".join(self.poolings)
            raise UserError(f"pooling: {self.pooling}: {name} ({config.model_type}) has {kinds}")
        for key, value in self.settings.items():
            setattr(config, key, value)
        with files.quiet():
            self.net = self.make_net(folder)
        for path in self.unused:
            parent, _, parameter = path.rpartition(".")
            setattr(self.net.get_submodule(parent), parameter, None)

    @classmethod
    def select_config(cls, config: Any) -> Any:
        """Return the configuration of the network from that of a model, which may have other networks."""
        return getattr(config, cls.section, config) if cls.section else config

    def make_net(self, folder: Path | None) -> nn.Module:
        """Create the network. folder: with the weights; None: random weights."""
        model_class = getattr(files.import_transformers(), self.model_name)
        if folder is None:
            return model_class(self.config, **self.options)
        return files.load_model(self.name, folder, model_class, self.config, **self.options)

    @property
    def model_name(self) -> str:
        """The name of the class of transformers."""
        return self.model

    @property
    def min_inputs(self) -> int:
        """The number of samples, or of frames, that the network needs at least."""
        return 1

    @property
    def n_features(self) -> int:
        """The length of the output vectors."""
        return self.config.hidden_size

    def forward(self, inputs: Tensor, **options: Any) -> Tensor:
        """Map inputs, as the model's preprocessing gives them, to vectors (batch, n_features)."""
        return self.pool(self.net(inputs, **options))

    def pool(self, outputs: Any) -> Tensor:
        """Pool the outputs of the network."""
        if self.pooling == "mean":
            return outputs.last_hidden_state[:, self.prefix_tokens :].mean(1)
        return outputs.pooler_output


def make_tower(
    families: dict[str, type[Tower]],
    name: str,
    pooling: str | None,
    pretrained: bool,
    definition: dict[str, Any] | None,
) -> tuple[Tower, dict[str, Any]]:
    """Create a network, and return it with its definition.

    families: of one modality, by `model_type` of a configuration. name: `hf/<id or path>`. pooling: None: the
    family's own. pretrained: load the weights; False: random weights. definition: of the same network; its
    files are then not needed, and its weights random.

    A definition is JSON: `config`, of the network, and `preprocessor`, how its inputs are made.
    Raises UserError if files are missing, or if it is a network of another kind.
    """
    folder = None
    if definition is not None:
        config = files.config_from_json(definition["config"])
    else:
        folder = files.find_folder(name, pretrained)
        config = files.read_config(name, folder)
    family = families.get(config.model_type)
    if family is None:
        kinds = ", ".join(sorted(families))
        raise UserError(f"{name}: its model_type is {config.model_type}; here there are {kinds}")
    if definition is None:
        assert folder is not None
        config = family.select_config(config)
        preprocessor = files.read_preprocessor(name, folder, family.preprocessor)
        definition = {"config": files.config_to_json(config), "preprocessor": preprocessor}
    return family(name, config, pooling, folder if pretrained else None), definition
