"""Hypothesis strategies and settings of several test files."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from pipeline.store import clip_table

# Always the same examples: a test that fails only sometimes does not show which change broke it.
SETTINGS = {
    "deadline": None,
    "derandomize": True,
    "database": None,
    "suppress_health_check": list(HealthCheck),
}


def max_examples(examples: int) -> settings:
    return settings(max_examples=examples, **SETTINGS)


text = st.text(max_size=12)
ids = st.from_regex(clip_table.CLIP_ID, fullmatch=True).map(lambda s: s[:200])
odd_texts = st.sampled_from(
    ["", " ", "-a", "..", "a/b", '"', "'", "a,b", "a;b", "\n", "\r\n", "é", "\ufeff", "=1", "\0", "a\tb"]
)
seconds = st.none() | st.floats(allow_nan=True) | st.floats(0, 100)
