"""Ten measurements of 442 people with diabetes, and how far the disease was a year later: python diabetes_data.py

The rows come with scikit-learn (Efron et al., "Least angle regression", Annals of Statistics 32(2), 2004). Writes
diabetes.npz: row (N, 10), in the units of the paper, and y (N,), a score of the disease's progression from 25 to 346;
and diabetes_test.npz: every fifth person, whom neither teacher nor student learns from.
"""

import numpy as np
from sklearn.datasets import load_diabetes


def main() -> None:
    rows, progression = load_diabetes(return_X_y=True, scaled=False)
    fifth = np.arange(len(rows)) % 5 == 0
    for name, some in (("diabetes.npz", ~fifth), ("diabetes_test.npz", fifth)):
        np.savez(name, row=rows[some].astype(np.float32), y=progression[some].astype(np.float32))
        print(
            f"{name}: {some.sum()} people, progression {progression[some].mean():.0f} ± {progression[some].std():.0f}"
        )


if __name__ == "__main__":
    main()
