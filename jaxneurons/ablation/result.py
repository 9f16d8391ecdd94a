"""What an ablation found, as plain values, as JSON, and as a table in words."""

import dataclasses
from collections.abc import Iterator
from typing import Any

# What all domains together are called.
OVERALL = "overall"

# Nats per token by domain, and of all tokens; without a domain in which there is nothing to predict.
Losses = dict[str, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ablation:
    """Losses with and without some neurons; made by `jaxneurons.ablate`.

    Attributes:
        model: its name.
        layers: in which there are ablated neurons, ascending.
        neurons: how many are ablated.
        mode: "zero" or "mean".
        dtype: computed in, with the precision unless it is the highest.
        tokens: how many are predicted: text, without special tokens and the first of a window.
        base, ablated: cross-entropy in nats per token, "overall" and by domain.
        controls: the same without each draw of other neurons.
        control_neurons: how many neurons each draw has; fewer where a layer has no more alive.
        triggers: what was done to the triggers of token detectors (`triggers.effects`); {} without detectors.
        positions: "base", "ablated" and "controls" as above, but by the position that predicts.
    """

    model: str
    layers: tuple[int, ...]
    neurons: int
    mode: str
    dtype: str
    tokens: int
    base: Losses
    ablated: Losses
    controls: list[Losses]
    control_neurons: list[int]
    triggers: dict[str, Any]
    positions: dict[str, Any]

    @property
    def difference(self) -> Losses:
        """By how much the loss rises without the neurons, overall and by domain."""
        return self._risen(self.ablated)

    @property
    def control_differences(self) -> list[Losses]:
        """By how much it rises without each of the controls."""
        return [self._risen(control) for control in self.controls]

    @property
    def controls_below(self) -> dict[str, int]:
        """How many controls raise the loss less than the neurons do, overall and by domain."""
        return {
            name: sum(control[name] < loss for control in self.controls)
            for name, loss in self.ablated.items()
        }

    def to_json(self) -> dict[str, Any]:
        """The content of ablation.json."""
        return dataclasses.asdict(self) | {
            "difference": self.difference,
            "controls_below": self.controls_below,
        }

    def __str__(self) -> str:
        parts = [[self._title()], self._table(), [*self._sentences()]]
        return "\n\n".join("\n".join(part) for part in parts if part)

    def _risen(self, losses: Losses) -> Losses:
        return {name: loss - self.base[name] for name, loss in losses.items()}

    def _title(self) -> str:
        first, last = self.layers[0], self.layers[-1]
        where = f"layer {first}" if first == last else f"layers {first} to {last}"
        plural = "s" * (self.neurons > 1)
        return (
            f"{self.model} without {self.neurons:,} neuron{plural} of {where} (mode {self.mode}), computed in {self.dtype}: "
            f"nats per token over {self.tokens:,} tokens"
        )

    def _table(self) -> list[str]:
        head = ["text", "base", "ablated", "difference", "controls", "controls below"]
        rows = [head]
        others = self.control_differences
        for name, base in self.base.items():
            drawn = [control[name] for control in others]
            ends = (
                dict.fromkeys(map(_signed, (min(drawn), max(drawn)))) if drawn else "-"
            )
            spread = " to ".join(ends)
            below = f"{self.controls_below[name]} of {len(drawn)}" if drawn else "-"
            rows.append(
                [
                    name,
                    f"{base:.5f}",
                    f"{self.ablated[name]:.5f}",
                    _signed(self.difference[name]),
                    spread,
                    below,
                ]
            )
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return [
            "  ".join(
                [row[0].ljust(widths[0])]
                + [c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)]
            )
            for row in rows
        ]

    def _sentences(self) -> Iterator[str]:
        if not self.controls:
            yield (
                "There are no controls: none were asked for, or these layers have no other neurons that are alive."
            )
        elif min(self.control_neurons) < self.neurons:
            yield (
                f"Controls have {min(self.control_neurons):,} neurons, not {self.neurons:,}: these layers have no more "
                "alive ones outside of the set."
            )
        if self.triggers.get("detectors"):
            yield from self._about_triggers()
        elif self.triggers:
            yield "No trigger of these token detectors occurs in this text."

    def _about_triggers(self) -> Iterator[str]:
        found = self.triggers
        yield (
            f"Token detectors: {found['detectors']:,}, whose triggers occur {found['occurrences']:,} times. Change on "
            "their triggers (share of detectors for which it is as if they removed the trigger; that of controls):"
        )
        for name, what in (
            ("logit", "logit of the trigger as next token"),
            ("rank", "rank of that logit, 1 the highest"),
            ("cosine", "cosine of its unembedding with the residual stream"),
        ):
            shares = [one["expected_share"][name] for one in found["controls"]]
            beside = (
                f"; controls {min(shares):.0%} to {max(shares):.0%}" if shares else ""
            )
            yield (
                f"  {what}: {found['ablated'][name]:+.5f} "
                f"({found['ablated']['expected_share'][name]:.0%}{beside})"
            )


def _signed(change: float) -> str:
    """A change; one of no bit at all is told from a small one."""
    return f"{change:+.5f}" if change else "0"
