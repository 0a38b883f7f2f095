"""Table values as codes."""

import math

import numpy as np

from models.table_codec import BINS, VALUES, Column, encode, fit


def test_numbers_become_their_quantile_bins() -> None:
    numbers = [float(n) for n in range(100)]
    (column,) = fit({"age": numbers})
    codes = column.encode(numbers)
    assert column.values is None
    assert column.size == BINS + 1
    for number, code in zip(numbers, codes, strict=True):
        assert code == 1 + sum(edge <= number for edge in column.edges)
    assert np.bincount(codes).tolist() == [0] + [10] * BINS


def test_a_number_beyond_the_fitted_range_is_in_the_last_bin() -> None:
    (column,) = fit({"age": [1, 2, 3, 4]})
    assert column.encode([-1e9, 1e9, math.inf, -math.inf]).tolist() == [1, column.size - 1, column.size - 1, 1]


def test_missing_is_a_code_of_its_own_however_it_is_written() -> None:
    table = {"age": [None, 5, math.nan], "city": [None, "Ulm", math.nan]}
    assert encode(fit(table), table)[[0, 2]].tolist() == [[0, 0], [0, 0]]


def test_a_value_never_seen_is_the_last_code() -> None:
    (column,) = fit({"city": ["Ulm", "Bonn", "Ulm"]})
    assert column.encode(["Bonn", "Ulm", "Oslo"]).tolist() == [1, 2, 3]
    assert column.size == 4


def test_only_the_most_frequent_values_have_a_code() -> None:
    values = [f"v{i:03}" for i in range(VALUES + 6) for _ in range(2 if i < VALUES else 1)]
    (column,) = fit({"city": values})
    assert column.size == VALUES + 2
    assert column.encode(["v000", "v069"]).tolist() == [1, VALUES + 1]


def test_truth_values_and_mixed_columns_are_values() -> None:
    flag, mixed = fit({"flag": [True, False], "mixed": [1, "one"]})
    assert flag.values == ("False", "True")
    assert mixed.values == ("1", "one")
    assert flag.encode([True, None, False]).tolist() == [2, 0, 1]


def test_an_empty_column_and_one_of_equal_numbers_have_codes_too() -> None:
    empty, equal, endless = fit({"empty": [None, None], "equal": [3, 3], "endless": [math.inf, math.inf]})
    assert empty.encode([None, "x"]).tolist() == [0, 1]
    assert equal.encode([2, 3, 4, None]).tolist() == [1, 2, 2, 0]
    assert all(0 < code < endless.size for code in endless.encode([math.inf, 1.0]))


def test_every_code_is_below_the_size() -> None:
    rng = np.random.default_rng(0)
    columns = fit({"number": rng.normal(size=50).tolist(), "city": rng.choice(["a", "b"], 50).tolist()})
    codes = encode(columns, {"number": [*rng.normal(0, 9, 30), None], "city": [*rng.choice(["a", "c"], 30), None]})
    assert codes.dtype == np.int64
    assert (codes >= 0).all()
    assert (codes < [c.size for c in columns]).all()


def test_columns_stand_in_their_own_order_whatever_the_tables() -> None:
    columns = (Column("b", values=("x",)), Column("a", edges=(0.0,)))
    assert encode(columns, {"a": [1, -1], "b": ["x", "y"]}).tolist() == [[1, 2], [2, 1]]


def test_a_table_without_fitted_columns_has_rows_still() -> None:
    assert encode((), {"a": [1, 2, 3]}).shape == (3, 0)
