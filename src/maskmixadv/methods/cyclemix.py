"""CycleMix: labels on mixed, occluded and turned images, and consistency with the unmixed images."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import final

from torch import nn

from maskmixadv.methods.method import Method, Phase, all_hidden, check_weights, unmixed
from maskmixadv.methods.parts.views import check_blocks, mixed_again
from maskmixadv.networks.components import largest_in_slices
from maskmixadv.networks.losses import disagreement, most_probable, one_hot, partial_cross_entropy
from maskmixadv.tensors import Batch


@final
@dataclass(frozen=True)
class CycleMix(Method):
    """CycleMix (Zhang and Zhuang, CVPR 2022).

    Differs from the paper: neighbours are mixed block by block, by their saliency, where the paper has Puzzle Mix;
    saliency is the loss's gradient by the logits, not by the image; mixtures are turned by right angles, which need no
    interpolation, where the paper turns by any angle, and by one for the whole batch.

    Attributes
    ----------
    mixed
        Weight of the cross-entropy with the labels of mixed images.
    mixing
        Weight of the consistency of a mixed image's prediction with the mixture of the images' predictions.
    component
        Weight of the consistency with each structure's largest component.
    blocks
        Number of blocks along a side, which mixing moves: 1, 2, 4, 8 or 16, so that every window can be cut into them.
    side
        Side of the hidden square in pixels; 0 hides none.

    Raises
    ------
    InputError
        Where a weight or `side` is negative, or `blocks` is not allowed.

    Examples
    --------
    >>> from maskmixadv.methods import CycleMix, first_terms
    >>> list(first_terms(CycleMix(blocks=4, side=8)))
    ['net/pce', 'net/mixed', 'net/mixing', 'net/component']
    """

    mixed: float = 1.0
    mixing: float = 0.1
    component: float = 0.1
    blocks: int = 8
    side: int = 32

    def __post_init__(self) -> None:
        check_weights(self, "mixed", "mixing", "component", "side")
        check_blocks(self.blocks)

    def idle(self, share: int, window: int) -> Sequence[str]:
        """Return lines on `blocks` where a sample has no other to be mixed with, and on `side` where all is hidden."""
        return (*unmixed(f"blocks: {self.blocks}", share), *all_hidden(self.side, window))

    def kind(self, step: int, progress: float) -> None:
        """Return None: largest components are found on the CPU, so that no step can be replayed."""

    def phases(self, nets: Mapping[str, nn.Module], batch: Batch) -> Iterator[Phase]:
        """Learn from images and from their mixtures, which are to be consistent with each other."""
        logits = nets["net"](batch.image)
        probs = logits.softmax(1)
        mix, again = mixed_again(nets["net"], batch, probs, blocks=self.blocks, side=self.side)
        labels, weight = mix.labels(batch.target), mix.weight(batch.weight)
        largest = largest_in_slices(most_probable(probs), probs.shape[1])
        mixing = disagreement(one=again.softmax(1), other=mix.maps(probs), where=mix.shown)
        terms = {
            "pce": partial_cross_entropy(logits=logits, target=batch.target, weight=batch.weight),
            "mixed": self.mixed * partial_cross_entropy(logits=again, target=labels, weight=weight),
            "mixing": self.mixing * mixing,
            "component": self.component * disagreement(one=probs, other=one_hot(largest, probs.shape[1])),
        }
        yield Phase("net", terms)
