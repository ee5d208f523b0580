"""Check gradients, in total, by module, by parameter and in full, and the losses of a few AdamW steps."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from mcld.errors import DataError
from mcld.models import MCLD
from mcld.models.weights import authors_name, components
from mcld.parity import tolerances
from mcld.parity.golden import Golden
from mcld.parity.loss import TrainingBatch, Variant, check_loss, loss_of, predict
from mcld.parity.rows import Row, compare, ratio
from mcld.parity.settings import REMEDY, Settings

# Norms below this share of the largest are compared as if they had it: what has no effect on the loss has a
# gradient of rounding noise in code that computes it, and none in ours.
SMALL_NORM = 1e-3


def check_variant(golden: Golden, *, variant: Variant, batch: TrainingBatch) -> Iterator[Row]:
    """The loss of one variant and its gradients. Leaves no gradients behind."""
    variant.model.zero_grad(set_to_none=True)
    v = predict(variant.model, batch=batch, with_reference=variant.with_reference)
    loss = loss_of(v, batch=batch)
    yield from check_loss(golden, variant=variant, v=v, loss=loss)
    torch.autograd.backward(loss.total)
    yield from _check_gradients(golden, variant=variant)
    variant.model.zero_grad(set_to_none=True)


def check_trajectory(golden: Golden, *, model: MCLD, batch: TrainingBatch) -> Iterator[Row]:
    """The loss before each of a few AdamW steps on one batch; trains a copy of `model`."""
    results = golden.loss.settings.section("results")
    recorded = results.section("adamw_trajectory")
    expected = recorded.numbers("losses")
    losses = _train(copy.deepcopy(model), batch=batch, recorded=recorded, num_steps=len(expected))
    for step, (found, wanted) in enumerate(zip(losses, expected, strict=True)):
        yield Row(
            name=f"adamw: loss before step {step + 1}",
            error=ratio(found - wanted, scale=wanted),
            tolerance=tolerances.GRADIENT,
        )


def _train(model: MCLD, *, batch: TrainingBatch, recorded: Settings, num_steps: int) -> list[float]:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = _optimiser(parameters, recorded=recorded)
    losses: list[float] = []
    for _ in range(num_steps):
        optimiser.zero_grad(set_to_none=True)
        loss = loss_of(predict(model, batch=batch, with_reference=True), batch=batch).total
        losses.append(float(loss.detach()))
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(parameters, recorded.number("max_grad_norm"))
        optimiser.step()
    return losses


def _optimiser(parameters: list[nn.Parameter], *, recorded: Settings) -> torch.optim.AdamW:
    betas = recorded.numbers("betas")
    if len(betas) != 2:
        raise DataError(f"{recorded.place}: 'betas' is {list(betas)}, which is not two numbers; {REMEDY}")
    try:
        return torch.optim.AdamW(
            parameters,
            lr=recorded.number("lr"),
            betas=(betas[0], betas[1]),
            eps=recorded.number("eps"),
            weight_decay=recorded.number("weight_decay"),
        )
    except ValueError as error:
        raise DataError(f"{recorded.place}: {error}; {REMEDY}") from error


def _check_gradients(golden: Golden, *, variant: Variant) -> Iterator[Row]:
    recorded = golden.loss.settings.section("results").section(variant.name)
    tolerance = variant.tolerances.gradient
    gradients = _gradients(variant.model)
    norms = {name: float(gradient.double().norm()) for name, gradient in gradients.items()}
    yield _norm_row(
        f"gradient {variant.name}: norm",
        found=_joint_norm(norms),
        expected=recorded.number("grad_norm_total"),
        tolerance=tolerance,
    )
    by_module = recorded.section("grad_norm_by_module")
    for module in _modules(variant.model):
        yield _norm_row(
            f"gradient {variant.name}: norm of {module}",
            found=_joint_norm(_of_module(norms, module=module)),
            expected=by_module.number(module),
            tolerance=tolerance,
        )
    # Recorded in full for one variant only, the first.
    if variant.name == "cond" or "grad_norm_per_param" in recorded:
        yield from _check_each_norm(recorded, variant=variant, norms=norms, tolerance=tolerance)
    if variant.name == "cond":
        yield from _check_full(golden, gradients=gradients)


def _check_each_norm(
    recorded: Settings, *, variant: Variant, norms: Mapping[str, float], tolerance: float
) -> Iterator[Row]:
    """A row per module, with the parameter that is furthest off."""
    expected = recorded.number_by_name("grad_norm_per_param")
    _check_names(recorded, expected=expected, model=variant.model)
    floor = SMALL_NORM * max(expected.values(), default=0.0)
    for module in _modules(variant.model):
        errors = {
            name: ratio(norms[name] - norm, scale=max(norm, floor))
            for name, norm in _of_module(expected, module=module).items()
        }
        # NaN first, then the largest.
        worst = max(errors, key=lambda name: (errors[name] != errors[name], errors[name]))
        yield Row(
            name=f"gradient {variant.name}: norms in {module}",
            error=errors[worst],
            tolerance=tolerance,
            note=f"worst of {len(errors)}: {worst.removeprefix(module + '.')}",
        )


def _check_names(recorded: Settings, *, expected: Mapping[str, float], model: MCLD) -> None:
    """Raises DataError unless every parameter that we train is there, and none that we do not have."""
    place = f"{recorded.place}: grad_norm_per_param"
    parameters = _parameters(model)
    trained = {name for name, parameter in parameters.items() if parameter.requires_grad}
    unknown, missing = sorted(expected.keys() - parameters.keys()), sorted(trained - expected.keys())
    if unknown:
        raise DataError(f"{place}: '{unknown[0]}' is no parameter of this model; {REMEDY}")
    if missing:
        raise DataError(f"{place}: no '{missing[0]}'; {REMEDY}")


def _check_full(golden: Golden, *, gradients: Mapping[str, Tensor]) -> Iterator[Row]:
    recorded = golden.loss.under("grad.")
    if not recorded:
        raise DataError(f"{golden.loss.path}: no tensor 'grad.…' of any parameter; {REMEDY}")
    for name, expected in recorded.items():
        if name not in gradients:
            raise DataError(f"{golden.loss.path}: 'grad.{name}' is no parameter of this model; {REMEDY}")
        yield compare(
            f"gradient: {name}", found=gradients[name], expected=expected, tolerance=tolerances.GRADIENT
        )


def _norm_row(name: str, *, found: float, expected: float, tolerance: float) -> Row:
    return Row(name=name, error=ratio(found - expected, scale=expected), tolerance=tolerance)


def _modules(model: MCLD) -> dict[str, nn.Module]:
    """Our modules by the authors' names."""
    return {authors_name(name): module for name, module in components(model).items()}


def _parameters(model: MCLD) -> dict[str, nn.Parameter]:
    """By `module.parameter`."""
    return {
        f"{module}.{name}": parameter
        for module, part in _modules(model).items()
        for name, parameter in part.named_parameters()
    }


def _gradients(model: MCLD) -> dict[str, Tensor]:
    """By `module.parameter`; zeros for what is without effect and so is not trained."""
    return {
        name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        for name, parameter in _parameters(model).items()
    }


def _of_module(values: Mapping[str, float], *, module: str) -> dict[str, float]:
    return {name: value for name, value in values.items() if name.startswith(f"{module}.")}


def _joint_norm(norms: Mapping[str, float]) -> float:
    return math.sqrt(sum(norm**2 for norm in norms.values()))
