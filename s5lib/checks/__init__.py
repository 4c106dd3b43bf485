"""Graders for the book's exercises: ``check_<exercise>(answer)`` says whether an answer is right, or gives a hint.

A check never raises. It is written as a function that raises ``Hint`` where the answer is wrong and returns a sentence
where it is right; ``@graded`` makes the ``Verdict`` of it, and turns a stub or an error inside the answer into a hint.
Each chapter has a module of its own.
"""

from s5lib.checks.chapter01 import check_best_step, check_fade_step, check_kernel_from_half, check_recall
from s5lib.checks.chapter02 import check_largest_euler_step, check_phi_2, check_run_uneven, check_step_for_half_life
from s5lib.checks.chapter03 import (
    check_discounted_returns,
    check_law_test,
    check_leak_length,
    check_merged_element,
    check_resets_from_flags,
)
from s5lib.checks.chapter04 import check_block_parameters, check_block_start, check_s5_step, check_steps_to_overflow
from s5lib.checks.chapter05 import (
    check_gae_from_flags,
    check_largest_step,
    check_packed_equals_separate,
    check_ratio_gap,
    check_value_ahead,
)
from s5lib.checks.chapter06 import (
    check_counting_step,
    check_knot_player,
    check_parity,
    check_return_without_memory,
    check_suite_score,
)
from s5lib.checks.chapter07 import check_generalisation_gap, check_price_of_a_fall, check_swapped, check_trial_flags
from s5lib.checks.chapter08 import check_answer_for, check_leave_out, check_permutation, check_world_size
from s5lib.checks.grading import Verdict

__all__ = [
    "Verdict",
    "check_answer_for",
    "check_best_step",
    "check_block_parameters",
    "check_block_start",
    "check_counting_step",
    "check_discounted_returns",
    "check_fade_step",
    "check_gae_from_flags",
    "check_generalisation_gap",
    "check_kernel_from_half",
    "check_knot_player",
    "check_largest_euler_step",
    "check_largest_step",
    "check_law_test",
    "check_leak_length",
    "check_leave_out",
    "check_merged_element",
    "check_packed_equals_separate",
    "check_parity",
    "check_permutation",
    "check_phi_2",
    "check_price_of_a_fall",
    "check_ratio_gap",
    "check_recall",
    "check_resets_from_flags",
    "check_return_without_memory",
    "check_run_uneven",
    "check_s5_step",
    "check_step_for_half_life",
    "check_steps_to_overflow",
    "check_suite_score",
    "check_swapped",
    "check_trial_flags",
    "check_value_ahead",
    "check_world_size",
]
