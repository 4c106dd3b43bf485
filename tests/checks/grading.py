"""What every test of a grader asks for."""

from s5lib.checks import Verdict


def assert_graded(check, right, wrong, stub=None):
    """Right answers pass, the stub is not written yet, and the wrong answers each get a hint of their own."""
    for answer in right:
        verdict = check(answer)
        assert isinstance(verdict, Verdict) and verdict.passed, verdict
    for answer in (None, ..., *([stub] if stub else [])):
        verdict = check(answer)
        assert not verdict and verdict.message.startswith("Not written yet"), verdict
    hints = [check(answer) for answer in wrong]
    assert not any(hints), hints
    messages = [verdict.message for verdict in hints]
    assert len(set(messages)) == len(messages), f"two wrong answers share a hint: {messages}"


def stub(*args, **options):
    raise NotImplementedError
