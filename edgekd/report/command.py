"""The command that asks for the same build again."""

import shlex

from edgekd.spec import Budget, Plan


def command(plan: Plan) -> str:
    """`edgekd build ...` with every choice that is not a default; budgets only where all targets share one."""
    trains = plan.student is not None
    words = ["edgekd", "build" if trains else "export", *map(shlex.quote, plan.said or (plan.page or plan.name,))]
    words += [f"--target {target.name}" for target in plan.targets]
    if len({target.budget for target in plan.targets}) == 1:
        words += _budget(plan.targets[0].budget)
    if len({target.precision for target in plan.targets}) == 1 and plan.targets[0].precision != "auto":
        words.append(f"--precision {plan.targets[0].precision}")
    if len({target.ranges for target in plan.targets}) == 1 and plan.targets[0].ranges != "min-max":
        words.append(f"--ranges {plan.targets[0].ranges}")
    if {target.input for target in plan.targets} == {"raw"}:
        words.append("--input raw")
    if len({target.threads for target in plan.targets}) == 1 and plan.targets[0].threads != 1:
        words.append(f"--threads {plan.targets[0].threads}")
    if trains:
        words.append(f"--effort {plan.effort.name}")
    if plan.max_time is not None:
        words.append(f"--max-time {plan.max_time:g}s")
    if plan.bench != "auto":
        words.append(f"--bench {plan.bench}")
    if plan.teacher_share != Plan.model_fields["teacher_share"].default:
        words.append(f"--teacher-share {100 * plan.teacher_share:.12g}%")
    if plan.selective_accuracy is not None:
        words.append(f"--selective-accuracy {100 * plan.selective_accuracy:.12g}%")
    said = {"--trust": plan.teacher.trust, "--skip-bad": plan.skip_bad, "--accept-stand-in": plan.accept_stand_in}
    said["--pareto"] = plan.pareto
    words += [flag for flag, wanted in said.items() if wanted]
    return " ".join([*words, f"--seed {plan.seed}"])


def complete(plan: Plan) -> bool:
    """Whether `command` says everything: where targets have budgets of their own, the recipe must say them."""
    shared = {(target.budget, target.precision, target.input, target.threads) for target in plan.targets}
    return len(shared) == 1


def _budget(budget: Budget) -> list[str]:
    """A budget as flags that read back to the same numbers."""
    seconds, shares = budget.max_latency, ("max_drop", "max_quantization_loss")
    flags = [] if seconds is None else [f"--max-latency {1000 * seconds:.12g}ms"]
    flags += [f"--{name.replace('_', '-')} {value}" for name, value in _whole(budget)]
    flags += [f"--{name.replace('_', '-')} {100 * value:.12g}pp" for name in shares if (value := getattr(budget, name))]
    whole = [(name, value) for name in ("min_accuracy", "max_fallback") if (value := getattr(budget, name)) is not None]
    flags += [f"--{name.replace('_', '-')} {100 * value:.12g}%" for name, value in whole]
    return flags if budget.max_error is None else [*flags, f"--max-error {budget.max_error:.12g}"]


def _whole(budget: Budget) -> list[tuple[str, str]]:
    counts = [(name, str(value)) for name in ("max_params", "max_macs") if (value := getattr(budget, name)) is not None]
    bytes = ("max_size", "max_memory", "max_arena", "max_flash")
    sizes = [(name, f"{value}B") for name in bytes if (value := getattr(budget, name)) is not None]
    return counts + sizes
