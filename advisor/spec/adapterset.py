"""The adapters of a deployment, one by one: what counts and PEFT folders both resolve to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from advisor.errors import InputError
from advisor.spec.adapter import (
    AdapterFolders,
    Adapters,
    Popularity,
    RankShare,
    SharesPopularity,
    ZipfPopularity,
)
from advisor.spec.mergecheck import MergeCheck, load_merge_check
from advisor.spec.model import ALL_LINEAR
from advisor.spec.paths import path_under
from advisor.spec.peft import PeftAdapter, Trait, adapter_from_folder


@dataclass(frozen=True, slots=True)
class AdapterSet:
    """Every adapter that is deployed. Columns have one entry an adapter, popular ones first if known."""

    names: tuple[str, ...]
    ranks: tuple[int, ...]
    shares: tuple[float, ...] | None  # of the requests to adapters, summing to 1; None: in the trace
    base_share: float = 0.0  # of all requests, to the plain base model
    target_modules: tuple[str, ...] = ALL_LINEAR  # union over the adapters
    traits: frozenset[Trait] = frozenset()  # union over the adapters
    file_bytes: tuple[int | None, ...] = ()  # of the weights file, where one was seen; empty: none was
    base_models: frozenset[str] = frozenset()  # base_model_name_or_path of the folders
    merge_checks: tuple[MergeCheck, ...] = ()

    def __post_init__(self) -> None:
        assert len(self.names) == len(self.ranks) == len(set(self.names))
        assert self.shares is None or len(self.shares) == len(self.names)
        assert not self.file_bytes or len(self.file_bytes) == len(self.names)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def max_rank(self) -> int:
        """Largest rank, 0 without adapters."""
        return max(self.ranks, default=0)

    @property
    def use_dora(self) -> bool:
        """Whether any adapter is a DoRA one."""
        return "dora" in self.traits

    @property
    def use_rslora(self) -> bool:
        """Whether any adapter is scaled by alpha / sqrt(r)."""
        return "rslora" in self.traits

    @property
    def modules_to_save(self) -> bool:
        """Whether any adapter brings fully trained modules."""
        return "modules_to_save" in self.traits


def resolve_adapters(spec: Adapters | AdapterFolders, folder: Path) -> AdapterSet:
    """List the adapters that a scenario means.

    Args:
        spec: adapters by number, or by PEFT folders.
        folder: where relative paths start, the scenario file's folder.

    Raises:
        InputError: a folder that cannot be read, two folders of one name, or shares that fit no folder.
    """
    checks = tuple(load_merge_check(path_under(folder, path)) for path in spec.merge_checks)
    if isinstance(spec, Adapters):
        return replace(_by_number(spec), merge_checks=checks)
    adapters = [adapter_from_folder(path_under(folder, path)) for path in spec.paths]
    if isinstance(spec.popularity, SharesPopularity) and len(spec.popularity.shares) != len(adapters):
        raise InputError(
            f"adapters.popularity.shares lists {len(spec.popularity.shares)} weights; "
            f"allowed: one for each of the {len(adapters)} paths."
        )
    used = {module for adapter in adapters for module in adapter.modules}
    return AdapterSet(
        names=_unique_names(adapters, spec.paths),
        ranks=tuple(adapter.rank for adapter in adapters),
        shares=_shares(spec.popularity, len(adapters)),
        base_share=spec.base_share,
        target_modules=tuple(module for module in ALL_LINEAR if module in used),
        traits=frozenset().union(*(adapter.traits for adapter in adapters)),
        file_bytes=tuple(adapter.file_bytes for adapter in adapters),
        base_models=frozenset(adapter.base_model for adapter in adapters if adapter.base_model),
        merge_checks=checks,
    )


def _by_number(spec: Adapters) -> AdapterSet:
    width = len(str(spec.count))
    flags: dict[Trait, bool] = {
        "dora": spec.use_dora,
        "rslora": spec.use_rslora,
        "modules_to_save": spec.modules_to_save,
    }
    rows = spec.ranks or ((RankShare(rank=spec.rank, share=1.0),) if spec.rank is not None else ())
    return AdapterSet(
        names=tuple(f"adapter-{i:0{width}d}" for i in range(1, spec.count + 1)),
        ranks=_interleaved(rows, spec.count),
        shares=_shares(spec.popularity, spec.count),
        base_share=spec.base_share,
        target_modules=tuple(module for module in ALL_LINEAR if module in spec.target_modules),
        traits=frozenset(trait for trait, is_set in flags.items() if is_set),
    )


def _interleaved(rows: Sequence[RankShare], count: int) -> tuple[int, ...]:
    """Give each adapter a rank so that every beginning of the list holds the ranks in their shares.

    Each place goes to the rank that is furthest behind its share, so popular and unpopular adapters
    get both. The counts differ from share · count by less than the number of ranks.
    """
    total = math.fsum(row.share for row in rows)
    given = [0] * len(rows)
    ranks = []
    for place in range(1, count + 1):
        behind = [row.share / total * place - done for row, done in zip(rows, given, strict=True)]
        chosen = behind.index(max(behind))
        given[chosen] += 1
        ranks.append(rows[chosen].rank)
    return tuple(ranks)


def _shares(popularity: Popularity, count: int) -> tuple[float, ...] | None:
    """Scale the popularity to shares that sum to 1; None where the trace names the adapters."""
    if isinstance(popularity, ZipfPopularity):
        weights = [place**-popularity.exponent for place in range(1, count + 1)]
    elif isinstance(popularity, SharesPopularity):
        largest = max(popularity.shares)
        weights = [share / largest for share in popularity.shares]  # a sum of huge weights would overflow
    else:
        return None
    total = math.fsum(weights)
    return tuple(weight / total for weight in weights)


def _unique_names(adapters: list[PeftAdapter], paths: tuple[str, ...]) -> tuple[str, ...]:
    seen: dict[str, str] = {}
    for adapter, path in zip(adapters, paths, strict=True):
        if adapter.name in seen:
            raise InputError(
                f"adapters.paths: {seen[adapter.name]} and {path} are both named {adapter.name}. Rename one."
            )
        seen[adapter.name] = path
    return tuple(seen)
