"""The options of a language model, checked, and how they describe the training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from recurnn.cells import CELLS
from recurnn.data.text import TOKENIZERS
from recurnn.errors import ConfigError, KindError, one_of
from recurnn.models.options import check_patience
from recurnn.training import Averaging, Decay, Plan, Plateau

CONTEXTS = ("left", "both")
SOFTMAXES = ("full", "adaptive")
SCHEDULES = ("constant", "cosine", "linear", "decay", "plateau")
OPTIMIZERS = ("adam", "adamw", "nadam", "rmsprop", "sgd")
NON_MONOTONIC = "non-monotonic"

_RATES = (
    "dropout", "input_dropout", "output_dropout", "embedding_dropout", "state_dropout",
    "weight_dropout", "zoneout",
)  # fmt: skip
_WHOLE = {
    "vocabulary": 3, "min_count": 1, "num_layers": 1, "embedding_size": 1, "batch_size": 1,
    "steps": 1, "back": 1, "epochs": 0, "patience": 1, "ngram": 0, "seed": 0, "decay_after": 0,
}  # fmt: skip
_NUMBERS = ("start", "weight_decay", "activation_penalty", "change_penalty")


@dataclass(frozen=True)
class LanguageOptions:
    """What a language model is and how it is trained.

    Attributes:
        unit: what a token is: ``"characters"``, ``"words"`` or ``"bpe"``.
        vocabulary: V, at most, the special tokens included; None for every unit of the text, of
            BPE 8192.
        min_count: units that come less often in the training part are unknown.
        segmenter: of words: ``"punctuation"``, ``"space"`` or ``"jieba"``.
        context: what a token is guessed from: ``"left"``, the tokens before it, which makes a
            model that writes; or ``"both"``, those before and those after it, which makes one that
            fills gaps.
        cell: the name of any cell.
        hidden_size: H, the units of the recurrent layers; or one size a layer.
        num_layers: L, layers of `hidden_size` each.
        embedding_size: E; by default as the first layer's H, at most 512, and not much more than
            V.
        tied: whether the output layer's weights are the embedding's.
        softmax: ``"full"``, or ``"adaptive"``, which spends less on rare tokens (Grave et al.
            2017).
        cutoffs: of the adaptive softmax: the ranks at which its clusters begin.
        dropout: probability for what goes from layer to layer.
        input_dropout: for what goes into the first layer; None for `dropout`.
        output_dropout: for what goes out of the last layer; None for `dropout`.
        variational: whether those have one mask for all steps (Gal and Ghahramani 2016).
        embedding_dropout: probability for a token's whole embedding.
        state_dropout: as in `recurnn.nn.Recurrent`.
        weight_dropout: likewise.
        zoneout: likewise.
        start: weights begin in U(−start, start); None for U(−1/√H, 1/√H), embeddings in N(0, 1),
            tied ones in U(−0.1, 0.1).
        forget_bias: where the forget gate's bias begins, of a cell that has one.
        optimizer: ``"adam"``, ``"adamw"``, ``"nadam"``, ``"rmsprop"`` or ``"sgd"``.
        learning_rate: of the optimizer.
        momentum: of ``"sgd"`` and ``"rmsprop"``.
        weight_decay: of the optimizer.
        schedule: ``"constant"``, ``"cosine"``, ``"linear"``, ``"decay"`` or ``"plateau"``.
        decay_after: epochs with the full learning rate, of ``"decay"``; without a better one that
            are allowed, of ``"plateau"``.
        decay: factor on the learning rate after that, each epoch or each time.
        batch_size: lanes that are read side by side; of context ``"both"``, pieces of text.
        steps: k1, tokens of each lane in a chunk; of context ``"both"``, the longest piece.
        back: k2, tokens that the gradient goes back; as many as `steps` by default.
        epochs: passes over the training part, at most; None for as many as make twelve million
            tokens, 40 at most.
        patience: epochs without a better validation loss before training stops; None for never.
        clip: greatest global norm of the gradient; None for no clipping.
        averaging: epochs after which the mean of the weights is what is kept; or
            ``"non-monotonic"``: from when the validation loss rises (Merity et al. 2018); or None.
        activation_penalty: α, on the squares of the outputs (AR, Merity et al. 2017).
        change_penalty: β, on the squares of their changes from step to step (TAR).
        precision: ``"float32"`` or ``"bfloat16"``: autocast; what the layers and the full softmax
            multiply is rounded where the processor has a matrix unit, and nothing else.
        validation: share, or number of documents or characters, held out to choose by.
        test: likewise, to report on.
        ngram: N of the n-gram model beside the network; 0 for none.
        seed: of the parts, the weights, the order and dropout.

    Raises:
        ConfigError: an option has a value that it cannot have.
    """

    unit: str = "characters"
    vocabulary: int | None = None
    min_count: int = 1
    segmenter: str = "punctuation"
    context: str = "left"
    cell: str = "lstm"
    hidden_size: int | Sequence[int] = 512
    num_layers: int = 1
    embedding_size: int | None = None
    tied: bool = False
    softmax: str = "full"
    cutoffs: Sequence[int] | None = None
    dropout: float = 0.0
    input_dropout: float | None = None
    output_dropout: float | None = None
    variational: bool = False
    embedding_dropout: float = 0.0
    state_dropout: float = 0.0
    weight_dropout: float = 0.0
    zoneout: float = 0.0
    start: float | None = None
    forget_bias: float | None = None
    optimizer: str = "adam"
    learning_rate: float = 2e-3
    momentum: float = 0.0
    weight_decay: float = 0.0
    schedule: str = "cosine"
    decay_after: int = 0
    decay: float = 0.5
    batch_size: int = 32
    steps: int = 64
    back: int | None = None
    epochs: int | None = None
    patience: int | None = None
    clip: float | None = 1.0
    averaging: int | str | None = None
    activation_penalty: float = 0.0
    change_penalty: float = 0.0
    precision: str = "float32"
    validation: int | float = 0.1
    test: int | float = 0
    ngram: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("hidden_size", "cutoffs"):
            value = getattr(self, name)
            if isinstance(value, Sequence) and not isinstance(value, str):
                object.__setattr__(self, name, tuple(value))
        for name, known in (
            ("unit", TOKENIZERS), ("context", CONTEXTS), ("cell", CELLS), ("softmax", SOFTMAXES),
            ("schedule", SCHEDULES), ("optimizer", OPTIMIZERS),
        ):  # fmt: skip
            if getattr(self, name) not in known:
                raise one_of(name, getattr(self, name), known)
        self._check_numbers()
        self._check_sizes()
        self._check_together()
        self.plan(1)

    @property
    def hidden_sizes(self) -> tuple[int, ...]:
        """Units of each layer."""
        if isinstance(self.hidden_size, int):
            return (self.hidden_size,) * self.num_layers
        return tuple(self.hidden_size)

    def embedding(self, vocabulary: int) -> int:
        """E, with so many tokens."""
        return self.embedding_size or min(self.hidden_sizes[0], 512, -(-vocabulary // 16) * 16)

    @property
    def window(self) -> int:
        """Tokens that the gradient goes back."""
        return self.steps if self.back is None else self.back

    def plan(self, epochs: int, *, validated: bool = True) -> Plan:
        """How to train.

        Args:
            epochs: where the options leave them open.
            validated: whether there is a validation part, for patience.
        """
        extra = {"momentum": self.momentum, "weight_decay": self.weight_decay}
        schedule: Any = self.schedule
        if schedule == "decay":
            schedule = Decay(self.decay_after, self.decay)
        elif schedule == "plateau":
            schedule = Plateau(self.decay, self.decay_after)
        averaging = None
        if self.averaging is not None:
            averaging = Averaging(None if self.averaging == NON_MONOTONIC else self.averaging)  # type: ignore[arg-type]
        # Pieces of text are samples, and read in batches; one long text is a stream.
        batched = self.context == "both"
        back: dict[str, Any] = {} if batched else {"k1": self.steps, "k2": self.back}
        return Plan(
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            optimizer_options={k: v for k, v in extra.items() if v},
            batch_size=self.batch_size if batched else None,
            epochs=epochs if self.epochs is None else self.epochs,
            clip=self.clip,
            patience=self.patience if validated else None,
            schedule=schedule,
            averaging=averaging,
            bucket=batched,
            precision=self.precision,
            seed=self.seed,
            **back,
        )

    def to_dict(self) -> dict[str, Any]:
        """The options by name."""
        return asdict(self)

    def _check_numbers(self) -> None:
        for name, least in _WHOLE.items():
            value = getattr(self, name)
            if value is None and name in ("vocabulary", "embedding_size", "back", "epochs",
                                          "patience"):  # fmt: skip
                continue
            if not _is_whole(value, least):
                raise ConfigError(
                    f"{name} is {value!r}; expected a whole number of at least {least}."
                )
        if self.seed >= 2**63:
            raise ConfigError(f"seed is {self.seed}; expected a whole number below 2**63.")
        for name in _RATES:
            value = getattr(self, name)
            if value is None and name in ("input_dropout", "output_dropout"):
                continue
            if not _is_number(value) or not 0 <= value < 1:
                raise ConfigError(
                    f"{name} is {value!r}; expected a probability: at least 0 and below 1."
                )
        for name in _NUMBERS:
            value = getattr(self, name)
            if (value is not None or name != "start") and not (_is_number(value) and value >= 0):
                raise ConfigError(f"{name} is {value!r}; expected a number of at least 0.")
        if not _is_number(self.momentum) or not 0 <= self.momentum < 1:
            raise ConfigError(
                f"momentum is {self.momentum!r}; expected a number of at least 0 and below 1."
            )
        if isinstance(self.averaging, str) and self.averaging != NON_MONOTONIC:
            raise ConfigError(
                f"averaging is {self.averaging!r}; expected {NON_MONOTONIC!r}, or a number of "
                "epochs."
            )

    def _check_sizes(self) -> None:
        sizes: object = self.hidden_size
        each = sizes if isinstance(sizes, tuple) else (sizes,)
        if not each or any(not _is_whole(h, 1) for h in each):
            raise ConfigError(
                f"hidden_size is {sizes!r}; expected a whole number of at least 1, or one for "
                "each layer."
            )
        if isinstance(sizes, tuple) and self.num_layers not in (1, len(sizes)):
            raise ConfigError(
                f"hidden_size and num_layers do not fit.\n  hidden_size is {sizes}, that is "
                f"{len(sizes)} layers; num_layers is {self.num_layers}.\n  Leave num_layers out."
            )
        cutoffs = self.cutoffs
        if cutoffs is not None and (
            not cutoffs
            or any(not _is_whole(c, 1) for c in cutoffs)
            or any(a >= b for a, b in zip(cutoffs, tuple(cutoffs)[1:], strict=False))
        ):
            raise ConfigError(
                f"cutoffs is {cutoffs!r}; expected ranks of tokens that rise, such as "
                "(2000, 10000)."
            )

    def _check_together(self) -> None:
        if self.softmax == "adaptive" and self.tied:
            raise ConfigError(
                "tied: the adaptive softmax has weights of several sizes, which cannot be the "
                "embedding's.\n  Leave out one of the two."
            )
        if self.cutoffs is not None and self.softmax != "adaptive":
            raise ConfigError("cutoffs are given, but the softmax is not adaptive.")
        if self.momentum and self.optimizer not in ("sgd", "rmsprop"):
            raise ConfigError(
                f"momentum is {self.momentum:g}, which {self.optimizer} does not take.\n"
                "  sgd and rmsprop do."
            )
        if self.segmenter != "punctuation" and self.unit != "words":
            raise ConfigError(
                f"segmenter is {self.segmenter!r}, but the units are {self.unit}.\n"
                '  Words are segmented: give unit="words".'
            )
        if self.back is not None and self.context == "both":
            raise ConfigError(
                f"back is {self.back}, but the context is both: a piece of text is gone through as "
                "a whole.\n  Leave it out; steps is the longest piece."
            )
        check_patience(self)


def options_of(
    recipes: Mapping[str, Mapping[str, Any]], recipe: str, given: Mapping[str, Any]
) -> LanguageOptions:
    """The options of a recipe, and over them those given.

    Raises:
        ConfigError: there is no such recipe, or a value that cannot be.
        KindError: there is no such option.
    """
    if recipe not in recipes:
        raise one_of("recipe", recipe, recipes)
    known = [f.name for f in fields(LanguageOptions)]
    for name in given:
        if name not in known:
            raise KindError(str(one_of("LanguageModel option", name, known)))
    chosen = dict(recipes[recipe])
    if not isinstance(given.get("hidden_size", 0), int):
        chosen.pop("num_layers", None)  # the sizes say how many there are
    return LanguageOptions(**(chosen | dict(given)))


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
