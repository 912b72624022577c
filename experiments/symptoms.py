"""What a reader's failing training looks like, and where in the book to look."""

from __future__ import annotations

SYMPTOMS: dict[str, tuple[str, ...]] = {
    "It breaks or runs away": ("C10", "C24", "P01", "P02", "C18"),
    "It hardly moves": ("C04", "C08", "C09", "C14", "C26", "C22"),
    "It jumps, or comes back": ("C02", "C03", "C05", "C27", "P03", "P06", "P07", "P04"),
    "It stops too high, or is slow": ("C01", "C06", "C12", "C13", "C16", "P05", "C11", "C17"),
    "It trains well and tests badly": ("C07", "C15", "C23", "C25"),
    "Other": ("C21", "C19", "C20"),
}
"""The experiments by what their symptom looks like."""
UNTESTED: dict[str, tuple[tuple[str, str], ...]] = {
    "It breaks or runs away": ((
        "The loss is NaN after hundreds of good steps.",
        "Look at the data for values that are not finite, map the rate, and try "
        "chain(clip_by_global_norm(1.0), adam(rate)).",
    ),),
    "It hardly moves": ((
        "A training in bfloat16 stands still, while the same in float32 goes on.",
        "Its steps may be lost to rounding: try adamlab.optimizers.adamw_kahan(rate).",
    ),),
    "It stops too high, or is slow": ((
        "Some features are rare, and what they need is learnt late.",
        "No claim here is about sparse gradients: map eps and the rate.",
    ),),
}  # fmt: skip
"""Symptoms that no experiment is about, and what is to be tried."""
